//! Tenants, rivals and the operator.

use std::collections::BTreeMap;

use virtengine_provider_core::id::{LeaseId, OrderId, WorkloadId};
use virtengine_provider_core::manifest::ValidManifest;
use virtengine_provider_core::market::{Bid, BidState, CloseReason, LeaseState, MarketEvent, OrderState};

use super::super::fixture::{self, manifest, price, rival, us};
use super::World;
use crate::provider::{Fact, Wish};

/// Deployments made at most.
const DEPLOYMENTS: u64 = 14;

/// What people are about.
#[derive(Debug, Default)]
pub(in super::super) struct People {
    pub tenants: BTreeMap<OrderId, Tenant>,
    pub own: Vec<WorkloadId>,
    /// Everybody leaves.
    pub leave: bool,
}

/// One deployment's owner.
#[derive(Debug)]
pub(in super::super) struct Tenant {
    pub manifest: ValidManifest,
    sent: bool,
}

impl World {
    pub(super) fn people_act(&mut self) {
        if self.people.leave {
            self.everybody_leaves();
        } else {
            self.order_something();
            self.operator_acts();
        }
        for order in self.people.tenants.keys().cloned().collect::<Vec<_>>() {
            self.tenant_acts(&order);
        }
    }

    fn order_something(&mut self) {
        let count = self.people.tenants.len() as u64;
        if count >= DEPLOYMENTS || !self.chance.hits(60) {
            return;
        }
        let id = fixture::order_id(100 + count);
        let manifest = manifest(1 + self.chance.below(4), "nginx");
        let escrow = self.chance.hits(500);
        self.chain.create_deployment(&id, &manifest, escrow);
        self.people.tenants.insert(
            id,
            Tenant {
                manifest,
                sent: false,
            },
        );
    }

    fn tenant_acts(&mut self, order: &OrderId) {
        if self.chain.orders[order].state == OrderState::Open {
            self.choose(order);
            return;
        }
        let id = LeaseId::new(order.clone(), us());
        let active = |world: &Self| {
            let lease = world.chain.leases.get(&id);
            lease.is_some_and(|lease| lease.state == LeaseState::Active)
        };
        if !active(self) {
            return;
        }
        if !self.people.tenants[order].sent && self.chance.hits(100) {
            self.send_manifest(&id);
        }
        if !self.people.leave && active(self) && self.chance.hits(8) {
            match self.chance.below(3) {
                0 => self.chain.close_deployment(order.deployment()),
                _ => self.chain.close_lease(&id, CloseReason::Owner),
            }
        }
    }

    /// Takes our bid or a rival's; sometimes closes the lease in the same block.
    fn choose(&mut self, order: &OrderId) {
        let ours = LeaseId::new(order.clone(), us());
        let open = |world: &Self| {
            world
                .chain
                .bids
                .get(&ours)
                .is_some_and(|b| b.state == BidState::Open)
        };
        if self.chance.hits(5) {
            self.rival_wins(order);
        } else if open(self) && self.chance.hits(150) && self.chain.deployments[order.deployment()].active {
            self.chain.create_lease(&ours);
            if self.chance.hits(self.faults.tenant / 4) {
                self.chain.close_lease(&ours, CloseReason::Owner);
            }
        }
    }

    fn rival_wins(&mut self, order: &OrderId) {
        let id = LeaseId::new(order.clone(), rival());
        let height = virtengine_provider_core::id::Height(self.chain.height);
        self.chain.bids.insert(
            id.clone(),
            Bid {
                id: id.clone(),
                state: BidState::Open,
                price: price("1"),
                created_at: height,
            },
        );
        let bid = price("1");
        self.chain.events.push(MarketEvent::BidCreated {
            id: id.clone(),
            price: bid,
        });
        self.chain.create_lease(&id);
        // Only the first loser gets its deposit back, without an event (spec/chain.md B.5).
        let ours = LeaseId::new(order.clone(), us());
        if let Some(bid) = self.chain.bids.get_mut(&ours)
            && self.chance.hits(500)
        {
            bid.state = BidState::Lost;
        }
    }

    fn send_manifest(&mut self, id: &LeaseId) {
        let bad = self.chance.hits(self.faults.tenant);
        let good = self.people.tenants[&id.order].manifest.clone();
        if bad {
            // Another image than announced, other resources than ordered, or nothing at all.
            let sent = match self.chance.below(4) {
                0 => manifest(1, "redis"),
                1 => manifest(9, "nginx"),
                2 => return self.announce_another(id),
                _ => return self.sent(id, true),
            };
            let fact = Fact::Manifest {
                lease: id.clone(),
                manifest: Box::new(sent.clone()),
            };
            let taken = self.tell(fact);
            assert!(!taken || sent == good, "a wrong manifest is taken");
            return;
        }
        let taken = self.tell(Fact::Manifest {
            lease: id.clone(),
            manifest: Box::new(good),
        });
        self.sent(id, taken);
    }

    fn sent(&mut self, id: &LeaseId, sent: bool) {
        self.people.tenants.get_mut(&id.order).unwrap().sent = sent;
    }

    /// The tenant changes its mind, and says so on chain.
    fn announce_another(&mut self, id: &LeaseId) {
        let cores = self.people.tenants[&id.order]
            .manifest
            .total()
            .unwrap()
            .cpu_millis
            / 1000;
        let other = manifest(cores, "caddy");
        let deployment = self.chain.deployments.get_mut(id.deployment()).unwrap();
        deployment.manifest_hash = other.hash();
        self.chain.events.push(MarketEvent::DeploymentUpdated {
            id: id.deployment().clone(),
            manifest_hash: other.hash(),
        });
        self.people.tenants.get_mut(&id.order).unwrap().manifest = other;
    }

    fn operator_acts(&mut self) {
        if self.people.own.len() < 3 && self.chance.hits(5) {
            let id = WorkloadId::local(&self.step.to_be_bytes());
            let manifest = Box::new(manifest(1, "backup"));
            let workload = id.clone();
            if self.tell(Fact::Operator(Wish::Deploy { manifest, workload })) {
                self.people.own.push(id);
            }
        }
        if !self.chance.hits(20) {
            return;
        }
        let all: Vec<_> = self.provider.workloads().keys().cloned().collect();
        if all.is_empty() {
            return;
        }
        let id = all[usize::try_from(self.chance.below(all.len() as u64)).unwrap()].clone();
        let wish = match self.chance.below(8) {
            0 | 1 => Wish::Pause(id),
            2 | 3 => Wish::Stop(id),
            4 => Wish::Terminate(id),
            _ => Wish::Resume(id),
        };
        self.tell(Fact::Operator(wish));
    }

    fn everybody_leaves(&mut self) {
        for id in self.people.own.clone() {
            self.tell(Fact::Operator(Wish::Terminate(id)));
        }
        for id in self.chain.deployments.keys().cloned().collect::<Vec<_>>() {
            self.chain.close_deployment(&id);
        }
    }
}
