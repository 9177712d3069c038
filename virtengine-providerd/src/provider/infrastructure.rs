//! What the back ends say, and what time does to workloads.

use std::time::Duration;

use virtengine_bid::Command as BidCommand;
use virtengine_bid::reason::HoldReason;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::lifecycle;
use virtengine_provider_core::ports::adapter::{AdapterError, Inventory, Observation, Phase, Retry};
use virtengine_provider_core::{capacity, lease};

use super::agenda::Whose;
use super::effect::EffectId;
use super::follow::Steps;
use super::state::is_gone;

/// Deadlines that one tick carries out; the rest follows with the next one.
const DEADLINES_PER_TICK: usize = 512;
/// How long a back end may show a workload that it says to have removed.
const TERMINATE_AGAIN: Duration = Duration::from_secs(60);

impl Steps<'_> {
    pub(super) fn answered(&mut self, effect: EffectId, id: &WorkloadId, result: Result<(), AdapterError>) {
        self.decision.done.push(effect.clone());
        let Some(tenancy) = self.provider.state.workloads.get(id) else {
            return;
        };
        let Some(wish) = tenancy.machine.errand().map(|errand| errand.wish) else {
            return;
        };
        // The answer to an earlier wish says nothing about the present one.
        if tenancy.effect_id(wish) != effect {
            return;
        }
        match result {
            Ok(()) => self.workload_quietly(id, &lifecycle::Command::Done { wish }),
            Err(error) => {
                let failed = lifecycle::Command::AdapterFailed {
                    wish,
                    message: error.message,
                    retry: error.retry,
                };
                self.workload_quietly(id, &failed);
                self.try_again(id, wish);
            }
        }
    }

    /// Repeats an adapter call while it is still wanted; the life cycle says when it no longer is.
    fn try_again(&mut self, id: &WorkloadId, wish: lifecycle::Wish) {
        let Some(tenancy) = self.provider.state.workloads.get(id) else {
            return;
        };
        if tenancy
            .machine
            .errand()
            .is_some_and(|errand| errand.wish == wish && errand.done.is_none())
        {
            let at = self
                .now
                .plus(self.provider.settings.retries.pause(tenancy.troubles));
            self.carry_out(id, wish, at);
        }
    }

    pub(super) fn observed(&mut self, id: WorkloadId, observation: Observation) {
        if !self.provider.state.workloads.contains_key(&id) {
            return;
        }
        self.workload_quietly(&id, &lifecycle::Command::observed(&observation));
        if is_gone(&observation) {
            self.release_if_gone(&id);
        } else {
            self.terminate_again(&id, &observation);
        }
        self.provider.seen.insert(id, observation);
    }

    /// Removed, said the adapter, and the back end still has it: it is removed again, until it is gone.
    fn terminate_again(&mut self, id: &WorkloadId, seen: &Observation) {
        let wish = lifecycle::Wish::Terminate;
        let errand = self
            .provider
            .state
            .workloads
            .get(id)
            .and_then(|tenancy| tenancy.machine.errand());
        let done = errand
            .filter(|errand| errand.wish == wish)
            .and_then(|errand| errand.done);
        let still_there = done.is_some_and(|done| seen.at >= done.plus(TERMINATE_AGAIN));
        if still_there && seen.phase != Phase::Unknown {
            let message = "the adapter says that it is removed, the back end still has it".to_owned();
            let retry = Retry::Later;
            self.workload_quietly(id, &lifecycle::Command::AdapterFailed { wish, message, retry });
            self.try_again(id, wish);
        }
    }

    pub(super) fn inventory(&mut self, inventory: Inventory) {
        if let Err(refused) = self.capacity(&capacity::Command::Observe(inventory)) {
            tracing::warn!(%refused, "the inventory was not taken");
        }
        self.bid(BidCommand::Release {
            reason: HoldReason::CapacityUnknown,
        });
    }

    pub(super) fn tick(&mut self) {
        self.configure();
        for whose in self.provider.agenda.due(self.now, DEADLINES_PER_TICK) {
            match whose {
                Whose::Lease(id) => self.lease_quietly(&id, lease::Command::Tick),
                Whose::Workload(id) => self.workload_tick(&id),
            }
        }
    }

    /// The operator's capacity may have changed since the last start.
    fn configure(&mut self) {
        let bounds = self.provider.state.ledger.bounds();
        let (ceiling, kept_back) = (self.provider.settings.ceiling, self.provider.settings.kept_back);
        if (bounds.ceiling, bounds.kept_back) != (ceiling, kept_back) {
            // Never refused: the operator says what there is.
            let _ = self.capacity(&capacity::Command::Configure { ceiling, kept_back });
        }
    }

    fn workload_tick(&mut self, id: &WorkloadId) {
        self.workload_quietly(id, &lifecycle::Command::Tick);
        self.meter_tick(id);
        let Some(tenancy) = self.provider.state.workloads.get(id) else {
            return;
        };
        if tenancy.waits_for_redeploy() && tenancy.redeploy_at.is_some_and(|at| at <= self.now) {
            let lease = tenancy.spec.lease.as_ref();
            let live = lease.is_none_or(|id| {
                self.provider
                    .state
                    .leases
                    .get(id)
                    .is_some_and(lease::Lease::is_live)
            });
            self.workload_quietly(id, &lifecycle::Command::Deploy { live });
        }
    }
}
