//! Counts what happens, for the metrics.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use virtengine_gateway::metrics::Metrics;
use virtengine_metering::record::RecordKind;
use virtengine_provider_core::id::{DeploymentId, OrderId, WorkloadId};
use virtengine_provider_core::lifecycle::{self, WorkloadState};
use virtengine_provider_core::ports::chain::TxOutcome;
use virtengine_provider_core::time::Timestamp;

use crate::provider::{EffectId, Event, Purpose};

/// Deployments whose final record is signed and whose series are still shown, so that the last usage is scraped. Older ones
/// are forgotten: their number must not grow with the age of the daemon.
const ENDED_SHOWN: usize = 1000;

/// Counts events; remembers only what is under way, and a few that have just ended.
#[derive(Debug)]
pub(super) struct Tally {
    metrics: std::sync::Arc<Metrics>,
    adapter: String,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    deploying: BTreeMap<WorkloadId, Timestamp>,
    txs: BTreeMap<EffectId, (Purpose, Timestamp)>,
    /// Orders that are not decided, and since when they are known.
    orders: BTreeMap<OrderId, Timestamp>,
    ended: VecDeque<DeploymentId>,
}

impl Tally {
    pub(super) fn new(metrics: std::sync::Arc<Metrics>, adapter: String) -> Self {
        Self {
            metrics,
            adapter,
            open: Mutex::default(),
        }
    }

    /// Counts one event that is durable.
    pub(super) fn count(&self, event: &Event, at: Timestamp) {
        let mut open = self
            .open
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            Event::Workload {
                id,
                happened: lifecycle::Event::WorkloadMoved { to, cause, .. },
            } => {
                self.workload(&mut open, id, *to, cause, at);
            }
            Event::TxWanted { effect, purpose, .. } => {
                open.txs.insert(effect.clone(), (purpose.clone(), at));
            }
            Event::TxSettled { effect, outcome, .. } => {
                if let Some((purpose, since)) = open.txs.remove(effect) {
                    self.tx(&purpose, outcome, at, since);
                }
            }
            Event::Meter {
                happened: virtengine_metering::meter::Event::RecordSigned(recorded),
                ..
            } => {
                let record = &recorded.signed.record;
                if let Some(deployment) = &record.deployment {
                    let cpu = u64::try_from(record.metrics.cpu_milli_seconds).unwrap_or(u64::MAX);
                    self.metrics.cpu_metered(&deployment.to_string(), cpu);
                    self.deployment(&mut open, deployment, record.kind);
                }
            }
            Event::Bid { happened } => self.bid(&mut open, happened),
            _ => {}
        }
    }

    fn bid(&self, open: &mut Open, happened: &virtengine_bid::Event) {
        match happened {
            virtengine_bid::Event::OrderSeen { order, at, .. } => {
                open.orders.insert(order.id.clone(), *at);
            }
            virtengine_bid::Event::BidDecided { order, at, .. } => {
                // Not known for orders that were seen before this start.
                let after = open.orders.remove(order).map(|seen| at.since(seen));
                self.metrics.bid_decided(after);
            }
            virtengine_bid::Event::OrderDeclined { order, .. }
            | virtengine_bid::Event::OrderExpired { order, .. } => {
                open.orders.remove(order);
            }
            _ => {}
        }
    }

    fn deployment(&self, open: &mut Open, deployment: &DeploymentId, kind: RecordKind) {
        if kind != RecordKind::Final {
            // Another lease of it goes on.
            open.ended.retain(|ended| ended != deployment);
            return;
        }
        open.ended.push_back(deployment.clone());
        if open.ended.len() > ENDED_SHOWN
            && let Some(oldest) = open.ended.pop_front()
        {
            self.metrics.forget_deployment(&oldest.to_string());
        }
    }

    fn workload(
        &self,
        open: &mut Open,
        id: &WorkloadId,
        to: WorkloadState,
        cause: &lifecycle::Cause,
        at: Timestamp,
    ) {
        match to {
            WorkloadState::Deploying => {
                open.deploying.insert(id.clone(), at);
            }
            WorkloadState::Running => {
                if let Some(since) = open.deploying.remove(id) {
                    self.metrics.deployment_succeeded(&self.adapter, at.since(since));
                    self.metrics.workload_started();
                }
            }
            WorkloadState::Failed => {
                self.metrics.workload_failed();
                if open.deploying.remove(id).is_some() {
                    self.metrics.deployment_failed(reason(cause));
                }
            }
            // Torn down before it ran.
            WorkloadState::Terminated => {
                open.deploying.remove(id);
            }
            _ => {}
        }
    }

    fn tx(&self, purpose: &Purpose, outcome: &TxOutcome, at: Timestamp, since: Timestamp) {
        let status = if matches!(outcome, TxOutcome::Landed { .. }) {
            "success"
        } else {
            "failed"
        };
        match purpose {
            Purpose::Bid { .. } => self.metrics.bid_submitted(status),
            Purpose::RecordUsage { .. } => self.metrics.usage_record(status),
            _ => {}
        }
        self.metrics.lease_operation(purpose.name(), at.since(since));
    }
}

const fn reason(cause: &lifecycle::Cause) -> &'static str {
    match cause {
        lifecycle::Cause::Refused { .. } => "refused",
        lifecycle::Cause::Overdue { .. } => "overdue",
        lifecycle::Cause::Broken { .. } => "broken",
        lifecycle::Cause::NoManifest => "no_manifest",
        lifecycle::Cause::Undeployable { .. } => "undeployable",
        _ => "other",
    }
}
