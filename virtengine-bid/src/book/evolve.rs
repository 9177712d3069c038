//! Applying what happened. An event that does not fit the stage of its order changes nothing: replay is safe.

use virtengine_provider_core::id::{Height, OrderId};
use virtengine_provider_core::money::Price;
use virtengine_provider_core::time::Timestamp;

use super::{Book, Deferral, Entry, Flight, OurBid, Outcome, Request, Stage};
use crate::event::Event;
use crate::reason::DeferReason;

impl Book {
    /// Applies what happened. Ledger events are none of the book's: see [`crate::evolve`].
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::OrderSeen {
                order,
                bids,
                expires,
                at,
            } => {
                self.forget_record(&order.id);
                if self.orders.contains_key(&order.id) {
                    return;
                }
                self.totals.seen = self.totals.seen.saturating_add(1);
                let request = Request {
                    order: (**order).clone(),
                    bids: *bids,
                    sendings: 0,
                    expires: *expires,
                    deferral: None,
                };
                self.enter(&order.id, Stage::Waiting(Box::new(request)), *at);
            }
            Event::RivalBidSeen { order, .. } => {
                if let Some(Stage::Waiting(request)) = self.stage_mut(order) {
                    request.bids = request.bids.saturating_add(1);
                }
            }
            Event::OrderDeclined { order, reason, at } => {
                let reason = reason.clone();
                self.totals.declined = self.totals.declined.saturating_add(1);
                self.end(order, *at, Outcome::Declined { reason });
            }
            Event::OrderDeferred {
                order, until, why, ..
            } => self.deferred(order, *until, why),
            Event::OrderExpired { order, why, at } => {
                self.totals.expired = self.totals.expired.saturating_add(1);
                self.end(order, *at, Outcome::Expired { why: *why });
            }
            Event::BidFailed { order, reason, at } => {
                let reason = reason.clone();
                self.totals.failed = self.totals.failed.saturating_add(1);
                self.end(order, *at, Outcome::Failed { reason });
            }
            Event::BidClosed { order, at } => self.end(order, *at, Outcome::Closed),
            Event::LeaseOver { order, at } => self.end(order, *at, Outcome::LeaseOver),
            Event::BiddingHeld { reason, until, .. } => {
                self.holds.insert(*reason, *until);
            }
            Event::BiddingReleased { reason, .. } => {
                self.holds.remove(reason);
            }
            Event::Capacity { .. } => {}
            _ => self.evolve_bid(event),
        }
    }

    fn evolve_bid(&mut self, event: &Event) {
        match event {
            Event::BidDecided {
                order,
                price,
                explanation,
                sending,
                at,
            } => {
                self.window.record(*at);
                self.totals.bids = self.totals.bids.saturating_add(1);
                let bid = OurBid {
                    price: price.clone(),
                    decided: *at,
                    explanation: Some(explanation.clone()),
                };
                self.change(order, |stage| match stage {
                    Stage::Waiting(request) => in_flight(bid, request, 1, *sending),
                    other => other,
                });
            }
            Event::BidSent { order, .. } => self.flies(order, Flight::Sent),
            Event::BidUnresolved { order, .. } => self.flies(order, Flight::Unresolved),
            Event::OrderWithdrawn { order, why, .. } => {
                if let Some(Stage::InFlight { gone, .. }) = self.stage_mut(order) {
                    *gone = Some(*why);
                }
            }
            _ => self.evolve_attempt(event),
        }
    }

    fn evolve_attempt(&mut self, event: &Event) {
        match event {
            Event::BidRetry {
                order,
                attempt,
                until,
                ..
            } => self.change(order, |stage| match stage {
                Stage::InFlight { bid, request, .. } => Stage::Retrying {
                    bid,
                    request,
                    attempt: *attempt,
                    until: *until,
                },
                other => other,
            }),
            Event::BidResent {
                order,
                attempt,
                sending,
                at,
                ..
            } => {
                self.window.record(*at);
                self.totals.retries = self.totals.retries.saturating_add(1);
                self.change(order, |stage| match stage {
                    Stage::Retrying { bid, request, .. } => in_flight(bid, request, *attempt, *sending),
                    other => other,
                });
            }
            Event::BidLanded {
                order,
                height,
                expires,
                ..
            } => self.landed(order, *height, *expires),
            Event::BidAdopted {
                order,
                price,
                height,
                expires,
                at,
            } => {
                let live = Stage::Live {
                    bid: found(price, *at),
                    height: *height,
                    expires: *expires,
                };
                self.enter(order, live, *at);
            }
            _ => self.evolve_lease(event),
        }
    }

    fn evolve_lease(&mut self, event: &Event) {
        match event {
            Event::BidWon { order, price, at } => {
                self.totals.won = self.totals.won.saturating_add(1);
                self.leased(order, price, *at);
            }
            Event::LeaseAdopted { order, price, at } => self.leased(order, price, *at),
            Event::BidLost { .. } => self.totals.lost = self.totals.lost.saturating_add(1),
            Event::BidCloseWanted {
                order, why, again, ..
            } => self.change(order, |stage| match stage {
                Stage::Live { bid, .. } | Stage::Closing { bid, .. } => Stage::Closing {
                    bid,
                    why: *why,
                    again: *again,
                },
                other => other,
            }),
            _ => {}
        }
    }

    fn landed(&mut self, order: &OrderId, height: Height, expires: Timestamp) {
        self.totals.landed = self.totals.landed.saturating_add(1);
        self.change(order, |stage| match stage {
            Stage::InFlight { bid, .. } | Stage::Retrying { bid, .. } => Stage::Live { bid, height, expires },
            other => other,
        });
    }

    fn leased(&mut self, order: &OrderId, price: &Price, at: Timestamp) {
        let mut bid = match self.entry(order).map(|entry| &entry.stage) {
            Some(stage) => stage.bid().cloned().unwrap_or_else(|| found(price, at)),
            None => found(price, at),
        };
        bid.price = price.clone();
        self.enter(order, Stage::Leased { bid, since: at }, at);
    }

    fn deferred(&mut self, order: &OrderId, until: Timestamp, why: &DeferReason) {
        self.totals.deferred = self.totals.deferred.saturating_add(1);
        self.change(order, |stage| match stage {
            Stage::Waiting(mut request)
            | Stage::InFlight { mut request, .. }
            | Stage::Retrying { mut request, .. } => {
                let times = request.deferral.as_ref().map_or(0, |deferral| deferral.times);
                request.deferral = Some(Deferral {
                    until,
                    why: why.clone(),
                    times: times.saturating_add(1),
                });
                Stage::Waiting(request)
            }
            other => other,
        });
    }

    /// For changes that leave the indexes as they are.
    fn stage_mut(&mut self, order: &OrderId) -> Option<&mut Stage> {
        self.orders.get_mut(order)?.as_mut().map(|entry| &mut entry.stage)
    }

    fn flies(&mut self, order: &OrderId, how: Flight) {
        if let Some(Stage::InFlight { flight, .. }) = self.stage_mut(order) {
            *flight = how;
        }
    }

    /// An order comes to a stage from wherever it was.
    fn enter(&mut self, order: &OrderId, stage: Stage, at: Timestamp) {
        self.forget_record(order);
        if self.orders.contains_key(order) {
            self.change(order, |_| stage);
            return;
        }
        let seq = self.draw_seq();
        let seen = at;
        self.insert(order, Entry { seq, seen, stage });
    }

    fn end(&mut self, order: &OrderId, at: Timestamp, outcome: Outcome) {
        let Some(entry) = self.remove(order) else {
            return;
        };
        let bid = match entry.stage {
            Stage::Waiting(_) => None,
            Stage::InFlight { bid, .. }
            | Stage::Retrying { bid, .. }
            | Stage::Live { bid, .. }
            | Stage::Closing { bid, .. }
            | Stage::Leased { bid, .. } => Some(bid),
        };
        self.conclude(order, at, outcome, bid);
    }
}

fn in_flight(bid: OurBid, mut request: Box<Request>, attempt: u32, sending: u32) -> Stage {
    request.sendings = sending;
    Stage::InFlight {
        bid,
        request,
        attempt,
        flight: Flight::Decided,
        gone: None,
    }
}

fn found(price: &Price, at: Timestamp) -> OurBid {
    OurBid {
        price: price.clone(),
        decided: at,
        explanation: None,
    }
}
