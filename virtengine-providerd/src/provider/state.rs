//! What the provider knows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtengine_bid::strategy::{CostPlus, Strategy};
use virtengine_bid::{Bidder, Book, PolicyError};
use virtengine_metering::settlement::Books;
use virtengine_provider_core::capacity::{Ledger, ReservationKey};
use virtengine_provider_core::id::{Height, LeaseId, WorkloadId};
use virtengine_provider_core::lease::{self, Lease};
use virtengine_provider_core::lifecycle::{self, Workload};
use virtengine_provider_core::ports::adapter::{Observation, Phase};
use virtengine_provider_core::ports::chain::{Message, SignedTx, TxOutcome};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::workload::WorkloadSpec;

use super::agenda::{Agenda, Whose};
use super::effect::{EffectId, Purpose};
use super::event::Event;
use super::meter::Metered;
use super::settings::Settings;

/// Settled transactions that are remembered, for listings.
const SETTLED_MAX: usize = 1000;
/// Finished leases and gone workloads that are remembered, for listings.
const ENDED_MAX: usize = 1000;
/// A workload that ran for so long is a sound one: what failed before is forgiven.
const SOUND_AFTER: Duration = Duration::from_secs(600);

/// The whole provider: what the operator decided and what has happened since.
#[derive(Debug)]
pub struct Provider {
    pub(super) settings: Settings,
    pub(super) bidder: Bidder,
    pub(super) state: State,
    /// What the back ends said last. Not kept: it is asked again after a start.
    pub(super) seen: BTreeMap<WorkloadId, Observation>,
    /// Leases that are over and whose payment stream was seen closed. Not kept: asked once more after a start.
    pub(super) streams_ended: BTreeSet<LeaseId>,
    /// Deadlines. Derived from the state.
    pub(super) agenda: Agenda,
    /// Transactions that are not settled. Derived from the state.
    pub(super) pending: BTreeSet<EffectId>,
    /// Whether the settings have changed since declined orders were looked at. Not kept: a start looks at nothing anew.
    pub(super) reconsider: bool,
}

/// What has happened, as it is kept in a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) height: Height,
    pub(super) ledger: Ledger,
    pub(super) book: Book,
    pub(super) leases: BTreeMap<LeaseId, Lease>,
    pub(super) workloads: BTreeMap<WorkloadId, Tenancy>,
    pub(super) txs: BTreeMap<EffectId, Transaction>,
    /// Transactions wanted so far: numbers them, so that each has a name of its own.
    pub(super) tx_count: u64,
    /// What of each lease's usage is not yet paid.
    pub(super) books: BTreeMap<LeaseId, Books>,
}

/// A workload and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenancy {
    /// What is run.
    pub spec: WorkloadSpec,
    /// Where it is in its life.
    pub machine: Workload,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When something happened to it last.
    pub updated_at: Timestamp,
    /// Wishes so far: numbers them, so that each adapter call has a name of its own.
    #[serde(default)]
    pub wishes: u32,
    /// How often the present wish was carried out in vain.
    pub troubles: u32,
    /// How often it was deployed again after a failure.
    pub redeploys: u32,
    /// When it is deployed again after a failure.
    pub redeploy_at: Option<Timestamp>,
    /// Its usage.
    pub metered: Metered,
}

impl Tenancy {
    /// The effect that carries out the present wish; attempts of one wish have names of their own.
    #[must_use]
    pub fn effect_id(&self, wish: lifecycle::Wish) -> EffectId {
        format!(
            "workload/{}/{}/{wish}/{}",
            self.spec.id, self.wishes, self.troubles
        )
    }

    /// What its reservation is kept under.
    #[must_use]
    pub fn reservation(&self) -> ReservationKey {
        match &self.spec.lease {
            Some(lease) => ReservationKey::Order(lease.order.clone()),
            None => ReservationKey::Workload(self.spec.id.clone()),
        }
    }
}

