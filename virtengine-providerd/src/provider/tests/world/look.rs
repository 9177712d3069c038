//! What the loops around the provider see: blocks, comparisons, the back end, the money.

use virtengine_provider_core::id::{Height, LeaseId};
use virtengine_provider_core::market::{BidState, LeaseState, MarketEvent, OrderState};
use virtengine_provider_core::ports::chain::Block;

use super::super::fixture::{cores, inventory, us};
use super::World;
use crate::provider::{Comparison, Fact, Standing};

impl World {
    pub(super) fn block(&mut self) {
        let block = self.chain.produce(self.now);
        if self.chance.hits(self.faults.block_lost) {
            return;
        }
        let fact = self.with_names(block);
        if self.chance.hits(self.faults.twice) {
            self.tell(fact.clone());
        }
        self.tell(fact);
    }

    /// With what its events only name, as the chain has it now.
    fn with_names(&self, block: Block) -> Fact {
        let (mut orders, mut leases) = (Vec::new(), Vec::new());
        for event in &block.events {
            match event {
                MarketEvent::OrderCreated { id } => {
                    let order = self.chain.orders[id].clone();
                    if order.state == OrderState::Open {
                        orders.push(order);
                    }
                }
                MarketEvent::LeaseCreated { id, .. } if id.provider == us() => {
                    let deployment = self.chain.deployments[id.deployment()].clone();
                    leases.push((self.chain.leases[id].clone(), deployment));
                }
                _ => {}
            }
        }
        Fact::Block {
            block,
            orders,
            leases,
        }
    }

    pub(super) fn look(&mut self) {
        if self.step.is_multiple_of(10) {
            let seen = self.compared();
            self.tell_hazily(Fact::Compared(Box::new(seen)));
        }
        if self.step.is_multiple_of(10) || self.step == 1 {
            self.tell(Fact::Inventory(inventory(cores(14))));
        }
        if self.step.is_multiple_of(2) {
            self.watch();
        }
        if self.step.is_multiple_of(15) {
            self.settle();
        }
    }

    /// As `daemon::compare` asks.
    fn compared(&self) -> Comparison {
        let (bids, leases) = (self.provider.live_bids(), self.provider.live_leases());
        let ours = self.chain.bids.values().filter(|bid| bid.id.provider == us());
        let alive: Vec<_> = ours
            .filter(|bid| matches!(bid.state, BidState::Open | BidState::Active))
            .cloned()
            .collect();
        let active: Vec<_> = self
            .chain
            .leases
            .values()
            .filter(|lease| lease.id.provider == us() && lease.state == LeaseState::Active)
            .cloned()
            .collect();
        let ended = bids
            .into_iter()
            .filter(|id| alive.iter().all(|bid| bid.id != *id));
        let over = leases
            .into_iter()
            .filter(|id| active.iter().all(|lease| lease.id != *id));
        let open = self.chain.orders.values();
        Comparison {
            height: Height(self.chain.height),
            open_orders: open
                .filter(|order| order.state == OrderState::Open)
                .cloned()
                .collect(),
            ended_bids: ended
                .map(|id| {
                    let bid = self.chain.bids.get(&id).cloned();
                    (id, bid)
                })
                .collect(),
            ended_leases: over
                .filter_map(|id| self.chain.leases.get(&id).cloned())
                .collect(),
            leases: active
                .into_iter()
                .filter(|lease| !self.provider.knows_lease(&lease.id))
                .map(|lease| {
                    let deployment = self.chain.deployments[lease.id.deployment()].clone();
                    (lease, deployment)
                })
                .collect(),
            bids: alive,
        }
    }

    fn watch(&mut self) {
        for (workload, metered) in self.provider.watched_workloads() {
            let observation = self
                .backend
                .observe(&workload, &self.faults, &mut self.chance, self.now);
            self.tell_hazily(Fact::Observed {
                workload: workload.clone(),
                observation,
            });
            let due = metered && self.step.is_multiple_of(6) && !self.chance.hits(self.faults.blind);
            if let Some(counters) = due.then(|| self.backend.usage(&workload, self.now)).flatten() {
                self.tell_hazily(Fact::Counted { workload, counters });
            }
        }
    }

    fn settle(&mut self) {
        for id in self.provider.leases_to_settle() {
            let standing = self.standing(&id);
            self.tell(Fact::Settlement(Box::new(standing)));
        }
    }

    fn standing(&self, id: &LeaseId) -> Standing {
        let order = id.order.to_string();
        Standing {
            as_of: Height(self.chain.height),
            lease: self.chain.leases[id].clone(),
            payment_open: self.chain.streams.contains_key(id),
            escrows: self.chain.escrows.get(&id.order).cloned().into_iter().collect(),
            usage: self.chain.usage.get(&order).cloned().unwrap_or_default(),
        }
    }
}
