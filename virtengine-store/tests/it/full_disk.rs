//! A full disk: nothing is half-written, and the journal works on once there is space.

use std::path::Path;
use std::process::Command;

use virtengine_provider_core::ports::journal::{Commit, Journal, JournalError, Position, StoredEvent};
use virtengine_store::{MemoryJournal, Options, SqliteJournal};

use crate::support::{event, events, open, run};

fn large(n: u64) -> Commit {
    let payload = vec![u8::try_from(n % 251).unwrap(); 20_000];
    Commit {
        events: vec![StoredEvent { payload, ..event(n) }],
        ..Commit::default()
    }
}

#[test]
fn a_size_limit_answers_full_and_small_commits_still_fit() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        let mut options = Options::default();
        options.file_bytes_max = Some(400_000);
        let journal = SqliteJournal::open(&path, options).unwrap();
        let mut written = 0;
        let full = loop {
            match journal.commit(large(written)).await {
                Ok(_) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, JournalError::Full(_)), "{full}");
        assert!(written > 5);
        assert_eq!(
            journal.recover().await.unwrap().events.len(),
            usize::try_from(written).unwrap()
        );
        assert_eq!(journal.commit(events(0..1)).await, Ok(Position(written + 1)));
        // A large commit beside small ones fails alone.
        let (big, small) = tokio::join!(journal.commit(large(1)), journal.commit(events(1..2)));
        assert!(matches!(big, Err(JournalError::Full(_))));
        assert_eq!(small, Ok(Position(written + 2)));
        assert_eq!(journal.stats().failures, 2);
        journal.verify().await.unwrap();
        journal.close().await;
        let journal = open(&path);
        journal.commit(large(7)).await.unwrap();
    });
}

const CHILD_DIRECTORY: &str = "VIRTENGINE_STORE_TEST_TMPFS";

/// Not a test by itself: runs inside a mount namespace with a tmpfs of 2 MiB.
#[test]
#[ignore = "run as a child process by another test"]
fn child_on_a_small_disk() {
    let Ok(directory) = std::env::var(CHILD_DIRECTORY) else {
        return;
    };
    let directory = Path::new(&directory);
    run(async {
        let path = directory.join("state/journal.db");
        let journal = open(&path);
        let ballast = directory.join("ballast");
        std::fs::write(&ballast, vec![1; 900_000]).unwrap();
        let mut written = 0;
        let full = loop {
            match journal.commit(large(written)).await {
                Ok(_) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, JournalError::Full(_)), "{full}");
        assert!(matches!(
            journal.commit(large(written)).await,
            Err(JournalError::Full(_))
        ));
        journal.verify().await.unwrap();
        std::fs::remove_file(&ballast).unwrap();
        assert_eq!(journal.commit(large(written)).await, Ok(Position(written + 1)));
        journal.verify().await.unwrap();
        journal.close().await;
        let found = open(&path).recover().await.unwrap();
        assert_eq!(found.events.len(), usize::try_from(written + 1).unwrap());
        println!("worked on after {written} commits");
    });
}

#[test]
fn a_full_disk_is_survived_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=2m,mode=0700 tmpfs \"$1\" || exit 77; exec \"$2\" --exact \
                  full_disk::child_on_a_small_disk --ignored --nocapture";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .env(CHILD_DIRECTORY, directory.path())
        .output();
    let Ok(output) = output else {
        println!("skipped: this host has no unshare");
        return;
    };
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if output.status.code() == Some(77) || err.contains("unshare failed") {
        println!("skipped: this host does not let a test mount a tmpfs: {err}");
        return;
    }
    assert!(
        output.status.success() && out.contains("worked on after"),
        "{out}\n{err}"
    );
}

#[test]
fn a_fault_on_demand_changes_nothing_in_memory() {
    run(async {
        let journal = MemoryJournal::new();
        journal.fail_with(Some(JournalError::Full("test".to_owned())));
        assert!(journal.commit(events(0..2)).await.is_err());
        assert!(journal.is_empty());
        journal.fail_with(None);
        assert_eq!(journal.commit(events(0..2)).await, Ok(Position(2)));
    });
}
