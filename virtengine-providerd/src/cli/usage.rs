use clap::{Args, Subcommand};
use virtengine_gateway::api::UsageQuery;

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::{block_on, show};

/// `usage list|release`.
#[derive(Debug, Args)]
pub(super) struct UsageArgs {
    #[command(subcommand)]
    command: UsageCommand,
}

#[derive(Debug, Subcommand)]
enum UsageCommand {
    /// The newest usage records
    #[command(after_help = "\
Examples:
  virtengine-provider usage list --pending
  virtengine-provider usage list --last 500 --output json")]
    List {
        /// Only those that are not settled on chain
        #[arg(long)]
        pending: bool,
        /// How many
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = super::list_length)]
        last: usize,
    },
    /// Bill a record that the fraud check holds, after you have looked at it
    #[command(after_help = "\
A record is held when it says more than its workload can have used, or when its windows do not fit. It is durable and
signed; nothing of it is sent before you say so.

Examples:
  virtengine-provider usage list --pending
  virtengine-provider usage release 5f0c7b1e9a3d4c2b8e6f1a0d9c8b7a65")]
    Release {
        /// The id of the record, from `usage list`
        record: String,
    },
}

pub(super) fn run(args: UsageArgs, context: &Context) -> CliResult {
    let daemon = context.daemon()?;
    block_on(async {
        let records = match args.command {
            UsageCommand::List { pending, last } => daemon.usage(UsageQuery { pending, limit: last }).await?,
            UsageCommand::Release { record } => vec![daemon.release_usage(&record).await?],
        };
        Answer::new(&records, show::usage(&records))
    })
}
