//! Block time: seconds and nanoseconds since the epoch, and its RFC 3339 form.

use serde::{Deserialize, Serialize};

/// The time of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct BlockTime {
    /// Seconds since the Unix epoch.
    pub seconds: i64,
    /// Nanoseconds within the second, 0…999 999 999.
    pub nanos: u32,
}

impl BlockTime {
    /// From milliseconds since the epoch.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self {
            seconds: millis.div_euclid(1000),
            nanos: u32::try_from(millis.rem_euclid(1000)).unwrap_or(0) * 1_000_000,
        }
    }

    /// Milliseconds since the epoch, rounded down.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.seconds
            .saturating_mul(1000)
            .saturating_add(i64::from(self.nanos / 1_000_000))
    }

    /// This time plus `duration` (saturating).
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Self {
        let nanos = u64::from(self.nanos) + u64::from(duration.subsec_nanos());
        let carry = i64::from(nanos >= 1_000_000_000);
        Self {
            seconds: self
                .seconds
                .saturating_add(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
                .saturating_add(carry),
            nanos: u32::try_from(nanos % 1_000_000_000).unwrap_or(0),
        }
    }

    /// RFC 3339 in UTC; the fraction has no trailing zeros, as the node prints it.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let second = virtengine_provider_core::time::Timestamp::from_seconds(self.seconds).to_string();
        let whole = second.split('.').next().unwrap_or_default();
        if self.nanos == 0 {
            return format!("{whole}Z");
        }
        let fraction = format!("{:09}", self.nanos);
        format!("{whole}.{}Z", fraction.trim_end_matches('0'))
    }
}

impl From<BlockTime> for prost_types::Timestamp {
    fn from(time: BlockTime) -> Self {
        Self {
            seconds: time.seconds,
            nanos: i32::try_from(time.nanos).unwrap_or(0),
        }
    }
}
