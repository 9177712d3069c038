//! The bidder at a glance, for `bid-engine status` and metrics.

use serde::Serialize;
use virtengine_provider_core::id::OrderId;
use virtengine_provider_core::money::Price;
use virtengine_provider_core::time::Timestamp;

use crate::book::{Book, OurBid, Totals};
use crate::decide::Bidder;
use crate::reason::HoldReason;

/// The bidder at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Whether bids are made.
    pub bidding: bool,
    /// Why not, and until when.
    pub holds: Vec<(HoldReason, Option<Timestamp>)>,
    /// Orders that were never considered.
    pub pending: usize,
    /// Orders that are decided later.
    pub deferred: usize,
    /// Bids whose outcome is not known.
    pub in_flight: usize,
    /// Bids that are sent again later.
    pub retrying: usize,
    /// Bids on chain that wait for their tenant.
    pub open_bids: usize,
    /// Bids that are to be closed.
    pub closing: usize,
    /// Leases.
    pub leases: usize,
    /// Bids that may still be sent within this minute.
    pub left_this_minute: u32,
    /// Bids that may still be sent within this hour.
    pub left_this_hour: u32,
    /// Bids that may still be sent without waiting for an outcome.
    pub left_at_once: u32,
    /// When the bidder acts by itself next.
    pub next_deadline: Option<Timestamp>,
    /// What was counted since the first start.
    pub totals: Totals,
}

impl Bidder {
    /// The bidder at a glance.
    #[must_use]
    pub fn status(&self, book: &Book, now: Timestamp) -> Status {
        let tally = book.tally();
        let limits = &self.policy().limits;
        let in_flight = u32::try_from(tally.in_flight).unwrap_or(u32::MAX);
        Status {
            bidding: !book.is_held(now),
            holds: book.holds(now).collect(),
            pending: tally.fresh,
            deferred: tally.deferred,
            in_flight: tally.in_flight,
            retrying: tally.retrying,
            open_bids: tally.live,
            closing: tally.closing,
            leases: tally.leased,
            left_this_minute: limits
                .max_bids_per_minute
                .saturating_sub(book.window().in_last_minute(now)),
            left_this_hour: limits
                .max_bids_per_hour
                .saturating_sub(book.window().in_last_hour(now)),
            left_at_once: limits.max_concurrent_bids.saturating_sub(in_flight),
            next_deadline: self.next_deadline(book, now),
            totals: *book.totals(),
        }
    }
}

/// One bid of ours, for `bids list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BidLine {
    /// On which order.
    pub order: OrderId,
    /// Price per block.
    pub price: Price,
    /// When it was decided, or found on chain.
    pub decided: Timestamp,
    /// Where it stands: `submitting`, `retrying`, `open`, `closing`, `won`, `failed`, `closed` or `lease over`.
    pub state: &'static str,
}

impl Book {
    /// The newest `last` bids of ours that are remembered, newest first. Walks the whole book: for people, not for decisions.
    #[must_use]
    pub fn bids(&self, last: usize) -> Vec<BidLine> {
        let line = |order: &OrderId, bid: &OurBid, state| BidLine {
            order: order.clone(),
            price: bid.price.clone(),
            decided: bid.decided,
            state,
        };
        let open = self.entries().filter_map(|(order, entry)| {
            let bid = entry.stage.bid()?;
            Some(line(order, bid, entry.stage.as_str()))
        });
        let over = self
            .records()
            .filter_map(|(order, record)| Some(line(order, record.bid.as_ref()?, record.outcome.as_str())));
        let mut bids: Vec<BidLine> = open.chain(over).collect();
        bids.sort_by(|a, b| (b.decided, &b.order).cmp(&(a.decided, &a.order)));
        bids.truncate(last);
        bids
    }
}
