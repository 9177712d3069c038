use clap::{Args, Subcommand};
use virtengine_provider_core::id::OrderId;

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::{block_on, show};

/// `bids list`.
#[derive(Debug, Args)]
pub(super) struct BidsArgs {
    #[command(subcommand)]
    command: BidsCommand,
}

#[derive(Debug, Subcommand)]
enum BidsCommand {
    /// The newest bids and what became of them
    #[command(after_help = "Examples:\n  virtengine-provider bids list --last 100")]
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = super::list_length)]
        last: usize,
    },
}

pub(super) fn run_bids(args: BidsArgs, context: &Context) -> CliResult {
    let BidsCommand::List { last } = args.command;
    let daemon = context.daemon()?;
    block_on(async {
        let bids = daemon.bids(last).await?;
        Answer::new(&bids, show::bids(&bids))
    })
}

/// `orders list`.
#[derive(Debug, Args)]
pub(super) struct OrdersArgs {
    #[command(subcommand)]
    command: OrdersCommand,
}

#[derive(Debug, Subcommand)]
enum OrdersCommand {
    /// The newest orders and what was decided
    #[command(after_help = "Examples:\n  virtengine-provider orders list --last 50")]
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = super::list_length)]
        last: usize,
    },
}

pub(super) fn run_orders(args: OrdersArgs, context: &Context) -> CliResult {
    let OrdersCommand::List { last } = args.command;
    let daemon = context.daemon()?;
    block_on(async {
        let orders = daemon.orders(last).await?;
        Answer::new(&orders, show::orders(&orders))
    })
}

/// `leases list`.
#[derive(Debug, Args)]
pub(super) struct LeasesArgs {
    #[command(subcommand)]
    command: LeasesCommand,
}

#[derive(Debug, Subcommand)]
enum LeasesCommand {
    /// Every lease that is served
    #[command(after_help = "Examples:\n  virtengine-provider leases list")]
    List,
}

pub(super) fn run_leases(args: LeasesArgs, context: &Context) -> CliResult {
    let LeasesCommand::List = args.command;
    let daemon = context.daemon()?;
    block_on(async {
        let leases = daemon.leases().await?;
        Answer::new(&leases, show::leases(&leases))
    })
}

/// `explain ORDER`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtengine-provider explain ve1…/1000/1/1
  virtengine-provider orders list --output json | jq -r '.[].id'    # which orders there are")]
pub(super) struct ExplainArgs {
    /// The order, as owner/dseq/gseq/oseq
    order: OrderId,
}

pub(super) fn run_explain(args: ExplainArgs, context: &Context) -> CliResult {
    let daemon = context.daemon()?;
    block_on(async {
        let explanation = daemon.explain(&args.order).await?;
        Answer::new(&explanation, show::explanation(&explanation))
    })
}
