//! Is a usage record plausible? The same check runs at the provider before a record is sent and at the tenant after.
//!
//! It never drops a record: the answer is a [`Verdict`] that travels with it. Everything is integers, each comparison is exact,
//! and a value on a threshold is still allowed (`>`, not `≥`).
//!
//! ```
//! use virtengine_provider_core::fraud::{Flag, Limits, UsageFacts, UsageMetrics};
//! use virtengine_provider_core::time::Timestamp;
//! use virtengine_provider_core::units::Resources;
//!
//! let facts = UsageFacts {
//!     start: Timestamp::from_seconds(0),
//!     end: Timestamp::from_seconds(3600),
//!     is_final: false,
//!     metrics: UsageMetrics { cpu_milli_seconds: 7_200_001, ..UsageMetrics::default() },
//!     allocated: Some(Resources { cpu_millis: 1000, ..Resources::ZERO }),
//!     trailing_network: None,
//!     now: Timestamp::from_seconds(3600),
//! };
//! let verdict = Limits::default().check(&facts);
//! assert_eq!(verdict.flags, [Flag::ExcessiveCpuUsage]);
//! assert!(verdict.valid, "a score of 40 is under 50");
//! ```

mod rules;
mod verdict;

pub use rules::{Limits, NetworkNormal, Ratio, UsageFacts, UsageMetrics};
pub use verdict::{Details, Flag, SCORE_MAX, Verdict};
