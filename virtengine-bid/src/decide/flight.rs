//! What becomes of a bid's transaction.

use std::time::Duration;

use virtengine_provider_core::id::{BidId, Height, OrderId};
use virtengine_provider_core::ports::chain::{RejectKind, Rejection};
use virtengine_provider_core::time::Timestamp;

use super::{Answer, Desk, Rejected};
use crate::book::{Flight, Outcome, Stage};
use crate::event::Event;
use crate::reason::{DeferReason, FailReason, HoldReason};

/// How long nothing is bid after the account was found empty: long enough to be topped up, and 12 failures an hour at most.
const FUNDS_WAIT: Duration = Duration::from_secs(300);
/// How long an order waits after the chain took none of our attempts.
const RETRIES_USED_UP_WAIT: Duration = Duration::from_secs(120);

impl Desk<'_> {
    pub(super) fn bid_sent(&self, order: &OrderId, sending: u32) -> Vec<Event> {
        match self.book.entry(order).map(|entry| &entry.stage) {
            Some(Stage::InFlight {
                flight: Flight::Decided,
                request,
                ..
            }) if request.sendings == sending => vec![Event::BidSent {
                order: order.clone(),
                at: self.now,
            }],
            _ => Vec::new(),
        }
    }

    /// It stays in flight: its place, its capacity and its order are kept until somebody knows.
    pub(super) fn bid_unknown(&self, order: &OrderId, sending: u32) -> Vec<Event> {
        match self.book.entry(order).map(|entry| &entry.stage) {
            Some(Stage::InFlight {
                flight: Flight::Decided | Flight::Sent,
                request,
                ..
            }) if request.sendings == sending => vec![Event::BidUnresolved {
                order: order.clone(),
                at: self.now,
            }],
            _ => Vec::new(),
        }
    }

    pub(super) fn bid_landed(&self, id: &BidId, height: Height) -> Answer {
        let unknown = || Rejected::Unknown { id: id.clone() };
        let order = &id.order;
        let Some(entry) = self.book.entry(order) else {
            // After its end this is old news. Of a bid that we gave up it is not: it has to be adopted.
            return match self.book.record(order).map(|record| &record.outcome) {
                Some(Outcome::Closed | Outcome::LeaseOver) => Ok(Vec::new()),
                _ => Err(unknown()),
            };
        };
        match &entry.stage {
            Stage::InFlight { gone, .. } => {
                let mut events = vec![self.landed(order, height)];
                if let Some(why) = gone {
                    events.extend(self.lost(order, *why));
                }
                Ok(events)
            }
            // An earlier sending landed after all.
            Stage::Retrying { .. } => Ok(vec![self.landed(order, height)]),
            Stage::Waiting(_) => Err(unknown()),
            Stage::Live { .. } | Stage::Closing { .. } | Stage::Leased { .. } => Ok(Vec::new()),
        }
    }

    fn landed(&self, order: &OrderId, height: Height) -> Event {
        Event::BidLanded {
            order: order.clone(),
            height,
            expires: self.now.plus(self.policy().bid_time_to_live),
            at: self.now,
        }
    }

    pub(super) fn bid_rejected(&self, order: &OrderId, sending: u32, rejection: Rejection) -> Vec<Event> {
        let Some(Stage::InFlight {
            attempt,
            gone,
            request,
            ..
        }) = self.book.entry(order).map(|entry| &entry.stage)
        else {
            return Vec::new();
        };
        // An answer to an older sending, come late or twice, says nothing about the one that flies.
        if request.sendings != sending {
            return Vec::new();
        }
        let at = self.now;
        if rejection.kind == RejectKind::AlreadyDone {
            // "One bid per order and provider": ours is there.
            let mut events = vec![self.landed(order, Height::default())];
            if let Some(why) = gone {
                events.extend(self.lost(order, *why));
            }
            return events;
        }
        if let Some(why) = gone {
            return self.failed(order, FailReason::Gone { why: *why });
        }
        let retryable = rejection.kind.is_retryable();
        if retryable && *attempt <= self.policy().limits.max_bid_retries {
            return vec![Event::BidRetry {
                order: order.clone(),
                attempt: attempt.saturating_add(1),
                until: at.plus(self.policy().limits.bid_retry_delay),
                rejection,
                at,
            }];
        }
        if rejection.kind == RejectKind::InsufficientFunds {
            let until = at.plus(FUNDS_WAIT);
            let mut events = self.put_back(order, until, DeferReason::InsufficientFunds);
            events.push(Event::BiddingHeld {
                reason: HoldReason::InsufficientFunds,
                until: Some(until),
                at,
            });
            return events;
        }
        // Refused before it was in a block, so it cost no fee and says nothing about the order: later. An attempt that ran
        // out of gas was paid for, and would be again.
        if retryable && rejection.kind != RejectKind::OutOfGas {
            let why = DeferReason::RetriesUsedUp { rejection };
            return self.put_back(order, at.plus(RETRIES_USED_UP_WAIT), why);
        }
        self.failed(order, FailReason::Rejected { rejection })
    }

    /// The bid is undone; the order is decided again later.
    pub(super) fn put_back(&self, order: &OrderId, until: Timestamp, why: DeferReason) -> Vec<Event> {
        let deferred = Event::OrderDeferred {
            order: order.clone(),
            until,
            why,
            at: self.now,
        };
        self.free(order).into_iter().chain([deferred]).collect()
    }

    fn failed(&self, order: &OrderId, reason: FailReason) -> Vec<Event> {
        let failed = Event::BidFailed {
            order: order.clone(),
            reason,
            at: self.now,
        };
        self.free(order).into_iter().chain([failed]).collect()
    }

    pub(super) fn bid_closed(&self, order: &OrderId) -> Vec<Event> {
        match self.book.entry(order).map(|entry| &entry.stage) {
            Some(
                Stage::InFlight { .. } | Stage::Retrying { .. } | Stage::Live { .. } | Stage::Closing { .. },
            ) => self.closed(order),
            // A lease closes its bid: the end of the lease tells.
            Some(Stage::Waiting(_) | Stage::Leased { .. }) | None => Vec::new(),
        }
    }

    pub(super) fn closed(&self, order: &OrderId) -> Vec<Event> {
        let closed = Event::BidClosed {
            order: order.clone(),
            at: self.now,
        };
        self.free(order).into_iter().chain([closed]).collect()
    }

    /// Refused because it is closed or refunded already: done. Anything else: asked for again in a while.
    pub(super) fn close_rejected(&self, order: &OrderId, rejection: &Rejection) -> Vec<Event> {
        let over = matches!(rejection.kind, RejectKind::AlreadyDone | RejectKind::StateChanged);
        match self.book.entry(order).map(|entry| &entry.stage) {
            Some(Stage::Closing { .. }) if over => self.closed(order),
            _ => Vec::new(),
        }
    }
}