/// A transaction of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// What it is for.
    pub purpose: Purpose,
    /// What it says; empty once it is settled.
    pub messages: Vec<Message>,
    /// When it was wanted.
    pub wanted_at: Timestamp,
    /// Its place among all transactions.
    pub number: u64,
    /// Once it is signed.
    pub signed: Option<SignedTx>,
    /// Once it is settled.
    pub outcome: Option<TxOutcome>,
}

impl Provider {
    /// A provider that has not seen anything.
    ///
    /// # Errors
    /// The policy cannot be used, e.g. a limit of zero.
    pub fn new(settings: Settings) -> Result<Self, PolicyError> {
        Self::with_strategy(settings, Box::new(CostPlus::default()))
    }

    /// The same with a pricing strategy of the caller's.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_strategy(settings: Settings, strategy: Box<dyn Strategy>) -> Result<Self, PolicyError> {
        let bidder = Bidder::new(settings.policy.clone(), strategy)?;
        let state = State {
            ledger: Ledger::new(settings.ceiling, settings.kept_back),
            ..State::default()
        };
        Ok(Self {
            settings,
            bidder,
            state,
            seen: BTreeMap::new(),
            streams_ended: BTreeSet::new(),
            agenda: Agenda::default(),
            pending: BTreeSet::new(),
            reconsider: false,
        })
    }

    /// The state as a snapshot.
    ///
    /// # Errors
    /// The state cannot be written as JSON, which no state of ours is.
    pub fn snapshot(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&self.state)
    }

    /// Takes the state of a snapshot.
    ///
    /// # Errors
    /// It is not a snapshot of this version.
    pub fn restore(&mut self, snapshot: &[u8]) -> serde_json::Result<()> {
        self.state = serde_json::from_slice(snapshot)?;
        self.index();
        Ok(())
    }

    /// Decides by other settings from now on, with the built-in price strategy. Orders that were declined are looked at again
    /// with the next comparison.
    ///
    /// # Errors
    /// The policy cannot be used; nothing changed.
    pub fn reconfigure(&mut self, settings: Settings) -> Result<(), PolicyError> {
        self.bidder = Bidder::new(settings.policy.clone(), Box::new(CostPlus::default()))?;
        self.settings = settings;
        self.reconsider = true;
        self.index();
        Ok(())
    }

    /// Makes the indexes anew from the state.
    fn index(&mut self) {
        self.agenda = Agenda::default();
        for id in self.state.leases.keys().cloned().collect::<Vec<_>>() {
            self.note_deadline(&Whose::Lease(id));
        }
        for id in self.state.workloads.keys().cloned().collect::<Vec<_>>() {
            self.note_deadline(&Whose::Workload(id));
        }
        let unsettled = self.state.txs.iter().filter(|(_, tx)| tx.outcome.is_none());
        self.pending = unsettled.map(|(effect, _)| effect.clone()).collect();
    }

    /// Takes the height up to which the chain has been read: it is kept beside the events, because most blocks have none.
    pub fn restore_cursor(&mut self, height: u64) {
        self.state.height = self.state.height.max(Height(height));
    }

    /// Applies what happened. Nothing else changes the state.
    pub fn evolve(&mut self, event: &Event) {
        let state = &mut self.state;
        match event {
            Event::Bid { happened } => virtengine_bid::evolve(&mut state.book, &mut state.ledger, happened),
            Event::Capacity { happened } => state.ledger.evolve(happened),
            Event::Lease { happened } => self.evolve_lease(happened),
            Event::WorkloadAccepted { .. }
            | Event::Workload { .. }
            | Event::RedeployPlanned { .. }
            | Event::Meter { .. } => self.evolve_workload(event),
            Event::TxWanted {
                effect,
                purpose,
                messages,
                at,
            } => {
                state.wanted(effect, purpose, messages, *at);
                self.pending.insert(effect.clone());
            }
            Event::TxSigned { effect, tx, .. } => {
                if let Some(known) = state.txs.get_mut(effect) {
                    known.signed = Some(tx.clone());
                }
            }
            Event::TxSettled { effect, outcome, .. } => {
                state.settled(effect, outcome);
                self.pending.remove(effect);
            }
            Event::Books { id, happened } => {
                state
                    .books
                    .entry(id.clone())
                    .or_insert_with(|| Books::new(id.clone()))
                    .evolve(happened);
            }
        }
    }
}

