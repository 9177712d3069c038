//! The command line, `virtengine-provider`.
//!
//! One file per group of commands: its arguments, and `run(arguments, context) -> Result<Answer, CliError>`, which asks and decides
//! and prints nothing. An [`Answer`] is JSON for scripts and text for people; the text is made by the pure functions in `show`.
//! [`main`] parses, runs one command, prints, and returns the exit code.
//!
//! | Exit code | Means |
//! |---|---|
//! | 0 | done |
//! | 1 | refused or failed |
//! | 2 | wrong usage |
//! | 3 | the configuration is not valid, or cannot be started with |
//! | 4 | the daemon is not running |
//! | 5 | no permission to talk to the daemon |
//! | 6 | the chain or the provider cannot be reached |
//! | 7 | the document is not valid |
//! | 8 | there is no such thing |
//! | 9 | not authenticated, or not allowed |
//! | 130, 143 | devnet: a signal in the middle of a round |
//! | 10–42 | keys, see [`virtengine_keys::KeyError::exit_code`] |

mod adapter;
mod answer;
pub(crate) mod chain;
mod completions;
mod config;
mod context;
mod devnet;
mod doctor;
mod error;
mod keys;
mod logging;
mod logs;
mod manifest;
mod market;
mod passphrase;
mod reference;
mod settings;
mod show;
mod start;
mod status;
mod tenant;
mod usage;
mod workload;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

pub use answer::Answer;
pub use context::{OutputFormat, SystemClock};
pub use devnet::DevnetOptions;
pub use error::CliError;
pub use logging::install_log;
pub use passphrase::passphrase_source;
pub use start::StartOptions;

use answer::CliResult;
use context::Context;
use error::EXIT_CODES;

const EXAMPLES: &str = "\
Examples:
  virtengine-provider config generate > provider-config.yaml
  virtengine-provider config validate provider-config.yaml
  virtengine-provider keys init --storage-type file --key-dir ./keys
  virtengine-provider keys generate --algorithm ed25519
  virtengine-provider start --dry-run
  virtengine-provider status
  virtengine-provider explain ve1…/1000/1/1
  virtengine-provider devnet";

/// Rents out computers on the VirtEngine chain.
#[derive(Debug, Parser)]
#[command(
    name = "virtengine-provider",
    version,
    about,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 110
)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalArgs {
    /// Configuration file [env: VIRTENGINE_PROVIDER_CONFIG] [default: /etc/virtengine/provider/provider-config.yaml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How answers are printed
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    output: OutputFormat,
    /// Socket of the daemon [default: as configured]
    #[arg(long, global = true, value_name = "PATH", env = "VIRTENGINE_SOCKET")]
    socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write and check the configuration
    Config(config::ConfigArgs),
    /// Check manifests
    Manifest(manifest::ManifestArgs),
    /// Run the daemon
    Start(start::StartArgs),
    /// Stop the running daemon; its workloads keep running
    Stop(status::StopArgs),
    /// Overview of the running daemon
    Status(status::StatusArgs),
    /// Connection to the chain
    Chain(chain::ChainArgs),
    /// The bid engine
    BidEngine(status::BidEngineArgs),
    /// Bids that were made
    Bids(market::BidsArgs),
    /// Orders that were seen
    Orders(market::OrdersArgs),
    /// Leases that are served
    Leases(market::LeasesArgs),
    /// Why an order was bid on, or not
    Explain(market::ExplainArgs),
    /// Workloads
    Workload(workload::WorkloadArgs),
    /// Usage records
    Usage(usage::UsageArgs),
    /// Keys of the provider
    Keys(keys::KeysArgs),
    /// The daemon's log
    Logs(logs::LogsArgs),
    /// Check the back end that workloads run on
    Adapter(adapter::AdapterArgs),
    /// Find out what is wrong
    Doctor(doctor::DoctorArgs),
    /// Act as a tenant: make deployments and leases, send manifests, read logs
    Tenant(tenant::TenantArgs),
    /// The whole market on this machine: chain, provider and tenants
    Devnet(devnet::DevnetArgs),
    /// Completions for a shell
    Completions(completions::CompletionsArgs),
    /// This command line as a document
    #[command(hide = true)]
    Reference(reference::ReferenceArgs),
}

/// Runs one command and prints its answer. The whole program: `main` only calls this.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return misused(&args, &error),
    };
    let context = Context::new(cli.global);
    let (text, stream, code) = match dispatch(cli.command, &context) {
        Ok(answer) if context.is_json() => (answer.to_json(), Stream::Out, answer.exit_code()),
        Ok(answer) => (answer.to_text(), Stream::Out, answer.exit_code()),
        Err(error) if context.is_json() => (error.to_json(), Stream::Error, error.exit_code()),
        Err(error) => (error.to_text(), Stream::Error, error.exit_code()),
    };
    print(&text, stream);
    ExitCode::from(code)
}

fn dispatch(command: Command, context: &Context) -> CliResult {
    match command {
        Command::Config(args) => config::run(args, context),
        Command::Manifest(args) => manifest::run(args, context),
        Command::Start(args) => start::run(args, context),
        Command::Stop(args) => status::run_stop(args, context),
        Command::Status(args) => status::run(args, context),
        Command::Chain(args) => chain::run(args, context),
        Command::BidEngine(args) => status::run_bid_engine(args, context),
        Command::Bids(args) => market::run_bids(args, context),
        Command::Orders(args) => market::run_orders(args, context),
        Command::Leases(args) => market::run_leases(args, context),
        Command::Explain(args) => market::run_explain(args, context),
        Command::Workload(args) => workload::run(args, context),
        Command::Usage(args) => usage::run(args, context),
        Command::Keys(args) => keys::run(args, context),
        Command::Logs(args) => logs::run(args, context),
        Command::Adapter(args) => adapter::run(args, context),
        Command::Doctor(args) => doctor::run(args, context),
        Command::Tenant(args) => tenant::run(args, context),
        Command::Devnet(args) => devnet::run(args, context),
        Command::Completions(args) => completions::run(args, &mut Cli::command()),
        Command::Reference(args) => reference::run(args, Cli::command()),
    }
}

enum Stream {
    Out,
    Error,
}

/// A reader that is gone (`| head`) is no failure.
fn print(text: &str, stream: Stream) {
    let _ = match stream {
        Stream::Out => io::stdout().lock().write_all(text.as_bytes()),
        Stream::Error => io::stderr().lock().write_all(text.as_bytes()),
    };
}

/// Help and version go to stdout; a mistake goes to stderr in the form that was asked for, as far as that can be told.
fn misused(args: &[OsString], error: &clap::Error) -> ExitCode {
    let json = args
        .windows(2)
        .any(|pair| pair[0] == "--output" && pair[1] == "json")
        || args.iter().any(|arg| arg == "--output=json");
    if json && error.use_stderr() {
        let text = error.to_string();
        let message = text.trim().trim_start_matches("error: ");
        print(&CliError::usage(message, "see --help").to_json(), Stream::Error);
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// How many entries a list may be asked for.
fn list_length(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(length @ 1..=10_000) => Ok(length),
        _ => Err("must be 1 to 10000".to_owned()),
    }
}

/// Runs an asynchronous command to its end.
fn block_on<F: Future<Output = CliResult>>(future: F) -> CliResult {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("no runtime: {error}"), ""))?;
    let result = runtime.block_on(future);
    // Threads that still resolve a name must not keep the command from ending.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
