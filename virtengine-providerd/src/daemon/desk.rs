//! The desk: the one place where facts become decisions. It owns the provider's state; everybody else sends it facts and asks
//! it questions. Decisions are durable before anybody hears of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use virtengine_bid::PolicyError;
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::ports::journal::{Commit, Journal, JournalError, Position};
use virtengine_provider_core::time::Timestamp;

use super::outbox::Outbox;
use crate::provider::{Event, Fact, Planned, Provider, Refused, Settings};

/// Facts that wait at most; senders wait when it is full (back-pressure, nothing is dropped).
const QUEUE_LENGTH: usize = 1024;
/// Facts decided and committed together at most.
const BATCH_LENGTH: usize = 256;
/// Events and effects after which a batch is written, even if more facts wait: far below what one commit may hold.
const BATCH_ITEMS: usize = 2000;
/// Events between two snapshots of the state: bounds the time of a start.
const SNAPSHOT_EVERY: u64 = 20_000;
/// Time between two attempts to write to a full or failing disk.
const WRITE_RETRY: Duration = Duration::from_secs(1);
/// Attempts to write once the daemon is stopping. After them the batch is dropped: nobody has heard of it, and nothing of it was
/// begun.
const WRITES_WHEN_STOPPING: u32 = 3;
/// A deadline that has passed and that nothing answers to does not keep the desk busy.
const IDLE_MIN: Duration = Duration::from_millis(10);
/// The desk looks at its deadlines at least this often, whatever the clock did meanwhile.
const IDLE_MAX: Duration = Duration::from_secs(1);

type Question = Box<dyn FnOnce(&Provider) + Send>;
type Answer = oneshot::Sender<Result<(), Refused>>;

enum Letter {
    Fact(Box<Fact>, Option<Answer>),
    Question(Question),
    Settings(Box<Settings>, oneshot::Sender<Result<(), PolicyError>>),
}

/// The daemon is stopping: the desk takes no more facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is stopping")]
pub struct Stopping;

/// Why a fact was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The decision was no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The daemon is stopping.
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

/// The way to the desk.
#[derive(Clone)]
pub struct DeskHandle {
    letters: mpsc::Sender<Letter>,
}

impl fmt::Debug for DeskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeskHandle")
            .field("free", &self.letters.capacity())
            .finish()
    }
}

impl DeskHandle {
    /// Hands in a fact; returns when its consequences are durable.
    ///
    /// # Errors
    /// The decision was no, or the daemon is stopping.
    pub async fn tell(&self, fact: Fact) -> Result<(), NotTaken> {
        let (answer, answered) = oneshot::channel();
        self.letters
            .send(Letter::Fact(Box::new(fact), Some(answer)))
            .await
            .map_err(|_| Stopping)?;
        Ok(answered.await.map_err(|_| Stopping)??)
    }

    /// Decides by other settings from now on.
    ///
    /// # Errors
    /// The daemon is stopping; inside, the settings cannot be used and nothing changed.
    pub async fn reconfigure(&self, settings: Settings) -> Result<Result<(), PolicyError>, Stopping> {
        let (answer, answered) = oneshot::channel();
        let letter = Letter::Settings(Box::new(settings), answer);
        self.letters.send(letter).await.map_err(|_| Stopping)?;
        answered.await.map_err(|_| Stopping)
    }

    /// Asks about the state as it is durable.
    ///
    /// # Errors
    /// The daemon is stopping.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Provider) -> T + Send + 'static,
    ) -> Result<T, Stopping> {
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |provider| drop(answer.send(question(provider))));
        self.letters
            .send(Letter::Question(question))
            .await
            .map_err(|_| Stopping)?;
        answered.await.map_err(|_| Stopping)
    }
}

/// Watches what the desk decides, e.g. to narrate it. Called after the decision is durable; must not block.
pub type Witness = Box<dyn Fn(&Event, Timestamp) + Send>;

