//! The file of a journal: any bytes are refused, or recovered; what passes the whole check takes a commit and gives it back.

#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use virtengine_provider_core::ports::journal::{
    Commit, EventQuery, Journal as _, JournalError, Position, StoredEvent,
};
use virtengine_provider_core::time::Timestamp;
use virtengine_store::{Options, SqliteJournal};

static FOLDER: LazyLock<TempDir> = LazyLock::new(virtengine_fuzz::folder);
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.path().join("journal");
    for name in ["journal", "journal-wal", "journal-shm"] {
        let _ = fs::remove_file(FOLDER.path().join(name));
    }
    fs::write(&path, bytes).expect("a file");
    let _ = SqliteJournal::verify_file(&path);
    let _ = RUNTIME.block_on(used(&path));
});

async fn used(path: &Path) -> Result<(), JournalError> {
    let journal = SqliteJournal::open(path, Options::default())?;
    let sound = journal.verify().await.is_ok();
    let recovered = journal.recover().await;
    let query = EventQuery {
        limit: 100,
        ..EventQuery::default()
    };
    let events = journal.events(&query).await;
    if sound {
        recovered.expect("a sound journal is recovered");
        events.expect("a sound journal is read");
    }
    let committed = journal.commit(commit()).await;
    journal.close().await;
    if let (true, Ok(position)) = (sound, committed) {
        let again = SqliteJournal::open(path, Options::default()).expect("a sound journal opens again");
        let after = Position(position.0 - 1);
        let found = again
            .events(&EventQuery { after, ..query })
            .await
            .expect("it is read");
        assert_eq!(found, [(position, commit().events.remove(0))]);
        again.close().await;
    }
    Ok(())
}

fn commit() -> Commit {
    Commit {
        events: vec![StoredEvent {
            at: Timestamp::EPOCH,
            kind: "fuzzed".to_owned(),
            subject: "nobody".to_owned(),
            payload: b"{}".to_vec(),
        }],
        ..Commit::default()
    }
}
