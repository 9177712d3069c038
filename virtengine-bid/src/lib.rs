#![doc = include_str!("../README.md")]
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
