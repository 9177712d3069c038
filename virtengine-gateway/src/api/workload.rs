use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use virtengine_provider_core::id::{DeploymentId, LeaseId, WorkloadId};
use virtengine_provider_core::ports::adapter::{ServiceObservation, WorkloadEndpoint};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

/// The state of a workload, in the order of its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadState {
    /// Accepted, not begun.
    Pending,
    /// Being provisioned.
    Deploying,
    /// The back end says that it is ready.
    Running,
    /// No compute consumed, data kept.
    Paused,
    /// Being shut down.
    Stopping,
    /// Shut down, data kept.
    Stopped,
    /// Broken.
    Failed,
    /// Everything of it is gone.
    Terminated,
}

impl WorkloadState {
    /// All of them, in the order of life.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Deploying,
        Self::Running,
        Self::Paused,
        Self::Stopping,
        Self::Stopped,
        Self::Failed,
        Self::Terminated,
    ];

    /// Its name, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Deploying => "deploying",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Terminated => "terminated",
        }
    }
}

impl fmt::Display for WorkloadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for WorkloadState {
    type Err = String;
    /// Upper or lower case.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|state| state.as_str()).collect();
                format!("{text:?} is not a workload state: {}", names.join(", "))
            })
    }
}

/// What an operator may ask of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadAction {
    /// No compute consumed, data kept.
    Pause,
    /// Back from a pause, or from a stop.
    Resume,
    /// Graceful shutdown, data kept.
    Stop,
    /// Everything removed.
    Terminate,
}

impl WorkloadAction {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pause, Self::Resume, Self::Stop, Self::Terminate];

    /// Its name, as in the path.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Terminate => "terminate",
        }
    }
}

impl fmt::Display for WorkloadAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for WorkloadAction {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not an action: pause, resume, stop or terminate"))
    }
}

/// A workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadView {
    /// Which.
    pub id: WorkloadId,
    /// The deployment on chain; `None` for a workload of the operator's own.
    pub deployment_id: Option<DeploymentId>,
    /// The lease on chain; `None` for a workload of the operator's own.
    pub lease_id: Option<LeaseId>,
    /// The adapter that runs it.
    pub adapter: String,
    /// Its state.
    pub state: WorkloadState,
    /// The state that it is to reach; differs from `state` while something is going on.
    pub wanted: WorkloadState,
    /// Why it is in this state; empty when all is well.
    pub status_message: String,
    /// What it takes from capacity.
    pub resources: Resources,
    /// Its services, as the back end last described them.
    pub services: Vec<ServiceObservation>,
    /// Where it is reachable.
    pub endpoints: Vec<WorkloadEndpoint>,
    /// When it was accepted.
    #[serde(with = "crate::rfc3339")]
    pub created_at: Timestamp,
    /// When its state changed last.
    #[serde(with = "crate::rfc3339")]
    pub updated_at: Timestamp,
}
