//! The whole job, with the program as people run it: in one process, and as separate processes driven by the command line alone.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside test functions"
)]

mod devnet;
#[path = "../common/ports.rs"]
mod ports;
mod program;
mod two_processes;
