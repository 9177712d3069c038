//! Decides which orders of the VirtEngine market to bid on, at what price, and within which limits. Pure: it is told the
//! facts and the time, and answers with events; it needs no runtime.
//!
//! ```text
//!  OrderSeen ─► fresh ─► match ─► price ─► room ─► slot ─► BidDecided ─► BidLanded ─► BidWon ─► LeaseOver
//!                          │        │        │       │         │  ▲          │
//!                          ▼        ▼        ▼       ▼         ▼  │          ▼
//!                      OrderDeclined      OrderDeferred     BidRetry    BidCloseWanted ─► BidClosed
//!                                        (until, never dropped)         (lost, stale)
//! ```
//!
//! * [`Book`] is the state: every order that is not decided yet, every bid and lease of ours, the rate windows.
//! * [`Bidder`] is the policy, compiled: [`Bidder::decide`] turns a [`Command`] into [`Event`]s.
//! * [`evolve`] applies events to the book and to the capacity ledger. The same events give the same state, so the journal is
//!   the start path, and the limits hold across restarts.
//! * [`strategy::Strategy`] is the one thing that others are expected to write.
//!
//! Commands about one order are cheap and flat: no decision walks the book. [`Command::Consider`] and [`Command::Tick`] each
//! decide at most one order; call them until they answer with nothing ([`Bidder::settle`] does).
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::float_arithmetic
    )
)]

pub mod book;
pub mod command;
mod decide;
pub mod event;
pub mod explain;
pub mod limits;
pub mod matching;
pub mod policy;
pub mod reason;
pub mod status;
pub mod strategy;

pub use book::Book;
pub use command::Command;
pub use decide::{Bidder, Rejected};
pub use event::Event;
pub use policy::{Policy, PolicyError, Profile};
pub use virtengine_provider_core as core;

use virtengine_provider_core::capacity::Ledger;

/// Applies what happened, to the book and to the ledger.
pub fn evolve(book: &mut Book, ledger: &mut Ledger, event: &Event) {
    match event {
        Event::Capacity { change } => ledger.evolve(change),
        _ => book.evolve(event),
    }
}
