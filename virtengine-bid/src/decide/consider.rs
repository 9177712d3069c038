//! Match → price → room → slot → bid; and deadlines.

use std::time::Duration;

use virtengine_provider_core::capacity::{self, Reservation, ReservationKey, ReservationKind};
use virtengine_provider_core::id::OrderId;
use virtengine_provider_core::money::{Decimal, Price};
use virtengine_provider_core::pricing::Quote;
use virtengine_provider_core::time::Timestamp;

use super::{Bidder, Desk};
use crate::book::{Book, Request, Stage};
use crate::event::{Event, Explanation};
use crate::matching::{self, Fit};
use crate::reason::{CloseWhy, DeclineReason, DeferReason, GoneReason};
use crate::strategy;

/// First wait of an order for which there is no room now; each further one is twice as long.
const ROOM_WAIT_FIRST: Duration = Duration::from_secs(30);
/// Longest such wait: an order for which room appears is decided within it.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(600);
/// How long until a bid that is to be closed is asked for again: several blocks, so that a transaction that was sent has an
/// outcome.
const CLOSE_AGAIN: Duration = Duration::from_secs(300);

impl Bidder {
    /// Whether one more bid may be sent now; otherwise why not, and until when (not after `now`: until an outcome is known).
    pub(super) fn slot(&self, book: &Book, now: Timestamp) -> Result<(), (DeferReason, Timestamp)> {
        let max = self.policy.limits.max_concurrent_bids;
        if book.tally().in_flight >= usize::try_from(max).unwrap_or(usize::MAX) {
            return Err((DeferReason::InFlight { max }, now));
        }
        book.window().allows(&self.policy.limits, now)
    }
}

