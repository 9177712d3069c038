//! Orders come and go; bidding is held and released.

use virtengine_provider_core::id::OrderId;
use virtengine_provider_core::market::{Order, OrderState};
use virtengine_provider_core::time::Timestamp;

use super::{Answer, Desk, Rejected};
use crate::book::{ORDERS_WAITING_MAX, Outcome, Stage};
use crate::event::Event;
use crate::reason::{CloseWhy, DeclineReason, FailReason, GoneReason, HoldReason};

impl Desk<'_> {
    /// A second look at an order that is known or decided says nothing new.
    pub(super) fn order_seen(&self, order: Box<Order>, bids: u32) -> Answer {
        if self.book.record(&order.id).is_some() {
            return Ok(Vec::new());
        }
        self.take_in(order, bids)
    }

    pub(super) fn reconsider(&self, order: Box<Order>, bids: u32) -> Answer {
        // A bid that was closed is still on chain, and there is one per order and provider.
        match self.book.record(&order.id).map(|record| &record.outcome) {
            Some(Outcome::Closed | Outcome::LeaseOver) => Ok(Vec::new()),
            Some(Outcome::Declined { .. } | Outcome::Expired { .. } | Outcome::Failed { .. }) | None => {
                self.take_in(order, bids)
            }
        }
    }

    fn take_in(&self, order: Box<Order>, bids: u32) -> Answer {
        if order.state != OrderState::Open || self.book.entry(&order.id).is_some() {
            return Ok(Vec::new());
        }
        if self.book.is_full() {
            return Err(Rejected::Full {
                max: ORDERS_WAITING_MAX,
            });
        }
        Ok(vec![Event::OrderSeen {
            order,
            bids,
            expires: self.now.plus(self.policy().order_time_to_live),
            at: self.now,
        }])
    }

    /// Only counted while we have not decided.
    pub(super) fn rival_bid(&self, order: OrderId) -> Vec<Event> {
        match self.book.entry(&order).map(|entry| &entry.stage) {
            Some(Stage::Waiting(_)) => vec![Event::RivalBidSeen { order, at: self.now }],
            _ => Vec::new(),
        }
    }

    pub(super) fn order_gone(&self, order: &OrderId, why: GoneReason) -> Vec<Event> {
        let at = self.now;
        let id = || order.clone();
        let Some(entry) = self.book.entry(order) else {
            return Vec::new();
        };
        match &entry.stage {
            Stage::Waiting(_) => vec![Event::OrderExpired { order: id(), why, at }],
            Stage::InFlight { gone: None, .. } => vec![Event::OrderWithdrawn { order: id(), why, at }],
            Stage::Retrying { .. } => self
                .free(order)
                .into_iter()
                .chain([Event::BidFailed {
                    order: id(),
                    reason: FailReason::Gone { why },
                    at,
                }])
                .collect(),
            Stage::Live { .. } => self.lost(order, why),
            // On its way out already; what it held is free now that it cannot become a lease.
            Stage::Closing { .. } => self
                .free(order)
                .map(|freed| vec![freed, Event::BidLost { order: id(), why, at }])
                .unwrap_or_default(),
            Stage::InFlight { gone: Some(_), .. } | Stage::Leased { .. } => Vec::new(),
        }
    }

    /// A bid on chain that can no longer become a lease: its capacity is free at once, its deposit is fetched.
    pub(super) fn lost(&self, order: &OrderId, why: GoneReason) -> Vec<Event> {
        let at = self.now;
        let close = match why {
            GoneReason::Operator => CloseWhy::Operator,
            _ => CloseWhy::OrderGone,
        };
        self.free(order)
            .into_iter()
            .chain([
                Event::BidLost {
                    order: order.clone(),
                    why,
                    at,
                },
                self.close_wanted(order, close),
            ])
            .collect()
    }

    pub(super) fn withdraw(&self, order: &OrderId) -> Vec<Event> {
        let at = self.now;
        match self.book.entry(order).map(|entry| &entry.stage) {
            Some(Stage::Waiting(_)) => vec![Event::OrderDeclined {
                order: order.clone(),
                reason: DeclineReason::Operator,
                at,
            }],
            // The tenant may still take it until it is closed: its capacity stays reserved.
            Some(Stage::Live { .. }) => vec![self.close_wanted(order, CloseWhy::Operator)],
            Some(Stage::InFlight { .. } | Stage::Retrying { .. }) => {
                self.order_gone(order, GoneReason::Operator)
            }
            Some(Stage::Closing { .. } | Stage::Leased { .. }) | None => Vec::new(),
        }
    }

    pub(super) fn hold(&self, reason: HoldReason, until: Option<Timestamp>) -> Vec<Event> {
        if self.book.hold(reason) == Some(until) {
            return Vec::new();
        }
        let at = self.now;
        vec![Event::BiddingHeld { reason, until, at }]
    }

    pub(super) fn release(&self, reason: HoldReason) -> Vec<Event> {
        if self.book.hold(reason).is_none() {
            return Vec::new();
        }
        let at = self.now;
        vec![Event::BiddingReleased { reason, at }]
    }
}