impl Provider {
    fn evolve_lease(&mut self, event: &lease::Event) {
        self.state.lease(event);
        self.note_deadline(&Whose::Lease(event.id().clone()));
        if matches!(
            event,
            lease::Event::LeaseStarted { .. } | lease::Event::LeaseFinished { .. }
        ) && let Some(id) = self.state.lease_to_forget()
        {
            self.forget_workload(&WorkloadId::of_lease(&id));
            self.state.leases.remove(&id);
            self.state.books.remove(&id);
            self.streams_ended.remove(&id);
            self.note_deadline(&Whose::Lease(id));
        }
    }

    fn evolve_workload(&mut self, event: &Event) {
        let id = match event {
            Event::WorkloadAccepted { spec, at } => {
                self.state.accepted(spec, *at);
                &spec.id
            }
            Event::Workload { id, happened } => {
                self.state.workload(id, happened);
                id
            }
            Event::RedeployPlanned { id, at } => {
                if let Some(tenancy) = self.state.workloads.get_mut(id) {
                    tenancy.redeploy_at = Some(*at);
                    tenancy.redeploys = tenancy.redeploys.saturating_add(1);
                }
                id
            }
            Event::Meter { id, happened } => {
                if let Some(tenancy) = self.state.workloads.get_mut(id) {
                    tenancy.metered.evolve(happened);
                }
                id
            }
            _ => return,
        };
        self.note_deadline(&Whose::Workload(id.clone()));
        let gone = matches!(event, Event::Workload { happened: lifecycle::Event::WorkloadMoved { to, .. }, .. } if *to == lifecycle::WorkloadState::Terminated);
        if gone && let Some(id) = self.state.own_workload_to_forget() {
            self.forget_workload(&id);
        }
    }

    fn forget_workload(&mut self, id: &WorkloadId) {
        self.state.workloads.remove(id);
        self.seen.remove(id);
        self.note_deadline(&Whose::Workload(id.clone()));
    }

    fn note_deadline(&mut self, whose: &Whose) {
        let at = match whose {
            Whose::Lease(id) => self.state.leases.get(id).and_then(Lease::next_deadline),
            Whose::Workload(id) => {
                let tenancy = self.state.workloads.get(id);
                tenancy.and_then(|tenancy| tenancy.next_deadline(&self.settings))
            }
        };
        self.agenda.set(whose, at);
    }

    /// Transactions that are not settled.
    pub(super) fn pending_txs(&self) -> impl Iterator<Item = &Transaction> {
        self.pending
            .iter()
            .filter_map(|effect| self.state.txs.get(effect))
    }
}

impl State {
    fn lease(&mut self, event: &lease::Event) {
        match self.leases.get_mut(event.id()) {
            Some(lease) => lease.evolve(event),
            None => {
                if let Some(lease) = Lease::begin(event) {
                    self.leases.insert(lease.id.clone(), lease);
                }
            }
        }
    }

    fn wanted(&mut self, effect: &EffectId, purpose: &Purpose, messages: &[Message], at: Timestamp) {
        let number = self.tx_count;
        self.tx_count = number.saturating_add(1);
        let tx = Transaction {
            purpose: purpose.clone(),
            messages: messages.to_vec(),
            wanted_at: at,
            number,
            signed: None,
            outcome: None,
        };
        self.txs.insert(effect.clone(), tx);
    }

    fn accepted(&mut self, spec: &WorkloadSpec, at: Timestamp) {
        self.workloads.entry(spec.id.clone()).or_insert_with(|| Tenancy {
            spec: spec.clone(),
            machine: Workload::new(at),
            created_at: at,
            updated_at: at,
            wishes: 0,
            troubles: 0,
            redeploys: 0,
            redeploy_at: None,
            metered: Metered::default(),
        });
    }

