//! What follows from what happened: which other machine hears of it, and which effect is wanted.

use virtengine_bid::Command as BidCommand;
use virtengine_bid::reason::HoldReason;
use virtengine_provider_core::capacity::{self, ReservationKey};
use virtengine_provider_core::id::{LeaseId, WorkloadId};
use virtengine_provider_core::lease;
use virtengine_provider_core::lifecycle::{self, Cause, Decision as Verdict, Goal, WorkloadState};
use virtengine_provider_core::market::CloseReason;
use virtengine_provider_core::ports::chain::Message;
use virtengine_provider_core::time::Timestamp;

use super::effect::{Effect, EffectId, Operation, Planned, Purpose};
use super::event::Event;
use super::fact::Fact;
use super::state::Provider;
use super::{Decision, Refused};

/// Decisions about orders that one fact may lead to; the rest follows with the next tick.
const ORDERS_PER_FACT: usize = 512;

/// One decision in the making.
pub(super) struct Steps<'a> {
    pub(super) provider: &'a mut Provider,
    pub(super) now: Timestamp,
    pub(super) decision: Decision,
}

impl Provider {
    /// Decides what follows from `fact` at `now`, and applies it.
    ///
    /// # Errors
    /// [`Refused`]; nothing changed.
    pub fn decide(&mut self, fact: Fact, now: Timestamp) -> Result<Decision, Refused> {
        let mut steps = Steps {
            provider: self,
            now,
            decision: Decision::default(),
        };
        let taken = steps.route(fact);
        debug_assert!(
            taken.is_ok() || steps.decision.events.is_empty(),
            "a refusal changes nothing"
        );
        taken?;
        steps.settle_orders();
        Ok(steps.decision)
    }
}

