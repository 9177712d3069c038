//! What can be sold, and what is promised already: the ledger that cannot over-commit.
//!
//! ```text
//!              Reserve (only what fits)          Convert             Free
//!   available ───────────────────────► bid ───────────────► lease ──────────► available
//!                                       │                     ▲
//!                                       └── Free (lost, …)    └── Adopt (a fact of the chain: never refused for room)
//! ```
//!
//! The capacity is the smaller of what the operator configured and what the back ends report, less what the operator keeps
//! back. Every reservation has a key, so a replayed or repeated event changes nothing. A capacity that shrinks below what is
//! reserved is a fact: nothing is freed, nothing new is reserved.

mod inventory;
mod ledger;

pub use inventory::{Cause, Difference, ResourceKind, differences};
pub use ledger::{Bounds, Command, Event, Ledger, Rejected, Reservation, ReservationKey, ReservationKind};

#[cfg(test)]
mod tests;
