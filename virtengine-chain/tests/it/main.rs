//! Integration tests of the chain client.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside test functions"
)]

mod devchain;
mod fake_node;
mod follower;
mod hostile;
mod node_faults;
mod node_lies;
mod overtaken;
mod pipeline;
mod real_node;
mod recorded_answers;
mod recorded_events;
mod recordings;
mod round_trip;
mod signer;
mod types;
mod vectors;
mod walk;