impl Desk<'_> {
    /// One order: the deferred ones in their turn while a bid may be sent, else the next that was never considered.
    pub(super) fn consider(&self) -> Vec<Event> {
        if self.book.is_held(self.now) {
            return Vec::new();
        }
        let slot = self.bidder.slot(self.book, self.now);
        let due = self
            .book
            .first_waiting()
            .filter(|(until, _)| slot.is_ok() && *until <= self.now)
            .map(|(_, order)| order);
        let roomy = || {
            // Room may have appeared before the order's own time has come.
            let open = slot.is_ok() && !self.ledger.is_over_committed();
            open.then(|| self.book.fitting(&self.ledger.available()))
                .flatten()
        };
        let Some(order) = due.or_else(|| self.book.first_fresh()).or_else(roomy) else {
            return Vec::new();
        };
        match self.book.entry(order).map(|entry| &entry.stage) {
            Some(Stage::Waiting(request)) => self.assess(request, slot),
            Some(Stage::Retrying { bid, request, .. }) if self.ledger.is_over_committed() => {
                // The room that it was decided with is gone meanwhile.
                let wanted = bid.explanation.as_ref().map(|explanation| explanation.resources);
                let why = DeferReason::NoCapacity {
                    wanted: wanted.unwrap_or_default(),
                    available: self.ledger.available(),
                };
                self.put_back(order, self.now.plus(room_wait(request)), why)
            }
            Some(Stage::Retrying {
                bid,
                request,
                attempt,
                ..
            }) => vec![Event::BidResent {
                order: order.clone(),
                price: bid.price.clone(),
                attempt: *attempt,
                sending: request.sendings.saturating_add(1),
                at: self.now,
            }],
            _ => Vec::new(),
        }
    }

    fn assess(&self, request: &Request, slot: Result<(), (DeferReason, Timestamp)>) -> Vec<Event> {
        let order = &request.order.id;
        let decline = |reason| {
            vec![Event::OrderDeclined {
                order: order.clone(),
                reason,
                at: self.now,
            }]
        };
        let defer = |until, why| {
            vec![Event::OrderDeferred {
                order: order.clone(),
                until,
                why,
                at: self.now,
            }]
        };
        let fit = match matching::check(self.policy(), &self.bidder.offer, &request.order, request.bids) {
            Ok(fit) => fit,
            Err(reason) => return decline(reason),
        };
        let available = self.ledger.available();
        let (price, quote) = match self.price(request, &fit) {
            Ok(priced) => priced,
            Err(reason) => return decline(reason),
        };
        let bounds = self.ledger.bounds();
        let ceiling = bounds.ceiling.saturating_sub(&bounds.kept_back);
        if !fit.resources.fits_in(&ceiling) {
            return decline(DeclineReason::TooLarge {
                wanted: fit.resources,
                capacity: ceiling,
            });
        }
        if self.ledger.is_over_committed() || !fit.resources.fits_in(&available) {
            let why = DeferReason::NoCapacity {
                wanted: fit.resources,
                available,
            };
            return defer(self.now.plus(room_wait(request)), why);
        }
        // Last of all: a token is taken only for a bid that is sent.
        if let Err((why, until)) = slot {
            return defer(until, why);
        }
        let explanation = Explanation {
            resources: fit.resources,
            available,
            max: fit.max,
            quote,
            rivals: request.bids,
        };
        self.bid(request, price, explanation)
    }

    fn bid(&self, request: &Request, price: Decimal, explanation: Explanation) -> Vec<Event> {
        let order = &request.order.id;
        let reserved = capacity::Event::Reserved {
            key: ReservationKey::Order(order.clone()),
            reservation: Reservation {
                resources: explanation.resources,
                kind: ReservationKind::Bid,
                since: self.now,
            },
        };
        vec![
            Event::Capacity { change: reserved },
            Event::BidDecided {
                order: order.clone(),
                price: Price::new(self.bidder.rate.denom().clone(), price),
                explanation: Box::new(explanation),
                sending: request.sendings.saturating_add(1),
                at: self.now,
            },
        ]
    }

    fn price(&self, request: &Request, fit: &Fit) -> Result<(Decimal, Quote), DeclineReason> {
        let failed = |what: String| DeclineReason::PriceFailed { what };
        let quote = self
            .bidder
            .rate
            .quote(&fit.resources)
            .map_err(|error| failed(error.to_string()))?;
        let asked = strategy::Request {
            order: &request.order,
            resources: &fit.resources,
            max: fit.max,
            quote: &quote,
            rivals: request.bids,
            available: &self.ledger.available(),
            capacity: &self.ledger.capacity(),
            now: self.now,
        };
        let price = self
            .bidder
            .strategy
            .price(&asked)
            .map_err(|error| failed(error.to_string()))?
            .max(quote.floor);
        if price > fit.max {
            return Err(DeclineReason::PriceAboveMax { price, max: fit.max });
        }
        if price.is_zero() {
            return Err(DeclineReason::PriceZero);
        }
        Ok((price, quote))
    }

    /// One deadline that has come.
    pub(super) fn tick(&self) -> Vec<Event> {
        let at = self.now;
        if let Some(reason) = self.book.ended_hold(at) {
            return vec![Event::BiddingReleased { reason, at }];
        }
        let Some((_, order)) = self.book.first_timer().filter(|(due, _)| *due <= at) else {
            return Vec::new();
        };
        match self.book.entry(order).map(|entry| &entry.stage) {
            Some(Stage::Waiting(_)) => vec![Event::OrderExpired {
                order: order.clone(),
                why: GoneReason::TimeToLive,
                at,
            }],
            Some(Stage::Live { .. }) => vec![self.close_wanted(order, CloseWhy::Stale)],
            Some(Stage::Closing { why, .. }) => vec![self.close_wanted(order, *why)],
            _ => Vec::new(),
        }
    }

    pub(super) fn close_wanted(&self, order: &OrderId, why: CloseWhy) -> Event {
        Event::BidCloseWanted {
            order: order.clone(),
            why,
            again: self.now.plus(CLOSE_AGAIN),
            at: self.now,
        }
    }
}

/// Twice as long with each time that the order was deferred.
fn room_wait(request: &Request) -> Duration {
    let times = request.deferral.as_ref().map_or(0, |deferral| deferral.times);
    1_u32
        .checked_shl(times)
        .and_then(|factor| ROOM_WAIT_FIRST.checked_mul(factor))
        .map_or(ROOM_WAIT_MAX, |wait| wait.min(ROOM_WAIT_MAX))
}
