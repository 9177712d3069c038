//! A bid becomes a lease; bids and leases of ours are found on chain.

use virtengine_provider_core::capacity::{self, Command as LedgerCommand, ReservationKey, ReservationKind};
use virtengine_provider_core::id::{LeaseId, OrderId};
use virtengine_provider_core::market::{Bid, BidState, Lease, LeaseState};
use virtengine_provider_core::money::Price;
use virtengine_provider_core::units::Resources;

use super::{Answer, Desk, Rejected};
use crate::book::Stage;
use crate::event::Event;
use crate::reason::CloseWhy;

impl Desk<'_> {
    pub(super) fn lease_won(&self, id: LeaseId, price: Price) -> Answer {
        let known = self.book.entry(&id.order).map(|entry| &entry.stage);
        let resources = match known {
            Some(Stage::Leased { .. }) => return Ok(Vec::new()),
            Some(Stage::Waiting(request)) => request.order.spec.total().ok(),
            Some(stage) => stage
                .bid()
                .and_then(|bid| bid.explanation.as_ref())
                .map(|explanation| explanation.resources),
            None => return Err(Rejected::Unknown { id }),
        };
        let order = id.order.clone();
        let mut events = match (self.hold_lease(&order, resources)?, resources) {
            // Neither reserved nor known: the order has to be looked up.
            (held, None) if held.is_empty() && !self.is_reserved(&order) => {
                return Err(Rejected::Unknown { id });
            }
            (held, _) => held,
        };
        let at = self.now;
        events.push(Event::BidWon { order, price, at });
        Ok(events)
    }

    pub(super) fn adopt_lease(&self, lease: Lease, resources: Resources) -> Answer {
        if lease.state != LeaseState::Active {
            return Ok(Vec::new());
        }
        let order = lease.id.order;
        let mut events = self.hold_lease(&order, Some(resources))?;
        let known = self.book.entry(&order).map(|entry| &entry.stage);
        if !matches!(known, Some(Stage::Leased { .. })) {
            events.push(Event::LeaseAdopted {
                order,
                price: lease.price,
                at: self.now,
            });
        }
        Ok(events)
    }

    /// What the ledger does about a lease: the bid's reservation becomes the lease's, and where there is none, room or not,
    /// the lease has it.
    fn hold_lease(&self, order: &OrderId, resources: Option<Resources>) -> Answer {
        let key = ReservationKey::Order(order.clone());
        let command = match (self.ledger.get(&key).map(|held| held.kind), resources) {
            (Some(_), _) => LedgerCommand::Convert { key },
            (None, Some(resources)) => LedgerCommand::Adopt {
                key,
                resources,
                kind: ReservationKind::Lease,
            },
            (None, None) => return Ok(Vec::new()),
        };
        Ok(wrap(self.ledger.decide(&command, self.now)?))
    }

    fn is_reserved(&self, order: &OrderId) -> bool {
        self.ledger.get(&ReservationKey::Order(order.clone())).is_some()
    }

    /// A lease that the book takes for a bid was missed altogether: nothing was deployed for it.
    pub(super) fn lease_ended(&self, order: &OrderId) -> Vec<Event> {
        match self.book.entry(order).map(|entry| &entry.stage) {
            Some(Stage::Leased { .. }) => vec![Event::LeaseOver {
                order: order.clone(),
                at: self.now,
            }],
            _ => self.bid_closed(order),
        }
    }

    pub(super) fn adopt_bid(&self, bid: Bid, resources: Resources, order_open: bool) -> Answer {
        if bid.state != BidState::Open {
            return Ok(Vec::new());
        }
        let order = &bid.id.order;
        let (at, expires) = (self.now, self.now.plus(self.policy().bid_time_to_live));
        let adopted = Event::BidAdopted {
            order: order.clone(),
            price: bid.price.clone(),
            height: bid.created_at,
            expires,
            at,
        };
        match self.book.entry(order).map(|entry| &entry.stage) {
            Some(Stage::InFlight { .. } | Stage::Retrying { .. }) => {
                let mut events = self.bid_landed(&bid.id, bid.created_at)?;
                if !order_open && !events.iter().any(|event| matches!(event, Event::BidLost { .. })) {
                    events.extend(self.lost(order, crate::reason::GoneReason::Closed));
                }
                return Ok(events);
            }
            Some(Stage::Live { .. }) if !order_open => {
                return Ok(self.lost(order, crate::reason::GoneReason::Closed));
            }
            Some(Stage::Live { .. } | Stage::Closing { .. } | Stage::Leased { .. }) => return Ok(Vec::new()),
            Some(Stage::Waiting(_)) | None => {}
        }
        if !order_open {
            return Ok(vec![adopted, self.close_wanted(order, CloseWhy::OrderGone)]);
        }
        // The tenant may take it at any moment, so it is held even without room; then it is closed at once.
        let fits = !self.ledger.is_over_committed() && resources.fits_in(&self.ledger.available());
        let mut events = wrap(self.ledger.decide(
            &LedgerCommand::Adopt {
                key: ReservationKey::Order(order.clone()),
                resources,
                kind: ReservationKind::Bid,
            },
            at,
        )?);
        events.push(adopted);
        if !fits {
            events.push(self.close_wanted(order, CloseWhy::NoRoom));
        }
        Ok(events)
    }
}

fn wrap(changes: Vec<capacity::Event>) -> Vec<Event> {
    changes
        .into_iter()
        .map(|change| Event::Capacity { change })
        .collect()
}
