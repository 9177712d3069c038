use std::path::PathBuf;

use clap::{Args, Subcommand};
use virtengine_provider_core::id::OrderId;
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::ports::chain::ChainQuery as _;
use virtengine_provider_core::ports::clock::Clock as _;

use super::{OrderArgs, deployment_id, in_block, landed};
use crate::cli::answer::{Answer, CliResult};
use crate::cli::context::SystemClock;
use crate::cli::{manifest, show};
use crate::tenant::Tenant;

/// `tenant deployment …`.
#[derive(Debug, Args)]
pub(super) struct DeploymentArgs {
    #[command(subcommand)]
    command: DeploymentCommand,
}

#[derive(Debug, Subcommand)]
enum DeploymentCommand {
    /// Put a deployment on chain: one order per placement group, which providers bid on
    #[command(after_help = "\
Examples:
  virtengine-provider tenant deployment create --manifest shop.yaml --deposit 5000000uve --from-key alice.words")]
    Create {
        /// The manifest (v2beta1: it states prices)
        #[arg(long, value_name = "FILE")]
        manifest: PathBuf,
        /// Pays the leases; what is left comes back
        #[arg(long, value_name = "COIN")]
        deposit: Coin,
        /// Number of the deployment, unique for this tenant [default: the seconds since 1970]
        #[arg(long)]
        dseq: Option<u64>,
    },
    /// End a deployment and its leases
    #[command(
        after_help = "Examples:\n  virtengine-provider tenant deployment close 1000 --from-key alice.words"
    )]
    Close {
        /// Number of the deployment
        dseq: u64,
    },
}

/// `tenant bids`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  virtengine-provider tenant bids 1000 --from-key alice.words")]
pub(super) struct BidsArgs {
    #[command(flatten)]
    order: OrderArgs,
}

pub(super) async fn run(args: DeploymentArgs, tenant: &Tenant) -> CliResult {
    match args.command {
        DeploymentCommand::Create {
            manifest,
            deposit,
            dseq,
        } => create(&manifest, deposit, dseq, tenant).await,
        DeploymentCommand::Close { dseq } => close(dseq, tenant).await,
    }
}

async fn create(path: &std::path::Path, deposit: Coin, dseq: Option<u64>, tenant: &Tenant) -> CliResult {
    let manifest = manifest::read(path)?;
    // A small number may collide with a settlement escrow of the same tenant (spec/chain.md B.8): the time is far above those.
    let dseq = dseq.unwrap_or_else(|| u64::try_from(SystemClock.now().as_seconds()).unwrap_or(1));
    let (id, tx) = tenant.create_deployment(&manifest, dseq, deposit).await?;
    // The chain numbers groups in the order in which they were sent, and opens one order for each.
    let orders: Vec<OrderId> = (1_u32..)
        .zip(manifest.groups())
        .map(|(gseq, _)| OrderId::new(id.owner.clone(), id.dseq, gseq, 1))
        .collect();
    let mut value = landed(&tx);
    value["deployment"] = serde_json::json!(id);
    value["dseq"] = serde_json::json!(dseq);
    value["manifest_hash"] = serde_json::json!(hex::encode(manifest.hash()));
    value["orders"] = serde_json::json!(orders);
    let mut text = format!("Deployment {id} is {}\n", in_block(&tx));
    for order in &orders {
        text += &format!("order {order}\n");
    }
    text += &format!("Next: virtengine-provider tenant bids {dseq}\n");
    Answer::new(&value, text)
}

async fn close(dseq: u64, tenant: &Tenant) -> CliResult {
    let id = deployment_id(tenant, dseq);
    let tx = tenant.close_deployment(id.clone()).await?;
    let mut value = landed(&tx);
    value["deployment"] = serde_json::json!(id);
    Answer::new(&value, format!("Deployment {id} is closed {}\n", in_block(&tx)))
}

pub(super) async fn bids(args: BidsArgs, tenant: &Tenant) -> CliResult {
    let mut bids = tenant.chain().bids_on(&args.order.id(tenant)).await?;
    bids.sort_by_key(|bid| bid.price.amount);
    Answer::new(&bids, show::chain_bids(&bids))
}

pub(super) async fn account(tenant: &Tenant) -> CliResult {
    let denom = &tenant.chain().config().denom;
    let balance = tenant.chain().balance(tenant.address(), denom).await?;
    let value = serde_json::json!({ "address": tenant.address(), "balance": balance });
    Answer::new(&value, format!("{}  {balance}\n", tenant.address()))
}
