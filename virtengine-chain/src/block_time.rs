//! The block time, measured from the heads that pass by.

use std::time::Duration;

use virtengine_provider_core::id::Height;
use virtengine_provider_core::time::Timestamp;

/// Blocks that a measurement must span before it is believed.
const SPAN_MIN: u64 = 5;
/// Blocks after which the measurement begins anew, so that it follows the chain.
const SPAN_MAX: u64 = 5_000;

/// A running measurement.
#[derive(Debug, Clone)]
pub(crate) struct BlockTime {
    anchor: Option<(Height, Timestamp)>,
    estimate: Duration,
}

impl BlockTime {
    /// Believes `assumed` until it knows better.
    pub(crate) const fn new(assumed: Duration) -> Self {
        Self {
            anchor: None,
            estimate: assumed,
        }
    }

    /// Takes note of a block. Older blocks than the last ones are ignored.
    pub(crate) fn saw(&mut self, height: Height, time: Timestamp) {
        let Some((first, began)) = self.anchor else {
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
}
