//! How many bids may be sent: within a minute, within an hour, at once.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtengine_provider_core::time::Timestamp;

use crate::reason::DeferReason;

/// One minute.
const MINUTE: Duration = Duration::from_secs(60);
/// One hour.
const HOUR: Duration = Duration::from_secs(3600);

/// The limits of the training document (day 1), with its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most bids in any 60 seconds. Default 10, at least 1.
    pub max_bids_per_minute: u32,
    /// Most bids in any 3600 seconds. Default 100, at least 1.
    pub max_bids_per_hour: u32,
    /// Most bids whose outcome is not known yet. Default 5, at least 1.
    pub max_concurrent_bids: u32,
    /// Wait before a bid is sent again. Default 5 seconds.
    pub bid_retry_delay: Duration,
    /// How often a bid is sent again. Default 3.
    pub max_bid_retries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bids_per_minute: 10,
            max_bids_per_hour: 100,
            max_concurrent_bids: 5,
            bid_retry_delay: Duration::from_secs(5),
            max_bid_retries: 3,
        }
    }
}

/// When bids were sent, during the last hour. Every sending counts, also of the same bid again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RateWindow {
    sent: VecDeque<Timestamp>,
}

impl RateWindow {
    /// A bid was sent at `at`. A clock that went back does not make room.
    pub(crate) fn record(&mut self, at: Timestamp) {
        let at = self.sent.back().map_or(at, |last| at.max(*last));
        self.sent.push_back(at);
        let begin = at.minus(HOUR);
        while self.sent.front().is_some_and(|sent| *sent <= begin) {
            self.sent.pop_front();
        }
    }

    /// How many were sent within `span` before and including `now`.
    fn within(&self, span: Duration, now: Timestamp) -> u32 {
        let begin = now.minus(span);
        let before = self.sent.partition_point(|sent| *sent <= begin);
        u32::try_from(self.sent.len().saturating_sub(before)).unwrap_or(u32::MAX)
    }

    /// How many were sent in the last minute.
    #[must_use]
    pub fn in_last_minute(&self, now: Timestamp) -> u32 {
        self.within(MINUTE, now)
    }

    /// How many were sent in the last hour.
    #[must_use]
    pub fn in_last_hour(&self, now: Timestamp) -> u32 {
        self.within(HOUR, now)
    }

    /// Whether one more may be sent now; otherwise why not and when.
    ///
    /// # Errors
    /// The reason, and the moment at which it ends.
    pub fn allows(&self, limits: &Limits, now: Timestamp) -> Result<(), (DeferReason, Timestamp)> {
        let minute = self.blocked_until(limits.max_bids_per_minute, MINUTE, now);
        let hour = self.blocked_until(limits.max_bids_per_hour, HOUR, now);
        match (minute, hour) {
            (None, None) => Ok(()),
            (minute, Some(until)) if minute.is_none_or(|minute| minute <= until) => {
                let max = limits.max_bids_per_hour;
                Err((DeferReason::PerHour { max }, until))
            }
            (minute, hour) => {
                let max = limits.max_bids_per_minute;
                Err((DeferReason::PerMinute { max }, minute.or(hour).unwrap_or(now)))
            }
        }
    }

    /// When the `max`-th newest leaves the window, if that is in the future.
    fn blocked_until(&self, max: u32, span: Duration, now: Timestamp) -> Option<Timestamp> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let nth = self.sent.len().checked_sub(max.max(1))?;
        let until = self.sent.get(nth)?.plus(span);
        (until > now).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn the_eleventh_bid_of_a_minute_waits_until_the_first_is_a_minute_old() {
        let limits = Limits::default();
        let mut window = RateWindow::default();
        for second in 0..10 {
            assert_eq!(window.allows(&limits, at(second)), Ok(()));
            window.record(at(second));
        }
        assert_eq!(
            window.allows(&limits, at(10)),
            Err((DeferReason::PerMinute { max: 10 }, at(60)))
        );
        assert_eq!(window.allows(&limits, at(60)), Ok(()));
        assert_eq!(window.in_last_minute(at(60)), 9);
    }

    #[test]
    fn the_hour_counts_when_it_ends_later() {
        let limits = Limits {
            max_bids_per_hour: 10,
            ..Limits::default()
        };
        let mut window = RateWindow::default();
        for second in 0..10 {
            window.record(at(second));
        }
        assert_eq!(
            window.allows(&limits, at(10)),
            Err((DeferReason::PerHour { max: 10 }, at(3600)))
        );
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_room_and_no_mess() {
        let limits = Limits {
            max_bids_per_minute: 1,
            ..Limits::default()
        };
        let mut window = RateWindow::default();
        window.record(at(100));
        assert!(window.allows(&limits, at(50)).is_err());
        window.record(at(50));
        assert_eq!(window.in_last_minute(at(100)), 2);
    }
}
