//! What happened, for the journal.

use serde::{Deserialize, Serialize};
use virtengine_metering::{meter, settlement::BooksEvent};
use virtengine_provider_core::id::{LeaseId, WorkloadId};
use virtengine_provider_core::ports::chain::{Message, SignedTx, TxOutcome};
use virtengine_provider_core::ports::journal::StoredEvent;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::workload::WorkloadSpec;
use virtengine_provider_core::{capacity, lease, lifecycle};

use super::effect::{EffectId, Purpose};

/// What happened, and to which machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// To the bidder (and, inside of it, to the capacity ledger).
    Bid {
        /// What.
        happened: virtengine_bid::Event,
    },
    /// To the capacity ledger, by something else than a bid.
    Capacity {
        /// What.
        happened: capacity::Event,
    },
    /// To a lease.
    Lease {
        /// What.
        happened: lease::Event,
    },
    /// A workload came to be: its identity is durable before anything of it is created.
    WorkloadAccepted {
        /// What is to be run.
        spec: Box<WorkloadSpec>,
        /// When.
        at: Timestamp,
    },
    /// To a workload.
    Workload {
        /// Which.
        id: WorkloadId,
        /// What.
        happened: lifecycle::Event,
    },
    /// A failed workload will be deployed again.
    RedeployPlanned {
        /// Which.
        id: WorkloadId,
        /// Not before this.
        at: Timestamp,
    },
    /// To the meter of a workload.
    Meter {
        /// Which workload.
        id: WorkloadId,
        /// What.
        happened: meter::Event,
    },
    /// A transaction is wanted.
    TxWanted {
        /// The effect that will send it.
        effect: EffectId,
        /// What it is for.
        purpose: Purpose,
        /// What it says.
        messages: Vec<Message>,
        /// When.
        at: Timestamp,
    },
    /// A transaction is signed.
    TxSigned {
        /// Its effect.
        effect: EffectId,
        /// The transaction.
        tx: SignedTx,
        /// When.
        at: Timestamp,
    },
    /// A transaction landed or cannot land any more.
    TxSettled {
        /// Its effect.
        effect: EffectId,
        /// How.
        outcome: TxOutcome,
        /// When.
        at: Timestamp,
    },
    /// To the books of a lease: what of its usage is not yet paid.
    Books {
        /// Which lease.
        id: LeaseId,
        /// What.
        happened: BooksEvent,
    },
}

impl Event {
    /// Its kind, as `kind` in the journal.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::Bid { happened } => happened.kind().to_owned(),
            Self::Capacity { happened } => tag(happened, "event"),
            Self::Lease { happened } => tag(happened, "lease_event"),
            Self::WorkloadAccepted { .. } => "workload_accepted".to_owned(),
            Self::Workload { happened, .. } => tag(happened, "event"),
            Self::RedeployPlanned { .. } => "redeploy_planned".to_owned(),
            Self::Meter { happened, .. } => happened.kind().to_owned(),
            Self::TxWanted { .. } => "tx_wanted".to_owned(),
            Self::TxSigned { .. } => "tx_signed".to_owned(),
            Self::TxSettled { .. } => "tx_settled".to_owned(),
            Self::Books { happened, .. } => outer(happened),
        }
    }

    /// What it is about, as `subject` in the journal.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Bid { happened } => happened.order().map(ToString::to_string).unwrap_or_default(),
            Self::Capacity { .. } => String::new(),
            Self::Lease { happened } => happened.id().to_string(),
            Self::WorkloadAccepted { spec, .. } => spec.id.to_string(),
            Self::Workload { id, .. } | Self::RedeployPlanned { id, .. } | Self::Meter { id, .. } => {
                id.to_string()
            }
            Self::TxWanted { effect, .. }
            | Self::TxSigned { effect, .. }
            | Self::TxSettled { effect, .. } => effect.clone(),
            Self::Books { id, .. } => id.to_string(),
        }
    }

    /// As it is stored.
    #[must_use]
    pub fn stored(&self, at: Timestamp) -> StoredEvent {
        let payload = serde_json::to_vec(self).expect("events have text keys and no failing parts");
        StoredEvent {
            at,
            kind: self.kind(),
            subject: self.subject(),
            payload,
        }
    }
}

/// The variant's name, as it is tagged in JSON.
fn tag(event: &impl Serialize, key: &str) -> String {
    let value = serde_json::to_value(event).unwrap_or_default();
    value
        .get(key)
        .and_then(serde_json::Value::as_str)
        .unwrap_or("unknown")
        .to_owned()
}

/// The variant's name, as it stands around its data in JSON.
fn outer(event: &BooksEvent) -> String {
    let value = serde_json::to_value(event).unwrap_or_default();
    let name = value.as_object().and_then(|object| object.keys().next());
    name.map_or_else(|| "books".to_owned(), |name| format!("usage_{name}"))
}
