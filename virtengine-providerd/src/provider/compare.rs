//! What the chain says by itself repairs what events did not tell.

use virtengine_bid::Command as BidCommand;
use virtengine_bid::book::Stage;
use virtengine_bid::reason::GoneReason;
use virtengine_provider_core::id::{BidId, OrderId};
use virtengine_provider_core::lease;
use virtengine_provider_core::market::{Bid, BidState, CloseReason, LeaseState};
use virtengine_provider_core::units::Resources;

use super::fact::Comparison;
use super::follow::Steps;

impl Steps<'_> {
    pub(super) fn compared(&mut self, seen: Comparison) {
        // The picture is of the past when blocks went by while it was taken; what those blocks said counts more.
        let open: std::collections::BTreeSet<OrderId> =
            seen.open_orders.iter().map(|order| order.id.clone()).collect();
        self.unseen_orders_gone(&open, &seen);
        let sizes: Vec<(OrderId, Resources)> = seen
            .open_orders
            .iter()
            .filter_map(|o| Some((o.id.clone(), o.spec.total().ok()?)))
            .collect();
        for order in seen.open_orders {
            self.bid(BidCommand::OrderSeen {
                order: Box::new(order),
                bids: 0,
            });
        }
        for bid in seen.bids {
            self.bid_on_chain(bid, &sizes, &open);
        }
        for (id, bid) in seen.ended_bids {
            self.bid_ended(&id, bid.as_ref());
        }
        for (lease, deployment) in seen.leases {
            let group = deployment
                .groups
                .iter()
                .find(|(id, _)| *id == lease.id.order.group);
            if let Some(resources) = group.and_then(|(_, spec)| spec.total().ok()) {
                self.bid(BidCommand::AdoptLease {
                    lease: lease.clone(),
                    resources,
                });
            }
            self.lease_won(lease, &deployment);
        }
        for lease in seen.ended_leases {
            // Positive evidence: the chain itself shows the lease, and shows it ended.
            let reason = match lease.state {
                LeaseState::Active => continue,
                LeaseState::InsufficientFunds => CloseReason::InsufficientFunds,
                LeaseState::Closed => CloseReason::Unspecified,
            };
            self.lease_quietly(
                &lease.id,
                lease::Command::ClosedOnChain {
                    height: seen.height,
                    reason,
                },
            );
            self.bid(BidCommand::LeaseEnded { id: lease.id });
        }
    }

    /// Orders that wait to be decided here and are no longer open on chain.
    fn unseen_orders_gone(&mut self, open: &std::collections::BTreeSet<OrderId>, seen: &Comparison) {
        let book = &self.provider.state.book;
        let waiting = book.entries().filter_map(|(id, entry)| match &entry.stage {
            // An order younger than the picture is not in it.
            Stage::Waiting(request) if request.order.created_at < seen.height && !open.contains(id) => {
                Some(id.clone())
            }
            _ => None,
        });
        for order in waiting.collect::<Vec<_>>() {
            self.bid(BidCommand::OrderGone {
                order,
                why: GoneReason::Closed,
            });
        }
    }

    fn bid_on_chain(
        &mut self,
        bid: Bid,
        sizes: &[(OrderId, Resources)],
        open: &std::collections::BTreeSet<OrderId>,
    ) {
        let known = self
            .provider
            .state
            .book
            .entry(&bid.id.order)
            .map(|entry| &entry.stage);
        match (bid.state, known) {
            (BidState::Open, Some(Stage::InFlight { .. } | Stage::Retrying { .. })) => {
                self.bid(BidCommand::BidLanded {
                    height: bid.created_at,
                    id: bid.id,
                });
            }
            (BidState::Open, None | Some(Stage::Waiting(_))) => {
                let order_open = open.contains(&bid.id.order);
                let size = sizes
                    .iter()
                    .find(|(id, _)| *id == bid.id.order)
                    .map(|(_, size)| *size);
                let resources = size.unwrap_or(Resources::ZERO);
                self.bid(BidCommand::AdoptBid {
                    bid,
                    resources,
                    order_open,
                });
            }
            (BidState::Open, Some(Stage::Live { .. })) if !open.contains(&bid.id.order) => {
                // Open on an order that is no longer open: it lost, and its deposit is stuck until it is closed (B.5).
                self.bid(BidCommand::LeaseLost { order: bid.id.order });
            }
            _ => {}
        }
    }

    fn bid_ended(&mut self, id: &BidId, bid: Option<&Bid>) {
        match bid.map(|bid| bid.state) {
            Some(BidState::Lost | BidState::Closed) => self.bid(BidCommand::BidClosed { id: id.clone() }),
            // Not there: the endpoint may lag behind. Active or open: the next comparison sees it.
            Some(BidState::Open | BidState::Active) | None => {}
        }
    }
}
