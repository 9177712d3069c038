use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use virtengine_gateway::log::LogRing;

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::error::CliError;
use super::logging::install_log;
use super::passphrase::PassphraseArgs;
use super::{settings, show};
use crate::config::Loaded;

/// `start`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtengine-provider start
  virtengine-provider start --dry-run --config ./provider-config.yaml
  virtengine-provider start --passphrase-file /run/secrets/key-passphrase

Stops on SIGTERM and SIGINT: what is under way is finished first.")]
pub(super) struct StartArgs {
    /// Look at the real chain and the real back ends, decide, and send nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// What the daemon is started with.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// The configuration: valid, and without anything that keeps the daemon from starting.
    pub loaded: Loaded,
    /// Send no transaction and write to no back end; say what would be done.
    pub dry_run: bool,
    /// File with the passphrase of the key store, when one was named on the command line; see [`super::passphrase_source`].
    pub passphrase_file: Option<PathBuf>,
    /// Where the daemon's log is kept; filled by the subscriber that is installed already.
    pub log: Arc<LogRing>,
}

pub(super) fn run(args: StartArgs, context: &Context) -> CliResult {
    virtengine_keys::process::forbid_core_dumps().map_err(|error| CliError::failed(error, ""))?;
    let loaded = settings::load(context)?;
    let blockers = loaded.config.blockers();
    if !blockers.is_empty() {
        return Err(CliError::config(loaded.path.display(), &blockers));
    }
    let log = install_log(&loaded.config.logging)?;
    for notice in loaded.config.notices() {
        tracing::warn!("{}: {}", loaded.path.display(), show::clean(&notice.to_string()));
    }
    let options = StartOptions {
        loaded,
        dry_run: args.dry_run,
        passphrase_file: args.passphrase.passphrase_file,
        log,
    };
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| CliError::failed(format!("no runtime: {error}"), ""))?;
    let ended = runtime.block_on(crate::daemon::run(options));
    runtime.shutdown_background();
    ended.map_err(CliError::from)?;
    Ok(Answer::printed())
}
