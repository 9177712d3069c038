//! Workloads that exist only in memory: deterministic, driven by the time that a
//! [`Clock`](virtengine_provider_core::ports::clock::Clock) tells, with every fault on demand.
//!
//! The adapter is a thin view on a [`MemoryBackend`]. Keep the handle and build another [`MemoryAdapter`] on it, and you have
//! restarted the daemon in front of a back end that went on running.
//!
//! ```
//! use std::sync::Arc;
//! use virtengine_adapters::memory::{Config, Fault, MemoryAdapter, Operation};
//! use virtengine_provider_core::ports::clock::Clock;
//! use virtengine_provider_core::time::Timestamp;
//!
//! struct Frozen;
//! impl Clock for Frozen {
//!     fn now(&self) -> Timestamp {
//!         Timestamp::from_seconds(1_700_000_000)
//!     }
//! }
//!
//! let adapter = MemoryAdapter::new(Config::default(), Arc::new(Frozen));
//! adapter.backend().fail_next(Operation::Deploy, 1, Fault::unavailable());
//! let restarted = MemoryAdapter::attach(adapter.backend().clone());
//! assert!(restarted.backend().workloads().is_empty());
//! ```

mod adapter;
mod backend;
mod config;
mod counters;
mod error;
mod fault;
mod state;

pub use adapter::MemoryAdapter;
pub use backend::MemoryBackend;
pub use config::{Config, Rates};
pub use fault::{Fault, Operation};
