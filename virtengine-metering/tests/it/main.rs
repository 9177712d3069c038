//! Metering through its public interface.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod books;
mod charging;
mod conservation;
mod metering;
mod support;
mod verification;
