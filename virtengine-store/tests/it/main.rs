//! The journal through its public interface.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod damage;
mod durability;
mod full_disk;
mod model;
mod opening;
mod support;
mod throughput;
