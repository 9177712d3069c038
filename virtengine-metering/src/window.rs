//! Metering windows: aligned to the clock at multiples of the interval, one directly after the other.

use std::time::Duration;

use virtengine_provider_core::time::Timestamp;

/// Shortest interval, and shortest record that is not final (DESIGN 15).
pub const WINDOW_MIN: Duration = Duration::from_secs(60);
/// Longest interval, and longest catch-up window (DESIGN 16): 24 hours, inside the 25 hours of the fraud rules.
pub const WINDOW_MAX: Duration = Duration::from_secs(24 * 3600);

/// Why an interval cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the metering interval must be whole seconds from {min_seconds} s to 86400 s")]
pub struct IntervalError {
    min_seconds: u64,
}

/// How time is cut into windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    interval: Duration,
}

impl Windows {
    /// Windows of `interval`: whole seconds, from one minute to 24 hours.
    ///
    /// # Errors
    /// [`IntervalError`].
    pub fn new(interval: Duration) -> Result<Self, IntervalError> {
        Self::bounded(interval, WINDOW_MIN)
    }

    /// Windows that may be as short as one second: for tests and development networks, never for a real lease.
    ///
    /// # Errors
    /// [`IntervalError`].
    pub fn accelerated(interval: Duration) -> Result<Self, IntervalError> {
        Self::bounded(interval, Duration::from_secs(1))
    }

    fn bounded(interval: Duration, min: Duration) -> Result<Self, IntervalError> {
        if interval < min || interval > WINDOW_MAX || interval.subsec_nanos() != 0 {
            return Err(IntervalError {
                min_seconds: min.as_secs(),
            });
        }
        Ok(Self { interval })
    }

    /// The interval.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// The shortest record that is not final.
    #[must_use]
    pub fn shortest(&self) -> Duration {
        self.interval.min(WINDOW_MIN)
    }

    /// Where a window that starts at `start` ends: at the next boundary that leaves it long enough.
    #[must_use]
    pub fn end_after(&self, start: Timestamp) -> Timestamp {
        let next = start.floor_to(self.interval).plus(self.interval);
        if next.since(start) < self.shortest() {
            next.plus(self.interval)
        } else {
            next
        }
    }

    /// Where a window without samples that starts at `start` ends, when nothing is known up to `until`: whole intervals are
    /// taken together, up to 24 hours, so that an outage of months does not become a million records.
    #[must_use]
    pub fn catch_up_end(&self, start: Timestamp, until: Timestamp) -> Timestamp {
        let far = until.min(start.plus(WINDOW_MAX)).floor_to(self.interval);
        self.end_after(start).max(far)
    }
}

/// The start of the second that holds `at`.
pub(crate) fn floor_second(at: Timestamp) -> Timestamp {
    at.floor_to(Duration::from_secs(1))
}

/// The end of the second that holds `at`; `at` itself when it is whole.
pub(crate) fn ceil_second(at: Timestamp) -> Timestamp {
    let floor = floor_second(at);
    if floor == at {
        at
    } else {
        floor.plus(Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn s(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn the_first_window_ends_at_the_next_boundary_that_leaves_a_minute() {
        let hour = Windows::new(Duration::from_secs(3600)).unwrap();
        assert_eq!(hour.end_after(s(7200)), s(10_800));
        assert_eq!(hour.end_after(s(7201)), s(10_800));
        assert_eq!(hour.end_after(s(10_740)), s(10_800));
        assert_eq!(hour.end_after(s(10_741)), s(14_400));
    }

    #[test]
    fn intervals_outside_the_rules_are_refused() {
        for (seconds, accelerated, plain) in [
            (0, false, false),
            (1, true, false),
            (59, true, false),
            (60, true, true),
            (86_401, false, false),
        ] {
            let interval = Duration::from_secs(seconds);
            assert_eq!(Windows::accelerated(interval).is_ok(), accelerated, "{seconds}");
            assert_eq!(Windows::new(interval).is_ok(), plain, "{seconds}");
        }
        assert!(Windows::new(Duration::from_millis(60_500)).is_err());
    }

    proptest! {
        #[test]
        fn every_window_is_legal(seconds in 60..=86_400_u64, start in 0..4_000_000_000_i64, ahead in 0..9_000_000_i64) {
            let windows = Windows::new(Duration::from_secs(seconds)).unwrap();
            for end in [windows.end_after(s(start)), windows.catch_up_end(s(start), s(start + ahead))] {
                prop_assert_eq!(end, end.floor_to(windows.interval()));
                let length = end.since(s(start));
                prop_assert!(length >= WINDOW_MIN && length <= WINDOW_MAX + WINDOW_MIN);
            }
        }
    }
}
