use clap::Args;
use virtengine_gateway::api::{LogEntry, LogLevel, OperatorLogQuery};
use virtengine_gateway::log::read_log_files;
use virtengine_gateway::operator::ClientError;

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::error::CliError;
use super::{block_on, settings, show};

/// `logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtengine-provider logs --tail 100 --level error
  virtengine-provider logs --output json | jq -r .[].message

When the daemon is not running, the lines come from the files that it left behind.")]
pub(super) struct LogsArgs {
    /// How many of the last lines
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = super::list_length)]
    tail: usize,
    /// The least grave that is shown: trace, debug, info, warn or error
    #[arg(long, default_value_t = LogLevel::Info, value_name = "LEVEL")]
    level: LogLevel,
}

pub(super) fn run(args: LogsArgs, context: &Context) -> CliResult {
    let query = OperatorLogQuery {
        tail: args.tail,
        level: args.level,
    };
    let daemon = context.daemon()?;
    block_on(async {
        match daemon.logs(query).await {
            Ok(entries) => answer(&entries, ""),
            Err(ClientError::NotRunning { socket }) => left_behind(query, context, &socket),
            Err(error) => Err(error.into()),
        }
    })
}

fn left_behind(query: OperatorLogQuery, context: &Context, socket: &std::path::Path) -> CliResult {
    let not_running = || {
        CliError::from(ClientError::NotRunning {
            socket: socket.to_owned(),
        })
    };
    let file = settings::log_file(context)?;
    let entries = read_log_files(&file, query).map_err(|error| CliError::file(&file, &error))?;
    if !file.exists() {
        return Err(not_running());
    }
    if entries.is_empty() {
        let text = format!(
            "(the daemon is not running; {} has no lines of this level)\n",
            file.display()
        );
        return Answer::new(&entries, text);
    }
    answer(
        &entries,
        "(the daemon is not running; these are the lines it left behind)\n",
    )
}

fn answer(entries: &[LogEntry], note: &str) -> CliResult {
    let mut text = note.to_owned();
    for entry in entries {
        text += &show::log_entry(entry);
        text.push('\n');
    }
    Answer::new(&entries, text)
}
