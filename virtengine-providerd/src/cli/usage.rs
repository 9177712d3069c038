use clap::{Args, Subcommand};
use virtengine_gateway::api::UsageQuery;

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::{block_on, show};

/// `usage list`.
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
}

pub(super) fn run(args: UsageArgs, context: &Context) -> CliResult {
    let UsageCommand::List { pending, last } = args.command;
    let daemon = context.daemon()?;
    block_on(async {
        let records = daemon.usage(UsageQuery { pending, limit: last }).await?;
        Answer::new(&records, show::usage(&records))
    })
}
