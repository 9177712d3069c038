//! An embedded single-node VirtEngine chain: it speaks the same CometBFT RPC as a node and refuses what a node refuses.
#![doc = ""]
//! See the README for what it is for and what it does not do.

mod ante;
pub mod genesis;
mod machine;
mod query;
mod rules;
mod state;
mod tx;
mod wire;

pub use genesis::{CHAIN_ID, Genesis, TEST_ACCOUNTS, TestAccount};
pub use state::time::BlockTime;
