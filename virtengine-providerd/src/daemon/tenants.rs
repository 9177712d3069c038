//! What tenants ask of the running daemon. Who asks has been verified by the gateway.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream;
use virtengine_gateway::api::{
    ApiError, ApiResult, ErrorCode, LeaseStatus, LogStream, ManifestReceipt, ManifestState, ManifestStatus,
    PublicStatus, TenantApi,
};
use virtengine_provider_core::id::{Address, DeploymentId, LeaseId, WorkloadId};
use virtengine_provider_core::lease::{Lease, Phase};
use virtengine_provider_core::manifest;
use virtengine_provider_core::market::Attribute;
use virtengine_provider_core::ports::adapter::{
    Adapter, AdapterError, ErrorKind, LogLine, LogQuery, Phase as SeenPhase,
};

use super::answers::{invalid_manifest, not_taken, stopping};
use super::build::Shared;
use super::views;
use crate::provider::{Fact, Provider};

/// Between two looks at a log that is followed.
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);
/// Lines that one look at a log takes at most per replica.
const LINES_MAX: usize = 10_000;

/// Answers tenants.
#[derive(Debug)]
pub(super) struct Tenants {
    shared: Arc<Shared>,
}

impl Tenants {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Provider) -> T + Send + 'static,
    ) -> ApiResult<T> {
        self.shared.desk.ask(question).await.map_err(stopping)
    }

    async fn leases_of(&self, deployment: &DeploymentId) -> ApiResult<Vec<Lease>> {
        let asked = deployment.clone();
        let leases = self
            .ask(move |provider| {
                let ours = provider
                    .leases()
                    .values()
                    .filter(|lease| lease.id.deployment() == &asked);
                ours.cloned().collect::<Vec<_>>()
            })
            .await?;
        if leases.is_empty() {
            let remedy = "wait for the block with the lease, then send it again";
            let message = format!("no lease of ours under deployment {deployment}");
            return Err(ApiError::new(ErrorCode::NotFound, message, remedy));
        }
        Ok(leases)
    }
}

#[async_trait]
impl TenantApi for Tenants {
    async fn public_status(&self) -> ApiResult<PublicStatus> {
        let now = self.shared.clock.now();
        let view = move |provider: &Provider| {
            let bidding = provider.bidder().status(provider.book(), now).bidding;
            (bidding, provider.live_leases().len(), views::capacity(provider))
        };
        let (bidding, leases, capacity) = self.ask(view).await?;
        let attributes = self.shared.in_force().provider.attributes.clone();
        let attributes = attributes.iter();
        Ok(PublicStatus {
            provider: self.shared.provider.clone(),
            chain_id: self.shared.config.chain.chain_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            bidding,
            active_leases: u64::try_from(leases).unwrap_or(u64::MAX),
            capacity,
            attributes: attributes
                .map(|(key, value)| Attribute {
                    key: key.clone(),
                    value: value.clone(),
                })
                .collect(),
        })
    }

    async fn owners(&self, dseq: u64) -> ApiResult<Vec<Address>> {
        self.ask(move |provider| provider.owners_of(dseq)).await
    }

    async fn put_manifest(&self, deployment: &DeploymentId, text: &str) -> ApiResult<ManifestReceipt> {
        let manifest = manifest::read(text.as_bytes()).map_err(|problems| invalid_manifest(&problems))?;
        let mut receipt = ManifestReceipt {
            deployment: deployment.clone(),
            hash: hex::encode(manifest.hash()),
            unchanged: true,
            leases: Vec::new(),
        };
        let live = self
            .leases_of(deployment)
            .await?
            .into_iter()
            .filter(Lease::is_live);
        for lease in live {
            let awaited = matches!(lease.phase, Phase::Awaiting { .. });
            let fact = Fact::Manifest {
                lease: lease.id.clone(),
                manifest: Box::new(manifest.clone()),
            };
            self.shared.desk.tell(fact).await.map_err(not_taken)?;
            receipt.unchanged &= !awaited;
            receipt.leases.push(lease.id);
        }
        if receipt.leases.is_empty() {
            let message = format!("every lease of ours under deployment {deployment} is closed");
            return Err(ApiError::new(ErrorCode::Conflict, message, "order anew"));
        }
        Ok(receipt)
    }

    async fn manifest_status(&self, deployment: &DeploymentId) -> ApiResult<ManifestStatus> {
        let leases = self.leases_of(deployment).await?;
        let newest = leases.iter().max_by_key(|lease| lease.created_at);
        let newest = newest.ok_or_else(|| ApiError::not_found("lease"))?;
        Ok(ManifestStatus {
            deployment: deployment.clone(),
            state: views::manifest_state(newest),
            announced_hash: hex::encode(newest.manifest_hash),
            accepted_at: match newest.phase {
                Phase::Serving { since } => Some(since),
                _ => None,
            },
            deadline: newest.next_deadline(),
        })
    }

