//! What the bidder knows: orders that are not decided, bids and leases of ours, and the newest decisions.
//!
//! The book changes only by [`Event`](crate::Event)s. Nothing in it is searched: what is due next stands first in an ordered
//! index, whatever the number of orders.

mod entry;
mod evolve;
mod index;
mod saved;

use std::collections::BTreeMap;

use virtengine_provider_core::id::{DeploymentId, OrderId};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

pub use entry::{Deferral, Entry, Flight, OurBid, Outcome, Record, Request, Stage};

use self::index::Index;
use crate::limits::RateWindow;
use crate::reason::HoldReason;

/// How many orders may wait undecided: about 180 MB. Beyond it new ones are refused, to be offered again by the next
/// comparison with the chain.
pub const ORDERS_WAITING_MAX: usize = 100_000;

/// How many final decisions are remembered, for `bids list` and so that a declined order that is seen again is not decided
/// again. Older ones are in the journal.
pub const DECISIONS_KEPT: usize = 10_000;

/// How many of the orders that wait for room are looked at when room may have appeared.
const ROOMLESS_LOOKED_AT: usize = 8;

/// What the bidder knows. See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    /// Every order that is not over. `None` only within a change.
    orders: BTreeMap<OrderId, Option<Entry>>,
    /// Final decisions, newest [`DECISIONS_KEPT`].
    decided: BTreeMap<OrderId, Record>,
    window: RateWindow,
    holds: BTreeMap<HoldReason, Option<Timestamp>>,
    totals: Totals,
    /// Rises with every order, so that orders of one moment keep their sequence.
    next_seq: u64,
    // Derived from the above.
    index: Index,
    forget: BTreeMap<u64, OrderId>,
}

/// How many orders are at which stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tally {
    /// Never considered.
    pub fresh: usize,
    /// Considered, to be decided later.
    pub deferred: usize,
    /// Bids whose outcome is not known.
    pub in_flight: usize,
    /// Bids that are sent again later.
    pub retrying: usize,
    /// Bids on chain that wait for their tenant.
    pub live: usize,
    /// Bids that are to be closed.
    pub closing: usize,
    /// Leases.
    pub leased: usize,
}

/// What was counted since the first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Totals {
    /// Orders seen.
    pub seen: u64,
    /// Orders declined.
    pub declined: u64,
    /// Deferrals, of one order possibly several.
    pub deferred: u64,
    /// Orders that went away undecided.
    pub expired: u64,
    /// Bids decided.
    pub bids: u64,
    /// Bids sent again.
    pub retries: u64,
    /// Bids that landed on chain.
    pub landed: u64,
    /// Bids that never came to be.
    pub failed: u64,
    /// Bids that became leases.
    pub won: u64,
    /// Bids that another provider beat, or whose order went away.
    pub lost: u64,
}

impl Book {
    /// A book that knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known of an order that is not over.
    #[must_use]
    pub fn entry(&self, order: &OrderId) -> Option<&Entry> {
        self.orders.get(order)?.as_ref()
    }

    /// How an order ended, as far as it is remembered.
    #[must_use]
    pub fn record(&self, order: &OrderId) -> Option<&Record> {
        self.decided.get(order)
    }

    /// Every order that is not over, by id.
    pub fn entries(&self) -> impl Iterator<Item = (&OrderId, &Entry)> {
        self.orders
            .iter()
            .filter_map(|(order, entry)| Some((order, entry.as_ref()?)))
    }

    /// The remembered final decisions, newest first.
    pub fn records(&self) -> impl Iterator<Item = (&OrderId, &Record)> {
        self.forget
            .values()
            .rev()
            .filter_map(|order| self.decided.get_key_value(order))
    }

    /// The orders of one deployment that are not over. Looks at nothing else.
    pub fn orders_of<'a>(&'a self, deployment: &'a DeploymentId) -> impl Iterator<Item = &'a OrderId> {
        let first = OrderId::new(deployment.owner.clone(), deployment.dseq, 0, 0);
        self.orders
            .range(first..)
            .map(|(order, _)| order)
            .take_while(move |order| order.deployment() == deployment)
    }

    /// When bids were sent.
    #[must_use]
    pub const fn window(&self) -> &RateWindow {
        &self.window
    }