    fn workload(&mut self, id: &WorkloadId, event: &lifecycle::Event) {
        let Some(tenancy) = self.workloads.get_mut(id) else {
            return;
        };
        let (was, since) = (tenancy.machine.state(), tenancy.machine.since());
        tenancy.machine.evolve(event);
        match event {
            lifecycle::Event::WorkloadWished { at, .. } => {
                tenancy.wishes = tenancy.wishes.saturating_add(1);
                tenancy.troubles = 0;
                tenancy.redeploy_at = None;
                tenancy.updated_at = *at;
            }
            lifecycle::Event::WorkloadTroubled { .. } => {
                tenancy.troubles = tenancy.troubles.saturating_add(1);
            }
            lifecycle::Event::WorkloadMoved { at, to, .. } => {
                tenancy.updated_at = *at;
                let failed = *to == lifecycle::WorkloadState::Failed;
                if failed && was == lifecycle::WorkloadState::Running && at.since(since) >= SOUND_AFTER {
                    tenancy.redeploys = 0;
                }
            }
            _ => {}
        }
    }

    fn settled(&mut self, effect: &EffectId, outcome: &TxOutcome) {
        if let Some(tx) = self.txs.get_mut(effect) {
            tx.outcome = Some(outcome.clone());
            tx.messages = Vec::new();
            if let Some(signed) = &mut tx.signed {
                // What is settled is never sent again: its bytes are of no use any more.
                signed.tx_raw = Vec::new();
            }
        }
        if self.txs.len() > SETTLED_MAX {
            let oldest = self
                .txs
                .iter()
                .filter(|(_, tx)| tx.outcome.is_some())
                .min_by_key(|(_, tx)| tx.number);
            if let Some(effect) = oldest.map(|(effect, _)| effect.clone()) {
                self.txs.remove(&effect);
            }
        }
    }

    /// The lease to be forgotten next, so that the state does not grow with its history: the oldest that is over, those with
    /// nothing unpaid first. The journal forgets nothing.
    fn lease_to_forget(&self) -> Option<LeaseId> {
        if self.leases.len() <= ENDED_MAX {
            return None;
        }
        let unpaid = |id: &LeaseId| {
            self.books
                .get(id)
                .is_some_and(|books| books.entries().next().is_some())
        };
        let over = self.leases.values().filter(|lease| {
            let workload = self.workloads.get(&WorkloadId::of_lease(&lease.id));
            matches!(lease.phase, lease::Phase::Finished { .. }) && workload.is_none_or(Tenancy::is_over)
        });
        over.min_by_key(|lease| (unpaid(&lease.id), lease.created_at))
            .map(|lease| lease.id.clone())
    }

    /// The same for the operator's own workloads.
    fn own_workload_to_forget(&self) -> Option<WorkloadId> {
        let own = self
            .workloads
            .values()
            .filter(|tenancy| tenancy.spec.lease.is_none());
        let over: Vec<_> = own.filter(|tenancy| tenancy.is_over()).collect();
        let oldest = over.iter().min_by_key(|tenancy| tenancy.updated_at);
        oldest
            .filter(|_| over.len() > ENDED_MAX)
            .map(|tenancy| tenancy.spec.id.clone())
    }
}

impl Tenancy {
    /// When time by itself changes something.
    fn next_deadline(&self, settings: &Settings) -> Option<Timestamp> {
        let redeploy = self.redeploy_at.filter(|_| self.waits_for_redeploy());
        let silent = self.metered.meter().silent_at(&settings.metering);
        [self.machine.next_deadline(), redeploy, silent]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether it failed and is to be deployed again.
    pub(super) fn waits_for_redeploy(&self) -> bool {
        self.machine.state() == lifecycle::WorkloadState::Failed
            && self.machine.goal() != lifecycle::Goal::Terminate
            && self.redeploy_at.is_some()
    }

    /// Whether nothing is left to do about it: gone, and its usage is recorded.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.machine.state() == lifecycle::WorkloadState::Terminated && !self.metered.is_open()
    }
}

/// Whether the back end says that a workload is no longer there.
pub(super) const fn is_gone(observation: &Observation) -> bool {
    matches!(observation.phase, Phase::Gone)
}
