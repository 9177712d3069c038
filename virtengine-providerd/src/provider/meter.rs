//! The usage of workloads: counters, records, and the money for them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use virtengine_metering::meter::{self, Command, Meter, Recorded, Start};
use virtengine_metering::pricing::PricingInputs;
use virtengine_metering::record::Subject;
use virtengine_metering::settlement::{Action, Books, BooksCommand, Facts, plan};
use virtengine_provider_core::id::{Height, LeaseId, WorkloadId};
use virtengine_provider_core::lifecycle::Wish;
use virtengine_provider_core::ports::adapter::Counters;
use virtengine_provider_core::ports::chain::Message;
use virtengine_provider_core::ports::signer::PublicKey;
use virtengine_provider_core::time::Timestamp;

use super::effect::{Effect, EffectId, Purpose};
use super::event::Event;
use super::fact::Standing;
use super::follow::Steps;

/// Signed records that are remembered per workload, for listings. The journal has all of them.
const RECORDS_MAX: usize = 100;

/// The usage of one workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metered {
    meter: Meter,
    records: VecDeque<Recorded>,
}

impl Metered {
    pub(super) fn evolve(&mut self, event: &meter::Event) {
        self.meter.evolve(event);
        if let meter::Event::RecordSigned(recorded) = event {
            self.records.push_back((**recorded).clone());
            if self.records.len() > RECORDS_MAX {
                self.records.pop_front();
            }
        }
    }

    /// The meter.
    #[must_use]
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The newest signed records, oldest first.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &Recorded> {
        self.records.iter()
    }

    /// Whether it runs.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.meter.is_running()
    }

    /// Whether usage is not recorded yet: the meter runs, or a record waits for its signature.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.meter.is_running() || self.meter.unsigned().next().is_some()
    }

    /// What is to be signed for a record; `None` when it is signed already.
    #[must_use]
    pub fn signing_messages(&self, sequence: u64) -> Option<Vec<Vec<u8>>> {
        let draft = self
            .meter
            .unsigned()
            .find(|draft| draft.record.sequence == sequence)?;
        Some(draft.signing_messages())
    }
}

