//! What a meter is told.

use std::time::Duration;

use virtengine_provider_core::fraud::Limits;
use virtengine_provider_core::ports::adapter::Counters;
use virtengine_provider_core::ports::signer::PublicKey;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

use crate::alerts::Thresholds;
use crate::pricing::PricingInputs;
use crate::record::Subject;
use crate::signed::SignatureError;
use crate::window::Windows;

/// How to meter: the operator's configuration. A change of the windows counts from the next window on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How time is cut.
    pub windows: Windows,
    /// The fraud rules.
    pub fraud: Limits,
    /// When to alert.
    pub alerts: Thresholds,
    /// Whether leases are charged by usage (`settlement.mode` other than `lease-stream`): records then carry charges.
    pub charges: bool,
    /// How long without a reading until [`super::Event::Silent`].
    pub silent_after: Duration,
}

impl Policy {
    /// The defaults for `windows`: the specification's limits; silence after two intervals, at least five minutes.
    #[must_use]
    pub fn new(windows: Windows) -> Self {
        let mut fraud = Limits::default();
        fraud.duration_min = windows.shortest();
        Self {
            windows,
            fraud,
            alerts: Thresholds::default(),
            charges: true,
            silent_after: windows.interval().saturating_mul(2).max(Duration::from_secs(300)),
        }
    }
}

/// Something that happened, or is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The workload was deployed: metering begins.
    Start(Box<Start>),
    /// The adapter answered.
    Sample(Counters),
    /// The adapter did not answer; time passes.
    Tick,
    /// The identity key signed a draft.
    Sign {
        /// Which record.
        sequence: u64,
        /// The key.
        key: PublicKey,
        /// Its signatures over [`crate::signed::Draft::signing_messages`].
        signatures: Vec<Vec<u8>>,
    },
    /// The workload ends now: the last window is closed. Sample first, when the adapter still answers.
    Close {
        /// When it ended.
        at: Timestamp,
    },
}

/// What a meter must know at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Whose usage.
    pub subject: Subject,
    /// What is allocated.
    pub allocated: Resources,
    /// What is agreed.
    pub pricing: PricingInputs,
    /// When it began; the second that holds it is the start of the first record.
    pub at: Timestamp,
    /// `None` for a workload that was just created: all that it ever counts is its usage. For one that existed before, the
    /// counters from which on its usage counts.
    pub baseline: Option<Counters>,
}

/// Why a command is not accepted. Nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// No start was seen.
    #[error("the workload is not metered")]
    NotMetering,
    /// The meter runs already, for something else.
    #[error("the meter has been started already")]
    Started,
    /// The last record was made.
    #[error("the meter is closed")]
    Closed,
    /// A reading from before the newest one.
    #[error("the counters are of {at}, newer ones of {newest} are known")]
    OutOfOrder {
        /// Of the reading.
        at: Timestamp,
        /// Of the newest.
        newest: Timestamp,
    },
    /// A time more than a minute from now: one of the clocks is wrong.
    #[error("{at} is in the future: check the clocks of this host and of the back end")]
    Future {
        /// The time.
        at: Timestamp,
    },
    /// A counter fell without a new epoch: the back end broke its contract.
    #[error("{metric} fell from {before} to {now} without a new epoch")]
    Decreased {
        /// Which counter.
        metric: &'static str,
        /// What it was.
        before: u128,
        /// What it is.
        now: u128,
    },
    /// More than anything could use: the counter is broken.
    #[error("the counters rose by more than is possible")]
    Implausible,
    /// A rate above [`crate::pricing::RATE_MAX`].
    #[error("{0} is too high")]
    Rate(&'static str),
    /// No draft of this number waits for a signature.
    #[error("no record {0} waits for a signature")]
    NoDraft(u64),
    /// The signature is wrong.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}
