//! A whole world under virtual time: a chain, a back end, tenants, rivals, and the provider that lives in it.

pub(super) mod backend;
pub(super) mod carry;
pub(super) mod chain;
pub(super) mod chance;
pub(super) mod check;
pub(super) mod journal;
pub(super) mod look;
pub(super) mod people;
pub(super) mod settlement;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use virtengine_keys::{KeyStore, Purpose as KeyPurpose};
use virtengine_metering::signed::SignedRecord;
use virtengine_provider_core::id::{LeaseId, WorkloadId};
use virtengine_provider_core::ports::signer::Signer;
use virtengine_provider_core::time::Timestamp;

use self::backend::Backend;
use self::carry::Hands;
use self::chain::Chain;
use self::chance::{Chance, Faults};
use self::journal::Journal;
use self::people::People;
use super::fixture::{self, cores};
use crate::provider::{Decision, Fact, Provider, Settings};

/// Seconds of one step.
const STEP: u64 = 3;
/// Steps per block.
const BLOCK: u64 = 2;

/// Everything.
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) step: u64,
    pub(super) chance: Chance,
    pub(super) faults: Faults,
    pub(super) chain: Chain,
    pub(super) backend: Backend,
    pub(super) people: People,
    pub(super) hands: Hands,
    pub(super) settings: Settings,
    pub(super) key: Arc<dyn Signer>,
    pub(super) provider: Provider,
    /// What a replay of the journal makes of it: always the same as `provider`.
    pub(super) shadow: Provider,
    pub(super) journal: Journal,
    pub(super) late: VecDeque<(u64, Fact)>,
    pub(super) records: BTreeMap<WorkloadId, Vec<SignedRecord>>,
    /// Leases whose manifest was accepted.
    pub(super) accepted: BTreeSet<LeaseId>,
    /// More may be reserved than there is: the operator took capacity away, or something was adopted.
    pub(super) may_be_over: bool,
    pub(super) crashes: u64,
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        let keys = KeyStore::memory();
        let now = fixture::at(0);
        keys.generate(KeyPurpose::Identity, virtengine_keys::Algorithm::Ed25519, now)
            .unwrap();
        let key = keys.signer(KeyPurpose::Identity).unwrap();
        let settings = fixture::settings(cores(12), key.public_key());
        Self {
            now,
            step: 0,
            chance: Chance::new(seed),
            faults,
            chain: Chain::default(),
            backend: Backend::default(),
            people: People::default(),
            hands: Hands::default(),
            provider: Provider::new(settings.clone()).unwrap(),
            shadow: Provider::new(settings.clone()).unwrap(),
            settings,
            key,
            journal: Journal::default(),
            late: VecDeque::new(),
            records: BTreeMap::new(),
            accepted: BTreeSet::new(),
            may_be_over: false,
            crashes: 0,
        }
    }

    /// Tells a fact like the desk does: decide, make durable, then let others hear of it.
    pub(super) fn tell(&mut self, fact: Fact) -> bool {
        self.check_before(&fact);
        let outcome = self.provider.decide(fact, self.now);
        let Ok(decision) = outcome else {
            assert_eq!(
                self.provider.state, self.shadow.state,
                "a refusal changes nothing"
            );
            return false;
        };
        self.check_decision(&decision);
        self.keep(decision);
        true
    }

    fn keep(&mut self, decision: Decision) {
        self.journal.commit(&decision, self.now);
        for event in &decision.events {
            // As it comes back from the journal.
            let stored = event.stored(self.now);
            self.shadow
                .evolve(&serde_json::from_slice(&stored.payload).unwrap());
            self.remember(event);
        }
        if let Some(cursor) = decision.cursor {
            self.shadow.restore_cursor(cursor);
        }
        if decision.events.is_empty() && decision.cursor.is_none() && !self.step.is_multiple_of(50) {
            return;
        }
        assert_eq!(
            self.provider.state, self.shadow.state,
            "a replay leads to the same state"
        );
        assert_eq!(
            self.provider.agenda, self.shadow.agenda,
            "and to the same deadlines"
        );
        assert_eq!(self.provider.pending, self.shadow.pending);
        self.check_state();
    }

    /// A fact that may come twice, or late.
    pub(super) fn tell_hazily(&mut self, fact: Fact) {
        if self.chance.hits(self.faults.twice) {
            self.tell(fact.clone());
        }
        if self.chance.hits(self.faults.late) {
            let when = self.step + 1 + self.chance.below(8);
            self.late.push_back((when, fact));
        } else {
            self.tell(fact);
        }
    }

    /// The daemon dies and starts again, from a snapshot or from the first event.
    pub(super) fn crash(&mut self) {
        self.crashes += 1;
        let capacity = cores(match self.chance.below(6) {
            0 => 6,
            1 => 16,
            _ => 12,
        });
        let smaller = !self.settings.ceiling.fits_in(&capacity);
        self.may_be_over |= smaller;
        self.settings.ceiling = capacity;
        self.late.clear();
        self.hands.forget();
        let live = self.provider.snapshot().unwrap();
        assert_eq!(live, self.shadow.snapshot().unwrap());
        if self.chance.hits(500) {
            self.journal.snapshot(live);
        }
        self.provider = self.journal.recover(self.settings.clone());
        self.shadow = self.journal.recover(self.settings.clone());
    }

    pub(super) fn step(&mut self) {
        self.step += 1;
        self.now = self.now.plus(Duration::from_secs(STEP));
        self.tell(Fact::Tick);
        self.people_act();
        if self.step.is_multiple_of(BLOCK) {
            self.block();
        }
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(when, _)| *when <= self.step);
        self.late = later.into();
        for (_, fact) in due {
            self.tell(fact);
        }
        self.carry_effects();
        self.look();
        if self.chance.hits(self.faults.crash) {
            self.crash();
        }
    }

    /// Chaos for `steps`, then peace until everything has come to its end.
    pub(super) fn live(mut self, steps: u64) -> Self {
        for _ in 0..steps {
            self.step();
        }
        self.faults = Faults::default();
        self.people.leave = true;
        // An hour and a half: orders expire after 20 minutes, bids after 7, deployments after 2.
        for _ in 0..1800 {
            self.step();
            if self.step.is_multiple_of(20) && self.unfinished().is_none() {
                break;
            }
        }
        if let Some(what) = self.unfinished() {
            panic!("it never ends: {what}");
        }
        self.check_end();
        self
    }
}
