//! What Prometheus scrapes: one [`Metrics`] per daemon, written to by its loops, read by the health server.
//!
//! The names are those that the shipped dashboards and alert rules ask for (spec/reference.md 6.5), as far as they can be filled
//! with the truth. Labels take a bounded set of values, except `deployment`, whose series go with
//! [`Metrics::forget_deployment`].

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use virtengine_provider_core::money::Coin;

use crate::api::{CapacityView, WorkloadState};
use crate::health::OverallStatus;

type Label = [(&'static str, String); 1];
type Counters = Family<Label, Counter>;
type Gauges = Family<Label, Gauge>;
type Histograms = Family<Label, Histogram, fn() -> Histogram>;

/// Every metric of the daemon. Cheap to share behind an `Arc`; each method takes a short lock.
pub struct Metrics {
    registry: Registry,
    deployments: Counters,
    deployment_successes: Counter,
    deployment_failures: Counters,
    deployment_time: Histograms,
    deployment_latency: Histograms,
    active_deployments: Gauges,
    workloads: Gauges,
    workload_state: Gauges,
    workload_starts: Counter,
    workload_failures: Counter,
    pending_bids: Gauge,
    pending_orders: Gauge,
    bids: Counter,
    bids_submitted: Counters,
    bids_won: Gauge,
    bid_calculation: Histogram,
    resources: Vec<(Gauge, Gauge)>,
    utilization: Vec<Gauge<f64, std::sync::atomic::AtomicU64>>,
    usage_records: Counters,
    metered_cpu: Family<Label, Counter<f64, std::sync::atomic::AtomicU64>>,
    lease_operations: Histograms,
    status: Gauges,
    active_leases: Gauge,
    revenue: Counters,
    tenant_requests: Counters,
    rate_limit_breaches: Counter,
    chain_height: Gauge,
    chain_processed: Gauge,
    alerts: Gauge,
}

fn seconds_buckets() -> Histogram {
    Histogram::new([0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0])
}

fn minutes_buckets() -> Histogram {
    Histogram::new([1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0])
}

fn label(name: &'static str, value: &str) -> Label {
    [(name, value.to_owned())]
}

/// What a gauge can hold of a count.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All of them, at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            deployments: Family::default(),
            deployment_successes: Counter::default(),
            deployment_failures: Family::default(),
            deployment_time: Family::new_with_constructor(minutes_buckets),
            deployment_latency: Family::new_with_constructor(minutes_buckets),
            active_deployments: Family::default(),
            workloads: Family::default(),
            workload_state: Family::default(),
            workload_starts: Counter::default(),
            workload_failures: Counter::default(),
            pending_bids: Gauge::default(),
            pending_orders: Gauge::default(),
            bids: Counter::default(),
            bids_submitted: Family::default(),
            bids_won: Gauge::default(),
            bid_calculation: seconds_buckets(),
            resources: (0..4).map(|_| Default::default()).collect(),
            utilization: (0..4).map(|_| Gauge::default()).collect(),
            usage_records: Family::default(),
            metered_cpu: Family::default(),
            lease_operations: Family::new_with_constructor(seconds_buckets),
            status: Family::default(),
            active_leases: Gauge::default(),
            revenue: Family::default(),
            tenant_requests: Family::default(),
            rate_limit_breaches: Counter::default(),
            chain_height: Gauge::default(),
            chain_processed: Gauge::default(),
            alerts: Gauge::default(),
        };
        metrics.register_workloads();
        metrics.register_market();
        metrics.register_resources();
        metrics.register_outside();
        metrics
    }

    fn register_workloads(&mut self) {
        let r = &mut self.registry;
        r.register(
            "virtengine_provider_deployments",
            "Deployments that ended well or not",
            self.deployments.clone(),
        );
        r.register(
            "virtengine_provider_deployment_success",
            "Deployments that became ready",
            self.deployment_successes.clone(),
        );
        r.register(
            "virtengine_provider_deployment_failures",
            "Deployments that failed, by reason",
            self.deployment_failures.clone(),
        );
        r.register(
            "virtengine_provider_deployment_time_seconds",
            "From accepted manifest to ready workload",
            self.deployment_time.clone(),
        );
        r.register(
            "virtengine_provider_deployment_latency_seconds",
            "The same, as the alert rules name it",
            self.deployment_latency.clone(),
        );
        r.register(
            "virtengine_provider_active_deployments",
            "Workloads that hold capacity, by adapter",
            self.active_deployments.clone(),
        );
        r.register(
            "virtengine_provider_workloads",
            "Workloads by state",
            self.workloads.clone(),
        );
        r.register(
            "virtengine_provider_workload_state",
            "Workloads by state, under the other name that dashboards use",
            self.workload_state.clone(),
        );
        r.register(
            "virtengine_provider_workload_starts",
            "Workloads that were started",
            self.workload_starts.clone(),
        );
        r.register(
            "virtengine_provider_workload_failures",
            "Workloads that failed",
            self.workload_failures.clone(),
        );
    }

    fn register_market(&mut self) {
        let r = &mut self.registry;
        r.register(
            "virtengine_provider_bid_engine_pending_bids",
            "Bids that are decided and not on chain",
            self.pending_bids.clone(),
        );
        r.register(
            "provider_daemon_pending_orders",
            "Orders that are not decided",
            self.pending_orders.clone(),
        );
        r.register(
            "virtengine_provider_bids",
            "Bids that were decided",
            self.bids.clone(),
        );
        r.register(
            "virtengine_provider_bids_submitted",
            "Bids by what the chain said",
            self.bids_submitted.clone(),
        );
        r.register(
            "virtengine_provider_bids_won",
            "Bids that became leases",
            self.bids_won.clone(),
        );
        r.register(
            "virtengine_provider_bid_calculation_duration_seconds",
            "From a known order to the decision",
            self.bid_calculation.clone(),
        );
        r.register(
            "virtengine_provider_active_leases",
            "Leases that are served",
            self.active_leases.clone(),
        );
        r.register(
            "virtengine_provider_lease_operation_seconds",
            "Chain and adapter operations of a lease",
            self.lease_operations.clone(),
        );
        r.register(
            "virtengine_provider_usage_records_submitted",
            "Usage records by what the chain said",
            self.usage_records.clone(),
        );
        r.register(
            "virtengine_provider_metered_cpu_seconds",
            "Core-seconds measured, by deployment",
            self.metered_cpu.clone(),
        );
        r.register(
            "virtengine_provider_revenue",
            "Income in the base denomination",
            self.revenue.clone(),
        );
    }

    fn register_resources(&mut self) {
        let names = ["cpu_millicores", "memory_bytes", "storage_bytes", "gpus"];
        for (name, (allocated, capacity)) in names.iter().zip(&self.resources) {
            self.registry.register(
                format!("virtengine_provider_resource_{name}_allocated"),
                "What bids, leases and workloads hold",
                allocated.clone(),
            );
            self.registry.register(
                format!("virtengine_provider_resource_{name}_capacity"),
                "What may be sold",
                capacity.clone(),
            );
        }
        for (name, gauge) in ["cpu", "memory", "storage", "gpu"].iter().zip(&self.utilization) {
            self.registry.register(
                format!("virtengine_provider_{name}_utilization"),
                "Allocated share of what may be sold, 0 to 1",
                gauge.clone(),
            );
        }
    }

    fn register_outside(&mut self) {
        let r = &mut self.registry;
        r.register(
            "virtengine_provider_status",
            "1 for the status that the health page shows, 0 for the others",
            self.status.clone(),
        );
        r.register(
            "virtengine_api_requests",
            "Requests of tenants, by HTTP status",
            self.tenant_requests.clone(),
        );
        r.register(
            "virtengine_security_ratelimit_breaches",
            "Requests refused by a rate limit",
            self.rate_limit_breaches.clone(),
        );
        r.register(
            "virtengine_provider_chain_height",
            "Newest block of the chain",
            self.chain_height.clone(),
        );
        r.register(
            "virtengine_provider_chain_processed_height",
            "Newest block that was worked through",
            self.chain_processed.clone(),
        );
        r.register(
            "virtengine_provider_alerts",
            "Alerts that need attention",
            self.alerts.clone(),
        );
    }

    /// The text that a scrape gets.
    ///
    /// # Errors
    /// The text cannot be written.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// A workload became ready `after` its manifest was accepted.
    pub fn deployment_succeeded(&self, adapter: &str, after: Duration) {
        self.deployments.get_or_create(&label("status", "success")).inc();
        self.deployment_successes.inc();
        let seconds = after.as_secs_f64();
        self.deployment_time
            .get_or_create(&label("adapter", adapter))
            .observe(seconds);
        self.deployment_latency
            .get_or_create(&label("operation", "provision"))
            .observe(seconds);
    }

    /// A workload did not become ready; `reason` is one of a fixed set of words.
    pub fn deployment_failed(&self, reason: &'static str) {
        self.deployments.get_or_create(&label("status", "failed")).inc();
        self.deployment_failures
            .get_or_create(&label("reason", reason))
            .inc();
    }

    /// A workload was asked to start.
    pub fn workload_started(&self) {
        self.workload_starts.inc();
    }

    /// A workload failed.
    pub fn workload_failed(&self) {
        self.workload_failures.inc();
    }

    /// How many workloads are in `state`.
    pub fn set_workloads(&self, state: WorkloadState, count: u64) {
        for family in [&self.workloads, &self.workload_state] {
            family
                .get_or_create(&label("state", state.as_str()))
                .set(whole(count));
        }
    }

    /// How many workloads of `adapter` hold capacity.
    pub fn set_active_deployments(&self, adapter: &str, count: u64) {
        self.active_deployments
            .get_or_create(&label("adapter", adapter))
            .set(whole(count));
    }

    /// A bid was decided, `after` its order was known; `None` when nobody remembers when that was.
    pub fn bid_decided(&self, after: Option<Duration>) {
        self.bids.inc();
        if let Some(after) = after {
            self.bid_calculation.observe(after.as_secs_f64());
        }
    }

    /// The chain answered to a bid; `status` is one of a fixed set of words, e.g. `success`, `rejected`.
    pub fn bid_submitted(&self, status: &'static str) {
        self.bids_submitted.get_or_create(&label("status", status)).inc();
    }

    /// Bids that became leases, since the journal began.
    pub fn set_bids_won(&self, count: u64) {
        self.bids_won.set(whole(count));
    }

    /// Bids that are decided and not on chain.
    pub fn set_pending_bids(&self, count: u64) {
        self.pending_bids.set(whole(count));
    }

    /// Orders that are not decided.
    pub fn set_pending_orders(&self, count: u64) {
        self.pending_orders.set(whole(count));
    }

    /// Leases that are served.
    pub fn set_active_leases(&self, count: u64) {
        self.active_leases.set(whole(count));
    }

    /// What we have and what is taken.
    pub fn set_capacity(&self, capacity: &CapacityView) {
        let pair = |of: fn(&virtengine_provider_core::units::Resources) -> u64| {
            (of(&capacity.reserved), of(&capacity.total))
        };
        let values = [
            pair(|r| r.cpu_millis),
            pair(|r| r.memory_bytes),
            pair(|r| r.storage_bytes),
            pair(|r| r.gpus),
        ];
        let gauges = self.resources.iter().zip(&self.utilization);
        for ((reserved, total), ((allocated, ceiling), share)) in values.into_iter().zip(gauges) {
            allocated.set(whole(reserved));
            ceiling.set(whole(total));
            share.set(if total == 0 { 0.0 } else { ratio(reserved, total) });
        }
    }

    /// The chain (or we) answered to a usage record; `status` is one of a fixed set of words.
    pub fn usage_record(&self, status: &'static str) {
        self.usage_records.get_or_create(&label("status", status)).inc();
    }

    /// CPU that was measured.
    pub fn cpu_metered(&self, deployment: &str, cpu_milli_seconds: u64) {
        self.metered_cpu
            .get_or_create(&label("deployment", deployment))
            .inc_by(ratio(cpu_milli_seconds, 1000));
    }

    /// The deployment is over: its series end.
    pub fn forget_deployment(&self, deployment: &str) {
        self.metered_cpu.remove(&label("deployment", deployment));
    }

    /// An operation of a lease took this long; `operation` is one of a fixed set of words.
    pub fn lease_operation(&self, operation: &'static str, took: Duration) {
        self.lease_operations
            .get_or_create(&label("operation", operation))
            .observe(took.as_secs_f64());
    }

    /// Money came in.
    pub fn earned(&self, coin: &Coin) {
        let amount = u64::try_from(coin.amount).unwrap_or(u64::MAX);
        self.revenue
            .get_or_create(&label("denom", coin.denom.as_str()))
            .inc_by(amount);
    }

    /// What the health page shows.
    pub fn set_status(&self, status: OverallStatus) {
        for each in [
            OverallStatus::Healthy,
            OverallStatus::Degraded,
            OverallStatus::Unhealthy,
        ] {
            self.status
                .get_or_create(&label("status", each.as_str()))
                .set(i64::from(each == status));
        }
    }

    /// The newest block of the chain, and the newest that was worked through.
    pub fn set_chain_heights(&self, newest: u64, processed: u64) {
        self.chain_height.set(whole(newest));
        self.chain_processed.set(whole(processed));
    }

    /// Alerts that need attention.
    pub fn set_alerts(&self, count: u64) {
        self.alerts.set(whole(count));
    }

    /// A tenant's request was answered.
    pub(crate) fn tenant_request(&self, status: u16) {
        self.tenant_requests
            .get_or_create(&label("status", &status.to_string()))
            .inc();
    }

    /// A request was refused by a rate limit.
    pub(crate) fn rate_limited(&self) {
        self.rate_limit_breaches.inc();
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share for a graph; nothing is computed from it"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
