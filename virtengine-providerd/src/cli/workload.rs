use std::path::PathBuf;

use clap::{Args, Subcommand};
use virtengine_gateway::api::{WorkloadAction, WorkloadState};
use virtengine_provider_core::id::WorkloadId;

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::{block_on, manifest, show};

/// `workload …`.
#[derive(Debug, Args)]
pub(super) struct WorkloadArgs {
    #[command(subcommand)]
    command: WorkloadCommand,
}

#[derive(Debug, Subcommand)]
enum WorkloadCommand {
    /// Run a workload of your own: it holds capacity and is metered, but not billed
    #[command(after_help = "\
Examples:
  virtengine-provider workload deploy --manifest workload.yaml
  virtengine-provider workload status local-0123456789abcdef0123")]
    Deploy {
        /// The manifest (v1 or v2beta1)
        #[arg(long, value_name = "FILE")]
        manifest: PathBuf,
    },
    /// One workload, its services and where it is reachable
    #[command(
        after_help = "Examples:\n  virtengine-provider workload status local-0123456789abcdef0123\n  virtengine-provider workload status local-0123456789abcdef0123 --output json | jq .endpoints"
    )]
    Status(Which),
    /// Workloads
    #[command(after_help = "\
Examples:
  virtengine-provider workload list
  virtengine-provider workload list --state running")]
    List {
        /// Only those in this state [default: all that are not terminated]
        #[arg(long, value_name = "STATE")]
        state: Option<WorkloadState>,
    },
    /// No compute is used any more, data is kept
    #[command(after_help = "Examples:\n  virtengine-provider workload pause local-0123456789abcdef0123")]
    Pause(Which),
    /// Back from a pause, or from a stop
    #[command(after_help = "Examples:\n  virtengine-provider workload resume local-0123456789abcdef0123")]
    Resume(Which),
    /// Graceful shutdown, data is kept
    #[command(after_help = "Examples:\n  virtengine-provider workload stop local-0123456789abcdef0123")]
    Stop(Which),
    /// Remove everything of it
    #[command(after_help = "Examples:\n  virtengine-provider workload terminate local-0123456789abcdef0123")]
    Terminate(Which),
}

#[derive(Debug, Args)]
struct Which {
    /// The workload, as `workload list` shows it
    #[arg(value_name = "WORKLOAD")]
    id: WorkloadId,
}

pub(super) fn run(args: WorkloadArgs, context: &Context) -> CliResult {
    match args.command {
        WorkloadCommand::Deploy { manifest } => deploy(&manifest, context),
        WorkloadCommand::Status(which) => status(&which.id, context),
        WorkloadCommand::List { state } => list(state, context),
        WorkloadCommand::Pause(which) => act(&which.id, WorkloadAction::Pause, context),
        WorkloadCommand::Resume(which) => act(&which.id, WorkloadAction::Resume, context),
        WorkloadCommand::Stop(which) => act(&which.id, WorkloadAction::Stop, context),
        WorkloadCommand::Terminate(which) => act(&which.id, WorkloadAction::Terminate, context),
    }
}

/// The manifest is checked here first: its author sees every problem with its place, and the daemon is not bothered.
fn deploy(path: &std::path::Path, context: &Context) -> CliResult {
    let manifest = manifest::read(path)?;
    let daemon = context.daemon()?;
    block_on(async {
        let workload = daemon.deploy_workload(manifest.source()).await?;
        let text = format!(
            "{}\nIt is being deployed. Follow it with: virtengine-provider workload status {}\n",
            show::workload(&workload),
            workload.id
        );
        Answer::new(&workload, text)
    })
}

fn status(id: &WorkloadId, context: &Context) -> CliResult {
    let daemon = context.daemon()?;
    block_on(async {
        let workload = daemon.workload(id).await?;
        Answer::new(&workload, show::workload(&workload))
    })
}

fn list(state: Option<WorkloadState>, context: &Context) -> CliResult {
    let daemon = context.daemon()?;
    block_on(async {
        let workloads = daemon.workloads(state).await?;
        Answer::new(&workloads, show::workloads(&workloads))
    })
}

fn act(id: &WorkloadId, action: WorkloadAction, context: &Context) -> CliResult {
    let daemon = context.daemon()?;
    block_on(async {
        let workload = daemon.act_on_workload(id, action).await?;
        let text = format!(
            "{action}: {} is {}, to be {}\n",
            workload.id, workload.state, workload.wanted
        );
        Answer::new(&workload, text)
    })
}
