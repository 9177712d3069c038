//! From commands to events. This module routes; each file beside it owns one part of an order's life.

mod consider;
mod flight;
mod intake;
mod lease;

use virtengine_provider_core::capacity::{self, Ledger, ReservationKey};
use virtengine_provider_core::id::{BidId, LeaseId, OrderId};
use virtengine_provider_core::market::CloseReason;
use virtengine_provider_core::ports::chain::Message;
use virtengine_provider_core::pricing::Rate;
use virtengine_provider_core::time::Timestamp;

use crate::book::Book;
use crate::command::Command;
use crate::event::Event;
use crate::matching::Offer;
use crate::policy::{Policy, PolicyError};
use crate::strategy::Strategy;

/// Why a command makes no sense. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// A bid or lease of another provider.
    #[error("{id} is not a bid or lease of ours")]
    NotOurs {
        /// Which.
        id: BidId,
    },
    /// A bid or lease of ours that the book does not know: look it up on chain and adopt it.
    #[error("{id} is unknown: look it up on chain and adopt it")]
    Unknown {
        /// Which.
        id: BidId,
    },
    /// Too many orders wait. Offer this one again later.
    #[error("{max} orders wait to be decided, as many as may be")]
    Full {
        /// That many.
        max: usize,
    },
    /// The ledger refuses.
    #[error(transparent)]
    Capacity(#[from] capacity::Rejected),
}

/// The policy, compiled: decides.
#[derive(Debug)]
pub struct Bidder {
    policy: Policy,
    offer: Offer,
    rate: Rate,
    strategy: Box<dyn Strategy>,
}

type Answer = Result<Vec<Event>, Rejected>;

