//! The one thread that writes: it takes what waits, writes it with one sync, and answers each caller after that.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use virtengine_provider_core::ports::journal::{Commit, JournalError, Position};

use super::fault::{self, Aftermath};
use super::{lock::Lock, stats::Counters, transaction};
use crate::limits;
use crate::seal::{Head, JournalId};

/// Where the result goes.
pub(super) type Answer = oneshot::Sender<Result<Position, JournalError>>;

/// Largest sum of payloads in one transaction, in bytes: bounds the time that one caller waits for the others.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Something to write.
#[derive(Debug)]
pub(super) enum Request {
    /// A commit.
    Commit(Waiting),
    /// A snapshot.
    Snapshot {
        position: Position,
        state: Vec<u8>,
        answer: Answer,
        _room: OwnedSemaphorePermit,
    },
}

/// A commit and the caller that waits for it.
#[derive(Debug)]
pub(super) struct Waiting {
    commit: Commit,
    weight: usize,
    answer: Answer,
    _room: OwnedSemaphorePermit,
}

impl Request {
    pub(super) fn commit(commit: Commit, answer: Answer, room: OwnedSemaphorePermit) -> Self {
        let weight = limits::weight(&commit);
        Self::Commit(Waiting {
            commit,
            weight,
            answer,
            _room: room,
        })
    }

    pub(super) const fn snapshot(
        position: Position,
        state: Vec<u8>,
        answer: Answer,
        room: OwnedSemaphorePermit,
    ) -> Self {
        Self::Snapshot {
            position,
            state,
            answer,
            _room: room,
        }
    }
}

/// The writing side of a journal.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    path: PathBuf,
    id: JournalId,
    head: Head,
    stats: Arc<Counters>,
    batch_commits: usize,
    /// Set by an error after which only a restart may go on.
    stopped: Option<JournalError>,
    /// Released after everything else.
    _lock: Lock,
}

impl Writer {
    pub(super) const fn new(
        connection: Connection,
        path: PathBuf,
        id: JournalId,
        head: Head,
        stats: Arc<Counters>,
        batch_commits: usize,
        lock: Lock,
    ) -> Self {
        Self {
            connection,
            path,
            id,
            head,
            stats,
            batch_commits,
            stopped: None,
            _lock: lock,
        }
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut carried = None;
        while let Some(request) = carried.take().or_else(|| queue.blocking_recv()) {
            match request {
                Request::Commit(first) => {
                    let batch;
                    (batch, carried) = self.gather(first, &mut queue);
                    self.write_batch(batch);
                }
                Request::Snapshot {
                    position,
                    state,
                    answer,
                    ..
                } => {
                    let result = self.write_snapshot(position, &state);
                    let _ = answer.send(result.map(|()| position));
                }
            }
        }
        // Best effort: what is in the write-ahead log is durable already.
        let _ = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// What else waits right now, up to the bounds of a batch, and a request that does not belong to it.
    fn gather(&self, first: Waiting, queue: &mut mpsc::Receiver<Request>) -> (Vec<Waiting>, Option<Request>) {
        let mut bytes = first.weight;
        let mut batch = vec![first];
        while batch.len() < self.batch_commits && bytes < BATCH_BYTES_MAX {
            match queue.try_recv() {
                Ok(Request::Commit(next)) => {
                    bytes = bytes.saturating_add(next.weight);
                    batch.push(next);
                }
                Ok(other) => return (batch, Some(other)),
                Err(_) => break,
            }
        }
        (batch, None)
    }

    fn write_batch(&mut self, batch: Vec<Waiting>) {
        match self.attempt(&batch) {
            Ok(positions) => {
                for (waiting, position) in batch.into_iter().zip(positions) {
                    // A caller that went away has its commit written all the same.
                    let _ = waiting.answer.send(Ok(position));
                }
            }
            // One large commit must not fail the small ones that happened to wait beside it.
            Err(JournalError::Full(_)) if batch.len() > 1 => {
                for waiting in batch {
                    self.write_batch(vec![waiting]);
                }
            }
            Err(error) => {
                for waiting in batch {
                    self.stats.failures.fetch_add(1, Ordering::Relaxed);
                    let _ = waiting.answer.send(Err(error.clone()));
                }
            }
        }
    }

    fn attempt(&mut self, batch: &[Waiting]) -> Result<Vec<Position>, JournalError> {
        self.refuse_when_stopped()?;
        let commits = batch.iter().map(|waiting| &waiting.commit);
        match transaction::commits(&mut self.connection, &self.id, &self.head, commits) {
            Ok((head, positions)) => {
                self.stats.head.store(head.position, Ordering::Release);
                self.stats.transactions.fetch_add(1, Ordering::Relaxed);
                let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                self.stats.commits.fetch_add(count, Ordering::Relaxed);
                self.head = head;
                Ok(positions)
            }
            Err(error) => Err(self.fault(&error)),
        }
    }

    fn write_snapshot(&mut self, position: Position, state: &[u8]) -> Result<(), JournalError> {
        self.refuse_when_stopped()?;
        let written = transaction::snapshot(&mut self.connection, &self.id, position, state);
        written.map_err(|error| {
            self.stats.failures.fetch_add(1, Ordering::Relaxed);
            self.fault(&error)
        })
    }

    fn refuse_when_stopped(&self) -> Result<(), JournalError> {
        self.stopped.clone().map_or(Ok(()), Err)
    }

    fn fault(&mut self, error: &rusqlite::Error) -> JournalError {
        let (error, aftermath) = fault::of(&self.path, error);
        if aftermath == Aftermath::Stop {
            tracing::error!(%error, "the journal stops; restart the daemon");
            self.stopped = Some(error.clone());
        }
        error
    }
}
