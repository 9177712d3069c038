//! Usage between two readings, spread over time in integers.

use virtengine_provider_core::money::mul_div;
use virtengine_provider_core::time::Timestamp;

use crate::metrics::Metrics;

/// `delta`, used evenly from `from` to `to`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    pub(super) delta: Metrics,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Spread {
    /// What was used up to `at`, rounded down. Differences of it add up to exactly `delta`, whatever the cuts.
    pub(super) fn until(&self, at: Timestamp) -> Metrics {
        if at >= self.to {
            return self.delta;
        }
        let (part, whole) = (
            at.since(self.from).as_millis(),
            self.to.since(self.from).as_millis(),
        );
        // part < whole, so the quotient is at most the delta: it always fits.
        let share = |used: u128, _| mul_div(used, part, whole).map(|(quotient, _)| quotient);
        self.delta.zip(&Metrics::ZERO, share).unwrap_or_default()
    }

    /// Whether no time lies between the two readings, so that there is nothing to spread over.
    pub(super) fn is_instant(&self) -> bool {
        self.from == self.to
    }

    /// What was used from `start` to `end`; nothing when there was no time to use it in.
    pub(super) fn between(&self, start: Timestamp, end: Timestamp) -> Metrics {
        if self.is_instant() {
            return Metrics::ZERO;
        }
        // `until` never falls, so the difference exists.
        self.until(end)
            .checked_sub(&self.until(start))
            .unwrap_or_default()
    }

    /// How much of the time from `start` to `end` lies in it, in milliseconds.
    pub(super) fn overlap_millis(&self, start: Timestamp, end: Timestamp) -> u64 {
        let overlap = end.min(self.to).since(start.max(self.from));
        u64::try_from(overlap.as_millis()).unwrap_or(u64::MAX)
    }
}
