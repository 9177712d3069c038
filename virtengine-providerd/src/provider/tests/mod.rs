//! The whole provider under virtual time.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod capacity;
pub(crate) mod fixture;
pub(crate) mod market;
mod money;
mod repair;
mod simulation;
mod speed;
mod workloads;
mod world;
