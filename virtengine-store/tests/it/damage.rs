//! Damage is found, named, and never read as truth.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use virtengine_provider_core::ports::journal::{Commit, Journal, JournalError, Position};
use virtengine_store::{Options, SqliteJournal};

use crate::support::{effect, events, open, run};

async fn written(path: &Path) {
    let journal = open(path);
    for n in 0..50 {
        journal.commit(events(n..n + 1)).await.unwrap();
    }
    journal
        .snapshot(Position(20), b"the state".to_vec())
        .await
        .unwrap();
    let outbox = vec![effect("effect-a", "payload-a"), effect("effect-b", "payload-b")];
    journal
        .commit(Commit {
            effects: outbox,
            cursor: Some(9),
            ..Commit::default()
        })
        .await
        .unwrap();
    journal.close().await;
}

/// Flips one bit of the first place that holds `text` in the file.
fn damage(path: &Path, text: &str) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes
        .windows(text.len())
        .position(|window| window == text.as_bytes())
        .unwrap();
    bytes[at + text.len() - 2] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn by_hand(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch("DROP TRIGGER events_are_never_changed; DROP TRIGGER events_are_never_removed;")
        .unwrap();
    connection.execute_batch(sql).unwrap();
}

/// Makes a journal, damages it, and expects every check to name `place`.
fn check(break_it: impl FnOnce(&Path), place: &str) {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        written(&path).await;
        break_it(&path);
        let offline = SqliteJournal::verify_file(&path).unwrap_err();
        let JournalError::Damaged(text) = &offline else {
            panic!("{offline}")
        };
        assert!(text.contains(place), "{text}");
        assert!(text.contains("restore the newest backup"), "{text}");
        if let Ok(journal) = SqliteJournal::open(&path, Options::default()) {
            assert_eq!(journal.verify().await.unwrap_err(), offline);
        }
    });
}

#[test]
fn a_flipped_bit_in_an_event_names_the_event() {
    check(|path| damage(path, "{\"n\":16}"), "event 17 ");
}

#[test]
fn a_flipped_bit_in_the_outbox_names_the_effect() {
    check(|path| damage(path, "payload-b"), "effect-b");
}

#[test]
fn a_flipped_bit_in_the_snapshot_is_found() {
    check(|path| damage(path, "the state"), "the snapshot");
}

#[test]
fn a_changed_event_with_everything_else_right_is_found() {
    check(
        |path| {
            by_hand(
                path,
                "UPDATE events SET subject = 'subject/9' WHERE position = 33",
            );
        },
        "event 33 ",
    );
}

#[test]
fn a_missing_event_is_found() {
    check(
        |path| by_hand(path, "DELETE FROM events WHERE position = 40"),
        "event 40 is missing",
    );
}

#[test]
fn a_missing_tail_is_found() {
    check(
        |path| by_hand(path, "DELETE FROM events WHERE position > 45"),
        "newest event should be 50",
    );
}

#[test]
fn a_missing_effect_is_found() {
    check(
        |path| by_hand(path, "DELETE FROM outbox WHERE id = 'effect-a'"),
        "1 pending effects, 2 were written",
    );
}

#[test]
fn a_changed_cursor_is_found() {
    check(
        |path| by_hand(path, "UPDATE head SET cursor = 10"),
        "the head of the journal",
    );
}

#[test]
fn a_start_refuses_damage_in_what_it_reads() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        written(&path).await;
        damage(&path, "{\"n\":30}");
        let journal = open(&path);
        assert!(
            matches!(journal.recover().await, Err(JournalError::Damaged(text)) if text.contains("event 31 "))
        );
    });
}

#[test]
fn any_flipped_byte_is_found_or_harmless() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        written(&path).await;
        let sound = fs::read(&path).unwrap();
        let whole = open(&path).recover().await.unwrap();
        for at in (0..sound.len()).step_by(211) {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x55;
            fs::write(&path, &bytes).unwrap();
            // Free space inside a page may change unnoticed; what is read must be what was written, or refused.
            if SqliteJournal::verify_file(&path).is_ok() {
                let journal = open(&path);
                assert_eq!(journal.recover().await.unwrap(), whole, "byte {at}");
                journal.close().await;
                fs::write(&path, &sound).unwrap();
            }
        }
    });
}

#[test]
fn a_file_of_something_else_is_no_journal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    fs::write(
        &path,
        "this is a text of more than one hundred bytes, and no database at all. ".repeat(20),
    )
    .unwrap();
    let refused = SqliteJournal::open(&path, Options::default()).unwrap_err();
    assert!(matches!(refused, JournalError::Damaged(_)), "{refused}");
}

#[test]
fn a_truncated_file_is_refused() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        written(&path).await;
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let offline = SqliteJournal::verify_file(&path).unwrap_err();
        assert!(matches!(offline, JournalError::Damaged(_)), "{offline}");
    });
}
