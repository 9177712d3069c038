//! What the bidder knows: orders that are not decided, bids and leases of ours, and the newest decisions.
//!
//! The book changes only by [`Event`](crate::Event)s. Nothing in it is searched: what is due next stands first in an ordered
//! index, whatever the number of orders.

mod entry;
mod evolve;
mod saved;

use std::collections::BTreeMap;

use virtengine_provider_core::id::OrderId;
use virtengine_provider_core::time::Timestamp;

pub use entry::{Deferral, Entry, Flight, OurBid, Outcome, Record, Request, Stage};

use crate::limits::RateWindow;
use crate::reason::HoldReason;

/// How many orders may wait undecided. Beyond it new ones are refused, to be offered again by the next comparison with the
/// chain: 200,000 orders are about 200 MB.
pub const ORDERS_WAITING_MAX: usize = 200_000;

/// How many final decisions are remembered, for `bids list` and so that a declined order that is seen again is not decided
/// again. Older ones are in the journal.
pub const DECISIONS_KEPT: usize = 10_000;

/// What the bidder knows. See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    /// Every order that is not over.
    orders: BTreeMap<OrderId, Entry>,
    /// Final decisions, newest [`DECISIONS_KEPT`].
    decided: BTreeMap<OrderId, Record>,
    window: RateWindow,
    holds: BTreeMap<HoldReason, Option<Timestamp>>,
    totals: Totals,
    /// Rises with every order, so that orders of one moment keep their sequence.
    next_seq: u64,
    // Derived from the above.
    fresh: BTreeMap<u64, OrderId>,
    waiting: BTreeMap<(Timestamp, u64), OrderId>,
    timers: BTreeMap<(Timestamp, u64), OrderId>,
    forget: BTreeMap<u64, OrderId>,
    tally: Tally,
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
        self.orders.get(order)
    }

    /// How an order ended, as far as it is remembered.
    #[must_use]
    pub fn record(&self, order: &OrderId) -> Option<&Record> {
        self.decided.get(order)
    }

    /// Every order that is not over, by id.
    pub fn entries(&self) -> impl Iterator<Item = (&OrderId, &Entry)> {
        self.orders.iter()
    }

    /// The remembered final decisions, newest first.
    pub fn records(&self) -> impl Iterator<Item = (&OrderId, &Record)> {
        self.forget
            .values()
            .rev()
            .filter_map(|order| self.decided.get_key_value(order))
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
        &self.tally
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
        self.fresh.values().next()
    }

    /// The deferred order or retry that is due first, and when.
    pub(crate) fn first_waiting(&self) -> Option<(Timestamp, &OrderId)> {
        self.waiting
            .first_key_value()
            .map(|((until, _), order)| (*until, order))
    }

    /// The deadline that comes first, and whose it is.
    pub(crate) fn first_timer(&self) -> Option<(Timestamp, &OrderId)> {
        self.timers.first_key_value().map(|((at, _), order)| (*at, order))
    }

    pub(crate) fn first_hold_end(&self) -> Option<Timestamp> {
        self.holds.values().flatten().min().copied()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.tally.fresh.saturating_add(self.tally.deferred) >= ORDERS_WAITING_MAX
    }

    /// Puts an order at a stage, and the indexes in order.
    fn put(&mut self, order: &OrderId, entry: Entry) {
        self.take(order);
        self.index(order, &entry);
        self.orders.insert(order.clone(), entry);
    }

    /// Takes an order out, and out of the indexes.
    fn take(&mut self, order: &OrderId) -> Option<Entry> {
        let entry = self.orders.remove(order)?;
        if let Some(until) = entry.waits_until() {
            self.waiting.remove(&(until, entry.seq));
        } else if matches!(entry.stage, Stage::Waiting(_)) {
            self.fresh.remove(&entry.seq);
        }
        if let Some(at) = entry.timer() {
            self.timers.remove(&(at, entry.seq));
        }
        let count = self.tally.of(&entry.stage);
        *count = count.saturating_sub(1);
        Some(entry)
    }

    fn index(&mut self, order: &OrderId, entry: &Entry) {
        if let Some(until) = entry.waits_until() {
            self.waiting.insert((until, entry.seq), order.clone());
        } else if matches!(entry.stage, Stage::Waiting(_)) {
            self.fresh.insert(entry.seq, order.clone());
        }
        if let Some(at) = entry.timer() {
            self.timers.insert((at, entry.seq), order.clone());
        }
        let count = self.tally.of(&entry.stage);
        *count = count.saturating_add(1);
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

impl Tally {
    const fn of(&mut self, stage: &Stage) -> &mut usize {
        match stage {
            Stage::Waiting(request) if request.deferral.is_none() => &mut self.fresh,
            Stage::Waiting(_) => &mut self.deferred,
            Stage::InFlight { .. } => &mut self.in_flight,
            Stage::Retrying { .. } => &mut self.retrying,
            Stage::Live { .. } => &mut self.live,
            Stage::Closing { .. } => &mut self.closing,
            Stage::Leased { .. } => &mut self.leased,
        }
    }
}
