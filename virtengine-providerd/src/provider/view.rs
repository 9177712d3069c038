//! What others may read of the provider.

use std::collections::BTreeMap;

use virtengine_bid::Bidder;
use virtengine_bid::book::{Book, Stage};
use virtengine_metering::settlement::Books;
use virtengine_provider_core::capacity::Ledger;
use virtengine_provider_core::id::{Address, BidId, Height, LeaseId, WorkloadId};
use virtengine_provider_core::lease::{Lease, Phase};
use virtengine_provider_core::lifecycle::WorkloadState;
use virtengine_provider_core::ports::adapter::Observation;
use virtengine_provider_core::ports::chain::SignedTx;
use virtengine_provider_core::time::Timestamp;

use super::effect::EffectId;
use super::settings::Settings;
use super::state::{Provider, Tenancy, Transaction};

/// What the identity key is asked to sign for one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToSign {
    /// Each message, in order.
    pub messages: Vec<Vec<u8>>,
}

impl Provider {
    /// What the operator decided beforehand.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The compiled bidding policy.
    #[must_use]
    pub const fn bidder(&self) -> &Bidder {
        &self.bidder
    }

    /// Orders and bids.
    #[must_use]
    pub const fn book(&self) -> &Book {
        &self.state.book
    }

    /// Capacity.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.state.ledger
    }

    /// Leases, by id; finished ones for a while.
    #[must_use]
    pub const fn leases(&self) -> &BTreeMap<LeaseId, Lease> {
        &self.state.leases
    }

    /// Workloads, by id; those that are gone for a while.
    #[must_use]
    pub const fn workloads(&self) -> &BTreeMap<WorkloadId, Tenancy> {
        &self.state.workloads
    }

    /// Transactions, by effect; the newest ones.
    #[must_use]
    pub const fn txs(&self) -> &BTreeMap<EffectId, Transaction> {
        &self.state.txs
    }

    /// The block up to which the chain has been worked through.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.state.height
    }

    /// What the back end said last about a workload; `None` until it did.
    #[must_use]
    pub fn last_seen(&self, id: &WorkloadId) -> Option<&Observation> {
        self.seen.get(id)
    }

    /// Bids of ours that are on chain, as far as we know.
    #[must_use]
    pub fn live_bids(&self) -> Vec<BidId> {
        let live = self
            .state
            .book
            .entries()
            .filter(|(_, entry)| matches!(entry.stage, Stage::Live { .. } | Stage::Closing { .. }));
        live.map(|(order, _)| self.bidder.id(order)).collect()
    }

    /// Leases of ours that are active on chain, as far as we know.
    #[must_use]
    pub fn live_leases(&self) -> Vec<LeaseId> {
        self.state
            .leases
            .values()
            .filter(|lease| lease.is_live())
            .map(|lease| lease.id.clone())
            .collect()
    }

    /// Whether a lease that is active on chain is just what we believe. Otherwise the comparison brings it, with its deployment:
    /// one that is not known, one whose manifest may be announced anew, one that we asked to be closed.
    #[must_use]
    pub fn knows_lease(&self, id: &LeaseId) -> bool {
        let booked = || {
            let entry = self.state.book.entry(&id.order);
            entry.is_some_and(|entry| matches!(entry.stage, Stage::Leased { .. }))
        };
        match self.state.leases.get(id).map(|lease| &lease.phase) {
            Some(Phase::Closed { .. } | Phase::Finished { .. }) => true,
            Some(Phase::Serving { .. }) => booked(),
            Some(Phase::Awaiting { .. } | Phase::Closing { .. }) | None => false,
        }
    }

    /// Tenants with leases under deployments numbered `dseq`.
    #[must_use]
    pub fn owners_of(&self, dseq: u64) -> Vec<Address> {
        let mut owners: Vec<Address> = self
            .state
            .leases
            .keys()
            .filter(|id| id.deployment().dseq == dseq)
            .map(|id| id.owner().clone())
            .collect();
        owners.dedup();
        owners
    }

    /// Workloads that are to be observed, and whether their counters are to be read.
    #[must_use]
    pub fn watched_workloads(&self) -> Vec<(WorkloadId, bool)> {
        let there = self
            .state
            .workloads
            .iter()
            .filter(|(_, tenancy)| tenancy.machine.state() != WorkloadState::Terminated);
        there
            .map(|(id, tenancy)| (id.clone(), tenancy.metered.is_running()))
            .collect()
    }

    /// The signed transaction of an effect that is not settled.
    #[must_use]
    pub fn signed_tx(&self, effect: &EffectId) -> Option<SignedTx> {
        self.state
            .txs
            .get(effect)
            .filter(|tx| tx.outcome.is_none())?
            .signed
            .clone()
    }

    /// Transactions that may be in a mempool.
    #[must_use]
    pub fn unsettled_txs(&self) -> Vec<SignedTx> {
        let mut txs: Vec<_> = self.pending_txs().filter_map(|tx| tx.signed.clone()).collect();
        txs.sort_by_key(|tx| tx.sequence);
        txs
    }

    /// What the identity key has to sign for a record; `None` when it is signed.
    #[must_use]
    pub fn to_sign(&self, workload: &WorkloadId, sequence: u64) -> Option<ToSign> {
        let messages = self
            .state
            .workloads
            .get(workload)?
            .metered
            .signing_messages(sequence)?;
        Some(ToSign { messages })
    }

    /// Leases about whose money the chain is to be asked: those that are live, and those of which something is unpaid.
    #[must_use]
    pub fn leases_to_settle(&self) -> Vec<LeaseId> {
        let unpaid = |id: &LeaseId| {
            self.state
                .books
                .get(id)
                .is_some_and(|books| books.entries().next().is_some())
        };
        let leases = self.state.leases.values();
        let asked = leases
            .filter(|lease| lease.is_live() || unpaid(&lease.id) || !self.streams_ended.contains(&lease.id));
        asked.map(|lease| lease.id.clone()).collect()
    }

    /// What of a lease's usage is not yet paid; `None` before its first record.
    #[must_use]
    pub fn books(&self, id: &LeaseId) -> Option<&Books> {
        self.state.books.get(id)
    }

    /// When [`super::Fact::Tick`] has something to do by itself.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let orders = self.bidder.next_deadline(&self.state.book, Timestamp::EPOCH);
        self.agenda.first().into_iter().chain(orders).min()
    }
}
