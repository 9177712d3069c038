//! What must be done in the world. An effect is committed together with the events that asked for it, so a crash finds it.

use serde::{Deserialize, Serialize};
use virtengine_provider_core::id::{BidId, LeaseId, OrderId, WorkloadId};
use virtengine_provider_core::ports::chain::Message;
use virtengine_provider_core::ports::journal::StoredEffect;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::workload::WorkloadSpec;

/// Names an effect; the same need has the same name, so asking twice is asking once.
pub type EffectId = String;

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Sign, send and settle a transaction.
    SendTx {
        /// What it is for: says which machine hears the outcome.
        purpose: Purpose,
        /// What it says.
        messages: Vec<Message>,
    },
    /// Ask the adapter for something.
    Infrastructure {
        /// Of which workload.
        workload: WorkloadId,
        /// What.
        operation: Operation,
    },
    /// Read the counters one last time, before anything is torn down.
    ReadFinalCounters {
        /// Of which workload.
        workload: WorkloadId,
    },
    /// Sign a usage record with the identity key.
    SignRecord {
        /// Of which workload.
        workload: WorkloadId,
        /// Which record of it.
        sequence: u64,
    },
}

/// What an adapter is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum Operation {
    /// Make it exist and run.
    Deploy {
        /// What.
        spec: Box<WorkloadSpec>,
    },
    /// No compute, data kept.
    Pause,
    /// The opposite.
    Resume,
    /// Graceful shutdown, data kept.
    Stop,
    /// Remove everything.
    Terminate,
}

impl Operation {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Deploy { .. } => "deploy",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Terminate => "terminate",
        }
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "purpose", rename_all = "snake_case")]
pub enum Purpose {
    /// Our bid on an order.
    Bid {
        /// Which order.
        order: OrderId,
        /// Which sending of it.
        sending: u32,
    },
    /// Take back a bid that leads nowhere.
    CloseBid {
        /// Which.
        bid: BidId,
    },
    /// Close a lease.
    CloseLease {
        /// Which.
        lease: LeaseId,
    },
    /// Collect what a lease owes.
    Withdraw {
        /// Which.
        lease: LeaseId,
    },
    /// Become the recipient of a settlement escrow.
    Activate {
        /// Of which lease.
        lease: LeaseId,
    },
    /// Put usage on chain.
    RecordUsage {
        /// Of which lease.
        lease: LeaseId,
    },
    /// Have recorded usage paid.
    Settle {
        /// Of which lease.
        lease: LeaseId,
    },
}

impl Purpose {
    /// Its name, for logs and listings.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bid { .. } => "bid",
            Self::CloseBid { .. } => "close_bid",
            Self::CloseLease { .. } => "close_lease",
            Self::Withdraw { .. } => "withdraw",
            Self::Activate { .. } => "activate_escrow",
            Self::RecordUsage { .. } => "record_usage",
            Self::Settle { .. } => "settle",
        }
    }
}

/// An effect with its name and its moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub id: EffectId,
    /// Not before this.
    pub not_before: Timestamp,
    /// What.
    pub effect: Effect,
}

impl Planned {
    /// What the effect is about; effects of one subject are carried out one after the other.
    #[must_use]
    pub fn subject(&self) -> String {
        match &self.effect {
            Effect::SendTx { .. } => format!("tx {}", self.id),
            Effect::Infrastructure { workload, .. } | Effect::ReadFinalCounters { workload } => {
                format!("workload {workload}")
            }
            Effect::SignRecord { workload, .. } => format!("records {workload}"),
        }
    }

    /// Its kind, for reading the outbox.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match &self.effect {
            Effect::SendTx { .. } => "send_tx",
            Effect::Infrastructure { operation, .. } => operation.name(),
            Effect::ReadFinalCounters { .. } => "read_final_counters",
            Effect::SignRecord { .. } => "sign_record",
        }
    }

    /// As it is stored.
    #[must_use]
    pub fn stored(&self) -> StoredEffect {
        StoredEffect {
            id: self.id.clone(),
            kind: self.kind().to_owned(),
            subject: self.subject(),
            not_before: self.not_before,
            payload: serde_json::to_vec(&self.effect).expect("effects have text keys and no failing parts"),
        }
    }

    /// As it was stored.
    ///
    /// # Errors
    /// The payload is not an effect.
    pub fn from_stored(stored: &StoredEffect) -> serde_json::Result<Self> {
        let effect = serde_json::from_slice(&stored.payload)?;
        Ok(Self {
            id: stored.id.clone(),
            not_before: stored.not_before,
            effect,
        })
    }
}
