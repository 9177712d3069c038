//! What may be asked of, or told to, a workload's machine.

use alloc::string::String;

use super::event::Cause;
use super::state::Wish;
use crate::ports::adapter::{Observation, Phase, Retry};
use crate::time::Timestamp;

/// What an observation says, as far as the life cycle cares. A failed observation is none: it is not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// What the back end says.
    pub phase: Phase,
    /// Its words; empty when all is well.
    pub message: String,
    /// When it was asked.
    pub at: Timestamp,
}

impl From<&Observation> for Sight {
    fn from(observation: &Observation) -> Self {
        Self {
            phase: observation.phase,
            message: observation.message.clone(),
            at: observation.at,
        }
    }
}

/// What may be asked of, or told to, a workload's machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Deploy it, or deploy it again out of Stopped or Failed.
    Deploy {
        /// Whether its lease is active on chain, or it is a workload of the operator's own. Without it nothing is deployed:
        /// a workload whose lease ended is not brought back.
        live: bool,
    },
    /// Stop its compute, keep it resumable.
    Pause,
    /// Let a paused one go on.
    Resume,
    /// Shut it down, keep its data.
    Stop,
    /// Remove everything of it, because the tenant or the operator says so.
    Terminate,
    /// Its lease ended: remove everything of it.
    LeaseEnded,
    /// It cannot be deployed, decided outside of the adapter, e.g. no manifest came or it fits nowhere.
    GiveUp {
        /// Why.
        cause: Cause,
    },
    /// The back end was asked and answered.
    Observed(Sight),
    /// The adapter has carried out a wish (its call returned without an error).
    Done {
        /// Which.
        wish: Wish,
    },
    /// The adapter could not carry out a wish.
    AdapterFailed {
        /// Which.
        wish: Wish,
        /// Its words.
        message: String,
        /// Whether trying again may help. Only [`Retry::Never`] is final.
        retry: Retry,
    },
    /// Time has passed.
    Tick,
}

impl Command {
    /// The observation of an adapter.
    #[must_use]
    pub fn observed(observation: &Observation) -> Self {
        Self::Observed(observation.into())
    }
}
