//! Numbers about the journal, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use virtengine_provider_core::ports::journal::Position;

/// What a journal has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Position of the newest event.
    pub head: Position,
    /// Commits that are durable.
    pub commits: u64,
    /// Transactions (syncs) that they took.
    pub transactions: u64,
    /// Commits and snapshots that failed.
    pub failures: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) head: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) transactions: AtomicU64,
    pub(super) failures: AtomicU64,
}

impl Counters {
    pub(super) fn new(head: u64) -> Self {
        Self {
            head: AtomicU64::new(head),
            ..Self::default()
        }
    }

    pub(super) fn read(&self) -> Stats {
        Stats {
            head: Position(self.head.load(Ordering::Acquire)),
            commits: self.commits.load(Ordering::Relaxed),
            transactions: self.transactions.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}