/// The desk itself; [`Desk::run`] is its task.
pub struct Desk {
    provider: Provider,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    outbox: Arc<Outbox>,
    letters: mpsc::Receiver<Letter>,
    witness: Option<Witness>,
    position: Position,
    snapshot_at: Position,
    snapshot_every: u64,
    /// The position at which the next one is tried.
    snapshot_due: u64,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// The daemon stopped while the journal could not be written.
struct NotWritten;

/// What one batch of facts leads to.
#[derive(Default)]
struct Batch {
    commit: Commit,
    events: Vec<Event>,
    planned: Vec<Planned>,
    answers: Vec<(Option<Answer>, Result<(), Refused>)>,
    questions: Vec<Question>,
}

impl Batch {
    const fn items(&self) -> usize {
        self.commit.events.len() + self.commit.effects.len() + self.commit.done.len()
    }
}

impl Desk {
    /// Starts from what the journal has: snapshot, then events, then the unfinished effects.
    ///
    /// # Errors
    /// The journal cannot be read, or holds something that this program did not write.
    pub async fn recover(
        mut provider: Provider,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        outbox: Arc<Outbox>,
        witness: Option<Witness>,
    ) -> Result<(Self, DeskHandle), JournalError> {
        let recovered = journal.recover().await?;
        let damaged = |what: &str, error: serde_json::Error| {
            JournalError::Damaged(format!("{what} is not readable by this version: {error}"))
        };
        let mut position = Position::default();
        if let Some((at, state)) = recovered.snapshot {
            provider
                .restore(&state)
                .map_err(|error| damaged("the snapshot", error))?;
            position = at;
        }
        let snapshot_at = position;
        for (at, stored) in recovered.events {
            let event = serde_json::from_slice(&stored.payload)
                .map_err(|error| damaged(&format!("event {}", at.0), error))?;
            provider.evolve(&event);
            position = at;
        }
        if let Some(cursor) = recovered.cursor {
            provider.restore_cursor(cursor);
        }
        let mut unfinished = Vec::new();
        for stored in &recovered.outbox {
            let planned = Planned::from_stored(stored)
                .map_err(|error| damaged(&format!("effect {}", stored.id), error))?;
            unfinished.push(planned);
        }
        tracing::info!(
            position = position.0,
            unfinished = unfinished.len(),
            "journal replayed"
        );
        outbox.add(unfinished);
        let (sender, letters) = mpsc::channel(QUEUE_LENGTH);
        let desk = Self {
            provider,
            journal,
            clock,
            outbox,
            letters,
            witness,
            position,
            snapshot_at,
            snapshot_every: SNAPSHOT_EVERY,
            snapshot_due: snapshot_at.0.saturating_add(SNAPSHOT_EVERY),
        };
        Ok((desk, DeskHandle { letters: sender }))
    }

