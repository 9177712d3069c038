//! Who may open a journal, and what opening does to its file.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use rusqlite::Connection;
use virtengine_provider_core::ports::journal::{EventQuery, Journal, JournalError, Position};
use virtengine_store::{Options, SqliteJournal};

use crate::support::{event, events, open, run};

#[test]
fn a_second_opener_is_told_who_holds_the_journal() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        let journal = open(&path);
        let Err(JournalError::InUse(text)) = SqliteJournal::open(&path, Options::default()) else {
            panic!("opened twice");
        };
        assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
        journal.close().await;
        open(&path);
    });
}

#[test]
fn the_files_are_private() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/deep/journal.db");
        let journal = open(&path);
        journal.commit(events(0..1)).await.unwrap();
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        for name in [
            "journal.db",
            "journal.db-wal",
            "journal.db-shm",
            "journal.db.lock",
        ] {
            assert_eq!(mode(&path.with_file_name(name)), 0o600, "{name}");
        }
        journal.close().await;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        open(&path);
        assert_eq!(mode(&path), 0o600);
    });
}

#[test]
fn a_directory_that_everybody_may_write_to_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = SqliteJournal::open(directory.path().join("journal.db"), Options::default());
    assert!(refused.unwrap_err().to_string().contains("chmod"));
}

#[test]
fn a_symbolic_link_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    symlink(directory.path().join("elsewhere.db"), &path).unwrap();
    assert!(SqliteJournal::open(&path, Options::default()).is_err());
    assert!(!directory.path().join("elsewhere.db").exists());
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (a); PRAGMA user_version = 1;")
        .unwrap();
    let before = fs::read(&path).unwrap();
    let refused = SqliteJournal::open(&path, Options::default()).unwrap_err();
    assert!(refused.to_string().contains("another program"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_newer_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    drop(open(&path));
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 3)
        .unwrap();
    let refused = SqliteJournal::open(&path, Options::default()).unwrap_err();
    assert!(matches!(refused, JournalError::Newer(_)), "{refused}");
}

#[test]
fn version_1_is_migrated_with_all_that_is_in_it() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch(include_str!("fixtures/v1.sql"))
            .unwrap();
        let journal = open(&path);
        assert_eq!(journal.id(), "000102030405060708090a0b0c0d0e0f");
        let verified = journal.verify().await.unwrap();
        assert_eq!(
            (
                verified.schema,
                verified.events,
                verified.pending,
                verified.cursor
            ),
            (2, 3, 1, Some(42))
        );
        let recovered = journal.recover().await.unwrap();
        assert_eq!(recovered.snapshot, Some((Position(2), b"state at 2".to_vec())));
        assert_eq!(recovered.events, [(Position(3), event(2))]);
        assert_eq!(recovered.outbox[0].id, "deploy/w-1");
        let query = EventQuery {
            subject: Some("subject/1".to_owned()),
            limit: 9,
            ..EventQuery::default()
        };
        assert_eq!(journal.events(&query).await.unwrap(), [(Position(2), event(1))]);
        assert_eq!(journal.commit(events(3..4)).await, Ok(Position(4)));
        journal.close().await;
        assert_eq!(SqliteJournal::verify_file(&path).unwrap().events, 4);
    });
}

#[test]
fn a_backup_is_a_whole_journal_and_never_overwrites() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let journal = open(&directory.path().join("journal.db"));
        journal.commit(events(0..100)).await.unwrap();
        let target = directory.path().join("backups/one.db");
        let verified = journal.backup(&target).await.unwrap();
        journal.commit(events(100..101)).await.unwrap();
        assert_eq!((verified.events, verified.journal_id), (100, journal.id()));
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o600);
        assert!(
            journal
                .backup(&target)
                .await
                .unwrap_err()
                .to_string()
                .contains("exists already")
        );
        let restored = open(&target);
        assert_eq!(restored.recover().await.unwrap().events.len(), 100);
        let names: Vec<_> = fs::read_dir(target.parent().unwrap())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert!(
            names
                .iter()
                .all(|name| !name.to_string_lossy().contains("partial")),
            "{names:?}"
        );
    });
}

#[test]
fn events_can_neither_be_changed_nor_removed_by_hand() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        let journal = open(&path);
        journal.commit(events(0..3)).await.unwrap();
        journal.close().await;
        let by_hand = Connection::open(&path).unwrap();
        assert!(by_hand.execute("UPDATE events SET kind = 'x'", []).is_err());
        assert!(by_hand.execute("DELETE FROM events", []).is_err());
    });
}

#[test]
fn a_journal_that_is_closed_is_free_although_a_child_still_has_its_lock_file_open() {
    use std::os::fd::AsRawFd as _;
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        let journal = open(&path);
        let lock = directory.path().join("journal.db.lock");
        // What a fork leaves behind until the child runs its program: the same open file in another process.
        let held = fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .find(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == lock))
            .unwrap();
        let number: i32 = held.file_name().to_str().unwrap().parse().unwrap();
        let copy =
            rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty())
                .and_then(|this| {
                    rustix::process::pidfd_getfd(&this, number, rustix::process::PidfdGetfdFlags::empty())
                })
                .unwrap();
        journal.close().await;
        assert!(SqliteJournal::open(&path, Options::default()).is_ok());
        assert!(copy.as_raw_fd() >= 0);
    });
}
