//! What operators ask of the running daemon.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use virtengine_chain::rpc::EndpointHealth;
use virtengine_gateway::api::{
    AlertView, ApiError, ApiResult, BidEngineStatus, BidView, ChainPing, ChainView, DaemonState,
    DoctorReport, EndpointPing, ErrorCode, Explanation, LeaseView, LogEntry, LogLevel, OperatorApi,
    OperatorLogQuery, OrderView, ProviderStatus, ShutdownReceipt, UsageQuery, UsageView, WorkloadAction,
    WorkloadState, WorkloadView,
};
use virtengine_metering::alerts::AlertKind;
use virtengine_provider_core::capacity::Difference;
use virtengine_provider_core::id::{OrderId, WorkloadId};
use virtengine_provider_core::manifest;
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::ports::chain::{ChainQuery, TxOutcome};
use virtengine_provider_core::time::Timestamp;

use super::answers::{invalid_manifest, not_taken, stopping};
use super::build::Shared;
use super::loops::DRAIN;
use super::{health, views};
use crate::provider::{Fact, Provider, Purpose, Wish};

/// Answers operators.
#[derive(Debug)]
pub(super) struct Operator {
    shared: Arc<Shared>,
}

impl Operator {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn adapter(&self) -> String {
        self.shared.adapter.capabilities().name.clone()
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Provider) -> T + Send + 'static,
    ) -> ApiResult<T> {
        self.shared.desk.ask(question).await.map_err(stopping)
    }

    async fn balance(&self) -> Option<Coin> {
        let denom = &self.shared.config.chain.denom;
        let asked = self.shared.chain.balance(&self.shared.provider, denom);
        tokio::time::timeout(std::time::Duration::from_secs(2), asked)
            .await
            .ok()?
            .ok()
    }

    fn chain_view(&self, processed: virtengine_provider_core::id::Height) -> ChainView {
        let endpoints = self.shared.chain.status();
        let up = endpoints
            .iter()
            .filter(|endpoint| endpoint.health == EndpointHealth::Fresh);
        let newest = endpoints
            .iter()
            .filter_map(|endpoint| Some((endpoint.height?, endpoint.block_time)))
            .max();
        ChainView {
            chain_id: self.shared.config.chain.chain_id.clone(),
            height: newest.map_or(processed, |(height, _)| height),
            processed,
            block_at: newest.and_then(|(_, at)| at),
            endpoints_up: u32::try_from(up.count()).unwrap_or(u32::MAX),
            endpoints: u32::try_from(endpoints.len()).unwrap_or(u32::MAX),
        }
    }
}

