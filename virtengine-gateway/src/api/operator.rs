use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use virtengine_provider_core::id::{OrderId, WorkloadId};

use super::{
    ApiResult, BidEngineStatus, BidView, ChainPing, DoctorReport, Explanation, LeaseView, LogEntry,
    OperatorLogQuery, OrderView, ProviderStatus, UsageQuery, UsageView, WorkloadAction, WorkloadState,
    WorkloadView,
};

/// The answer to a request to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutdownReceipt {
    /// How long what is under way may take, in seconds.
    pub drain_seconds: u64,
    /// Whether it was draining already.
    pub already_draining: bool,
}

/// What an operator can ask of a running daemon. Every answer is a snapshot; lists are bounded by what is asked for, newest
/// first unless stated. The server bounds the time of each call and drops its future when it is over.
#[async_trait]
pub trait OperatorApi: fmt::Debug + Send + Sync + 'static {
    /// The overview.
    async fn status(&self) -> ApiResult<ProviderStatus>;

    /// What the bid engine does.
    async fn bid_engine(&self) -> ApiResult<BidEngineStatus>;

    /// The `last` newest bids.
    async fn bids(&self, last: usize) -> ApiResult<Vec<BidView>>;

    /// Why an order was bid on or not.
    async fn explain(&self, order: &OrderId) -> ApiResult<Explanation>;

    /// The `limit` newest orders.
    async fn orders(&self, limit: usize) -> ApiResult<Vec<OrderView>>;

    /// Every lease that is served.
    async fn leases(&self) -> ApiResult<Vec<LeaseView>>;

    /// Accepts a workload of the operator's own: holds capacity, is metered, never billed. `manifest` is the text of the file.
    /// Returns once it is durable, not once it runs.
    async fn deploy_workload(&self, manifest: &str) -> ApiResult<WorkloadView>;

    /// One workload.
    async fn workload(&self, id: &WorkloadId) -> ApiResult<WorkloadView>;

    /// Workloads in `state`, or all that are not terminated.
    async fn workloads(&self, state: Option<WorkloadState>) -> ApiResult<Vec<WorkloadView>>;

    /// Asks a workload to move. Returns once the wish is durable. Asking again for what is under way is success.
    async fn act_on_workload(&self, id: &WorkloadId, action: WorkloadAction) -> ApiResult<WorkloadView>;

    /// Usage records.
    async fn usage(&self, query: UsageQuery) -> ApiResult<Vec<UsageView>>;

    /// Lets a record go that the fraud check holds, by its id: it is billed like any other. Returns once that is durable.
    async fn release_usage(&self, record: &str) -> ApiResult<UsageView>;

    /// The last lines of the daemon's log, oldest first.
    async fn logs(&self, query: OperatorLogQuery) -> ApiResult<Vec<LogEntry>>;

    /// Facts that help to find what is wrong.
    async fn doctor(&self) -> ApiResult<DoctorReport>;

    /// Asks every endpoint of the chain now.
    async fn ping_chain(&self) -> ApiResult<ChainPing>;

    /// The configuration in force, secrets redacted.
    async fn config(&self) -> ApiResult<serde_json::Value>;

    /// Begins to drain and stops when that is done. Returns at once.
    async fn shutdown(&self) -> ApiResult<ShutdownReceipt>;
}
