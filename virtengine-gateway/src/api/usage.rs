use serde::{Deserialize, Serialize};
use virtengine_provider_core::id::{DeploymentId, LeaseId, TxHash, WorkloadId};
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::time::Timestamp;

/// Which usage records to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageQuery {
    /// Only records that are not settled on chain yet.
    pub pending: bool,
    /// At most this many, the newest.
    pub limit: usize,
}

/// Whether more records of the workload follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageKind {
    /// More follow.
    Periodic,
    /// The last one.
    Final,
}

/// How far a record has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageState {
    /// Durable; not sent.
    Pending,
    /// Flagged by the fraud check; waits for the operator.
    Held,
    /// Its transaction is not settled.
    Submitted,
    /// On chain, not paid.
    OnChain,
    /// Paid.
    Settled,
    /// Never billed: a workload of the operator's own, or no escrow to bill.
    Unbilled,
}

/// What was used (spec `ResourceMetrics`). The two products of bytes and seconds are decimal strings: they outgrow the numbers
/// that JSON readers hold exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UsageMetrics {
    /// Core-milliseconds.
    pub cpu_milli_seconds: u64,
    /// Memory integrated over time.
    #[serde(with = "decimal_string")]
    pub memory_byte_seconds: u128,
    /// Storage integrated over time.
    #[serde(with = "decimal_string")]
    pub storage_byte_seconds: u128,
    /// Received.
    pub network_bytes_in: u64,
    /// Sent.
    pub network_bytes_out: u64,
    /// GPU-seconds.
    pub gpu_seconds: u64,
}

/// A usage record (spec `UsageRecord`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageView {
    /// Which: the hash of the record, hex.
    pub id: String,
    /// Whose usage.
    pub workload_id: WorkloadId,
    /// The deployment on chain.
    pub deployment_id: Option<DeploymentId>,
    /// The lease on chain.
    pub lease_id: Option<LeaseId>,
    /// Whether more follow.
    pub kind: UsageKind,
    /// Begin of the window.
    #[serde(with = "crate::rfc3339")]
    pub start: Timestamp,
    /// End of the window.
    #[serde(with = "crate::rfc3339")]
    pub end: Timestamp,
    /// What was used.
    pub metrics: UsageMetrics,
    /// How far it has come.
    pub state: UsageState,
    /// Flags of the fraud check, e.g. `EXCESSIVE_CPU_USAGE`.
    pub flags: Vec<String>,
    /// What it is worth, when it is billed.
    pub cost: Option<Coin>,
    /// Its transaction.
    pub tx: Option<TxHash>,
    /// The provider's signature, hex.
    pub signature: String,
    /// When it was made.
    #[serde(with = "crate::rfc3339")]
    pub created_at: Timestamp,
}

mod decimal_string {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| serde::de::Error::custom(format!("{text:?} is not a whole number")))
    }
}
