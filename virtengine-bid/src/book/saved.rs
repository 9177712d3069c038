//! The book as a snapshot. Indexes are not written; they are made again while reading.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use virtengine_provider_core::id::OrderId;
use virtengine_provider_core::time::Timestamp;

use super::{Book, Entry, Record, Totals};
use crate::limits::RateWindow;
use crate::reason::HoldReason;

#[derive(Serialize)]
struct Borrowed<'a> {
    orders: &'a BTreeMap<OrderId, Option<Entry>>,
    decided: &'a BTreeMap<OrderId, Record>,
    window: &'a RateWindow,
    holds: Vec<(HoldReason, Option<Timestamp>)>,
    totals: &'a Totals,
    next_seq: u64,
}

#[derive(Deserialize)]
struct Owned {
    orders: BTreeMap<OrderId, Entry>,
    decided: BTreeMap<OrderId, Record>,
    window: RateWindow,
    holds: Vec<(HoldReason, Option<Timestamp>)>,
    totals: Totals,
    next_seq: u64,
}

impl Serialize for Book {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Borrowed {
            orders: &self.orders,
            decided: &self.decided,
            window: &self.window,
            holds: self
                .holds
                .iter()
                .map(|(reason, until)| (*reason, *until))
                .collect(),
            totals: &self.totals,
            next_seq: self.next_seq,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Book {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let saved = Owned::deserialize(deserializer)?;
        let mut book = Self {
            window: saved.window,
            holds: saved.holds.into_iter().collect(),
            totals: saved.totals,
            next_seq: saved.next_seq,
            ..Self::default()
        };
        for (order, entry) in saved.orders {
            book.insert(&order, entry);
        }
        for (order, record) in saved.decided {
            book.forget.insert(record.seq, order.clone());
            book.decided.insert(order, record);
        }
        Ok(book)
    }
}