    async fn lease_status(&self, id: &LeaseId) -> ApiResult<LeaseStatus> {
        let (asked, adapter) = (id.clone(), self.shared.adapter.capabilities().name.clone());
        let known = self
            .ask(move |provider| {
                let lease = provider.leases().get(&asked)?.clone();
                let workload = WorkloadId::of_lease(&asked);
                let seen = provider.last_seen(&workload).cloned();
                Some((lease, views::workload(provider, &workload, &adapter), seen))
            })
            .await?;
        let (lease, workload, seen) = known.ok_or_else(|| ApiError::not_found(format!("lease: {id}")))?;
        let awaiting = views::manifest_state(&lease) == ManifestState::Awaited;
        Ok(LeaseStatus {
            lease: id.clone(),
            lease_state: views::lease_state(&lease),
            price: lease.price.clone(),
            manifest: views::manifest_state(&lease),
            state: workload.as_ref().map(|view| view.state),
            message: match &workload {
                Some(view) => view.status_message.clone(),
                None if awaiting => "send the manifest".to_owned(),
                None => String::new(),
            },
            services: workload
                .as_ref()
                .map(|view| view.services.clone())
                .unwrap_or_default(),
            endpoints: workload.map(|view| view.endpoints).unwrap_or_default(),
            observed_at: seen.map(|seen| seen.at),
        })
    }

    async fn lease_logs(&self, lease: &LeaseId, query: &LogQuery, follow: bool) -> ApiResult<LogStream> {
        let adapter = Arc::clone(&self.shared.adapter);
        let id = WorkloadId::of_lease(lease);
        let mut query = query.clone();
        query.tail = Some(query.tail.unwrap_or(LINES_MAX).min(LINES_MAX));
        let first = adapter.logs(&id, &query).await.map_err(|error| refused(&error))?;
        if !follow {
            return Ok(stream::iter(first.into_iter().map(Ok)).boxed());
        }
        let followed = Followed {
            adapter,
            id,
            query,
            after: std::collections::BTreeMap::new(),
        };
        Ok(followed.stream(first))
    }
}

/// A log that is followed: where each replica of each service has been read to.
struct Followed {
    adapter: Arc<dyn Adapter>,
    id: WorkloadId,
    query: LogQuery,
    after: std::collections::BTreeMap<(String, u32), u64>,
}

impl Followed {
    fn stream(mut self, first: Vec<LogLine>) -> LogStream {
        self.note(&first);
        let first = stream::iter(first.into_iter().map(Ok));
        let rest = stream::unfold(Some(self), |followed| async move {
            let mut followed = followed?;
            loop {
                tokio::time::sleep(FOLLOW_PAUSE).await;
                match followed.more().await {
                    Ok(lines) if !lines.is_empty() => {
                        return Some((lines.into_iter().map(Ok).collect::<Vec<_>>(), Some(followed)));
                    }
                    Ok(_) if followed.is_gone().await => return None,
                    Ok(_) => {}
                    Err(error) if error.kind == ErrorKind::NotFound => return None,
                    Err(error) => return Some((vec![Err(refused(&error))], None)),
                }
            }
        });
        first.chain(rest.flat_map(stream::iter)).boxed()
    }

    fn note(&mut self, lines: &[LogLine]) {
        for line in lines {
            self.after
                .insert((line.service.clone(), line.replica), line.position);
        }
    }

    /// New lines: everything behind the least that is still new, without what was handed out before.
    async fn more(&mut self) -> Result<Vec<LogLine>, AdapterError> {
        let mut query = self.query.clone();
        query.tail = Some(LINES_MAX);
        query.after = self.after.values().min().copied().or(query.after);
        let mut lines = self.adapter.logs(&self.id, &query).await?;
        lines.retain(|line| {
            let read = self.after.get(&(line.service.clone(), line.replica));
            read.is_none_or(|position| line.position > *position)
        });
        self.note(&lines);
        Ok(lines)
    }

    async fn is_gone(&self) -> bool {
        self.adapter
            .observe(&self.id)
            .await
            .is_ok_and(|seen| seen.phase == SeenPhase::Gone)
    }
}

/// An adapter's refusal in words for a tenant.
fn refused(error: &AdapterError) -> ApiError {
    let code = match error.kind {
        ErrorKind::NotFound => ErrorCode::NotFound,
        ErrorKind::Unsupported => ErrorCode::Unsupported,
        ErrorKind::Unavailable | ErrorKind::RateLimited => ErrorCode::Unavailable,
        _ => ErrorCode::Internal,
    };
    ApiError::new(code, error.message.clone(), "")
}
