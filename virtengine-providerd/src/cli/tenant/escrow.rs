use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use virtengine_provider_core::id::Address;
use virtengine_provider_core::market::SettlementEscrow;
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::ports::chain::{ChainQuery as _, Message};
use virtengine_provider_core::time::Timestamp;

use super::{OrderArgs, in_block, landed};
use crate::cli::answer::{Answer, CliResult};
use crate::cli::show;
use crate::tenant::Tenant;

/// `tenant escrow …`.
#[derive(Debug, Args)]
pub(super) struct EscrowArgs {
    #[command(subcommand)]
    command: EscrowCommand,
}

#[derive(Debug, Subcommand)]
enum EscrowCommand {
    /// Put money aside for metered usage of an order
    #[command(after_help = "\
Examples:
  virtengine-provider tenant escrow create 1000 --amount 1000000uve --from-key alice.words")]
    Create {
        #[command(flatten)]
        order: OrderArgs,
        /// How much
        #[arg(long, value_name = "COIN")]
        amount: Coin,
        /// For how long, an hour to a year
        #[arg(long, default_value = "24h", value_name = "TIME", value_parser = lifetime)]
        expires_in: Duration,
    },
    /// Name the provider of a lease as the one who is paid
    #[command(
        after_help = "Examples:\n  virtengine-provider tenant escrow activate escrow-1 1000 --provider ve1… --from-key alice.words"
    )]
    Activate {
        /// The escrow, e.g. `escrow-1`
        escrow: String,
        #[command(flatten)]
        order: OrderArgs,
        /// The provider of the lease
        #[arg(long, value_name = "ADDRESS")]
        provider: Address,
    },
    /// The escrows of an order
    #[command(after_help = "Examples:\n  virtengine-provider tenant escrow list 1000 --from-key alice.words")]
    List {
        #[command(flatten)]
        order: OrderArgs,
    },
}

/// A settlement escrow for scripts: its time is a text.
#[derive(Debug, Serialize)]
struct EscrowView<'a> {
    id: &'a str,
    state: &'a str,
    order_id: &'a str,
    lease_id: &'a str,
    recipient: Option<&'a Address>,
    balance: &'a [Coin],
    #[serde(with = "virtengine_gateway::rfc3339")]
    expires_at: Timestamp,
}

impl<'a> From<&'a SettlementEscrow> for EscrowView<'a> {
    fn from(escrow: &'a SettlementEscrow) -> Self {
        Self {
            id: &escrow.id,
            state: &escrow.state,
            order_id: &escrow.order_id,
            lease_id: &escrow.lease_id,
            recipient: escrow.recipient.as_ref(),
            balance: &escrow.balance,
            expires_at: Timestamp::from_seconds(escrow.expires_at),
        }
    }
}

/// The bounds are the chain's (spec/chain.md B.8).
fn lifetime(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_secs(3_600)..=Duration::from_secs(31_536_000)).contains(&time) {
        return Ok(time);
    }
    Err("must be 1h to 365d".to_owned())
}

pub(super) async fn run(args: EscrowArgs, tenant: &Tenant) -> CliResult {
    match args.command {
        EscrowCommand::Create {
            order,
            amount,
            expires_in,
        } => create(&order, amount, expires_in, tenant).await,
        EscrowCommand::Activate {
            escrow,
            order,
            provider,
        } => activate(escrow, &order, provider, tenant).await,
        EscrowCommand::List { order } => list(&order, tenant).await,
    }
}

async fn create(order: &OrderArgs, amount: Coin, expires_in: Duration, tenant: &Tenant) -> CliResult {
    let message = Message::CreateEscrow {
        order_id: order.id(tenant).to_string(),
        amount,
        expires_in: expires_in.as_secs(),
    };
    let tx = tenant.send(&[message]).await?;
    let escrow = tx.response_ids.first().cloned().unwrap_or_default();
    let mut value = landed(&tx);
    value["escrow"] = serde_json::json!(escrow);
    let text = format!(
        "Escrow {escrow} is {}\nNext: virtengine-provider tenant escrow activate {escrow} {} --provider ADDRESS\n",
        in_block(&tx),
        order.dseq
    );
    Answer::new(&value, text)
}

async fn activate(escrow: String, order: &OrderArgs, provider: Address, tenant: &Tenant) -> CliResult {
    let lease = order.lease(tenant, &provider);
    let message = Message::ActivateEscrow {
        escrow_id: escrow.clone(),
        lease_id: lease.to_string(),
        recipient: provider,
    };
    let tx = tenant.send(&[message]).await?;
    let mut value = landed(&tx);
    value["escrow"] = serde_json::json!(escrow);
    value["lease"] = serde_json::json!(lease);
    Answer::new(
        &value,
        format!("Escrow {escrow} pays lease {lease} {}\n", in_block(&tx)),
    )
}

async fn list(order: &OrderArgs, tenant: &Tenant) -> CliResult {
    let escrows = tenant.chain().escrows_of(&order.id(tenant).to_string()).await?;
    let views: Vec<_> = escrows.iter().map(EscrowView::from).collect();
    Answer::new(&views, show::escrows(&escrows))
}
