//! What a meter remembers, and the events that it remembers from.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtengine_provider_core::fraud::Verdict;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

use super::command::Policy;
use crate::alerts::{AlertChange, AlertKind, Alerts};
use crate::metrics::{Metrics, Reading};
use crate::pricing::PricingInputs;
use crate::record::{Coverage, Digest, Subject};
use crate::signed::{Draft, SignedRecord};
use crate::traffic::Traffic;

/// The meter of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Meter {
    pub(super) phase: Phase,
    /// Drafts by sequence; they wait for their signatures, also after the close.
    pub(super) unsigned: BTreeMap<u64, Draft>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    #[default]
    Idle,
    Metering(Box<Metering>),
    Closed(Box<Metering>),
}

/// A running (or ended) meter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Metering {
    pub(super) start: Started,
    pub(super) open: Open,
    /// Up to when usage is known.
    pub(super) counted_to: Timestamp,
    /// The newest reading.
    pub(super) last: Option<Reading>,
    /// Number of the open window's record.
    pub(super) sequence: u64,
    /// Digest of the record before.
    pub(super) previous: Digest,
    /// What all closed windows used.
    pub(super) closed: Metrics,
    /// Traffic of the newest records.
    pub(super) traffic: Traffic,
    pub(super) alerts: Alerts,
    /// Whether the silence since `counted_to` has been reported.
    pub(super) silent: bool,
}

/// The window that is still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) used: Metrics,
    pub(super) coverage: Coverage,
}

impl Open {
    pub(super) fn empty(start: Timestamp, end: Timestamp) -> Self {
        Self {
            start,
            end,
            used: Metrics::ZERO,
            coverage: Coverage::default(),
        }
    }
}

/// A meter began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Whose usage.
    pub subject: Subject,
    /// What is allocated.
    pub allocated: Resources,
    /// What is agreed.
    pub pricing: PricingInputs,
    /// Start of the first window.
    pub start: Timestamp,
    /// End of the first window.
    pub window_end: Timestamp,
    /// The reading from which on usage counts; `None`: from zero.
    pub baseline: Option<Reading>,
}

/// A record that is complete: signed, with its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The record.
    pub signed: SignedRecord,
    /// What the fraud rules said when it was made.
    pub verdict: Verdict,
}

/// What a meter decided. Everything that is needed to be replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Metering began.
    Started(Box<Started>),
    /// A window was closed; its record waits for its signature.
    WindowClosed {
        /// The record, its verdict and its charges.
        draft: Box<Draft>,
        /// Where the next window ends.
        next_end: Timestamp,
    },
    /// Counters were taken in; this is what the open window has now.
    CountersSeen {
        /// The reading.
        reading: Reading,
        /// Usage of the open window.
        used: Metrics,
        /// Coverage of the open window.
        coverage: Coverage,
    },
    /// A draft was signed.
    RecordSigned(Box<Recorded>),
    /// An alert was raised or cleared.
    Alert(AlertChange),
    /// There has been no reading for long.
    Silent {
        /// The time of the newest reading.
        since: Timestamp,
    },
    /// The last record was made.
    Closed {
        /// End of the last record.
        at: Timestamp,
    },
}

impl Event {
    /// Its kind, for the journal.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Started(_) => "meter_started",
            Self::WindowClosed { .. } => "window_closed",
            Self::CountersSeen { .. } => "counters_seen",
            Self::RecordSigned(_) => "usage_recorded",
            Self::Alert(AlertChange::Raised(_)) => "alert_raised",
            Self::Alert(AlertChange::Cleared(_)) => "alert_cleared",
            Self::Silent { .. } => "meter_silent",
            Self::Closed { .. } => "meter_closed",
        }
    }
}

impl Meter {
    /// A meter that was not started.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn metering(&self) -> Option<&Metering> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Metering(metering) | Phase::Closed(metering) => Some(metering),
        }
    }

    /// Whose usage is metered; `None` before the start.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        self.metering().map(|m| &m.start.subject)
    }

    /// Whether it runs.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Metering(_))
    }

    /// Whether the final record was made: once this is durable, the workload may be torn down.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed(_))
    }

    /// Whether it is closed and nothing waits for a signature: it can be forgotten.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.is_closed() && self.unsigned.is_empty()
    }

    /// Records that wait for their signatures, oldest first.
    pub fn unsigned(&self) -> impl Iterator<Item = &Draft> {
        self.unsigned.values()
    }

    /// All usage so far: closed windows and the open one.
    #[must_use]
    pub fn total(&self) -> Metrics {
        let sum = |m: &Metering| m.closed.checked_add(&m.open.used);
        self.metering().and_then(sum).unwrap_or_default()
    }

    /// Up to when usage is known.
    #[must_use]
    pub fn counted_to(&self) -> Option<Timestamp> {
        self.metering().map(|m| m.counted_to)
    }

    /// When the open window ends: read the counters then, or soon after.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Metering(metering) => Some(metering.open.end),
            Phase::Idle | Phase::Closed(_) => None,
        }
    }

    /// When [`super::Command::Tick`] has something to say; `None` when the meter does not run or the silence is known.
    #[must_use]
    pub fn silent_at(&self, policy: &Policy) -> Option<Timestamp> {
        match &self.phase {
            // Silence is more than so long.
            Phase::Metering(metering) if !metering.silent => Some(
                metering
                    .counted_to
                    .plus(policy.silent_after.saturating_add(Duration::from_millis(1))),
            ),
            Phase::Metering(_) | Phase::Idle | Phase::Closed(_) => None,
        }
    }

    /// Alerts that are raised now.
    pub fn alerts(&self) -> impl Iterator<Item = AlertKind> + '_ {
        self.metering().into_iter().flat_map(|m| m.alerts.raised())
    }
}
