//! What the chain does, written once and run on two chains: the one in this crate and, when it is up, the real test peer in
//! `peers/chain` (`VE_TEST_CHAIN_RPC`).

#![allow(unreachable_pub, reason = "one binary: pub says what a module is for")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
#![allow(clippy::too_many_lines, reason = "a scenario is one story")]

mod clock;
mod command;
mod faults;
mod gas;
mod messages;
mod restart;
mod rpc;
mod scenarios;
mod stage;
mod vector;
mod wallet;
