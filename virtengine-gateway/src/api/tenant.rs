use std::fmt;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use virtengine_provider_core::id::{Address, DeploymentId, LeaseId};
use virtengine_provider_core::market::Attribute;
use virtengine_provider_core::money::Price;
use virtengine_provider_core::ports::adapter::{LogLine, LogQuery, ServiceObservation, WorkloadEndpoint};
use virtengine_provider_core::time::Timestamp;

use super::ApiResult;
use super::status::CapacityView;
use super::workload::WorkloadState;

/// Log lines, in the order of their positions per replica. Ends when the log does (or never, when it is followed).
pub type LogStream = BoxStream<'static, ApiResult<LogLine>>;

/// Whether the tenant's manifest is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManifestState {
    /// The lease waits for it.
    Awaited,
    /// It is there and is what the deployment announced.
    Accepted,
    /// It did not come in time.
    TimedOut,
}

/// The answer to a manifest that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestReceipt {
    /// Which deployment.
    pub deployment: DeploymentId,
    /// Hash of the manifest (spec/chain.md D.7), hex; equal to what the deployment announced.
    pub hash: String,
    /// Whether the same manifest had been accepted before: nothing changed.
    pub unchanged: bool,
    /// Every lease that it starts.
    pub leases: Vec<LeaseId>,
}

/// How far the manifest of a deployment has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestStatus {
    /// Which deployment.
    pub deployment: DeploymentId,
    /// How far.
    pub state: ManifestState,
    /// The hash that the deployment announced on chain, hex.
    pub announced_hash: String,
    /// When it was accepted.
    #[serde(with = "crate::rfc3339::option")]
    pub accepted_at: Option<Timestamp>,
    /// Until when it is awaited.
    #[serde(with = "crate::rfc3339::option")]
    pub deadline: Option<Timestamp>,
}

/// How a lease fares, for its tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// Which.
    pub lease: LeaseId,
    /// `active`, or why it ended.
    pub lease_state: String,
    /// Price per block.
    pub price: Price,
    /// Whether the manifest is there.
    pub manifest: ManifestState,
    /// The state of the workload; `None` while there is none.
    pub state: Option<WorkloadState>,
    /// A sentence that the tenant understands; empty when all is well.
    pub message: String,
    /// Its services.
    pub services: Vec<ServiceObservation>,
    /// Where it is reachable.
    pub endpoints: Vec<WorkloadEndpoint>,
    /// When the back end said so; `None` while it has not.
    #[serde(with = "crate::rfc3339::option")]
    pub observed_at: Option<Timestamp>,
}

/// What anybody may know about the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicStatus {
    /// The account that we provide as.
    pub provider: Address,
    /// Which chain.
    pub chain_id: String,
    /// Version of the daemon.
    pub version: String,
    /// Whether it bids.
    pub bidding: bool,
    /// Leases that it serves.
    pub active_leases: u64,
    /// What it has, what is taken.
    pub capacity: CapacityView,
    /// Its attributes on chain.
    pub attributes: Vec<Attribute>,
}

/// What a tenant can ask. The server has verified who asks before it calls any method with an owner or a lease, and that this
/// owner is among [`Self::owners`].
#[async_trait]
pub trait TenantApi: fmt::Debug + Send + Sync + 'static {
    /// What anybody may know.
    async fn public_status(&self) -> ApiResult<PublicStatus>;

    /// Every tenant that has (or recently had) a lease of ours under a deployment numbered `dseq`: the number is unique per
    /// owner only. Called with the number of each request, so it must be cheap; empty: no such lease of ours.
    async fn owners(&self, dseq: u64) -> ApiResult<Vec<Address>>;

    /// Takes the manifest of a deployment. Returns once it is durable. The same manifest again is success.
    async fn put_manifest(&self, deployment: &DeploymentId, manifest: &str) -> ApiResult<ManifestReceipt>;

    /// How far the manifest has come.
    async fn manifest_status(&self, deployment: &DeploymentId) -> ApiResult<ManifestStatus>;

    /// How a lease fares.
    async fn lease_status(&self, lease: &LeaseId) -> ApiResult<LeaseStatus>;

    /// Log lines of a lease's workload. With `follow` the stream goes on with new lines until the workload is gone or the
    /// caller drops it.
    async fn lease_logs(&self, lease: &LeaseId, query: &LogQuery, follow: bool) -> ApiResult<LogStream>;
}
