//! Running workloads, without saying on what.
//!
//! The identity of a workload is ours, so a repeated call is the same workload. Missing on teardown is success. What a back
//! end says is reported as it says it; what it does not say is [`Phase::Unknown`], never a guess.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::id::WorkloadId;
use crate::time::Timestamp;
use crate::units::Resources;
use crate::workload::{Protocol, WorkloadSpec};

/// What kind of thing went wrong in an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The workload asks for something that this back end cannot do.
    Unsupported,
    /// The workload is not acceptable, e.g. an image that is not offered.
    Invalid,
    /// No such workload.
    NotFound,
    /// The back end refuses our credentials.
    Denied,
    /// A quota or the capacity is used up.
    Exhausted,
    /// The back end asks us to slow down.
    RateLimited,
    /// The back end does not answer, or answers with a fault of its own.
    Unavailable,
    /// The workload is in a state in which this cannot be done.
    Conflict,
    /// A fault of ours.
    Bug,
}

/// Whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It will fail the same way.
    Never,
    /// It may work after some time.
    Later,
    /// Nobody knows whether it took effect: observe first.
    Unknown,
}

/// A failed adapter call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{adapter} {operation}: {message}")]
pub struct AdapterError {
    /// What kind.
    pub kind: ErrorKind,
    /// Whether to try again.
    pub retry: Retry,
    /// Which adapter, e.g. `local`.
    pub adapter: &'static str,
    /// Which call, e.g. `deploy`.
    pub operation: &'static str,
    /// A sentence for the operator: lower case, no full stop, names the thing.
    pub message: String,
}

/// Result of an adapter call.
pub type AdapterResult<T> = Result<T, AdapterError>;

/// What an adapter can do. Declared → works; undeclared → [`ErrorKind::Unsupported`] without any effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Name of the adapter, e.g. `local`.
    pub name: String,
    /// Whether [`Adapter::pause`] and [`Adapter::resume`] work.
    pub pause: bool,
    /// Whether data outlives [`Adapter::stop`].
    pub persistent_storage: bool,
    /// Whether logs can be read.
    pub logs: bool,
    /// Whether commands can be run inside a service.
    pub exec: bool,
    /// Whether GPUs can be given.
    pub gpus: bool,
    /// Whether tenants are kept apart from each other and from the host.
    pub isolation: bool,
}

/// What the back end has and what is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// What could be given to workloads of ours, when none were running.
    pub capacity: Resources,
    /// What others use and we cannot give.
    pub foreign_use: Resources,
}

/// Where a workload is, in the back end's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Being created or started.
    Starting,
    /// Up and ready.
    Running,
    /// Paused: data kept, no compute.
    Paused,
    /// Being stopped.
    Stopping,
    /// Stopped: data kept, no compute.
    Stopped,
    /// Broken; `message` says how.
    Failed,
    /// Not there.
    Gone,
    /// The back end did not say.
    Unknown,
}

/// What the back end says about a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// When it was asked.
    pub at: Timestamp,
    /// The workload as a whole: running only when every service is ready.
    pub phase: Phase,
    /// A sentence that a tenant understands; empty when all is well.
    pub message: String,
    /// Each service.
    pub services: Vec<ServiceObservation>,
    /// Where its exposed ports are reachable.
    pub endpoints: Vec<WorkloadEndpoint>,
}

/// What the back end says about one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceObservation {
    /// Its name.
    pub name: String,
    /// Replicas wanted.
    pub wanted: u32,
    /// Replicas ready.
    pub ready: u32,
    /// Restarts so far.
    pub restarts: u32,
    /// A sentence; empty when all is well.
    pub message: String,
}

/// Where a port is reachable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WorkloadEndpoint {
    /// The service.
    pub service: String,
    /// Port inside the service.
    pub port: u16,
    /// Transport.
    pub protocol: Protocol,
    /// Host name or address to use.
    pub host: String,
    /// Port to use.
    pub external_port: u16,
}

/// Resource counters of a workload since `epoch` began. They only rise within an epoch; a new epoch starts at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// When they were read.
    pub at: Timestamp,
    /// Changes whenever the back end had to start counting again.
    pub epoch: u64,
    /// Core-milliseconds: 1000 is one core for one second.
    pub cpu_milli_seconds: u64,
    /// Memory integrated over time.
    pub memory_byte_seconds: u128,
    /// Storage integrated over time.
    pub storage_byte_seconds: u128,
    /// Received from outside.
    pub network_bytes_in: u64,
    /// Sent outside.
    pub network_bytes_out: u64,
    /// GPU-seconds.
    pub gpu_seconds: u64,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The service.
    pub service: String,
    /// Which replica, from 0.
    pub replica: u32,
    /// Position in the replica's log; rises by at least one with each line, so a reader can resume after it.
    pub position: u64,
    /// The line without its end; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// Which log lines to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogQuery {
    /// Only this service.
    pub service: Option<String>,
    /// Only this replica.
    pub replica: Option<u32>,
    /// Only lines after this position.
    pub after: Option<u64>,
    /// At most this many of the last lines (per replica). `None`: all that are kept.
    pub tail: Option<usize>,
}

/// Runs workloads.
#[async_trait]
pub trait Adapter: fmt::Debug + Send + Sync {
    /// What this adapter can do.
    fn capabilities(&self) -> &Capabilities;

    /// What the back end has; also the health question.
    async fn inventory(&self) -> AdapterResult<Inventory>;

    /// Makes the workload exist and start; returns when the back end has accepted it. Calling twice is one workload. A
    /// workload that was stopped starts again.
    async fn deploy(&self, workload: &WorkloadSpec) -> AdapterResult<()>;

    /// What the back end says; a workload that is not there is [`Phase::Gone`], not an error.
    async fn observe(&self, id: &WorkloadId) -> AdapterResult<Observation>;

    /// No compute is used any more, data is kept.
    async fn pause(&self, id: &WorkloadId) -> AdapterResult<()>;

    /// The opposite of [`Self::pause`].
    async fn resume(&self, id: &WorkloadId) -> AdapterResult<()>;

    /// Graceful shutdown; data is kept; returns when compute is free.
    async fn stop(&self, id: &WorkloadId) -> AdapterResult<()>;

    /// Removes everything of the workload; missing is success; returns when it is gone.
    async fn terminate(&self, id: &WorkloadId) -> AdapterResult<()>;

    /// The counters now. They survive restarts of replicas and of the daemon.
    async fn usage(&self, id: &WorkloadId) -> AdapterResult<Counters>;

    /// Everything of ours that exists, also from before a restart; nothing foreign.
    async fn list(&self) -> AdapterResult<Vec<WorkloadId>>;

    /// Log lines that match, oldest first. Undeclared logs are [`ErrorKind::Unsupported`].
    async fn logs(&self, id: &WorkloadId, query: &LogQuery) -> AdapterResult<Vec<LogLine>>;
}
