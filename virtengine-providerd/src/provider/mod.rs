//! The pure composition of the machines: it holds their state, routes each fact to the machine that owns it, and answers with
//! events and effects. No I/O and no clock, so a whole provider runs under virtual time in a test.
//!
//! ```text
//!  Fact ─► routing (block, compare, tx, infrastructure, wish) ─► machine.decide ─► Event ─► evolve
//!                                                                                   │
//!                                                                                   └─► follow: other machines, Effects
//! ```
//!
//! [`Provider::decide`] applies what it decides; [`Provider::evolve`] applies what was decided before. After a crash the events
//! of the journal lead to the same state, and the effects that were not finished are in the journal's outbox.

mod agenda;
mod block;
mod compare;
mod effect;
mod event;
mod fact;
mod follow;
mod infrastructure;
mod meter;
mod settings;
mod state;
mod tx;
mod view;
mod wish;

pub use effect::{Effect, EffectId, Operation, Planned, Purpose};
pub use event::Event;
pub use fact::{Comparison, Fact, Standing, Wish};
pub use settings::{Retries, Settings};
pub use state::{Provider, Tenancy, Transaction};
pub use view::ToSign;

use virtengine_metering::settlement::BooksRejected;
use virtengine_provider_core::{capacity, lease, lifecycle};

/// Why a fact is refused; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The lease does not permit it.
    #[error(transparent)]
    Lease(#[from] lease::Rejected),
    /// The workload does not permit it.
    #[error(transparent)]
    Workload(#[from] lifecycle::Denied),
    /// There is not enough room.
    #[error(transparent)]
    Capacity(#[from] capacity::Rejected),
    /// The manifest is not what was ordered.
    #[error("the manifest is not what was ordered: {0}")]
    NotAsOrdered(String),
    /// There is no such workload.
    #[error("no such workload")]
    NoWorkload,
    /// No fraud check holds that record.
    #[error(transparent)]
    Usage(#[from] BooksRejected),
    /// The manifest has several groups, and a workload of the operator's own is one group.
    #[error("the manifest has {0} groups; a workload of the operator's own needs exactly one")]
    Groups(usize),
}

/// What a fact leads to.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// What happened, in order; applied already.
    pub events: Vec<Event>,
    /// What must be done.
    pub effects: Vec<Planned>,
    /// Effects that are done or no longer wanted.
    pub done: Vec<EffectId>,
    /// The block height up to which the chain has been read.
    pub cursor: Option<u64>,
}

#[cfg(test)]
pub(crate) mod tests;
