//! What is known of one lease.

use serde::{Deserialize, Serialize};

use super::Event;
use crate::id::{Height, LeaseId};
use crate::market::{CloseReason, GroupSpec};
use crate::money::Price;
use crate::time::Timestamp;

/// One lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Which.
    pub id: LeaseId,
    /// Price per block.
    pub price: Price,
    /// The height at which it began.
    pub created_at: Height,
    /// What the tenant ordered: the manifest must ask for just this.
    pub spec: GroupSpec,
    /// Hash of the manifest that the tenant announced on chain.
    #[serde(with = "hex::serde")]
    pub manifest_hash: [u8; 32],
    /// Where it is in its life.
    pub phase: Phase,
}

/// Where a lease is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Won; the tenant has not sent the manifest yet.
    Awaiting {
        /// When we give up waiting.
        deadline: Timestamp,
    },
    /// The manifest is here and the workload is being run.
    Serving {
        /// Since when.
        since: Timestamp,
    },
    /// We have asked the chain to close it.
    Closing {
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: CloseReason,
        /// Whether there is a workload to tear down.
        served: bool,
    },
    /// Closed on chain; what is left is the final record, the tear-down and the money.
    Closed {
        /// The height at which we learned of it.
        height: Height,
        /// Why.
        reason: CloseReason,
        /// Whether there is a workload to tear down.
        served: bool,
    },
    /// Nothing is left to do.
    Finished {
        /// Since when.
        at: Timestamp,
        /// Why it ended.
        reason: CloseReason,
    },
}

impl Lease {
    /// The lease that an event begins; `None` for every other event.
    #[must_use]
    pub fn begin(event: &Event) -> Option<Self> {
        let Event::LeaseStarted { id, terms, deadline } = event else {
            return None;
        };
        Some(Self {
            id: id.clone(),
            price: terms.price.clone(),
            created_at: terms.created_at,
            spec: terms.spec.clone(),
            manifest_hash: terms.manifest_hash,
            phase: Phase::Awaiting { deadline: *deadline },
        })
    }

    /// Applies an event; one that does not fit the phase (a replay) changes nothing.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::LeaseStarted { .. } => {}
            Event::ManifestHashChanged { manifest_hash, .. } => self.manifest_hash = *manifest_hash,
            Event::ManifestAccepted { at, .. } => self.phase = Phase::Serving { since: *at },
            Event::LeaseCloseWanted { reason, at, .. } => {
                self.phase = Phase::Closing {
                    since: *at,
                    reason: *reason,
                    served: self.is_served(),
                };
            }
            Event::LeaseClosed { height, reason, .. } => {
                self.phase = Phase::Closed {
                    height: *height,
                    reason: *reason,
                    served: self.is_served(),
                };
            }
            Event::LeaseFinished { at, .. } => {
                self.phase = Phase::Finished {
                    at: *at,
                    reason: self.reason().unwrap_or(CloseReason::Unspecified),
                };
            }
        }
    }

    /// Whether the chain still counts on us: not closed, not finished.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(
            self.phase,
            Phase::Awaiting { .. } | Phase::Serving { .. } | Phase::Closing { .. }
        )
    }

    /// Whether a workload was ever asked for.
    #[must_use]
    pub const fn is_served(&self) -> bool {
        match self.phase {
            Phase::Awaiting { .. } => false,
            Phase::Serving { .. } => true,
            Phase::Closing { served, .. } | Phase::Closed { served, .. } => served,
            Phase::Finished { .. } => false,
        }
    }

    /// Why it ends or ended.
    #[must_use]
    pub const fn reason(&self) -> Option<CloseReason> {
        match self.phase {
            Phase::Awaiting { .. } | Phase::Serving { .. } => None,
            Phase::Closing { reason, .. } | Phase::Closed { reason, .. } | Phase::Finished { reason, .. } => {
                Some(reason)
            }
        }
    }

    /// When [`Command::Tick`](super::Command::Tick) has something to do.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Awaiting { deadline } => Some(deadline),
            _ => None,
        }
    }
}
