//! The daemon in hardship: floods of orders and tenants, and chain endpoints that fail in every way. Each test runs the real
//! daemon against the embedded chain, with the back end in memory. One at a time: what they measure is theirs alone.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside test functions"
)]

mod account;
mod chain_faults;
mod floods;
mod honesty;
mod key;
mod odd_orders;
mod pulse;
mod support;
mod tenants;