impl Bidder {
    /// Compiles `policy`; prices come from `strategy`.
    ///
    /// # Errors
    /// [`PolicyError`] when the policy cannot work.
    pub fn new(policy: Policy, strategy: Box<dyn Strategy>) -> Result<Self, PolicyError> {
        policy.limits.check()?;
        let rate = policy.prices.compile(&policy.denomination, policy.block_time)?;
        Ok(Self {
            offer: Offer::new(&policy),
            policy,
            rate,
            strategy,
        })
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The prices per block.
    #[must_use]
    pub const fn rate(&self) -> &Rate {
        &self.rate
    }

    /// Decides what `command` changes at `now`. An empty list: nothing, it is known or done already.
    ///
    /// # Errors
    /// [`Rejected`] when the command makes no sense.
    pub fn decide(&self, book: &Book, ledger: &Ledger, command: Command, now: Timestamp) -> Answer {
        let desk = Desk {
            bidder: self,
            book,
            ledger,
            now,
        };
        match command {
            Command::OrderSeen { order, bids } => desk.order_seen(order, bids),
            Command::RivalBid { order } => Ok(desk.rival_bid(order)),
            Command::OrderGone { order, why } => Ok(desk.order_gone(&order, why)),
            Command::LeaseLost { order } => Ok(desk.order_gone(&order, crate::reason::GoneReason::Taken)),
            Command::Reconsider { order, bids } => desk.reconsider(order, bids),
            Command::Withdraw { order } => Ok(desk.withdraw(&order)),
            Command::Hold { reason, until } => Ok(desk.hold(reason, until)),
            Command::Release { reason } => Ok(desk.release(reason)),
            Command::Consider => Ok(desk.consider()),
            Command::Tick => Ok(desk.tick()),
            Command::BidSent { id, sending } => desk.ours(&id).map(|()| desk.bid_sent(&id.order, sending)),
            Command::BidUnknown { id, sending } => {
                desk.ours(&id).map(|()| desk.bid_unknown(&id.order, sending))
            }
            Command::BidLanded { id, height } => desk.ours(&id).and_then(|()| desk.bid_landed(&id, height)),
            Command::BidRejected {
                id,
                sending,
                rejection,
            } => desk
                .ours(&id)
                .map(|()| desk.bid_rejected(&id.order, sending, rejection)),
            Command::BidClosed { id } => desk.ours(&id).map(|()| desk.bid_closed(&id.order)),
            Command::CloseRejected { id, rejection } => desk
                .ours(&id)
                .map(|()| desk.close_rejected(&id.order, &rejection)),
            Command::LeaseWon { id, price } => desk.ours(&id).and_then(|()| desk.lease_won(id, price)),
            Command::LeaseEnded { id } => desk.ours(&id).map(|()| desk.lease_ended(&id.order)),
            Command::AdoptBid {
                bid,
                resources,
                order_open,
            } => desk
                .ours(&bid.id)
                .and_then(|()| desk.adopt_bid(bid, resources, order_open)),
            Command::AdoptLease { lease, resources } => desk
                .ours(&lease.id)
                .and_then(|()| desk.adopt_lease(lease, resources)),
        }
    }

    /// Decides orders and carries out deadlines that are due, applying each decision, until nothing is due or `most`
    /// decisions are made. The events are in order and applied already.
    pub fn settle(&self, book: &mut Book, ledger: &mut Ledger, now: Timestamp, most: usize) -> Vec<Event> {
        let mut all = Vec::new();
        for _ in 0..most {
            // Deadlines first: what has expired is not bid on.
            let desk = Desk {
                bidder: self,
                book,
                ledger,
                now,
            };
            let mut events = desk.tick();
            if events.is_empty() {
                events = desk.consider();
            }
            if events.is_empty() {
                break;
            }
            for event in &events {
                crate::evolve(book, ledger, event);
            }
            all.append(&mut events);
        }
        all
    }

    /// When [`Self::settle`] has something to do without any further command; a moment that is not after `now` means at
    /// once. `None`: not before the next command (or until the ledger has more room).
    #[must_use]
    pub fn next_deadline(&self, book: &Book, now: Timestamp) -> Option<Timestamp> {
        let consider = if book.is_held(now) {
            None
        } else {
            let waiting = book.first_waiting().map(|(until, _)| until);
            let fresh = book.first_fresh().map(|_| now);
            let waiting = match self.slot(book, now) {
                Ok(()) => waiting,
                // A free place is made by a command.
                Err((_, until)) if until <= now => None,
                Err((_, until)) => waiting.map(|waiting| waiting.max(until)),
            };
            fresh.into_iter().chain(waiting).min()
        };
        let timer = book.first_timer().map(|(at, _)| at);
        [consider, timer, book.first_hold_end()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The transaction that an event asks for: `CreateBid` for a bid that is decided or sent again, `CloseBid` for one that
    /// is to be closed.
    #[must_use]
    pub fn message(&self, event: &Event) -> Option<Message> {
        match event {
            Event::BidDecided { order, price, .. } | Event::BidResent { order, price, .. } => {
                Some(Message::CreateBid {
                    id: self.id(order),
                    price: price.clone(),
                    deposit: self.policy.deposit.clone(),
                })
            }
            Event::BidCloseWanted { order, .. } => Some(Message::CloseBid {
                id: self.id(order),
                reason: CloseReason::Unspecified,
            }),
            _ => None,
        }
    }

    /// The id of our bid on `order`, and of the lease that it may become.
    #[must_use]
    pub fn id(&self, order: &OrderId) -> BidId {
        LeaseId::new(order.clone(), self.policy.provider.clone())
    }
}

/// One decision: everything that it may look at.
struct Desk<'a> {
    bidder: &'a Bidder,
    book: &'a Book,
    ledger: &'a Ledger,
    now: Timestamp,
}

impl Desk<'_> {
    const fn policy(&self) -> &Policy {
        &self.bidder.policy
    }

    fn ours(&self, id: &BidId) -> Result<(), Rejected> {
        if id.provider == self.policy().provider {
            return Ok(());
        }
        Err(Rejected::NotOurs { id: id.clone() })
    }

    /// Gives back what is reserved for a bid. A lease keeps its own until its workload is gone.
    fn free(&self, order: &OrderId) -> Option<Event> {
        let key = ReservationKey::Order(order.clone());
        let held = self.ledger.get(&key)?;
        (held.kind == capacity::ReservationKind::Bid).then_some(Event::Capacity {
            change: capacity::Event::ReservationFreed { key, at: self.now },
        })
    }
}
