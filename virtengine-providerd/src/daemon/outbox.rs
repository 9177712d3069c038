//! Effects that are to be carried out: one after the other per subject, several subjects at once. What is here is what the
//! journal's outbox holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use virtengine_provider_core::time::Timestamp;

use crate::provider::{EffectId, Planned};

/// Effects that wait, by subject.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    queues: BTreeMap<String, VecDeque<Planned>>,
    busy: BTreeSet<String>,
}

impl Outbox {
    /// Puts effects behind the others of their subjects; an effect that waits already is replaced in its place.
    pub fn add(&self, planned: Vec<Planned>) {
        if planned.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        for planned in planned {
            let queue = waiting.queues.entry(planned.subject()).or_default();
            match queue.iter_mut().find(|other| other.id == planned.id) {
                Some(other) => *other = planned,
                None => queue.push_back(planned),
            }
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// Takes effects out, because they are done or no longer wanted. One that is being carried out is not begun again.
    pub fn remove(&self, ids: &[EffectId]) {
        if ids.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        waiting.queues.retain(|_, queue| {
            queue.retain(|planned| !ids.contains(&planned.id));
            !queue.is_empty()
        });
        drop(waiting);
        self.changed.notify_one();
    }

    /// The next effect that may be begun; its subject is busy until [`Self::finished`].
    pub async fn next(&self, now: impl Fn() -> Timestamp) -> Planned {
        loop {
            let changed = self.changed.notified();
            let pause = match self.lock().take(now()) {
                Ok(planned) => return planned,
                Err(pause) => pause,
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// The carrying out of an effect is over (done, or given up for now): the next one of its subject may begin.
    pub fn finished(&self, subject: &str) {
        self.lock().busy.remove(subject);
        self.changed.notify_one();
    }

    /// How many effects wait or are being carried out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().queues.values().map(VecDeque::len).sum()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        // A panic elsewhere leaves whole entries only: every change is made under one lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The first effect of an idle subject whose moment has come, or how long until there may be one.
    fn take(&mut self, now: Timestamp) -> Result<Planned, Duration> {
        let mut pause = Duration::from_secs(60);
        let mut found = None;
        for (subject, queue) in &self.queues {
            let Some(first) = queue.front().filter(|_| !self.busy.contains(subject)) else {
                continue;
            };
            if first.not_before <= now {
                found = Some((subject.clone(), first.clone()));
                break;
            }
            pause = pause.min(first.not_before.since(now));
        }
        let Some((subject, planned)) = found else {
            return Err(pause);
        };
        self.busy.insert(subject);
        Ok(planned)
    }
}

#[cfg(test)]
mod tests;
