use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use virtengine_provider_core::id::{Address, Height};
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

use super::log::LogLevel;
use super::workload::WorkloadState;

/// Where the daemon is in its own life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DaemonState {
    /// Replays its journal and looks at the world.
    Starting,
    /// At work.
    Running,
    /// Finishes what is under way and stops.
    Draining,
}

/// The answer to `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStatus {
    /// Version of the daemon.
    pub version: String,
    /// The account that we provide as.
    pub provider: Address,
    /// Where the daemon is in its life.
    pub state: DaemonState,
    /// Whether it only says what it would do.
    pub dry_run: bool,
    /// When it started.
    #[serde(with = "crate::rfc3339")]
    pub started_at: Timestamp,
    /// When this was said.
    #[serde(with = "crate::rfc3339")]
    pub at: Timestamp,
    /// The chain as we see it.
    pub chain: ChainView,
    /// What we have, what is taken.
    pub capacity: CapacityView,
    /// How many workloads are in each state.
    pub workloads: BTreeMap<WorkloadState, u64>,
    /// Leases that we serve.
    pub active_leases: u64,
    /// Orders that are not decided.
    pub pending_orders: u64,
    /// Bids that wait for a tenant.
    pub open_bids: u64,
    /// Usage records that are not settled on chain.
    pub pending_usage_records: u64,
    /// What the account holds, when it is known.
    pub balance: Option<Coin>,
    /// What came in during the last 24 hours.
    pub revenue_24h: Vec<Coin>,
    /// What needs attention, newest first.
    pub alerts: Vec<AlertView>,
}

/// The chain as the daemon sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainView {
    /// Which chain.
    pub chain_id: String,
    /// The newest block that any endpoint has.
    pub height: Height,
    /// The newest block that has been worked through.
    pub processed: Height,
    /// When the newest block was made.
    #[serde(with = "crate::rfc3339::option")]
    pub block_at: Option<Timestamp>,
    /// Endpoints that answer, out of how many.
    pub endpoints_up: u32,
    /// How many are configured.
    pub endpoints: u32,
}

/// What we have, what is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CapacityView {
    /// What may be sold.
    pub total: Resources,
    /// What bids, leases and workloads hold.
    pub reserved: Resources,
    /// What is left.
    pub free: Resources,
}

/// Something that needs attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertView {
    /// Since when.
    #[serde(with = "crate::rfc3339")]
    pub since: Timestamp,
    /// How grave.
    pub level: LogLevel,
    /// What it is about, e.g. a workload id; may be empty.
    pub subject: String,
    /// A sentence.
    pub message: String,
}

/// The answer to `bid-engine status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BidEngineStatus {
    /// Whether it bids.
    pub bidding: bool,
    /// Why not; empty when it does.
    pub reason: String,
    /// Orders that are not decided.
    pub pending_orders: u64,
    /// Bids that wait for a tenant.
    pub open_bids: u64,
    /// Bids that are being sent, and how many may be at once.
    pub concurrent: RateView,
    /// Bids in the last minute, and how many may be.
    pub last_minute: RateView,
    /// Bids in the last hour, and how many may be.
    pub last_hour: RateView,
    /// Bids since the journal began.
    pub bids_total: u64,
    /// Of these, how many became leases.
    pub won_total: u64,
    /// Of these, how many went to others.
    pub lost_total: u64,
    /// Orders that were declined, by reason.
    pub declined: BTreeMap<String, u64>,
    /// When an order was seen last.
    #[serde(with = "crate::rfc3339::option")]
    pub last_order_at: Option<Timestamp>,
    /// When a bid was decided last.
    #[serde(with = "crate::rfc3339::option")]
    pub last_bid_at: Option<Timestamp>,
}

/// A limit and how much of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RateView {
    /// Used.
    pub used: u64,
    /// Allowed.
    pub limit: u64,
}