impl Steps<'_> {
    /// Whether the meter took it.
    fn meter(&mut self, id: &WorkloadId, command: &Command) -> bool {
        let Some(tenancy) = self.provider.state.workloads.get(id) else {
            return false;
        };
        match tenancy
            .metered
            .meter
            .decide(&self.provider.settings.metering, command, self.now)
        {
            Ok(events) => {
                for happened in events {
                    self.happened(Event::Meter {
                        id: id.clone(),
                        happened,
                    });
                }
                true
            }
            Err(rejected) => {
                tracing::warn!(workload = %id, %rejected, "the meter did not take a fact");
                false
            }
        }
    }

    /// Usage is metered from the moment that the back end says "running".
    pub(super) fn start_meter(&mut self, id: &WorkloadId) {
        let Some(tenancy) = self.provider.state.workloads.get(id) else {
            return;
        };
        let settings = &self.provider.settings;
        let Ok(allocated) = tenancy.spec.total() else {
            return;
        };
        let lease = tenancy.spec.lease.clone();
        let pricing = match lease {
            Some(_) => settings.rates.clone(),
            None => PricingInputs::free(settings.rates.denom.clone()),
        };
        let subject = Subject {
            chain_id: settings.chain_id.clone(),
            workload: id.clone(),
            lease,
            provider: settings.provider.clone(),
            provider_label: settings.provider_label.clone(),
        };
        let start = Start {
            subject,
            allocated,
            pricing,
            at: self.now,
            baseline: None,
        };
        if !tenancy.metered.meter.is_closed() {
            self.meter(id, &Command::Start(Box::new(start)));
        }
    }

    pub(super) fn counted(&mut self, id: &WorkloadId, counters: Counters) {
        let running = self
            .provider
            .state
            .workloads
            .get(id)
            .is_some_and(|tenancy| tenancy.metered.is_running());
        if running {
            let _ = self.meter(id, &Command::Sample(counters));
        }
    }

    pub(super) fn meter_tick(&mut self, id: &WorkloadId) {
        let running = self
            .provider
            .state
            .workloads
            .get(id)
            .is_some_and(|tenancy| tenancy.metered.is_running());
        if running {
            let _ = self.meter(id, &Command::Tick);
        }
    }

    /// Before a tear-down: the last counters, the last record, its signature. Then [`Self::metering_finished`].
    pub(super) fn finish_metering(&mut self, id: &WorkloadId) {
        let running = self
            .provider
            .state
            .workloads
            .get(id)
            .is_some_and(|tenancy| tenancy.metered.is_running());
        if running {
            self.plan_final_counters(id, self.now);
        }
        // Otherwise records wait for their signatures, and what asked for those is in the outbox.
    }

    fn plan_final_counters(&mut self, id: &WorkloadId, not_before: Timestamp) {
        let (effect, workload) = (format!("workload/{id}/final-counters"), id.clone());
        self.plan(effect, not_before, Effect::ReadFinalCounters { workload });
    }

    pub(super) fn finally_counted(&mut self, effect: EffectId, id: &WorkloadId, counters: Option<Counters>) {
        self.decision.done.push(effect);
        let running = self
            .provider
            .state
            .workloads
            .get(id)
            .is_some_and(|tenancy| tenancy.metered.is_running());
        if !running {
            return;
        }
        let at = counters.map_or(self.now, |counters| counters.at.min(self.now));
        if let Some(counters) = counters {
            let _ = self.meter(id, &Command::Sample(counters));
        }
        if self.meter(id, &Command::Close { at }) {
            self.metering_finished(id);
        } else {
            // Without a final record nothing is torn down.
            let again = self.now.plus(self.provider.settings.retries.pause_max);
            self.plan_final_counters(id, again);
        }
    }

    pub(super) fn follow_meter(&mut self, id: &WorkloadId, event: &meter::Event) {
        match event {
            // In their order, one after the other: the books take no record before the one that it follows.
            meter::Event::WindowClosed { draft, .. }
                if self.first_unsigned(id) == Some(draft.record.sequence) =>
            {
                self.plan_signature(id, draft.record.sequence, self.now);
            }
            meter::Event::RecordSigned(recorded) => {
                if let Some(lease) = recorded.signed.record.subject.lease.clone() {
                    let command = BooksCommand::Book {
                        signed: &recorded.signed,
                        verdict: &recorded.verdict,
                    };
                    self.book(&lease, &command);
                }
                if let Some(next) = self.first_unsigned(id) {
                    self.plan_signature(id, next, self.now);
                }
                self.metering_finished(id);
            }
            _ => {}
        }
    }

    pub(super) fn record_signed(
        &mut self,
        effect: EffectId,
        id: &WorkloadId,
        sequence: u64,
        key: PublicKey,
        signatures: Vec<Vec<u8>>,
    ) {
        self.decision.done.push(effect);
        let Some(tenancy) = self.provider.state.workloads.get(id) else {
            return;
        };
        if tenancy.metered.signing_messages(sequence).is_none() {
            // Signed before.
            return;
        }
        let signed = Command::Sign {
            sequence,
            key,
            signatures,
        };
        if !self.meter(id, &signed) {
            // The key was exchanged meanwhile, or does not sign properly: usage waits, and is not lost.
            let again = self.now.plus(self.provider.settings.retries.pause_max);
            self.plan_signature(id, sequence, again);
        }
    }

    fn first_unsigned(&self, id: &WorkloadId) -> Option<u64> {
        let meter = self.provider.state.workloads.get(id)?.metered.meter();
        meter.unsigned().next().map(|draft| draft.record.sequence)
    }

    fn plan_signature(&mut self, id: &WorkloadId, sequence: u64, not_before: Timestamp) {
        let (effect, workload) = (format!("record/{id}/{sequence}"), id.clone());
        self.plan(effect, not_before, Effect::SignRecord { workload, sequence });
    }

    /// Once everything is recorded and signed, what waited for it goes on: the tear-down, and the release of the lease.
    fn metering_finished(&mut self, id: &WorkloadId) {
        let Some(tenancy) = self.provider.state.workloads.get(id) else {
            return;
        };
        if tenancy.metered.is_open() {
            return;
        }
        if tenancy
            .machine
            .errand()
            .is_some_and(|errand| errand.wish == Wish::Terminate && errand.done.is_none())
        {
            self.carry_out(id, Wish::Terminate, self.now);
        }
        self.release_if_gone(id);
    }

    fn book(&mut self, id: &LeaseId, command: &BooksCommand<'_>) {
        let fresh = Books::new(id.clone());
        let books = self.provider.state.books.get(id).unwrap_or(&fresh);
        match books.decide(command) {
            Ok(events) => {
                for happened in events {
                    self.happened(Event::Books {
                        id: id.clone(),
                        happened,
                    });
                }
            }
            Err(rejected) => tracing::warn!(lease = %id, %rejected, "the books did not take a fact"),
        }
    }

    pub(super) fn money_landed(
        &mut self,
        id: &LeaseId,
        messages: &[Message],
        response_ids: &[String],
        height: Height,
    ) {
        self.book(
            id,
            &BooksCommand::Landed {
                messages,
                response_ids,
                height,
            },
        );
    }

    /// What stands on chain about a lease's money: what it says is booked, then what is wanted next is sent.
    pub(super) fn settlement(&mut self, standing: &Standing) {
        let id = standing.lease.id.clone();
        if !self.provider.state.leases.contains_key(&id) {
            return;
        }
        self.book(
            &id,
            &BooksCommand::Observe {
                usage: &standing.usage,
            },
        );
        let fresh = Books::new(id.clone());
        let state = &self.provider.state;
        let books = state.books.get(&id).unwrap_or(&fresh);
        let pending = self.provider.pending_txs();
        let in_flight: Vec<Message> = pending.flat_map(|tx| tx.messages.clone()).collect();
        let neighbours = state
            .books
            .iter()
            .filter(|(other, _)| other.deployment() == id.deployment());
        let facts = Facts {
            now: self.now,
            head: state.height.max(standing.as_of),
            as_of: standing.as_of,
            lease: &standing.lease,
            payment_open: standing.payment_open,
            account_touched: neighbours.filter_map(|(_, books)| books.withdrawn()).max(),
            escrows: &standing.escrows,
            usage: &standing.usage,
            in_flight: &in_flight,
        };
        let wanted = plan(books, &self.provider.settings.settlement, &facts);
        for note in &wanted.notes {
            tracing::debug!(lease = %id, ?note, "settlement");
        }
        for action in wanted.actions {
            let messages = action.messages().to_vec();
            let lease = id.clone();
            let purpose = match action {
                Action::Activate(_) => Purpose::Activate { lease },
                Action::RecordUsage(_) => Purpose::RecordUsage { lease },
                Action::Settle(_) => Purpose::Settle { lease },
                Action::Withdraw(_) => Purpose::Withdraw { lease },
            };
            self.plan_tx(purpose, messages, self.now);
        }
        if !standing.payment_open
            && !self
                .provider
                .state
                .leases
                .get(&id)
                .is_some_and(virtengine_provider_core::lease::Lease::is_live)
        {
            self.provider.streams_ended.insert(id);
        }
    }
}
