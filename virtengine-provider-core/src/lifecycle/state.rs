//! What is known of a workload, and what shall become of it.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::Cause;
use crate::ports::adapter::Phase;
use crate::time::Timestamp;

/// The eight states of the life cycle, by name. Text form: `running`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadState {
    /// The order is matched; nothing has been created.
    Pending,
    /// The infrastructure is being made.
    Deploying,
    /// The back end says that it runs and is ready.
    Running,
    /// No compute is used, data is kept, it can be resumed.
    Paused,
    /// It is being shut down.
    Stopping,
    /// It is shut down: compute is free, data is kept.
    Stopped,
    /// It cannot go on by itself.
    Failed,
    /// Everything of it is gone. Final.
    Terminated,
}

/// A text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a workload state (pending, deploying, running, paused, stopping, stopped, failed, terminated)"
)]
pub struct UnknownState(String);

impl WorkloadState {
    /// All states, in order of life.
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

    /// Where one may go from here: the transition table of the training document, day 5. It is the contract.
    #[must_use]
    pub const fn successors(self) -> &'static [Self] {
        match self {
            Self::Pending => &[Self::Deploying, Self::Failed],
            Self::Deploying => &[Self::Running, Self::Failed, Self::Stopped],
            Self::Running => &[Self::Paused, Self::Stopping, Self::Failed],
            Self::Paused => &[Self::Running, Self::Stopping, Self::Failed],
            Self::Stopping => &[Self::Stopped, Self::Failed],
            Self::Stopped | Self::Failed => &[Self::Terminated, Self::Deploying],
            Self::Terminated => &[],
        }
    }

    /// Whether the table has the edge from here to `to`.
    #[must_use]
    pub fn may_become(self, to: Self) -> bool {
        self.successors().contains(&to)
    }

    /// The name, e.g. `running`.
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
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// What shall become of a workload. Terminate is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// It runs.
    Run,
    /// It is paused.
    Pause,
    /// It is shut down, its data stays.
    Stop,
    /// Nothing of it is left.
    Terminate,
}

/// One thing that the adapter shall do; each is a method of [`crate::ports::adapter::Adapter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Make it exist and start.
    Deploy,
    /// Stop its compute, keep it resumable.
    Pause,
    /// Let it go on.
    Resume,
    /// Shut it down gracefully, keep its data.
    Stop,
    /// Remove everything of it.
    Terminate,
}

impl Wish {
    /// The name, e.g. `deploy`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Terminate => "terminate",
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A wish on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    /// What the adapter shall do.
    pub wish: Wish,
    /// Since when.
    pub since: Timestamp,
    /// By when it should have worked.
    pub due: Timestamp,
    /// When the adapter said that it has done it; the observation is still awaited.
    pub done: Option<Timestamp>,
    /// `due` has passed.
    pub overdue: bool,
    /// What the adapter complained about last.
    pub trouble: Option<String>,
}

/// A first sign that something broke; a second one, over the grace period, is proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspicion {
    /// What the back end said first.
    pub phase: Phase,
    /// Its words.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// Data of a stage that has nothing but its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Since when.
    pub since: Timestamp,
}

/// Data of a stage in which the back end is watched for signs that something broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Since when.
    pub since: Timestamp,
    /// A first sign.
    pub suspicion: Option<Suspicion>,
}

/// Data of [`Stage::Failed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub cause: Cause,
}

