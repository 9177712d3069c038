//! The loops around the composition: one per port. Each reads, tells the desk, and carries on; the desk decides.

mod carry;
mod compare;
mod desk;
mod follow;
mod outbox;
mod watch;

pub use desk::{Desk, DeskHandle, NotTaken, Stopping, Witness};
pub use outbox::Outbox;