impl Steps<'_> {
    fn route(&mut self, fact: Fact) -> Result<(), Refused> {
        match fact {
            Fact::Block {
                block,
                orders,
                leases,
            } => self.block(&block, orders, leases),
            Fact::Compared(comparison) => self.compared(*comparison),
            Fact::TxSigned { effect, tx } => self.tx_signed(effect, tx),
            Fact::TxSettled { effect, outcome } => self.tx_settled(effect, outcome),
            Fact::Manifest { lease, manifest } => return self.manifest(&lease, &manifest),
            Fact::Answered {
                effect,
                workload,
                result,
            } => self.answered(effect, &workload, result),
            Fact::Observed {
                workload,
                observation,
            } => self.observed(workload, observation),
            Fact::Counted { workload, counters } => self.counted(&workload, counters),
            Fact::FinallyCounted {
                effect,
                workload,
                counters,
            } => self.finally_counted(effect, &workload, counters),
            Fact::Inventory(inventory) => self.inventory(inventory),
            Fact::RecordSigned {
                effect,
                workload,
                sequence,
                key,
                signatures,
            } => {
                self.record_signed(effect, &workload, sequence, key, signatures);
            }
            Fact::Settlement(standing) => self.settlement(&standing),
            Fact::Operator(wish) => return self.wish(wish),
            Fact::Tick => self.tick(),
        }
        Ok(())
    }

    /// Applies an event, remembers it, and follows it up.
    pub(super) fn happened(&mut self, event: Event) {
        let call = self.call_under_way(&event);
        self.provider.evolve(&event);
        self.decision.events.push(event.clone());
        if let Some(call) = call {
            self.drop_if_over(call);
        }
        match event {
            Event::Bid { happened } => self.follow_bid(&happened),
            Event::Lease { happened } => self.follow_lease(&happened),
            Event::Workload { id, happened } => self.follow_workload(&id, &happened),
            Event::Meter { id, happened } => self.follow_meter(&id, &happened),
            _ => {}
        }
    }

    /// The adapter call that a workload waits for, before something happens to it: whose, which wish of it, which effect.
    fn call_under_way(&self, event: &Event) -> Option<(WorkloadId, u32, EffectId)> {
        let Event::Workload { id, .. } = event else {
            return None;
        };
        let tenancy = self.provider.state.workloads.get(id)?;
        let errand = tenancy.machine.errand().filter(|errand| errand.done.is_none())?;
        Some((id.clone(), tenancy.wishes, tenancy.effect_id(errand.wish)))
    }

    /// A call that nobody waits for any more is not made: a workload whose lease has ended is not deployed before it is removed.
    fn drop_if_over(&mut self, (id, number, effect): (WorkloadId, u32, EffectId)) {
        let tenancy = self.provider.state.workloads.get(&id);
        if tenancy.is_none_or(|tenancy| tenancy.wishes != number || tenancy.machine.errand().is_none()) {
            self.decision.effects.retain(|planned| planned.id != effect);
            self.decision.done.push(effect);
        }
    }

    pub(super) fn bid(&mut self, command: BidCommand) {
        let state = &self.provider.state;
        match self
            .provider
            .bidder
            .decide(&state.book, &state.ledger, command, self.now)
        {
            Ok(events) => events
                .into_iter()
                .for_each(|happened| self.happened(Event::Bid { happened })),
            // A bid or lease that the book does not know: the next comparison with the chain adopts it.
            Err(rejected) => tracing::debug!(%rejected, "the bidder did not take a fact"),
        }
    }

    pub(super) fn lease(&mut self, id: &LeaseId, command: lease::Command) -> Result<bool, Refused> {
        let events = lease::decide(self.provider.state.leases.get(id), command, self.now)?;
        let any = !events.is_empty();
        events
            .into_iter()
            .for_each(|happened| self.happened(Event::Lease { happened }));
        Ok(any)
    }

    /// A lease command that cannot be refused in a way that anybody must hear of.
    pub(super) fn lease_quietly(&mut self, id: &LeaseId, command: lease::Command) {
        if let Err(refused) = self.lease(id, command) {
            tracing::debug!(lease = %id, %refused, "a lease did not take a fact");
        }
    }

    pub(super) fn workload(
        &mut self,
        id: &WorkloadId,
        command: &lifecycle::Command,
    ) -> Result<bool, Refused> {
        let tenancy = self.provider.state.workloads.get(id).ok_or(Refused::NoWorkload)?;
        match tenancy
            .machine
            .decide(command, &self.provider.settings.deadlines, self.now)
        {
            Verdict::Ignored => Ok(false),
            Verdict::Denied(denied) => Err(denied.into()),
            Verdict::Accepted(events) => {
                let id = id.clone();
                events.into_iter().for_each(|happened| {
                    self.happened(Event::Workload {
                        id: id.clone(),
                        happened,
                    });
                });
                Ok(true)
            }
        }
    }

    pub(super) fn workload_quietly(&mut self, id: &WorkloadId, command: &lifecycle::Command) {
        if let Err(refused) = self.workload(id, command) {
            tracing::debug!(workload = %id, %refused, "a workload did not take a fact");
        }
    }

    pub(super) fn capacity(&mut self, command: &capacity::Command) -> Result<(), Refused> {
        let events = self.provider.state.ledger.decide(command, self.now)?;
        events
            .into_iter()
            .for_each(|happened| self.happened(Event::Capacity { happened }));
        Ok(())
    }

    pub(super) fn plan(&mut self, id: EffectId, not_before: Timestamp, effect: Effect) {
        self.decision.effects.push(Planned {
            id,
            not_before,
            effect,
        });
    }

    /// Wants a transaction; each has a name of its own, so a repetition is another one.
    pub(super) fn plan_tx(&mut self, purpose: Purpose, messages: Vec<Message>, not_before: Timestamp) {
        let effect = format!("tx/{}/{}", self.provider.state.tx_count, purpose.name());
        let wanted = Event::TxWanted {
            effect: effect.clone(),
            purpose: purpose.clone(),
            messages: messages.clone(),
            at: self.now,
        };
        self.happened(wanted);
        self.plan(effect, not_before, Effect::SendTx { purpose, messages });
    }

    /// Whether a transaction for this is on its way already.
    pub(super) fn is_under_way(&self, purpose: &Purpose) -> bool {
        self.provider.pending_txs().any(|tx| tx.purpose == *purpose)
    }

    /// Lets the bidder decide what is due.
    fn settle_orders(&mut self) {
        if self.provider.state.ledger.bounds().observed.is_none() {
            // Nothing is promised before the back ends have said what there is.
            self.bid(BidCommand::Hold {
                reason: HoldReason::CapacityUnknown,
                until: None,
            });
        }
        let Provider { bidder, state, .. } = &mut *self.provider;
        let events = bidder.settle(&mut state.book, &mut state.ledger, self.now, ORDERS_PER_FACT);
        for happened in events {
            // Applied already by the bidder.
            self.decision.events.push(Event::Bid {
                happened: happened.clone(),
            });
            self.follow_bid(&happened);
        }
    }

    fn follow_bid(&mut self, event: &virtengine_bid::Event) {
        use virtengine_bid::Event as Happened;
        if let Happened::BidWon { order, .. } | Happened::LeaseAdopted { order, .. } = event {
            let bid = self.provider.bidder.id(order);
            self.keep_lease(&bid);
        }
        let Some(message) = self.provider.bidder.message(event) else {
            return;
        };
        let purpose = match event {
            Happened::BidDecided { order, sending, .. } | Happened::BidResent { order, sending, .. } => {
                Purpose::Bid {
                    order: order.clone(),
                    sending: *sending,
                }
            }
            Happened::BidCloseWanted { order, .. } => Purpose::CloseBid {
                bid: self.provider.bidder.id(order),
            },
            _ => return,
        };
        // A chain that does not answer is not asked more and more.
        if matches!(purpose, Purpose::CloseBid { .. }) && self.is_under_way(&purpose) {
            return;
        }
        let now = self.now;
        self.plan_tx(purpose, vec![message], now);
    }

    fn follow_lease(&mut self, event: &lease::Event) {
        match event {
            lease::Event::LeaseCloseWanted { id, reason, .. } => self.plan_close(id, *reason, self.now),
            lease::Event::LeaseClosed { id, .. } => {
                let workload = WorkloadId::of_lease(id);
                if self.provider.state.workloads.contains_key(&workload) {
                    self.workload_quietly(&workload, &lifecycle::Command::LeaseEnded);
                    self.release_if_gone(&workload);
                } else {
                    self.lease_quietly(&id.clone(), lease::Command::Released);
                }
            }
            lease::Event::LeaseFinished { id, .. } => {
                let key = ReservationKey::Order(id.order.clone());
                // Freed already when the lease was never reserved here.
                let _ = self.capacity(&capacity::Command::Free { key });
            }
            lease::Event::LeaseStarted { .. }
            | lease::Event::ManifestHashChanged { .. }
            | lease::Event::ManifestAccepted { .. } => {}
        }
    }

    pub(super) fn plan_close(&mut self, id: &LeaseId, reason: CloseReason, not_before: Timestamp) {
        let message = Message::CloseBid {
            id: id.clone(),
            reason,
        };
        let purpose = Purpose::CloseLease { lease: id.clone() };
        if !self.is_under_way(&purpose) {
            self.plan_tx(purpose, vec![message], not_before);
        }
    }

    fn follow_workload(&mut self, id: &WorkloadId, event: &lifecycle::Event) {
        match event {
            lifecycle::Event::WorkloadWished { wish, .. } => self.carry_out(id, *wish, self.now),
            lifecycle::Event::WorkloadMoved {
                to: WorkloadState::Running,
                ..
            } => self.start_meter(id),
            lifecycle::Event::WorkloadMoved {
                to: WorkloadState::Terminated,
                ..
            } => self.release_if_gone(id),
            lifecycle::Event::WorkloadMoved {
                to: WorkloadState::Failed,
                cause,
                ..
            } => self.failed(id, cause),
            _ => {}
        }
    }

    /// Plans the adapter call of a wish. Nothing is torn down before its last usage is recorded and signed.
    pub(super) fn carry_out(&mut self, id: &WorkloadId, wish: lifecycle::Wish, not_before: Timestamp) {
        let Some(tenancy) = self.provider.state.workloads.get(id) else {
            return;
        };
        if wish == lifecycle::Wish::Terminate && tenancy.metered.is_open() {
            self.finish_metering(id);
            return;
        }
        let operation = match wish {
            lifecycle::Wish::Deploy => Operation::Deploy {
                spec: Box::new(tenancy.spec.clone()),
            },
            lifecycle::Wish::Pause => Operation::Pause,
            lifecycle::Wish::Resume => Operation::Resume,
            lifecycle::Wish::Stop => Operation::Stop,
            lifecycle::Wish::Terminate => Operation::Terminate,
        };
        let (effect, workload) = (tenancy.effect_id(wish), id.clone());
        self.plan(effect, not_before, Effect::Infrastructure { workload, operation });
    }

    /// Deploys a failed workload again, or gives its lease up when that has been tried often enough or cannot help.
    fn failed(&mut self, id: &WorkloadId, cause: &Cause) {
        let Some(tenancy) = self.provider.state.workloads.get(id) else {
            return;
        };
        if tenancy.machine.goal() == Goal::Terminate {
            return;
        }
        let retries = &self.provider.settings.retries;
        let hopeless = matches!(cause, Cause::Refused { .. } | Cause::Undeployable { .. });
        if hopeless || tenancy.redeploys >= retries.redeploys {
            if let Some(lease) = tenancy.spec.lease.clone() {
                self.lease_quietly(
                    &lease,
                    lease::Command::GiveUp {
                        reason: CloseReason::Unstable,
                    },
                );
            }
            return;
        }
        let at = self.now.plus(retries.pause(tenancy.redeploys.saturating_add(1)));
        self.happened(Event::RedeployPlanned { id: id.clone(), at });
    }

    /// When a workload is gone its lease is released and its capacity freed.
    pub(super) fn release_if_gone(&mut self, id: &WorkloadId) {
        let Some(tenancy) = self.provider.state.workloads.get(id) else {
            return;
        };
        if tenancy.machine.state() != WorkloadState::Terminated || tenancy.metered.is_open() {
            return;
        }
        match tenancy.spec.lease.clone() {
            Some(lease) => self.lease_quietly(&lease, lease::Command::Released),
            None => {
                let key = tenancy.reservation();
                // Freed already after a replay.
                let _ = self.capacity(&capacity::Command::Free { key });
            }
        }
    }
}
