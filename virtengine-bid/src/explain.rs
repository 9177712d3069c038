//! Why a bid, or why not: sentences for people.

use virtengine_provider_core::id::OrderId;
use virtengine_provider_core::money::Price;
use virtengine_provider_core::time::Timestamp;

use crate::book::{Book, Entry, OurBid, Outcome, Record, Stage};
use crate::event::Explanation;

/// What the book knows of `order`; `None` when it knows nothing (any more: the journal does).
#[must_use]
pub fn explain(book: &Book, order: &OrderId) -> Option<Vec<String>> {
    if let Some(entry) = book.entry(order) {
        return Some(of_entry(entry));
    }
    book.record(order).map(of_record)
}

fn of_entry(entry: &Entry) -> Vec<String> {
    let mut lines = vec![format!("seen at {}", entry.seen)];
    if let Some(bid) = entry.stage.bid() {
        lines.extend(of_bid(bid));
    }
    lines.push(match &entry.stage {
        Stage::Waiting(request) => match &request.deferral {
            None => "not decided yet".to_owned(),
            Some(deferral) => format!(
                "deferred until {} because {} (deferred {} times, expires at {})",
                deferral.until, deferral.why, deferral.times, request.expires
            ),
        },
        Stage::InFlight { attempt, gone, .. } => match gone {
            None => format!("sending {attempt} is on its way to the chain"),
            Some(why) => format!("sending {attempt} is on its way, but the order is gone: {why}"),
        },
        Stage::Retrying { attempt, until, .. } => format!("sending {attempt} follows at {until}"),
        Stage::Live { expires, .. } => format!("on chain, waits for the tenant until {expires}"),
        Stage::Closing { .. } => "to be closed on chain".to_owned(),
        Stage::Leased { since, .. } => format!("won: a lease since {since}"),
    });
    lines
}

fn of_record(record: &Record) -> Vec<String> {
    let mut lines: Vec<String> = record.bid.as_ref().map(of_bid).unwrap_or_default();
    lines.push(of_outcome(&record.outcome, record.at));
    lines
}

fn of_outcome(outcome: &Outcome, at: Timestamp) -> String {
    match outcome {
        Outcome::Declined { reason } => format!("declined at {at} because {reason}"),
        Outcome::Expired { why } => format!("expired at {at} because {why}"),
        Outcome::Failed { reason } => format!("the bid failed at {at} because {reason}"),
        Outcome::Closed => format!("the bid was closed at {at} without a lease"),
        Outcome::LeaseOver => format!("the lease ended at {at}"),
    }
}

fn of_bid(bid: &OurBid) -> Vec<String> {
    match &bid.explanation {
        Some(explanation) => explanation.sentences(&bid.price),
        None => vec![format!(
            "a bid of {} was found on chain at {}",
            bid.price, bid.decided
        )],
    }
}

impl Explanation {
    /// How `price` came to be.
    #[must_use]
    pub fn sentences(&self, price: &Price) -> Vec<String> {
        let Self {
            resources,
            available,
            max,
            quote,
            rivals,
        } = self;
        let denom = &price.denom;
        let mut lines = vec![
            format!(
                "it takes {} millicores, {} bytes of memory, {} bytes of storage and {} gpus",
                resources.cpu_millis, resources.memory_bytes, resources.storage_bytes, resources.gpus
            ),
            format!(
                "free were {} millicores, {} bytes of memory, {} bytes of storage and {} gpus",
                available.cpu_millis, available.memory_bytes, available.storage_bytes, available.gpus
            ),
            format!(
                "it costs {}{denom} per block: cpu {}, memory {}, storage {}, gpu {}",
                quote.cost, quote.cpu, quote.memory, quote.storage, quote.gpu
            ),
            format!("with the markup that is {}{denom}", quote.marked_up),
        ];
        if quote.is_floored() {
            lines.push(format!("the least price is {}{denom}", quote.floor));
        }
        if price.amount != quote.price {
            lines.push(format!("the strategy asks {price} instead"));
        }
        lines.push(format!(
            "bid {price} per block; the tenant pays at most {max}{denom}; {rivals} others had bid"
        ));
        lines
    }
}