#[async_trait]
impl OperatorApi for Operator {
    async fn status(&self) -> ApiResult<ProviderStatus> {
        let now = self.shared.clock.now();
        let (adapter, started_at) = (self.adapter(), self.shared.started_at);
        let view = move |provider: &Provider| {
            let mut workloads: BTreeMap<WorkloadState, u64> = BTreeMap::new();
            for tenancy in provider.workloads().values() {
                *workloads
                    .entry(views::state(tenancy.machine.state()))
                    .or_default() += 1;
            }
            let engine = views::bid_engine(provider, now);
            let pending_usage = views::usage(provider, true, usize::MAX).len();
            let alerts = alerts(provider, &adapter, started_at);
            (
                views::capacity(provider),
                workloads,
                provider.live_leases().len(),
                engine,
                pending_usage,
                provider.height(),
                alerts,
            )
        };
        let (capacity, workloads, leases, engine, pending_usage, processed, alerts) = self.ask(view).await?;
        Ok(ProviderStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            provider: self.shared.provider.clone(),
            state: if self.shared.stop_asked.is_cancelled() {
                DaemonState::Draining
            } else {
                DaemonState::Running
            },
            dry_run: self.shared.dry_run,
            started_at: self.shared.started_at,
            at: now,
            chain: self.chain_view(processed),
            capacity,
            workloads,
            active_leases: u64::try_from(leases).unwrap_or(u64::MAX),
            pending_orders: engine.pending_orders,
            open_bids: engine.open_bids,
            pending_usage_records: u64::try_from(pending_usage).unwrap_or(u64::MAX),
            balance: self.balance().await,
            revenue_24h: vec![self.shared.revenue.last_day(now)],
            alerts,
        })
    }

    async fn bid_engine(&self) -> ApiResult<BidEngineStatus> {
        let now = self.shared.clock.now();
        self.ask(move |provider| views::bid_engine(provider, now)).await
    }

    async fn bids(&self, last: usize) -> ApiResult<Vec<BidView>> {
        self.ask(move |provider| views::bids(provider, last)).await
    }

    async fn explain(&self, order: &OrderId) -> ApiResult<Explanation> {
        let asked = order.clone();
        let known = self.ask(move |provider| views::explain(provider, &asked)).await?;
        known.ok_or_else(|| {
            let remedy = "it was never seen, or is long over: the journal file has its history";
            ApiError::new(ErrorCode::NotFound, format!("order {order} is not known"), remedy)
        })
    }

    async fn orders(&self, limit: usize) -> ApiResult<Vec<OrderView>> {
        self.ask(move |provider| views::orders(provider, limit)).await
    }

    async fn leases(&self) -> ApiResult<Vec<LeaseView>> {
        let started_at = self.shared.started_at;
        let since = move |provider: &Provider| {
            let begun = |lease: &virtengine_provider_core::lease::Lease| {
                let workload = provider.workloads().get(&WorkloadId::of_lease(&lease.id));
                workload.map_or(started_at, |tenancy| tenancy.created_at)
            };
            views::leases(provider, begun)
        };
        let mut leases = self.ask(since).await?;
        for lease in &mut leases {
            lease.earned.extend(self.shared.revenue.of_lease(&lease.id));
        }
        Ok(leases)
    }

    async fn deploy_workload(&self, text: &str) -> ApiResult<WorkloadView> {
        let manifest = manifest::read(text.as_bytes()).map_err(|problems| invalid_manifest(&problems))?;
        let now = self.shared.clock.now();
        // Two deployments of one manifest are two workloads; the moment tells them apart.
        let seed = [&manifest.hash()[..], &now.as_millis().to_be_bytes()].concat();
        let workload = WorkloadId::local(&seed);
        let wish = Wish::Deploy {
            manifest: Box::new(manifest),
            workload: workload.clone(),
        };
        self.shared
            .desk
            .tell(Fact::Operator(wish))
            .await
            .map_err(not_taken)?;
        self.workload(&workload).await
    }

    async fn workload(&self, id: &WorkloadId) -> ApiResult<WorkloadView> {
        let (asked, adapter) = (id.clone(), self.adapter());
        let view = self
            .ask(move |provider| views::workload(provider, &asked, &adapter))
            .await?;
        view.ok_or_else(|| ApiError::not_found(format!("workload: {id}")))
    }

    async fn workloads(&self, state: Option<WorkloadState>) -> ApiResult<Vec<WorkloadView>> {
        let adapter = self.adapter();
        self.ask(move |provider| views::workloads(provider, state, &adapter))
            .await
    }

    async fn act_on_workload(&self, id: &WorkloadId, action: WorkloadAction) -> ApiResult<WorkloadView> {
        let wish = match action {
            WorkloadAction::Pause => Wish::Pause(id.clone()),
            WorkloadAction::Resume => Wish::Resume(id.clone()),
            WorkloadAction::Stop => Wish::Stop(id.clone()),
            WorkloadAction::Terminate => Wish::Terminate(id.clone()),
        };
        self.shared
            .desk
            .tell(Fact::Operator(wish))
            .await
            .map_err(not_taken)?;
        self.workload(id).await
    }

    async fn usage(&self, query: UsageQuery) -> ApiResult<Vec<UsageView>> {
        self.ask(move |provider| views::usage(provider, query.pending, query.limit))
            .await
    }

    async fn release_usage(&self, record: &str) -> ApiResult<UsageView> {
        let wanted = record.to_owned();
        let found = self
            .ask(move |provider| views::usage_record(provider, &wanted))
            .await?;
        let missing = || ApiError::not_found(format!("usage record: {record}"));
        let (workload, sequence) = found.ok_or_else(missing)?;
        let wish = Wish::ReleaseUsage { workload, sequence };
        self.shared
            .desk
            .tell(Fact::Operator(wish))
            .await
            .map_err(not_taken)?;
        let wanted = record.to_owned();
        let view = self
            .ask(move |provider| views::usage_of_record(provider, &wanted))
            .await?;
        view.ok_or_else(missing)
    }

    async fn logs(&self, query: OperatorLogQuery) -> ApiResult<Vec<LogEntry>> {
        Ok(self.shared.log.tail(query))
    }

    async fn doctor(&self) -> ApiResult<DoctorReport> {
        Ok(health::doctor(&self.shared).await)
    }

    async fn ping_chain(&self) -> ApiResult<ChainPing> {
        let endpoints: Vec<EndpointPing> = self
            .shared
            .chain
            .ping()
            .await
            .iter()
            .map(crate::cli::chain::endpoint)
            .collect();
        Ok(ChainPing {
            chain_id: self.shared.config.chain.chain_id.clone(),
            usable: endpoints.iter().any(|endpoint| endpoint.usable),
            endpoints,
        })
    }

    async fn config(&self) -> ApiResult<serde_json::Value> {
        let failed = |error: serde_json::Error| {
            ApiError::internal(format!("the configuration cannot be shown: {error}"))
        };
        serde_json::to_value(&*self.shared.in_force()).map_err(failed)
    }

    async fn shutdown(&self) -> ApiResult<ShutdownReceipt> {
        let already_draining = self.shared.stop_asked.is_cancelled();
        self.shared.stop_asked.cancel();
        Ok(ShutdownReceipt {
            drain_seconds: DRAIN.as_secs(),
            already_draining,
        })
    }
}

