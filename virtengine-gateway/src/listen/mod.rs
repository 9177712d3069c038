//! Accepting connections, the same way for every face: bounded in number, in time and in bytes, and ended in order.

mod answer;
mod peers;
mod serve;
mod stall;

pub(crate) use answer::{catch_panic, json, read_body, route_missing, with_deadline};
pub(crate) use peers::{PeerTable, Upload};
pub(crate) use serve::{Acceptor, Limits, Peer, serve};
