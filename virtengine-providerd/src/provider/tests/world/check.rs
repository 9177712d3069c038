//! What must be true always, and what must be true at the end (DESIGN §3).

use virtengine_bid::Event as BidEvent;
use virtengine_bid::book::Stage;
use virtengine_metering::meter;
use virtengine_metering::verify::verify_chain;
use virtengine_provider_core::capacity::ReservationKind;
use virtengine_provider_core::id::{OrderId, WorkloadId};
use virtengine_provider_core::lease::{self, Phase};
use virtengine_provider_core::lifecycle::WorkloadState;
use virtengine_provider_core::market::{BidState, OrderState};

use super::super::fixture::us;
use super::World;
use crate::provider::{Decision, Event, Fact, Operation, Purpose};

impl World {
    pub(super) fn check_before(&mut self, fact: &Fact) {
        if let Fact::Block { block, .. } = fact {
            assert!(block.height.0 <= self.chain.height);
        }
    }

    pub(super) fn check_decision(&mut self, decision: &Decision) {
        let over = self.provider.ledger().is_over_committed();
        for event in &decision.events {
            match event {
                Event::Bid {
                    happened: BidEvent::BidDecided { order, .. },
                } => {
                    assert!(!over, "a bid on {order} while too much is promised");
                    assert!(
                        self.provider.ledger().bounds().observed.is_some(),
                        "a bid before the back ends said what there is"
                    );
                }
                Event::Bid {
                    happened: BidEvent::BidAdopted { .. } | BidEvent::LeaseAdopted { .. },
                } => self.may_be_over = true,
                _ => {}
            }
        }
        assert!(
            decision.events.len() + decision.effects.len() + decision.done.len() < 8000,
            "more than a commit holds"
        );
    }

    /// What the world remembers of what was decided.
    pub(super) fn remember(&mut self, event: &Event) {
        match event {
            Event::Meter {
                id,
                happened: meter::Event::RecordSigned(recorded),
            } => {
                let records = self.records.entry(id.clone()).or_default();
                records.push(recorded.signed.clone());
            }
            Event::Lease {
                happened: lease::Event::ManifestAccepted { id, .. },
            } => {
                self.accepted.insert(id.clone());
            }
            _ => {}
        }
    }

    pub(super) fn check_state(&self) {
        let ledger = self.provider.ledger();
        if !self.may_be_over {
            assert!(!ledger.is_over_committed(), "more is promised than there is");
        }
        let txs = self.provider.pending_txs();
        let mut bids: Vec<&OrderId> = txs
            .filter_map(|tx| match &tx.purpose {
                Purpose::Bid { order, .. } => Some(order),
                _ => None,
            })
            .collect();
        let count = bids.len();
        bids.sort();
        bids.dedup();
        assert_eq!(bids.len(), count, "two bids on one order are under way");
        assert!(self.chain.sins.is_empty(), "{:?}", self.chain.sins);
        for tenancy in self.provider.workloads().values() {
            let state = tenancy.machine.state();
            let held = ledger.get(&tenancy.reservation());
            assert!(
                state == WorkloadState::Terminated
                    || held.is_some_and(|held| held.kind != ReservationKind::Bid),
                "{} is {state} without a reservation",
                tenancy.spec.id
            );
        }
    }

    /// When an adapter call begins.
    pub(super) fn check_call(&self, id: &WorkloadId, operation: &Operation) {
        let tenancy = &self.provider.workloads()[id];
        match operation {
            Operation::Deploy { spec } => {
                assert_eq!(**spec, tenancy.spec);
                if let Some(lease) = &spec.lease {
                    assert!(self.accepted.contains(lease), "deployed without a manifest");
                    let lease = &self.provider.leases()[lease];
                    assert!(lease.is_live(), "deployed for a lease that is {:?}", lease.phase);
                    let group = &self.people.tenants[&lease.id.order];
                    let image = &group.manifest.groups()[0].services()[0].spec().image;
                    let deployed = &spec.services[0].image;
                    assert!(deployed == image || lease.manifest_hash != group.manifest.hash());
                }
            }
            Operation::Terminate => {
                assert!(!tenancy.metered.is_open(), "torn down before its usage is signed");
                let meter = tenancy.metered.meter();
                let records = self.records.get(id).map_or(0, Vec::len);
                assert!(meter.subject().is_none() || (meter.is_closed() && records > 0));
            }
            _ => {}
        }
    }

    /// What has not come to its end.
    pub(super) fn unfinished(&self) -> Option<String> {
        if let Some(planned) = self.journal.outbox.first() {
            return Some(format!("{planned:?}"));
        }
        let lease = self.provider.leases().values();
        if let Some(lease) = lease
            .into_iter()
            .find(|l| !matches!(l.phase, Phase::Finished { .. }))
        {
            return Some(format!("{lease:?}"));
        }
        let mut workloads = self.provider.workloads().values();
        if let Some(tenancy) = workloads.find(|tenancy| !tenancy.is_over()) {
            return Some(format!("{:?}", tenancy.machine));
        }
        if let Some((order, entry)) = self.provider.book().entries().next() {
            return Some(format!("{order}: {:?}", entry.stage));
        }
        let mut bids = self.chain.bids.values();
        if let Some(bid) = bids.find(|bid| bid.id.provider == us() && bid.state == BidState::Open) {
            return Some(format!("{bid:?}"));
        }
        let unpaid = |order: &OrderId| self.chain.escrows.get(order).is_some_and(|e| e.state == "active");
        for id in self.provider.leases().keys().filter(|id| unpaid(&id.order)) {
            let books = self.provider.books(id);
            if let Some((sequence, entry)) =
                books.and_then(|books| books.entries().find(|(_, e)| e.held.is_none()))
            {
                return Some(format!("{id}: record {sequence} is not paid: {entry:?}"));
            }
        }
        None
    }

    pub(super) fn check_end(&self) {
        assert!(
            self.backend.machines.is_empty(),
            "something still runs: {:?}",
            self.backend.machines
        );
        let ledger = self.provider.ledger();
        assert_eq!(ledger.iter().collect::<Vec<_>>(), [], "capacity is not free");
        // No order is lost: each that is open has its decision.
        for order in self.chain.orders.values().filter(|o| o.state == OrderState::Open) {
            assert!(
                self.provider.book().record(&order.id).is_some(),
                "{} is lost",
                order.id
            );
        }
        for (id, tenancy) in self.provider.workloads() {
            let records = self.records.get(id).cloned().unwrap_or_default();
            assert_eq!(tenancy.metered.meter().subject().is_some(), !records.is_empty());
            let verified = verify_chain(&records, &self.key.public_key()).unwrap();
            assert!(records.is_empty() || (verified.from_the_start && verified.to_the_end));
            let local = tenancy.spec.lease.is_none();
            assert!(!local || verified.charged.values().all(|charged| *charged == 0));
        }
        assert!(
            !self
                .provider
                .book()
                .entries()
                .any(|(_, e)| matches!(e.stage, Stage::Leased { .. }))
        );
    }
}
