//! The life of one lease, as its provider lives it.
//!
//! ```text
//!              manifest accepted
//!  ┌──────────┐                  ┌─────────┐
//!  │ Awaiting │ ───────────────▶ │ Serving │
//!  └────┬─────┘                  └────┬────┘
//!       │ deadline, or we give up     │ we give up
//!       ├──────────────┬──────────────┤
//!       │              ▼              │
//!       │         ┌─────────┐         │
//!       │         │ Closing │         │   closed on chain: by the tenant, by us, or for lack of funds
//!       │         └────┬────┘         │
//!       ▼              ▼              ▼
//!     ┌──────────────────────────────────┐      workload gone, final record signed
//!     │              Closed              │ ───────────────────────────────────────▶ Finished
//!     └──────────────────────────────────┘
//! ```
//!
//! A lease is closed only by the chain: an event that says so, or a query that shows it closed. Silence changes nothing.

mod decide;
mod state;

pub use decide::{Command, Event, Rejected, Terms, decide};
pub use state::{Lease, Phase};

#[cfg(test)]
mod tests;
