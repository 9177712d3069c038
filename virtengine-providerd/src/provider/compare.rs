//! What the chain says by itself repairs what events did not tell.

use std::collections::BTreeMap;

use virtengine_bid::Command as BidCommand;
use virtengine_bid::book::{Outcome, Stage};
use virtengine_bid::reason::GoneReason;
use virtengine_provider_core::id::{BidId, OrderId};
use virtengine_provider_core::lease::{self, Phase};
use virtengine_provider_core::market::{Bid, BidState, CloseReason, Deployment, Lease, LeaseState, Order};
use virtengine_provider_core::units::Resources;

use super::effect::Purpose;
use super::fact::Comparison;
use super::follow::Steps;

/// New orders and ended leases that one comparison brings in at most, so that its consequences fit into one commit of the
/// journal. The next comparison brings the rest.
const ORDERS_PER_COMPARISON: usize = 2000;
const ENDED_PER_COMPARISON: usize = 400;

/// The open orders of a comparison, and what each takes from capacity.
type Open = BTreeMap<OrderId, Option<Resources>>;

impl Steps<'_> {
    /// After new settings: what was declined by the old ones is decided anew.
    fn reconsider_declined(&mut self, open: &[Order]) {
        if !std::mem::take(&mut self.provider.reconsider) {
            return;
        }
        let book = &self.provider.state.book;
        let is_declined = |order: &&Order| {
            let record = book.record(&order.id);
            record.is_some_and(|record| matches!(record.outcome, Outcome::Declined { .. }))
        };
        // No more than the book remembers decisions.
        let declined: Vec<Order> = open.iter().filter(is_declined).cloned().collect();
        for order in declined {
            self.bid(BidCommand::Reconsider {
                order: Box::new(order),
                bids: 0,
            });
        }
    }

    pub(super) fn compared(&mut self, seen: Comparison) {
        let open: Open = seen
            .open_orders
            .iter()
            .map(|order| (order.id.clone(), order.spec.total().ok()))
            .collect();
        self.unseen_orders_gone(&open, &seen);
        // Blocks went by while the picture was taken: what they said counts more.
        let is_past = seen.height < self.provider.state.height;
        self.reconsider_declined(&seen.open_orders);
        let book = &self.provider.state.book;
        let fresh = seen.open_orders.into_iter().filter(|order| {
            let known = book.entry(&order.id).is_some() || book.record(&order.id).is_some();
            !known
        });
        for order in fresh.take(ORDERS_PER_COMPARISON).collect::<Vec<_>>() {
            self.bid(BidCommand::OrderSeen {
                order: Box::new(order),
                bids: 0,
            });
        }
        for bid in seen.bids {
            // An order that is younger than the picture may be missing in it.
            let order_open = open.contains_key(&bid.id.order) || bid.created_at >= seen.height;
            self.bid_on_chain(bid, &open, order_open, is_past);
        }
        for (id, bid) in seen.ended_bids {
            self.bid_ended(&id, bid.as_ref());
        }
        for (lease, deployment) in seen.leases {
            self.lease_on_chain(lease, &deployment, is_past);
        }
        for lease in seen.ended_leases.into_iter().take(ENDED_PER_COMPARISON) {
            // Positive evidence: the chain itself shows the lease, and shows it ended.
            let reason = match lease.state {
                LeaseState::Active => continue,
                LeaseState::InsufficientFunds => CloseReason::InsufficientFunds,
                LeaseState::Closed => CloseReason::Unspecified,
            };
            self.lease_ended(&lease.id, seen.height, reason);
        }
    }

    /// Orders that wait to be decided here and are no longer open on chain.
    fn unseen_orders_gone(&mut self, open: &Open, seen: &Comparison) {
        let book = &self.provider.state.book;
        let waiting = book.entries().filter_map(|(id, entry)| match &entry.stage {
            // An order younger than the picture is not in it.
            Stage::Waiting(request) if request.order.created_at < seen.height && !open.contains_key(id) => {
                Some(id.clone())
            }
            _ => None,
        });
        for order in waiting.take(ORDERS_PER_COMPARISON).collect::<Vec<_>>() {
            self.bid(BidCommand::OrderGone {
                order,
                why: GoneReason::Closed,
            });
        }
    }

    fn bid_on_chain(&mut self, bid: Bid, open: &Open, order_open: bool, is_past: bool) {
        let book = &self.provider.state.book;
        let known = book.entry(&bid.id.order).map(|entry| &entry.stage);
        let ended = book
            .record(&bid.id.order)
            .is_some_and(|record| matches!(record.outcome, Outcome::Closed | Outcome::LeaseOver));
        match (bid.state, known) {
            (BidState::Open, Some(Stage::InFlight { .. } | Stage::Retrying { .. })) => {
                self.bid(BidCommand::BidLanded {
                    height: bid.created_at,
                    id: bid.id,
                });
            }
            (BidState::Open, None) if ended && is_past => {}
            (BidState::Open, None | Some(Stage::Waiting(_))) => {
                let size = open.get(&bid.id.order).copied().flatten();
                if order_open && size.is_none() {
                    // How much it takes is not known yet; the next picture has its order.
                    return;
                }
                self.bid(BidCommand::AdoptBid {
                    bid,
                    resources: size.unwrap_or(Resources::ZERO),
                    order_open,
                });
            }
            (BidState::Open, Some(Stage::Live { .. })) if !order_open => {
                // Open on an order that is no longer open: it lost, and its deposit is stuck until it is closed (B.5).
                self.bid(BidCommand::LeaseLost { order: bid.id.order });
            }
            _ => {}
        }
    }

    /// An active lease of ours: not known, or not quite as we believe.
    fn lease_on_chain(&mut self, lease: Lease, deployment: &Deployment, is_past: bool) {
        let (id, height) = (lease.id.clone(), self.provider.state.height);
        self.lease_found(lease, deployment, height);
        if is_past {
            return;
        }
        let manifest_hash = deployment.manifest_hash;
        self.lease_quietly(&id, lease::Command::HashChanged { manifest_hash });
        let phase = self
            .provider
            .state
            .leases
            .get(&id)
            .map(|lease| lease.phase.clone());
        if let Some(Phase::Closing { reason, .. }) = phase
            && !self.is_under_way(&Purpose::CloseLease { lease: id.clone() })
        {
            // The chain did not take our close, or took it for something else.
            self.plan_close(&id, reason, self.now);
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
