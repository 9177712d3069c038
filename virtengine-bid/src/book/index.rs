//! What is due next, without looking for it. Made of the orders; never saved.

use std::collections::BTreeMap;

use virtengine_provider_core::id::OrderId;
use virtengine_provider_core::time::Timestamp;

use super::{Entry, Stage, Tally};

/// Orders by what they wait for. Keys end with the order's number, so comparing them is cheap and equal moments keep their
/// sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// Never considered.
    pub(super) fresh: BTreeMap<u64, OrderId>,
    /// Deferred orders and retries, by the moment that they wait for.
    pub(super) waiting: BTreeMap<(Timestamp, u64), OrderId>,
    /// Deadlines.
    pub(super) timers: BTreeMap<(Timestamp, u64), OrderId>,
    /// Those of the deferred that wait for room.
    pub(super) roomless: BTreeMap<u64, OrderId>,
    /// How many are at which stage.
    pub(super) tally: Tally,
}

impl Index {
    pub(super) fn insert(&mut self, order: &OrderId, entry: &Entry) {
        if let Some(until) = entry.waits_until() {
            self.waiting.insert((until, entry.seq), order.clone());
        } else if matches!(entry.stage, Stage::Waiting(_)) {
            self.fresh.insert(entry.seq, order.clone());
        }
        if let Some(at) = entry.timer() {
            self.timers.insert((at, entry.seq), order.clone());
        }
        if entry.wanted_room().is_some() {
            self.roomless.insert(entry.seq, order.clone());
        }
        let count = self.tally.of(&entry.stage);
        *count = count.saturating_add(1);
    }

    pub(super) fn remove(&mut self, entry: &Entry) {
        if let Some(until) = entry.waits_until() {
            self.waiting.remove(&(until, entry.seq));
        } else if matches!(entry.stage, Stage::Waiting(_)) {
            self.fresh.remove(&entry.seq);
        }
        if let Some(at) = entry.timer() {
            self.timers.remove(&(at, entry.seq));
        }
        if entry.wanted_room().is_some() {
            self.roomless.remove(&entry.seq);
        }
        let count = self.tally.of(&entry.stage);
        *count = count.saturating_sub(1);
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
