//! Small builders for events and effects.

use std::path::Path;

use virtengine_provider_core::ports::journal::{Commit, StoredEffect, StoredEvent};
use virtengine_provider_core::time::Timestamp;
use virtengine_store::{Options, SqliteJournal};

pub(crate) fn event(n: u64) -> StoredEvent {
    StoredEvent {
        at: Timestamp::from_seconds(1_700_000_000),
        kind: format!("kind_{}", n % 3),
        subject: format!("subject/{}", n % 5),
        payload: format!("{{\"n\":{n}}}").into_bytes(),
    }
}

pub(crate) fn effect(id: &str, payload: &str) -> StoredEffect {
    StoredEffect {
        id: id.to_owned(),
        kind: "deploy".to_owned(),
        subject: "w-1".to_owned(),
        not_before: Timestamp::EPOCH,
        payload: payload.as_bytes().to_vec(),
    }
}

pub(crate) fn events(numbers: std::ops::Range<u64>) -> Commit {
    Commit {
        events: numbers.map(event).collect(),
        ..Commit::default()
    }
}

pub(crate) fn open(path: &Path) -> SqliteJournal {
    SqliteJournal::open(path, Options::default()).unwrap()
}

/// Runs `test` on a small runtime.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}
