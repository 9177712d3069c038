//! The durable journal: one SQLite file, one writing thread.
//!
//! ```text
//!  commit() ─┐            ┌─ writer thread ─────────────────────────┐
//!  commit() ─┼─► queue ─► │ gather → one transaction → fsync → answer each │
//!  commit() ─┘ (bounded)  └─────────────────────────────────────────┘
//!  events(), recover(), verify() ─► a few reading connections, never in the writer's way (WAL)
//! ```

mod backup;
mod fault;
mod files;
mod lock;
mod options;
mod read;
mod schema;
mod stats;
mod transaction;
mod verify;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, oneshot};
use virtengine_provider_core::ports::journal::{
    Commit, EventQuery, Journal, JournalError, Position, Recovered, StoredEvent,
};

use crate::limits;
use crate::seal::JournalId;
use read::Readers;
use writer::{Request, Writer};

pub use options::Options;
pub use stats::Stats;
pub use verify::Verified;

/// A journal in an SQLite file. One process holds it at a time; within the process it is shared freely.
///
/// Dropping it finishes what is queued, then releases the file; [`Self::close`] does the same without blocking the caller's
/// thread. Must be used inside a tokio runtime.
pub struct SqliteJournal {
    path: PathBuf,
    id: JournalId,
    queue: Option<mpsc::Sender<Request>>,
    /// Memory that waiting commits may take, in KiB.
    room: Arc<Semaphore>,
    readers: Arc<Readers>,
    stats: Arc<stats::Counters>,
    thread: Option<JoinHandle<()>>,
}

impl SqliteJournal {
    /// Opens the journal at `path`, making it (mode 0600, in a directory of mode 0700) when it is not there, and migrating it
    /// when it was written by an older version. Blocks for a moment; a migration of a large journal takes seconds.
    ///
    /// # Errors
    /// [`JournalError::InUse`] when another process (or another journal of this one) holds it, naming the process id;
    /// [`JournalError::Newer`], [`JournalError::Damaged`], [`JournalError::Full`], or [`JournalError::Failed`] with the cause.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, JournalError> {
        let path = path.as_ref().to_path_buf();
        options.check()?;
        files::prepare_directory(&path)?;
        let lock = lock::Lock::take(&path)?;
        files::prepare_file(&path)?;
        let mut connection = schema::connect(&path, &options)?;
        let id = schema::prepare(&mut connection, &path)?;
        let head = read::head_checked(&connection, &id, &path)?;
        let stats = Arc::new(stats::Counters::new(head.position));
        let (sender, receiver) = mpsc::channel(options.queue_commits);
        let writer = Writer::new(
            connection,
            path.clone(),
            id,
            head,
            Arc::clone(&stats),
            options.batch_commits,
            lock,
        );
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(receiver))
            .map_err(|error| JournalError::Failed(format!("cannot start the journal thread: {error}")))?;
        Ok(Self {
            readers: Arc::new(Readers::new(path.clone(), id)),
            path,
            id,
            queue: Some(sender),
            room: Arc::new(Semaphore::new(options.queue_kib)),
            stats,
            thread: Some(thread),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Identity of this journal: random, made when it was created, the same for ever and in every backup. 32 hex digits.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(self.id)
    }

    /// What has been written since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats.read()
    }

    /// Finishes what is queued, moves the write-ahead log into the file, and releases it.
    pub async fn close(mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // The thread ends on its own: its queue is closed and bounded. A failed join means that it panicked, which it
            // has told every caller already.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// Checks everything that is stored: every event's seal from the first on, positions without gaps, the outbox, the
    /// snapshot, the head, and the database pages themselves. Does not block writers.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] naming the first damaged row.
    pub async fn verify(&self) -> Result<Verified, JournalError> {
        let (id, path) = (self.id, self.path.clone());
        self.readers
            .run(move |connection| verify::verify(connection, &id, &path))
            .await
    }

    /// As [`Self::verify`], for a file that no daemon holds. Nothing is changed, migrated or locked.
    ///
    /// # Errors
    /// As [`Self::verify`]; [`JournalError::Newer`] and [`JournalError::Failed`] when it cannot be read.
    pub fn verify_file(path: impl AsRef<Path>) -> Result<Verified, JournalError> {
        verify::verify_file(path.as_ref())
    }

    /// Writes a complete, checked copy of the journal as of now to `target` (mode 0600), while commits go on. `target` appears
    /// whole or not at all and must not exist yet.
    ///
    /// Starting from an old copy makes the daemon forget what came after: it then finds out from the chain and the back ends,
    /// but usage that was not yet on chain is lost.
    ///
    /// # Errors
    /// [`JournalError::Failed`] when `target` exists or cannot be written, [`JournalError::Full`].
    pub async fn backup(&self, target: impl AsRef<Path>) -> Result<Verified, JournalError> {
        let (path, target) = (self.path.clone(), target.as_ref().to_path_buf());
        let task = tokio::task::spawn_blocking(move || backup::backup(&path, &target));
        task.await
            .unwrap_or_else(|error| Err(JournalError::Failed(format!("the backup broke off: {error}"))))
    }

    async fn send(
        &self,
        weight: usize,
        make: impl FnOnce(writer::Answer, tokio::sync::OwnedSemaphorePermit) -> Request,
    ) -> Result<Position, JournalError> {
        let stopped =
            || JournalError::Failed("the journal writer has stopped; restart the daemon".to_owned());
        let permits = u32::try_from(weight.div_ceil(1024)).unwrap_or(u32::MAX);
        let permits = permits.min(u32::try_from(options::QUEUE_KIB_MIN).unwrap_or(u32::MAX));
        let room = Arc::clone(&self.room)
            .acquire_many_owned(permits)
            .await
            .map_err(|_| stopped())?;
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(make(answer, room)).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

impl fmt::Debug for SqliteJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteJournal")
            .field("path", &self.path)
            .field("id", &self.id())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn recover(&self) -> Result<Recovered, JournalError> {
        let (id, path) = (self.id, self.path.clone());
        self.readers
            .run(move |connection| read::recover(connection, &id, &path))
            .await
    }

    /// Returns once `commit` is on disk. Dropping the future after it was first polled leaves open whether it is written.
    ///
    /// # Errors
    /// [`JournalError::Full`]: nothing was written, the journal works on once there is space. Any other error of the disk
    /// stops the journal: from then on every commit fails, and a restart begins from what the disk really holds.
    async fn commit(&self, commit: Commit) -> Result<Position, JournalError> {
        limits::check(&commit)?;
        let weight = limits::weight(&commit);
        self.send(weight, |answer, room| Request::commit(commit, answer, room))
            .await
    }

    async fn snapshot(&self, position: Position, state: Vec<u8>) -> Result<(), JournalError> {
        limits::check_snapshot(position.0, self.stats.head.load(Ordering::Acquire), &state)?;
        let weight = state.len();
        self.send(weight, |answer, room| {
            Request::snapshot(position, state, answer, room)
        })
        .await?;
        Ok(())
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<(Position, StoredEvent)>, JournalError> {
        let (query, path) = (query.clone(), self.path.clone());
        self.readers
            .run(move |connection| read::events(connection, &query, &path))
            .await
    }
}