/// Where a workload is, with the data of that state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Stage {
    /// See [`WorkloadState::Pending`].
    Pending(Settled),
    /// See [`WorkloadState::Deploying`].
    Deploying(Watched),
    /// See [`WorkloadState::Running`].
    Running(Watched),
    /// See [`WorkloadState::Paused`].
    Paused(Watched),
    /// See [`WorkloadState::Stopping`].
    Stopping(Settled),
    /// See [`WorkloadState::Stopped`].
    Stopped(Settled),
    /// See [`WorkloadState::Failed`].
    Failed(Failed),
    /// See [`WorkloadState::Terminated`].
    Terminated(Settled),
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Deadlines {
    /// From the deploy call until the back end says running. Default 10 minutes: images are pulled, machines boot.
    pub deploying: Duration,
    /// From a pause or resume call until the back end says so. Default 5 minutes.
    pub pausing: Duration,
    /// From the stop call until the back end says stopped. Default 5 minutes.
    pub stopping: Duration,
    /// From the terminate call until everything is gone; passing it is an alert, never a giving up. Default 15 minutes.
    pub terminating: Duration,
    /// Least time between two bad observations that together prove a failure. Default 1 minute.
    pub grace: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            deploying: Duration::from_secs(600),
            pausing: Duration::from_secs(300),
            stopping: Duration::from_secs(300),
            terminating: Duration::from_secs(900),
            grace: Duration::from_secs(60),
        }
    }
}

impl Deadlines {
    /// How long `wish` may take.
    #[must_use]
    pub const fn of(&self, wish: Wish) -> Duration {
        match wish {
            Wish::Deploy => self.deploying,
            Wish::Pause | Wish::Resume => self.pausing,
            Wish::Stop => self.stopping,
            Wish::Terminate => self.terminating,
        }
    }
}

/// A workload: where it is, what shall become of it, and what the adapter is doing about that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    pub(super) stage: Stage,
    pub(super) goal: Goal,
    /// Why the goal is what it is; `None` until it changes for the first time.
    pub(super) goal_cause: Option<Cause>,
    pub(super) attempt: u32,
    pub(super) errand: Option<Errand>,
}

impl Workload {
    /// A workload of which nothing exists yet: the order is matched, the manifest awaited.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self {
            stage: Stage::Pending(Settled { since: now }),
            goal: Goal::Run,
            goal_cause: None,
            attempt: 0,
            errand: None,
        }
    }

    /// Where it is, with the data of that state.
    #[must_use]
    pub const fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Where it is.
    #[must_use]
    pub const fn state(&self) -> WorkloadState {
        match &self.stage {
            Stage::Pending(_) => WorkloadState::Pending,
            Stage::Deploying(_) => WorkloadState::Deploying,
            Stage::Running(_) => WorkloadState::Running,
            Stage::Paused(_) => WorkloadState::Paused,
            Stage::Stopping(_) => WorkloadState::Stopping,
            Stage::Stopped(_) => WorkloadState::Stopped,
            Stage::Failed(_) => WorkloadState::Failed,
            Stage::Terminated(_) => WorkloadState::Terminated,
        }
    }

    /// Since when it is there.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        match &self.stage {
            Stage::Pending(settled)
            | Stage::Stopping(settled)
            | Stage::Stopped(settled)
            | Stage::Terminated(settled) => settled.since,
            Stage::Deploying(watched) | Stage::Running(watched) | Stage::Paused(watched) => watched.since,
            Stage::Failed(failed) => failed.since,
        }
    }

    /// What shall become of it.
    #[must_use]
    pub const fn goal(&self) -> Goal {
        self.goal
    }

    /// Why it failed, or why it shall be what it shall be.
    #[must_use]
    pub const fn cause(&self) -> Option<&Cause> {
        match &self.stage {
            Stage::Failed(failed) => Some(&failed.cause),
            _ => self.goal_cause.as_ref(),
        }
    }

    /// How often it was deployed. Part of an effect's identity: `<workload>/<attempt>/<wish>`.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What the adapter shall do now; `None` when there is nothing to do. A reconciler may repeat it at any time.
    #[must_use]
    pub const fn errand(&self) -> Option<&Errand> {
        self.errand.as_ref()
    }

    /// When [`super::Command::Tick`] is due; `None` when no deadline runs.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.errand
            .as_ref()
            .filter(|errand| !errand.overdue)
            .map(|errand| errand.due)
    }

    pub(super) const fn suspicion(&self) -> Option<&Suspicion> {
        match &self.stage {
            Stage::Deploying(watched) | Stage::Running(watched) | Stage::Paused(watched) => {
                watched.suspicion.as_ref()
            }
            _ => None,
        }
    }
}