    /// Works until every handle is gone or `stop` fires; the letters that are in the queue then are still answered.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let mut letters = Vec::with_capacity(BATCH_LENGTH);
            let idle = self.idle_for();
            tokio::select! {
                count = self.letters.recv_many(&mut letters, BATCH_LENGTH) => if count == 0 { break },
                () = tokio::time::sleep(idle) => {}
                () = stop.cancelled() => {
                    self.letters.close();
                    self.letters.recv_many(&mut letters, BATCH_LENGTH).await;
                    if letters.is_empty() { break }
                }
            }
            if self.work_on(letters, &stop).await.is_err() {
                // The state is ahead of the journal: it must not become a snapshot.
                return;
            }
        }
        self.keep_snapshot().await;
    }

    fn idle_for(&self) -> Duration {
        let now = self.clock.now();
        self.provider
            .next_deadline()
            .map_or(IDLE_MAX, |deadline| deadline.since(now).clamp(IDLE_MIN, IDLE_MAX))
    }

    async fn work_on(&mut self, letters: Vec<Letter>, stop: &CancellationToken) -> Result<(), NotWritten> {
        let now = self.clock.now();
        let mut batch = Batch::default();
        self.decide(Fact::Tick, None, now, &mut batch);
        for letter in letters {
            match letter {
                Letter::Fact(fact, answer) => self.decide(*fact, answer, now, &mut batch),
                Letter::Question(question) => batch.questions.push(question),
                // Settings are no part of the state: there is nothing to make durable.
                Letter::Settings(settings, answer) => drop(answer.send(self.provider.reconfigure(*settings))),
            }
            if batch.items() >= BATCH_ITEMS {
                self.deliver(std::mem::take(&mut batch), now, stop).await?;
            }
        }
        self.deliver(batch, now, stop).await?;
        if self.position.0 >= self.snapshot_due {
            self.keep_snapshot().await;
        }
        Ok(())
    }

    /// Makes a batch durable; only then anybody hears of it.
    async fn deliver(
        &mut self,
        batch: Batch,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Result<(), NotWritten> {
        self.write(batch.commit, stop).await?;
        self.outbox.add(batch.planned);
        if let Some(witness) = &self.witness {
            batch.events.iter().for_each(|event| witness(event, now));
        }
        for (answer, outcome) in batch.answers {
            // Somebody who went away does not hear the answer; the decision stands.
            let _ = answer.map(|answer| answer.send(outcome));
        }
        for question in batch.questions {
            question(&self.provider);
        }
        Ok(())
    }

    fn decide(&mut self, fact: Fact, answer: Option<Answer>, now: Timestamp, batch: &mut Batch) {
        let outcome = self.provider.decide(fact, now);
        let outcome = outcome.map(|decision| {
            // What was wanted a moment ago, in the same batch, and no longer is, is not begun at all.
            let wanted = |id: &str| !decision.done.iter().any(|done| done == id);
            batch.commit.effects.retain(|effect| wanted(&effect.id));
            batch.planned.retain(|planned| wanted(&planned.id));
            for event in &decision.events {
                batch.commit.events.push(event.stored(now));
            }
            let effects = decision.effects.iter().map(Planned::stored);
            batch.commit.effects.extend(effects);
            self.outbox.remove(&decision.done);
            batch.commit.done.extend(decision.done);
            batch.commit.cursor = decision.cursor.or(batch.commit.cursor);
            batch.events.extend(decision.events);
            batch.planned.extend(decision.effects);
        });
        batch.answers.push((answer, outcome));
    }

    /// Writes until it is written: what has been decided cannot be taken back, and nobody hears of it before it is durable. A
    /// daemon that is stopping does not wait for a full disk for ever.
    async fn write(&mut self, commit: Commit, stop: &CancellationToken) -> Result<(), NotWritten> {
        if commit == Commit::default() {
            return Ok(());
        }
        let mut attempts_left = WRITES_WHEN_STOPPING;
        loop {
            match self.journal.commit(commit.clone()).await {
                Ok(position) => {
                    self.position = position;
                    return Ok(());
                }
                Err(error) => {
                    tracing::error!(%error, "the journal cannot be written; nothing is decided until it can");
                }
            }
            if stop.is_cancelled() {
                attempts_left -= 1;
                if attempts_left == 0 {
                    tracing::error!("what was not written is dropped: nobody has heard of it");
                    return Err(NotWritten);
                }
            }
            tokio::time::sleep(WRITE_RETRY).await;
        }
    }

    async fn keep_snapshot(&mut self) {
        if self.position == self.snapshot_at {
            return;
        }
        // Also when it fails: to write a snapshot costs time.
        self.snapshot_due = self.position.0.saturating_add(self.snapshot_every);
        match self.provider.snapshot() {
            Ok(state) => match self.journal.snapshot(self.position, state).await {
                Ok(()) => self.snapshot_at = self.position,
                Err(error) => tracing::warn!(%error, "no snapshot; the next start replays more"),
            },
            Err(error) => tracing::error!(%error, "the state cannot be written as a snapshot"),
        }
    }
}

#[cfg(test)]
mod tests;
