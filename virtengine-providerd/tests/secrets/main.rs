//! Nothing that a run with known secrets leaves behind or shows holds any of them.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside test functions"
)]

mod needles;
mod round;
#[path = "../training/site.rs"]
mod site;
mod words;
