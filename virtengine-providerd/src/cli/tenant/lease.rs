use clap::{Args, Subcommand};
use virtengine_provider_core::id::{Address, BidId};
use virtengine_provider_core::ports::chain::{ChainQuery as _, Message};

use super::{OrderArgs, in_block, landed};
use crate::cli::answer::{Answer, CliResult};
use crate::cli::error::CliError;
use crate::tenant::Tenant;

/// `tenant lease …`.
#[derive(Debug, Args)]
pub(super) struct LeaseArgs {
    #[command(subcommand)]
    command: LeaseCommand,
}

#[derive(Debug, Subcommand)]
enum LeaseCommand {
    /// Take a bid; from here on the provider earns
    #[command(after_help = "\
Examples:
  virtengine-provider tenant lease create 1000 --cheapest --from-key alice.words
  virtengine-provider tenant lease create 1000 --provider ve1… --from-key alice.words")]
    Create {
        #[command(flatten)]
        order: OrderArgs,
        /// Take the bid of this provider
        #[arg(long, value_name = "ADDRESS", required_unless_present = "cheapest")]
        provider: Option<Address>,
        /// Take the cheapest open bid
        #[arg(long, conflicts_with = "provider")]
        cheapest: bool,
    },
    /// End a lease
    #[command(
        after_help = "Examples:\n  virtengine-provider tenant lease close 1000 --provider ve1… --from-key alice.words"
    )]
    Close {
        #[command(flatten)]
        order: OrderArgs,
        /// The provider of the lease
        #[arg(long, value_name = "ADDRESS")]
        provider: Address,
    },
}

pub(super) async fn run(args: LeaseArgs, tenant: &Tenant) -> CliResult {
    match args.command {
        LeaseCommand::Create { order, provider, .. } => create(&order, provider, tenant).await,
        LeaseCommand::Close { order, provider } => close(&order, &provider, tenant).await,
    }
}

async fn create(order: &OrderArgs, provider: Option<Address>, tenant: &Tenant) -> CliResult {
    let bid = match provider {
        Some(provider) => order.lease(tenant, &provider),
        None => cheapest(order, tenant).await?,
    };
    let price = tenant.chain().bid(&bid).await?.price;
    let tx = tenant.create_lease(bid.clone()).await?;
    let mut value = landed(&tx);
    value["lease"] = serde_json::json!(bid);
    value["provider"] = serde_json::json!(bid.provider);
    value["price"] = serde_json::json!(price);
    let text = format!(
        "Lease {bid} at {price} per block is {}\nNext: virtengine-provider tenant manifest send {} --provider {} --manifest FILE\n",
        in_block(&tx),
        order.dseq,
        bid.provider
    );
    Answer::new(&value, text)
}

async fn cheapest(order: &OrderArgs, tenant: &Tenant) -> Result<BidId, CliError> {
    let id = order.id(tenant);
    let bids = tenant.open_bids(&id).await?;
    match bids.into_iter().next() {
        Some(bid) => Ok(bid.id),
        None => Err(CliError::not_found(
            format!("nobody bids on order {id} at present"),
            "wait a few blocks; if nobody ever bids, raise the price in the manifest",
        )),
    }
}

async fn close(order: &OrderArgs, provider: &Address, tenant: &Tenant) -> CliResult {
    let id = order.lease(tenant, provider);
    let tx = tenant.send(&[Message::CloseLease { id: id.clone() }]).await?;
    let mut value = landed(&tx);
    value["lease"] = serde_json::json!(id);
    Answer::new(&value, format!("Lease {id} is closed {}\n", in_block(&tx)))
}
