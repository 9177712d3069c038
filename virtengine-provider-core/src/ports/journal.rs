//! The durable record of what happened. Events, the outbox of effects and the chain cursor change together or not at all.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Position of an event in the journal; the first is 1, 0 is "before everything". No gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

/// One event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// When it was decided.
    pub at: Timestamp,
    /// Its kind, e.g. `bid_decided`: for reading and filtering.
    pub kind: String,
    /// What it is about, e.g. an order or lease id: for reading and filtering.
    pub subject: String,
    /// The event itself, JSON.
    pub payload: Vec<u8>,
}

/// An effect that must be carried out, once it is durable. Its id makes doing it again safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEffect {
    /// Chosen by the decider; unique among pending effects.
    pub id: String,
    /// Its kind, e.g. `send_tx`, `deploy`.
    pub kind: String,
    /// What it is about; effects of one subject are carried out in order.
    pub subject: String,
    /// Not before this moment.
    pub not_before: Timestamp,
    /// The effect itself, JSON.
    pub payload: Vec<u8>,
}

/// What one decision changes, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commit {
    /// Appended, in order.
    pub events: Vec<StoredEvent>,
    /// Added to the outbox; an id that is pending already is replaced.
    pub effects: Vec<StoredEffect>,
    /// Taken out of the outbox; unknown ids are ignored.
    pub done: Vec<String>,
    /// The block height up to which the chain has been read.
    pub cursor: Option<u64>,
}

/// What a start begins from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The newest snapshot and the position that it includes.
    pub snapshot: Option<(Position, Vec<u8>)>,
    /// The events after the snapshot, in order.
    pub events: Vec<(Position, StoredEvent)>,
    /// Effects that were not finished, in the order of their making.
    pub outbox: Vec<StoredEffect>,
    /// The block height up to which the chain has been read.
    pub cursor: Option<u64>,
}

/// Which events to read back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventQuery {
    /// Only of these kinds; empty: all.
    pub kinds: Vec<String>,
    /// Only about this subject.
    pub subject: Option<String>,
    /// Only after this position.
    pub after: Position,
    /// At most this many; the newest ones when `newest` is set.
    pub limit: usize,
    /// Return the newest (still oldest first) instead of the oldest.
    pub newest: bool,
}

/// Why the journal could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process holds it.
    #[error("the journal is in use: {0}")]
    InUse(String),
    /// The disk is full: nothing was written; free space and go on.
    #[error("no space left for the journal: {0}")]
    Full(String),
    /// What is stored is not what was written.
    #[error("the journal is damaged: {0}")]
    Damaged(String),
    /// It was written by a newer program.
    #[error("the journal is of a newer version: {0}")]
    Newer(String),
    /// Anything else of the operating system or the database.
    #[error("the journal failed: {0}")]
    Failed(String),
}

/// Keeps events.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync {
    /// Everything that a start needs.
    async fn recover(&self) -> Result<Recovered, JournalError>;

    /// Makes `commit` durable; returns the position of its last event (or of the newest event when it has none).
    async fn commit(&self, commit: Commit) -> Result<Position, JournalError>;

    /// Keeps a snapshot of the state as of `position`; older snapshots go. Events are kept.
    async fn snapshot(&self, position: Position, state: Vec<u8>) -> Result<(), JournalError>;

    /// Reads events back, oldest first.
    async fn events(&self, query: &EventQuery) -> Result<Vec<(Position, StoredEvent)>, JournalError>;
}
