//! Integration tests of the chain client.

mod fake_node;
mod hostile;
mod node_faults;
mod pipeline;
mod real_node;
mod recordings;
mod round_trip;
mod signer;
mod types;
mod vectors;
