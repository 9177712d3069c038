//! The provider's HTTP faces.
//!
//! | Face | Where | Who | Module |
//! |---|---|---|---|
//! | health, metrics | plain HTTP on loopback | probes, Prometheus | [`health`], [`metrics`] |
//! | operator API | unix socket, mode 0600 | the same user, or root | [`operator`] |
//! | tenant API | TLS | whoever signs with the account that owns the lease | [`tenant`] |
//!
//! This crate decides nothing about the market: what the faces show and do comes from the traits in [`api`], which the daemon
//! implements. The types there are the JSON that goes over the wire; they change only by addition. Each face bounds what it
//! reads, how long it waits and how much runs at once, and ends its open requests before it stops.

pub mod api;
pub mod health;
mod listen;
pub mod log;
pub mod metrics;
pub mod operator;
pub mod rfc3339;
pub mod tenant;
