//! What a block tells. Events are hints: what they miss, the comparison finds.

use virtengine_bid::Command as BidCommand;
use virtengine_bid::reason::GoneReason;
use virtengine_provider_core::capacity::{self, ReservationKey};
use virtengine_provider_core::id::{DeploymentId, GroupId, Height, LeaseId, OrderId};
use virtengine_provider_core::lease;
use virtengine_provider_core::market::{CloseReason, Deployment, Lease, LeaseState, MarketEvent, Order};
use virtengine_provider_core::ports::chain::Block;

use super::follow::Steps;

impl Steps<'_> {
    pub(super) fn block(&mut self, block: &Block, orders: Vec<Order>, leases: Vec<(Lease, Deployment)>) {
        if block.height <= self.provider.state.height {
            return;
        }
        self.provider.state.height = block.height;
        self.decision.cursor = Some(block.height.0);
        for event in &block.events {
            self.market_event(event, block);
        }
        for order in orders {
            self.bid(BidCommand::OrderSeen {
                order: Box::new(order),
                bids: 0,
            });
        }
        for (lease, deployment) in leases {
            self.lease_found(lease, &deployment, block.height);
        }
    }

    fn is_ours(&self, id: &LeaseId) -> bool {
        id.provider == self.provider.settings.provider
    }

    fn market_event(&mut self, event: &MarketEvent, block: &Block) {
        match event {
            MarketEvent::OrderClosed { id } => {
                self.bid(BidCommand::OrderGone {
                    order: id.clone(),
                    why: GoneReason::Closed,
                });
            }
            MarketEvent::BidCreated { id, .. } if self.is_ours(id) => {
                self.bid(BidCommand::BidLanded {
                    id: id.clone(),
                    height: block.height,
                });
            }
            MarketEvent::BidCreated { id, .. } => self.bid(BidCommand::RivalBid {
                order: id.order.clone(),
            }),
            MarketEvent::BidClosed { id } if self.is_ours(id) => {
                self.bid(BidCommand::BidClosed { id: id.clone() });
            }
            MarketEvent::LeaseCreated { id, price } if self.is_ours(id) => {
                self.bid(BidCommand::LeaseWon {
                    id: id.clone(),
                    price: price.clone(),
                });
            }
            MarketEvent::LeaseCreated { id, .. } => self.bid(BidCommand::LeaseLost {
                order: id.order.clone(),
            }),
            MarketEvent::LeaseClosed { id, reason } if self.is_ours(id) => {
                self.lease_ended(id, block.height, *reason);
            }
            MarketEvent::DeploymentUpdated { id, manifest_hash } => {
                for lease in self.leases_of(id) {
                    self.lease_quietly(
                        &lease,
                        lease::Command::HashChanged {
                            manifest_hash: *manifest_hash,
                        },
                    );
                }
            }
            MarketEvent::DeploymentClosed { id } => self.orders_gone(id, |_| true),
            MarketEvent::GroupClosed { id } | MarketEvent::GroupPaused { id } => {
                self.orders_gone(&id.deployment, |group| group == id);
            }
            _ => {}
        }
    }

    /// Orders of a closed deployment stay open on chain, but can never become a lease (spec/chain.md B.5).
    fn orders_gone(&mut self, deployment: &DeploymentId, concerned: impl Fn(&GroupId) -> bool) {
        let orders = self.provider.state.book.orders_of(deployment);
        let gone: Vec<_> = orders.filter(|order| concerned(&order.group)).cloned().collect();
        for order in gone {
            self.bid(BidCommand::OrderGone {
                order,
                why: GoneReason::DeploymentClosed,
            });
        }
    }

    fn leases_of(&self, deployment: &DeploymentId) -> Vec<LeaseId> {
        let first = OrderId::new(deployment.owner.clone(), deployment.dseq, 0, 0);
        let first = LeaseId::new(first, self.provider.settings.provider.clone());
        let ours = self.provider.state.leases.range(first..).map(|(id, _)| id);
        ours.take_while(|id| id.deployment() == deployment)
            .cloned()
            .collect()
    }

    /// A lease of ours is on chain. It may have ended since: its block is read late, or it ended in the very same block
    /// (spec/chain-node.md 2.5), and is then known for its money alone.
    pub(super) fn lease_found(&mut self, lease: Lease, deployment: &Deployment, height: Height) {
        let (id, state) = (lease.id.clone(), lease.state);
        let known = self.provider.state.leases.get(&id);
        if known.is_some_and(|known| !known.is_live()) {
            // A lease that has ended never comes back: the picture is of the past.
            return;
        }
        if state == LeaseState::Active {
            let group = deployment
                .groups
                .iter()
                .find(|(group, _)| *group == id.order.group);
            if let Some(resources) = group.and_then(|(_, spec)| spec.total().ok()) {
                let lease = lease.clone();
                self.bid(BidCommand::AdoptLease { lease, resources });
            }
        }
        self.lease_won(lease, deployment);
        match state {
            LeaseState::Active => {}
            LeaseState::InsufficientFunds => self.lease_ended(&id, height, CloseReason::InsufficientFunds),
            LeaseState::Closed => self.lease_ended(&id, height, CloseReason::Unspecified),
        }
    }

    /// The chain itself says that a lease of ours has ended.
    pub(super) fn lease_ended(&mut self, id: &LeaseId, height: Height, reason: CloseReason) {
        self.lease_quietly(id, lease::Command::ClosedOnChain { height, reason });
        self.bid(BidCommand::LeaseEnded { id: id.clone() });
        if !self.provider.state.leases.contains_key(id) {
            // Nothing was ever run for it.
            let key = ReservationKey::Order(id.order.clone());
            let _ = self.capacity(&capacity::Command::Free { key });
        }
    }

    fn lease_won(&mut self, lease: Lease, deployment: &Deployment) {
        let group = deployment
            .groups
            .iter()
            .find(|(id, _)| *id == lease.id.order.group);
        let Some((_, spec)) = group else {
            tracing::error!(lease = %lease.id, "the deployment of a lease has no such group");
            return;
        };
        let terms = Box::new(lease::Terms {
            price: lease.price,
            created_at: lease.created_at,
            spec: spec.clone(),
            manifest_hash: deployment.manifest_hash,
        });
        let manifest_timeout = self.provider.settings.manifest_timeout;
        let id = lease.id.clone();
        self.lease_quietly(
            &id,
            lease::Command::Won {
                id: lease.id,
                terms,
                manifest_timeout,
            },
        );
    }
}
