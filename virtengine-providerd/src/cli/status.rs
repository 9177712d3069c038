use clap::{Args, Subcommand};

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::{block_on, show};

/// `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtengine-provider status
  virtengine-provider status --output json | jq .capacity.free

The exit code is 0 whenever the daemon answers; probes ask the health page instead.")]
pub(super) struct StatusArgs {}

pub(super) fn run(_args: StatusArgs, context: &Context) -> CliResult {
    let daemon = context.daemon()?;
    block_on(async {
        let status = daemon.status().await?;
        let health = daemon.health().await?;
        let text = show::provider_status(&status, Some(&health), show::Paint(context.has_colour()));
        let mut value = serde_json::to_value(&status).unwrap_or_default();
        value["health"] = serde_json::to_value(&health).unwrap_or_default();
        Answer::new(&value, text)
    })
}

/// `stop`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtengine-provider stop

What is under way is finished first; workloads keep running. The answer comes at once.")]
pub(super) struct StopArgs {}

pub(super) fn run_stop(_args: StopArgs, context: &Context) -> CliResult {
    let daemon = context.daemon()?;
    block_on(async {
        let receipt = daemon.shutdown().await?;
        let already = if receipt.already_draining { " already" } else { "" };
        let text = format!(
            "The daemon is stopping{already}; it takes {} s at most\n",
            receipt.drain_seconds
        );
        Answer::new(&receipt, text)
    })
}

/// `bid-engine status`.
#[derive(Debug, Args)]
pub(super) struct BidEngineArgs {
    #[command(subcommand)]
    command: BidEngineCommand,
}

#[derive(Debug, Subcommand)]
enum BidEngineCommand {
    /// What the bid engine does, and which limits it has reached
    #[command(after_help = "\
Examples:
  virtengine-provider bid-engine status
  virtengine-provider bid-engine status --output json | jq .declined")]
    Status,
}

pub(super) fn run_bid_engine(args: BidEngineArgs, context: &Context) -> CliResult {
    let BidEngineCommand::Status = args.command;
    let daemon = context.daemon()?;
    block_on(async {
        let status = daemon.bid_engine().await?;
        let text = show::bid_engine(&status, show::Paint(context.has_colour()));
        Answer::new(&status, text)
    })
}
