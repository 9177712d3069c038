//! Client of the VirtEngine chain over CometBFT RPC: transactions, queries, block follower, event decoding.

#[rustfmt::skip]
pub mod proto;
