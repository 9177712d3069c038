//! The journal through its public interface.

mod damage;
mod durability;
mod full_disk;
mod model;
mod opening;
mod support;
mod throughput;