/// What needs attention: capacity that is missing, workloads that are not what they should be, refused transactions.
pub(super) fn alerts(provider: &Provider, adapter: &str, started_at: Timestamp) -> Vec<AlertView> {
    let mut alerts = Vec::new();
    let is_alert = |difference: &Difference| difference.is_alert() && difference.configured != u64::MAX;
    for difference in provider.ledger().differences().into_iter().filter(is_alert) {
        let (subject, message) = (adapter.to_owned(), difference.to_string());
        alerts.push(AlertView {
            since: started_at,
            level: LogLevel::Warn,
            subject,
            message,
        });
    }
    for (id, tenancy) in provider.workloads() {
        for alert in tenancy.metered.meter().alerts() {
            let message = match alert {
                AlertKind::HighCpu => "CPU use is high",
                AlertKind::HighMemory => "memory use is high",
                AlertKind::LowStorage => "little storage is left",
            };
            alerts.push(AlertView {
                since: tenancy.updated_at,
                level: LogLevel::Warn,
                subject: id.to_string(),
                message: format!("{message} (threshold in metering.alerts)"),
            });
        }
        if let Some(held) = views::held(provider, tenancy) {
            alerts.push(AlertView {
                since: tenancy.updated_at,
                level: LogLevel::Warn,
                subject: id.to_string(),
                message: format!(
                    "{held} usage records are held by the fraud check: see `usage list --pending`, then `usage release`"
                ),
            });
        }
        let errand = tenancy.machine.errand().filter(|errand| errand.overdue);
        if let Some(errand) = errand {
            let message = format!("{} takes longer than it should", errand.wish);
            alerts.push(AlertView {
                since: errand.due,
                level: LogLevel::Error,
                subject: id.to_string(),
                message,
            });
        }
    }
    for tx in provider.txs().values() {
        if let (
            Some(TxOutcome::Rejected(rejection)),
            Purpose::Withdraw { lease } | Purpose::Settle { lease },
        ) = (&tx.outcome, &tx.purpose)
        {
            let message = format!("{} was refused: {rejection}", tx.purpose.name());
            alerts.push(AlertView {
                since: tx.wanted_at,
                level: LogLevel::Error,
                subject: lease.to_string(),
                message,
            });
        }
    }
    alerts.sort_by_key(|alert| std::cmp::Reverse(alert.since));
    alerts.truncate(50);
    alerts
}
