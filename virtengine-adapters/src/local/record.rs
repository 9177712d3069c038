//! What is written to disk and spoken between the adapter and a supervisor.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use virtengine_provider_core::workload::{ServiceSpec, WorkloadSpec};

use super::process::Identity;

/// What was asked for, with every choice made: enough for a supervisor to run it without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// Registry credentials are not kept: nothing is pulled here.
    pub(crate) spec: WorkloadSpec,
    pub(crate) plans: Vec<ServicePlan>,
    pub(crate) settings: Settings,
    /// Owner mark of every process: `<identity of the state dir>/<workload id>`.
    pub(crate) mark: String,
    /// Control group of the workload, when there is one.
    pub(crate) cgroup: Option<PathBuf>,
    /// Names this counting from every other one.
    pub(crate) epoch: u64,
}

/// How one service is run; same position as in the specification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServicePlan {
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    /// From the image and the manifest; the supervisor adds what differs between replicas.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) ports: Vec<PortPlan>,
}

/// One port that a service is asked to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortPlan {
    /// What the tenant calls it.
    pub(crate) port: u16,
    /// Where others reach it; `None` when only health checks and hooks ask it.
    pub(crate) external: Option<u16>,
    /// Whether tenants are told where it is, and its traffic counts.
    pub(crate) global: bool,
    /// Where each replica listens.
    pub(crate) internal: Vec<u16>,
}

/// What the supervisor needs of the adapter's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Arguments that make the supervisor's own program run [`shim::main`](super::shim::main).
    pub(crate) shim_args: Vec<String>,
    pub(crate) bind_address: IpAddr,
    pub(crate) stop_grace_ms: u64,
    pub(crate) startup_grace_ms: u64,
    pub(crate) restart_delay_ms: u64,
    pub(crate) restart_delay_ms_max: u64,
    pub(crate) stable_after_ms: u64,
    pub(crate) crash_loop_after: u32,
    pub(crate) log_bytes_max: u64,
    pub(crate) open_files_max: u64,
    pub(crate) processes_max: u64,
    pub(crate) sample_ms: u64,
    pub(crate) checkpoint_ms: u64,
}

impl Intent {
    /// The services with their plans.
    pub(crate) fn services(&self) -> impl Iterator<Item = (&ServiceSpec, &ServicePlan)> {
        self.spec.services.iter().zip(&self.plans)
    }
}

/// What the workload should be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    Running,
    Paused,
    Stopped,
    Terminated,
}

/// The goal, and how often it was set: a repeated `Running` starts again what had given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Desired {
    pub(crate) goal: Goal,
    pub(crate) generation: u64,
}

/// What the supervisor saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) supervisor: Identity,
    /// The last goal that it took up.
    pub(crate) desired: Desired,
    /// Whether every process is frozen.
    pub(crate) frozen: bool,
    /// Whether it has taken everything down and is about to leave.
    pub(crate) finished: bool,
    pub(crate) replicas: Vec<ReplicaStatus>,
    /// Processes of the workload that do not carry its mark: should the supervisor die, nothing else says that they are ours.
    #[serde(default)]
    pub(crate) unmarked: Vec<Identity>,
    /// Anything else that stands in the way, e.g. a port that is taken.
    pub(crate) problems: Vec<String>,
}

impl Status {
    /// Main processes of replicas.
    pub(crate) fn leaders(&self) -> impl Iterator<Item = &Identity> {
        self.replicas
            .iter()
            .filter_map(|replica| replica.process.as_ref())
    }
}

/// One replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplicaStatus {
    pub(crate) service: String,
    pub(crate) replica: u32,
    pub(crate) stage: StageWord,
    pub(crate) process: Option<Identity>,
    pub(crate) restarts: u32,
    pub(crate) exit: Option<Exit>,
    pub(crate) message: String,
}

/// Where a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StageWord {
    /// Up, not ready yet, or waiting for its next start.
    Starting,
    /// Up and ready.
    Ready,
    /// Ended too often; still tried again now and then.
    CrashLoop,
    /// Ended well and not to be started again.
    Completed,
    /// Ended badly and not to be started again.
    Broken,
    /// Being taken down.
    Stopping,
    /// Taken down.
    Down,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Counters as they are kept: fine units, so that nothing is rounded away between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) epoch: u64,
    pub(crate) cpu_micros: u64,
    pub(crate) memory_byte_millis: u128,
    pub(crate) storage_byte_millis: u128,
    pub(crate) network_in: u64,
    pub(crate) network_out: u64,
}

/// [`Usage`] on disk, with what is needed to go on from there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct UsageCheckpoint {
    pub(crate) usage: Usage,
    /// How many there were before: of two the later one counts.
    #[serde(default)]
    pub(crate) number: u64,
    /// The control group's CPU reading that `usage` includes.
    pub(crate) cgroup_cpu_micros: Option<u64>,
    /// Which group that was.
    #[serde(default)]
    pub(crate) cgroup_id: Option<u64>,
    /// CPU that was counted process by process since that reading, because the group could not be read.
    #[serde(default)]
    pub(crate) beside_cgroup_micros: u64,
    /// Whether earlier counters are lost: what the group counted before was perhaps told already, so it counts from now on.
    #[serde(default)]
    pub(crate) cgroup_cpu_unknown: bool,
    /// Bytes that lay there.
    pub(crate) storage_bytes: u64,
    /// When, in milliseconds since the host started…
    pub(crate) uptime_ms: u64,
    /// …this time.
    pub(crate) boot_id: String,
}

/// A question to a supervisor: one line of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// How are things?
    Status,
    /// Read the goal again.
    Apply,
    /// Count, make it durable, tell.
    Usage,
}

/// Its answer: one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Response {
    Status(Status),
    Usage(Usage),
    Failed(String),
}
