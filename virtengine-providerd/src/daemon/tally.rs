//! Counts what happens, for the metrics.

use std::collections::BTreeMap;
use std::sync::Mutex;

use virtengine_gateway::metrics::Metrics;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::lifecycle::{self, WorkloadState};
use virtengine_provider_core::ports::chain::TxOutcome;
use virtengine_provider_core::time::Timestamp;

use crate::provider::{EffectId, Event, Purpose};

/// Counts events; remembers only what is under way.
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
                }
            }
            _ => {}
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
