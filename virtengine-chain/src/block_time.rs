//! The block time, measured from the heads that pass by.

use std::time::Duration;

use virtengine_provider_core::id::Height;
use virtengine_provider_core::time::Timestamp;

/// Blocks that a measurement must span before it is believed.
const SPAN_MIN: u64 = 5;
/// Blocks after which the measurement begins anew, so that it follows the chain.
const SPAN_MAX: u64 = 5_000;

/// A chain that was this much slower than known, for at least so long, stood still (an upgrade, a lost quorum): that says nothing
/// of how fast it is when it goes.
const HALT_FACTOR: u32 = 20;
const HALT_MIN: Duration = Duration::from_secs(60);

/// A running measurement.
#[derive(Debug, Clone)]
pub(crate) struct BlockTime {
    anchor: Option<(Height, Timestamp)>,
    newest: Option<(Height, Timestamp)>,
    estimate: Duration,
}

impl BlockTime {
    /// Believes `assumed` until it knows better.
    pub(crate) const fn new(assumed: Duration) -> Self {
        Self {
            anchor: None,
            newest: None,
            estimate: assumed,
        }
    }

    /// Takes note of a block. Older blocks than the last ones are ignored.
    pub(crate) fn saw(&mut self, height: Height, time: Timestamp) {
        let halted = self.halted(height, time);
        if self.newest.is_none_or(|(newest, _)| height > newest) {
            self.newest = Some((height, time));
        }
        let Some((first, began)) = self.anchor.filter(|_| !halted) else {
            self.anchor = Some((height, time));
            return;
        };
        let Some(blocks) = height.0.checked_sub(first.0) else {
            return;
        };
        let elapsed = time.since(began);
        if blocks < SPAN_MIN || elapsed.is_zero() {
            return;
        }
        self.estimate = elapsed
            .checked_div(u32::try_from(blocks).unwrap_or(u32::MAX))
            .unwrap_or(elapsed)
            .max(Duration::from_millis(1));
        if blocks > SPAN_MAX {
            self.anchor = Some((height, time));
        }
    }

    /// Whether the chain stood still between the newest block and this one.
    fn halted(&self, height: Height, time: Timestamp) -> bool {
        let Some((newest, at)) = self.newest.filter(|(newest, _)| height > *newest) else {
            return false;
        };
        let blocks = u32::try_from(height.0.saturating_sub(newest.0)).unwrap_or(u32::MAX);
        let usual = self.estimate.saturating_mul(blocks).saturating_mul(HALT_FACTOR);
        let elapsed = time.since(at);
        elapsed > HALT_MIN && elapsed > usual
    }

    /// The best knowledge.
    pub(crate) const fn estimate(&self) -> Duration {
        self.estimate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assumption_gives_way_to_a_measurement() {
        let mut time = BlockTime::new(Duration::from_secs(6));
        let at = |seconds: i64| Timestamp::from_seconds(1_000_000 + seconds);
        time.saw(Height(100), at(0));
        time.saw(Height(104), at(4));
        assert_eq!(time.estimate(), Duration::from_secs(6));
        time.saw(Height(110), at(10));
        time.saw(Height(90), at(99));
        assert_eq!(time.estimate(), Duration::from_secs(1));
    }

    #[test]
    fn a_chain_that_stood_still_is_as_fast_as_before_when_it_goes_on() {
        let mut time = BlockTime::new(Duration::from_secs(6));
        let at = |seconds: i64| Timestamp::from_seconds(1_000_000 + seconds);
        for block in 0..10_u8 {
            time.saw(Height(100 + u64::from(block)), at(i64::from(block) * 6));
        }
        // Two hours without a block.
        time.saw(Height(110), at(7_260));
        assert_eq!(time.estimate(), Duration::from_secs(6));
        time.saw(Height(120), at(7_320));
        assert_eq!(time.estimate(), Duration::from_secs(6));
    }

    #[test]
    fn a_wrong_assumption_is_corrected_by_blocks_that_come() {
        let mut time = BlockTime::new(Duration::from_millis(100));
        for block in 0..20_u8 {
            let at = Timestamp::from_seconds(1_000_000 + i64::from(block) * 30);
            time.saw(Height(100 + u64::from(block)), at);
        }
        assert_eq!(time.estimate(), Duration::from_secs(30));
    }
}
