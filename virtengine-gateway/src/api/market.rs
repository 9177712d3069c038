use serde::{Deserialize, Serialize};
use virtengine_provider_core::id::{BidId, Height, LeaseId, OrderId, TxHash, WorkloadId};
use virtengine_provider_core::money::{Coin, Price};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

use super::tenant::ManifestState;
use super::workload::WorkloadState;

/// What was decided about an order. Every open order ends in one of the last three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Seen, not decided yet.
    Undecided,
    /// Put off; it will be looked at again.
    Deferred,
    /// We bid.
    Bid,
    /// We do not bid.
    Declined,
    /// It ended before it was decided.
    Expired,
}

/// An order as the provider sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// Which.
    pub id: OrderId,
    /// What was decided.
    pub decision: Decision,
    /// Why, in one sentence.
    pub reason: String,
    /// What it asks for.
    pub resources: Resources,
    /// The most that the tenant pays per block, for the whole order.
    pub price_max: Option<Price>,
    /// The block that opened it.
    pub opened_at: Height,
    /// When it was decided.
    #[serde(with = "crate::rfc3339::option")]
    pub decided_at: Option<Timestamp>,
    /// When it is looked at again, if it was put off.
    #[serde(with = "crate::rfc3339::option")]
    pub retry_at: Option<Timestamp>,
}

/// What became of a bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BidOutcome {
    /// Decided; its transaction is not settled.
    Pending,
    /// Would have been sent (`start --dry-run`).
    DryRun,
    /// On chain, waits for the tenant.
    Open,
    /// Became a lease.
    Won,
    /// Somebody else got the lease.
    Lost,
    /// Taken back, or its lease is over.
    Closed,
    /// The chain refused it.
    Rejected,
}

/// A bid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BidView {
    /// Which.
    pub id: BidId,
    /// What became of it.
    pub outcome: BidOutcome,
    /// Price per block.
    pub price: Price,
    /// Taken from our balance while it lives.
    pub deposit: Option<Coin>,
    /// When it was decided.
    #[serde(with = "crate::rfc3339")]
    pub decided_at: Timestamp,
    /// Its transaction.
    pub tx: Option<TxHash>,
    /// What the chain said, when it refused; empty otherwise.
    pub message: String,
}

/// Why an order was bid on or not: everything that the decision rests on, from the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Which order.
    pub order: OrderId,
    /// What was decided.
    pub decision: Decision,
    /// When.
    #[serde(with = "crate::rfc3339::option")]
    pub decided_at: Option<Timestamp>,
    /// The answer in one sentence.
    pub summary: String,
    /// Every check, in the order in which it was made.
    pub steps: Vec<ExplainStep>,
    /// How the price came about, when one was made.
    pub price_lines: Vec<PriceLine>,
    /// The price per block that was bid.
    pub price: Option<Price>,
    /// The most that the tenant pays per block.
    pub price_max: Option<Price>,
    /// The bid, when there is one.
    pub bid: Option<BidView>,
}

/// One check of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainStep {
    /// Stable name, e.g. `attributes`, `capacity`, `rate_limit`.
    pub check: String,
    /// Whether it was passed; `None`: not reached.
    pub passed: Option<bool>,
    /// With the numbers, e.g. `asks 4000 millicores, 2500 free`.
    pub detail: String,
}

/// One line of a price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceLine {
    /// What is charged, e.g. `cpu`, `markup`.
    pub what: String,
    /// How the number came about, e.g. `2 cores x 0.001 VIRT/hour`.
    pub how: String,
    /// What it adds to the price per block.
    pub amount: Price,
}

/// A lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    /// Which.
    pub id: LeaseId,
    /// `active`, or why it ended.
    pub state: String,
    /// Price per block.
    pub price: Price,
    /// Since when.
    #[serde(with = "crate::rfc3339")]
    pub since: Timestamp,
    /// Whether the tenant has sent the manifest.
    pub manifest: ManifestState,
    /// Until when it is awaited.
    #[serde(with = "crate::rfc3339::option")]
    pub manifest_deadline: Option<Timestamp>,
    /// The workload that serves it.
    pub workload: Option<WorkloadId>,
    /// Its state.
    pub workload_state: Option<WorkloadState>,
    /// What it has brought in so far.
    pub earned: Vec<Coin>,
    /// What needs attention; empty when all is well.
    pub message: String,
}
