//! What happened to a workload.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::state::{Goal, Wish, WorkloadState};
use crate::ports::adapter::Phase;
use crate::time::Timestamp;

/// Why something happened to a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// Somebody asked for it.
    Requested,
    /// The lease ended.
    LeaseEnded,
    /// The back end says so.
    Observed,
    /// The back end said twice, over the grace period, that it is not what it should be.
    Broken {
        /// What the back end says.
        phase: Phase,
        /// Its words.
        message: String,
    },
    /// The adapter refuses for good.
    Refused {
        /// What was asked.
        wish: Wish,
        /// Its words.
        message: String,
    },
    /// It took longer than it may.
    Overdue {
        /// What was asked.
        wish: Wish,
        /// What the adapter complained about last.
        trouble: Option<String>,
    },
    /// No manifest came in time.
    NoManifest,
    /// The manifest cannot be deployed.
    Undeployable {
        /// Why.
        message: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("requested"),
            Self::LeaseEnded => f.write_str("the lease ended"),
            Self::Observed => f.write_str("observed"),
            Self::Broken { phase, message } if message.is_empty() => {
                write!(f, "the back end says {phase:?}")
            }
            Self::Broken { phase, message } => write!(f, "the back end says {phase:?}: {message}"),
            Self::Refused { wish, message } => write!(f, "{wish} refused: {message}"),
            Self::Overdue { wish, trouble: None } => write!(f, "{wish} did not work in time"),
            Self::Overdue {
                wish,
                trouble: Some(trouble),
            } => write!(f, "{wish} did not work in time: {trouble}"),
            Self::NoManifest => f.write_str("no manifest came in time"),
            Self::Undeployable { message } => write!(f, "cannot be deployed: {message}"),
        }
    }
}

/// What happened to a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// It went from one state to another. Ends the errand.
    WorkloadMoved {
        /// Where it was.
        from: WorkloadState,
        /// Where it is.
        to: WorkloadState,
        /// Why.
        cause: Cause,
        /// When.
        at: Timestamp,
    },
    /// Something else shall become of it. Ends the errand.
    WorkloadGoalSet {
        /// What.
        goal: Goal,
        /// Why.
        cause: Cause,
        /// When.
        at: Timestamp,
    },
    /// The adapter shall do this. To be carried out as an effect; doing it twice is doing it once.
    WorkloadWished {
        /// What.
        wish: Wish,
        /// By when it should have worked.
        due: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// The adapter says that it has done this; the observation is awaited.
    WorkloadWishDone {
        /// What.
        wish: Wish,
        /// When.
        at: Timestamp,
    },
    /// The adapter cannot do it now and will try again.
    WorkloadTroubled {
        /// What it cannot do.
        wish: Wish,
        /// Its words.
        message: String,
        /// When.
        at: Timestamp,
    },
    /// It took longer than it should, and nobody knows why yet. Worth an alert.
    WorkloadOverdue {
        /// What takes long.
        wish: Wish,
        /// When.
        at: Timestamp,
    },
    /// A first sign that it broke.
    WorkloadSuspected {
        /// What the back end says.
        phase: Phase,
        /// Its words.
        message: String,
        /// When.
        at: Timestamp,
    },
    /// What was wished is so. Ends the errand.
    WorkloadSettled {
        /// When.
        at: Timestamp,
    },
    /// It is well again.
    WorkloadCleared {
        /// When.
        at: Timestamp,
    },
}
