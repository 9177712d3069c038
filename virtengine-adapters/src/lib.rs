//! Runs workloads: one folder per kind of infrastructure, each implementing
//! [`Adapter`](virtengine_provider_core::ports::adapter::Adapter). Usable without the daemon.
//!
//! | Back end | Feature | What it is |
//! |---|---|---|
//! | [`memory`] | `memory` | nothing real: virtual time and scripted faults, for tests and rehearsals |
//! | [`local`] | `local` | supervised processes on this host, for development; no isolation |
//!
//! Every folder has the same files: `config.rs` (what the operator sets), `adapter.rs` (the trait), `error.rs` (how its failures
//! become [`AdapterError`](virtengine_provider_core::ports::adapter::AdapterError)), and what else that back end needs.

#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "memory")]
pub mod memory;
