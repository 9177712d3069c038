//! The bidder through its public interface.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod decisions;
mod field_failures;
mod fixture;
mod machine;
mod matching;
mod pricing;
