//! What the back ends say, and what time does to workloads.

use virtengine_bid::Command as BidCommand;
use virtengine_bid::reason::HoldReason;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::lifecycle::{self, Goal, WorkloadState};
use virtengine_provider_core::ports::adapter::{AdapterError, Inventory, Observation, Retry};
use virtengine_provider_core::{capacity, lease};

use super::effect::EffectId;
use super::follow::Steps;
use super::state::is_gone;

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
                let never = error.retry == Retry::Never;
                let failed = lifecycle::Command::AdapterFailed {
                    wish,
                    message: error.message,
                    retry: error.retry,
                };
                self.workload_quietly(id, &failed);
                if !never {
                    self.try_again(id, wish);
                }
            }
        }
    }

    /// Repeats an adapter call that may work later; the life cycle's deadline ends that.
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
        }
        self.provider.seen.insert(id, observation);
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
        if self.provider.state.ledger.bounds().observed.is_none() {
            // Nothing is promised before the back ends have said what there is.
            self.bid(BidCommand::Hold {
                reason: HoldReason::CapacityUnknown,
                until: None,
            });
        }
        let now = self.now;
        let due = |deadline: Option<virtengine_provider_core::time::Timestamp>| {
            deadline.is_some_and(|at| at <= now)
        };
        let leases = self
            .provider
            .state
            .leases
            .values()
            .filter(|lease| due(lease.next_deadline()));
        for id in leases.map(|lease| lease.id.clone()).collect::<Vec<_>>() {
            self.lease_quietly(&id, lease::Command::Tick);
        }
        let workloads = self.provider.state.workloads.iter();
        let ripe = workloads.filter(|(_, t)| {
            due(t.machine.next_deadline()) || due(t.redeploy_at) || due(t.metered.next_deadline())
        });
        for id in ripe.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.workload_tick(&id);
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
        let failed =
            tenancy.machine.state() == WorkloadState::Failed && tenancy.machine.goal() != Goal::Terminate;
        if failed && tenancy.redeploy_at.is_some_and(|at| at <= self.now) {
            let lease = tenancy.spec.lease.as_ref();
            let live = lease.is_none_or(|id| {
                self.provider
                    .state
                    .leases
                    .get(id)
                    .is_some_and(|lease| lease.is_live())
            });
            self.workload_quietly(id, &lifecycle::Command::Deploy { live });
        }
    }
}
