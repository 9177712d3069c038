//! What a block tells. Events are hints: what they miss, the comparison finds.

use virtengine_bid::Command as BidCommand;
use virtengine_bid::reason::GoneReason;
use virtengine_provider_core::id::{DeploymentId, GroupId, LeaseId};
use virtengine_provider_core::lease;
use virtengine_provider_core::market::{Deployment, Lease, MarketEvent, Order};
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
            self.lease_won(lease, &deployment);
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
                self.bid(BidCommand::BidClosed { id: id.clone() })
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
                let closed = lease::Command::ClosedOnChain {
                    height: block.height,
                    reason: *reason,
                };
                self.lease_quietly(id, closed);
                self.bid(BidCommand::LeaseEnded { id: id.clone() });
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
            MarketEvent::DeploymentClosed { id } => self.orders_gone(|group| group.deployment == *id),
            MarketEvent::GroupClosed { id } | MarketEvent::GroupPaused { id } => {
                self.orders_gone(|group| group == id)
            }
            _ => {}
        }
    }

    /// Orders of a closed deployment stay open on chain, but can never become a lease (spec/chain.md B.5).
    fn orders_gone(&mut self, concerned: impl Fn(&GroupId) -> bool) {
        let entries = self.provider.state.book.entries();
        let gone: Vec<_> = entries
            .map(|(order, _)| order)
            .filter(|order| concerned(&order.group))
            .cloned()
            .collect();
        for order in gone {
            self.bid(BidCommand::OrderGone {
                order,
                why: GoneReason::DeploymentClosed,
            });
        }
    }

    fn leases_of(&self, deployment: &DeploymentId) -> Vec<LeaseId> {
        let ours = self.provider.state.leases.keys();
        ours.filter(|id| id.deployment() == deployment).cloned().collect()
    }

    /// A lease of ours is active on chain.
    pub(super) fn lease_won(&mut self, lease: Lease, deployment: &Deployment) {
        let group = deployment
            .groups
            .iter()
            .find(|(id, _)| *id == lease.id.order.group);
        let Some((_, spec)) = group else {
            tracing::error!(lease = %lease.id, "the deployment of a lease has no such group");
            return;
        };
        let terms = lease::Terms {
            price: lease.price,
            created_at: lease.created_at,
            spec: spec.clone(),
            manifest_hash: deployment.manifest_hash,
        };
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