    /// Why no bids are made at `now`, with the end of each reason when it is known. Empty: bids are made.
    pub fn holds(&self, now: Timestamp) -> impl Iterator<Item = (HoldReason, Option<Timestamp>)> {
        self.holds
            .iter()
            .map(|(reason, until)| (*reason, *until))
            .filter(move |(_, until)| until.is_none_or(|until| until > now))
    }

    /// How many orders are at which stage.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.index.tally
    }

    /// What was counted since the first start.
    #[must_use]
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(crate) fn is_held(&self, now: Timestamp) -> bool {
        self.holds(now).next().is_some()
    }

    pub(crate) fn hold(&self, reason: HoldReason) -> Option<Option<Timestamp>> {
        self.holds.get(&reason).copied()
    }

    /// A hold whose end has come.
    pub(crate) fn ended_hold(&self, now: Timestamp) -> Option<HoldReason> {
        let ended = |(_, until): &(&HoldReason, &Option<Timestamp>)| until.is_some_and(|until| until <= now);
        self.holds.iter().find(ended).map(|(reason, _)| *reason)
    }

    /// The order that was seen first of those that were never considered.
    pub(crate) fn first_fresh(&self) -> Option<&OrderId> {
        self.index.fresh.values().next()
    }

    /// The deferred order or retry that is due first, and when.
    pub(crate) fn first_waiting(&self) -> Option<(Timestamp, &OrderId)> {
        self.index
            .waiting
            .first_key_value()
            .map(|((until, _), order)| (*until, order))
    }

    /// An order that waits for room and fits into `room` by now. Only the first few are looked at, so that this costs the same
    /// however many wait; the others come in their own time.
    pub(crate) fn fitting(&self, room: &Resources) -> Option<&OrderId> {
        self.index
            .roomless
            .values()
            .take(ROOMLESS_LOOKED_AT)
            .find(|order| {
                self.entry(order)
                    .and_then(Entry::wanted_room)
                    .is_some_and(|wanted| wanted.fits_in(room))
            })
    }

    /// The deadline that comes first, and whose it is.
    pub(crate) fn first_timer(&self) -> Option<(Timestamp, &OrderId)> {
        self.index
            .timers
            .first_key_value()
            .map(|((at, _), order)| (*at, order))
    }

    pub(crate) fn first_hold_end(&self) -> Option<Timestamp> {
        self.holds.values().flatten().min().copied()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.tally().fresh.saturating_add(self.tally().deferred) >= ORDERS_WAITING_MAX
    }

    /// An order comes in.
    fn insert(&mut self, order: &OrderId, entry: Entry) {
        self.index.insert(order, &entry);
        self.orders.insert(order.clone(), Some(entry));
    }

    /// An order goes out.
    fn remove(&mut self, order: &OrderId) -> Option<Entry> {
        let entry = self.orders.remove(order)??;
        self.index.remove(&entry);
        Some(entry)
    }

    /// A known order comes to the stage that `step` makes of the one that it is at.
    fn change(&mut self, order: &OrderId, step: impl FnOnce(Stage) -> Stage) {
        let Some(slot) = self.orders.get_mut(order) else {
            return;
        };
        if let Some(entry) = slot.take() {
            self.index.remove(&entry);
            let Entry { seq, seen, stage } = entry;
            let entry = Entry {
                seq,
                seen,
                stage: step(stage),
            };
            self.index.insert(order, &entry);
            *slot = Some(entry);
        }
    }

    /// Remembers how an order ended, and forgets the oldest.
    fn conclude(&mut self, order: &OrderId, at: Timestamp, outcome: Outcome, bid: Option<OurBid>) {
        let seq = self.draw_seq();
        self.forget_record(order);
        self.forget.insert(seq, order.clone());
        self.decided.insert(
            order.clone(),
            Record {
                seq,
                at,
                outcome,
                bid,
            },
        );
        while self.decided.len() > DECISIONS_KEPT {
            let Some((_, oldest)) = self.forget.pop_first() else {
                break;
            };
            self.decided.remove(&oldest);
        }
    }

    fn forget_record(&mut self, order: &OrderId) {
        if let Some(record) = self.decided.remove(order) {
            self.forget.remove(&record.seq);
        }
    }

    const fn draw_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq = seq.wrapping_add(1);
        seq
    }
}
