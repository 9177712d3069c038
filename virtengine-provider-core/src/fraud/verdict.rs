//! What the check says.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

/// Highest score.
pub const SCORE_MAX: u32 = 100;

/// Something about a record that is not plausible. The order is that of the reference, our two additions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Flag {
    /// Shorter than one minute. A short final record is legal and not flagged.
    DurationTooShort,
    /// Longer than 25 hours.
    DurationTooLong,
    /// Ends more than a minute from now.
    FutureTimestamp,
    /// More than twice the allocated CPU.
    ExcessiveCpuUsage,
    /// More than 1.5 times the allocated memory.
    ExcessiveMemoryUsage,
    /// One of the six metrics is negative.
    NegativeMetrics,
    /// No duration, but usage.
    ZeroDurationWithUsage,
    /// More than ten times the workload's trailing normal traffic.
    NetworkAnomaly,
    /// Ends before it starts.
    EndBeforeStart,
}

impl Flag {
    /// Every flag, in the order in which a verdict lists them.
    pub const ALL: [Self; 9] = [
        Self::DurationTooShort,
        Self::DurationTooLong,
        Self::FutureTimestamp,
        Self::ExcessiveCpuUsage,
        Self::ExcessiveMemoryUsage,
        Self::NegativeMetrics,
        Self::ZeroDurationWithUsage,
        Self::NetworkAnomaly,
        Self::EndBeforeStart,
    ];

    /// The name, as in the specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DurationTooShort => "DURATION_TOO_SHORT",
            Self::DurationTooLong => "DURATION_TOO_LONG",
            Self::FutureTimestamp => "FUTURE_TIMESTAMP",
            Self::ExcessiveCpuUsage => "EXCESSIVE_CPU_USAGE",
            Self::ExcessiveMemoryUsage => "EXCESSIVE_MEMORY_USAGE",
            Self::NegativeMetrics => "NEGATIVE_METRICS",
            Self::ZeroDurationWithUsage => "ZERO_DURATION_WITH_USAGE",
            Self::NetworkAnomaly => "NETWORK_ANOMALY",
            Self::EndBeforeStart => "END_BEFORE_START",
        }
    }

    /// What it adds to the score (spec/reference.md §5.2; the two additions are rated as their nearest relatives).
    #[must_use]
    pub const fn score(self) -> u32 {
        match self {
            Self::DurationTooShort => 30,
            Self::DurationTooLong => 50,
            Self::ExcessiveCpuUsage | Self::ExcessiveMemoryUsage | Self::NetworkAnomaly => 40,
            Self::ZeroDurationWithUsage => 80,
            Self::FutureTimestamp | Self::NegativeMetrics | Self::EndBeforeStart => 100,
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The answer of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the record may be sent as it is. An invalid one is held for the operator.
    pub valid: bool,
    /// What was found, in the order of [`Flag::ALL`].
    pub flags: Vec<Flag>,
    /// Σ of the flags' scores, at most [`SCORE_MAX`].
    pub score: u32,
    /// The figures behind it.
    pub details: Details,
}

impl Verdict {
    /// Sums up `flags`; invalid at `invalid_score` or more.
    pub(super) fn of(flags: Vec<Flag>, details: Details, invalid_score: u32) -> Self {
        let sum = flags
            .iter()
            .fold(0_u32, |sum, flag| sum.saturating_add(flag.score()));
        let score = sum.min(SCORE_MAX);
        Self {
            valid: score < invalid_score,
            flags,
            score,
            details,
        }
    }
}

/// The figures behind a verdict. Ratios are in thousandths, rounded down: 1000 is exactly what was allocated (or normal).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Details {
    /// End minus start, in milliseconds.
    pub duration_millis: i64,
    /// Used over allocated CPU; `None` when nothing is allocated, nothing is known or there is no duration.
    pub cpu_permille: Option<u64>,
    /// Used over allocated memory; `None` as above.
    pub memory_permille: Option<u64>,
    /// Traffic over trailing normal traffic; `None` as above.
    pub network_permille: Option<u64>,
}
