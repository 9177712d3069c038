//! A journal that forgets when its last copy is dropped: for tests, examples and simulations under virtual time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use virtengine_provider_core::ports::journal::{
    Commit, EventQuery, Journal, JournalError, Position, Recovered, StoredEffect, StoredEvent,
};

use crate::limits;

/// Keeps everything in memory, with the same rules as the durable journal. Copies share one journal: dropping the daemon and
/// handing a copy to a new one is a restart.
///
/// ```
/// use virtengine_store::MemoryJournal;
/// let before = MemoryJournal::new();
/// let after_the_restart = before.clone();
/// assert_eq!(after_the_restart.len(), before.len());
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<StoredEvent>,
    /// Pending effects by place; the place rises with each new effect.
    outbox: BTreeMap<u64, StoredEffect>,
    places: BTreeMap<String, u64>,
    next_place: u64,
    snapshot: Option<(Position, Vec<u8>)>,
    cursor: Option<u64>,
    fault: Option<JournalError>,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every commit and snapshot fails with `fault` and changes nothing, until this is called with `None`: a full disk on demand.
    pub fn fail_with(&self, fault: Option<JournalError>) {
        self.lock().fault = fault;
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().events.len()
    }

    /// Whether there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in between cannot leave half a commit behind: nothing in `State::apply` panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn head(&self) -> Position {
        Position(u64::try_from(self.events.len()).unwrap_or(u64::MAX))
    }

    fn apply(&mut self, commit: Commit) {
        self.events.extend(commit.events);
        for id in &commit.done {
            if let Some(place) = self.places.remove(id) {
                self.outbox.remove(&place);
            }
        }
        for effect in commit.effects {
            let next = self.next_place;
            let place = *self.places.entry(effect.id.clone()).or_insert(next);
            self.next_place = next.max(place + 1);
            self.outbox.insert(place, effect);
        }
        self.cursor = commit.cursor.or(self.cursor);
    }

    fn numbered(&self, after: Position) -> impl DoubleEndedIterator<Item = (Position, &StoredEvent)> {
        let skip = usize::try_from(after.0)
            .unwrap_or(usize::MAX)
            .min(self.events.len());
        let position = |index: usize| Position(u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1));
        self.events
            .iter()
            .enumerate()
            .skip(skip)
            .map(move |(index, event)| (position(index), event))
    }
}

fn matches(query: &EventQuery, event: &StoredEvent) -> bool {
    (query.kinds.is_empty() || query.kinds.contains(&event.kind))
        && query
            .subject
            .as_ref()
            .is_none_or(|subject| *subject == event.subject)
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn recover(&self) -> Result<Recovered, JournalError> {
        let state = self.lock();
        let after = state
            .snapshot
            .as_ref()
            .map_or(Position(0), |(position, _)| *position);
        Ok(Recovered {
            snapshot: state.snapshot.clone(),
            events: state.numbered(after).map(|(p, e)| (p, e.clone())).collect(),
            outbox: state.outbox.values().cloned().collect(),
            cursor: state.cursor,
        })
    }

    async fn commit(&self, commit: Commit) -> Result<Position, JournalError> {
        limits::check(&commit)?;
        let mut state = self.lock();
        if let Some(fault) = &state.fault {
            return Err(fault.clone());
        }
        state.apply(commit);
        Ok(state.head())
    }

    async fn snapshot(&self, position: Position, bytes: Vec<u8>) -> Result<(), JournalError> {
        let mut state = self.lock();
        limits::check_snapshot(position.0, state.head().0, &bytes)?;
        if let Some(fault) = &state.fault {
            return Err(fault.clone());
        }
        if state
            .snapshot
            .as_ref()
            .is_none_or(|(newest, _)| *newest <= position)
        {
            state.snapshot = Some((position, bytes));
        }
        Ok(())
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<(Position, StoredEvent)>, JournalError> {
        let state = self.lock();
        let matching = state
            .numbered(query.after)
            .filter(|(_, event)| matches(query, event));
        let owned = |(position, event): (Position, &StoredEvent)| (position, event.clone());
        if query.newest {
            let mut found: Vec<_> = matching.rev().take(query.limit).map(owned).collect();
            found.reverse();
            return Ok(found);
        }
        Ok(matching.take(query.limit).map(owned).collect())
    }
}
