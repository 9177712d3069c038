use std::collections::BTreeSet;

use virtengine_provider_core::ports::signer::SignError;

use super::super::lock::WriterLock;
use super::faulty::{Fault, FaultyDisk, Outcome};
use super::*;
use crate::KeyError;
use crate::record::{KeyId, KeyState};
use crate::storage::SignFor;

/// More calls than any one change makes; reaching it means that the loop below never ends.
const CALLS_MAX: usize = 60;

/// Opens a copy of the store on a disk that fails at the `at`-th changing call, unlocked.
fn open_faulty(prepared: &Prepared, dir: &Path, at: usize, fault: Fault) -> (FileStorage, Outcome) {
    let real = RealDisk::open(dir).unwrap();
    let writer = WriterLock::acquire(&real).unwrap();
    let (disk, outcome) = FaultyDisk::new(real, at, fault);
    let storage = FileStorage::open_on(dir, Box::new(disk), Some(writer)).unwrap();
    let public = Public::read(&RealDisk::open(dir).unwrap()).unwrap();
    storage
        .unlock_with(public, Arc::clone(&prepared.store_key))
        .unwrap();
    (storage, outcome)
}

fn reopen(prepared: &Prepared, dir: &Path) -> FileStorage {
    let storage = FileStorage::open(dir, Access::ReadWrite).unwrap();
    let public = Public::read(&RealDisk::open(dir).unwrap()).unwrap();
    storage
        .unlock_with(public, Arc::clone(&prepared.store_key))
        .unwrap();
    storage
}

fn states(storage: &FileStorage) -> Vec<(KeyId, KeyState)> {
    states_of(&storage.records().unwrap())
}

fn states_of(records: &[KeyRecord]) -> Vec<(KeyId, KeyState)> {
    records.iter().map(|record| (record.id, record.state)).collect()
}

/// Runs `change` with a failure at every call of it, and `check`s the store that is found afterwards. Returns how many of the outcomes
/// had the change in them, and how many had not.
fn fail_everywhere(
    change: impl Fn(&FileStorage) -> Result<KeyRecord, KeyError>,
    is_new: impl Fn(&[(KeyId, KeyState)]) -> bool,
) -> (usize, usize) {
    let prepared = Prepared::new();
    let old = vec![(prepared.record.id, KeyState::Active)];
    let (mut new_found, mut old_found) = (0, 0);
    for fault in Fault::ALL {
        for at in 0.. {
            assert!(at < CALLS_MAX);
            let copy = prepared.copy();
            let dir = copy.path().join("keys");
            let (storage, outcome) = open_faulty(&prepared, &dir, at, fault);
            let result = change(&storage);
            if !outcome.struck() {
                result.unwrap();
                drop(storage);
                outcome.lose_power(fault, &RealDisk::open(&dir).unwrap());
                assert!(
                    is_new(&states(&reopen(&prepared, &dir))),
                    "{fault:?} after the last call"
                );
                break;
            }
            // Where the files could not be read either, nobody knows what they say: memory must not go on as if nothing had been.
            let live = storage.records().ok();
            assert_eq!(
                live.is_none(),
                storage.is_locked(),
                "{fault:?} at call {at}: {live:?}"
            );
            let acknowledged = result.is_ok();
            drop(storage);

            let storage = reopen(&prepared, &dir);
            let found = states(&storage);
            assert!(
                found == old || is_new(&found),
                "{fault:?} at call {at}: {found:?}"
            );
            assert!(
                !acknowledged || is_new(&found),
                "{fault:?} at call {at}: a change was acknowledged and lost"
            );
            if matches!(fault, Fault::Once | Fault::DiskFull) {
                let live = live.map(|records| states_of(&records));
                assert_eq!(
                    live.as_ref(),
                    Some(&found),
                    "{fault:?} at call {at}: memory and disk disagree"
                );
            }
            if is_new(&found) {
                new_found += 1;
            } else {
                old_found += 1;
            }
            // Opening for changes finished the change on disk.
            let on_disk = Public::read(&RealDisk::open(&dir).unwrap()).unwrap().on_disk;
            assert!(on_disk.index.iter().all(|entry| entry.next.is_none()));
            // The store is as usable as ever, and leaves no rubbish.
            let another = storage.generate(&identity(9)).unwrap();
            drop(storage);
            let names: BTreeSet<_> = std::fs::read_dir(dir.join("keys"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            let mut expected: BTreeSet<_> = found.iter().map(|(id, _)| format!("{id}.json")).collect();
            expected.insert(format!("{}.json", another.id));
            assert_eq!(names, expected);
            assert!(reopen(&prepared, &dir).records().unwrap().contains(&another));
        }
    }
    (new_found, old_found)
}

#[test]
fn a_failure_at_any_call_of_adding_a_key_leaves_the_old_or_the_new_store() {
    let (new, old) = fail_everywhere(
        |storage| storage.generate(&identity(2)),
        |found| found.len() == 2 && found.iter().all(|(_, state)| *state == KeyState::Active),
    );
    assert!(new > 0 && old > 0, "{new} new, {old} old");
}

#[test]
fn a_failure_at_any_call_of_a_state_change_leaves_the_old_or_the_new_state() {
    let (new, old) = fail_everywhere(
        |storage| {
            let id = storage.records()?[0].id;
            storage.set_state(id, KeyState::Compromised, NOW)
        },
        |found| matches!(found, [(_, KeyState::Compromised)]),
    );
    assert!(new > 0 && old > 0, "{new} new, {old} old");
}

#[tokio::test]
async fn a_key_does_not_sign_when_nobody_can_read_whether_it_became_compromised() {
    let prepared = Prepared::new();
    let id = prepared.record.id;
    for at in 0.. {
        assert!(at < CALLS_MAX);
        let copy = prepared.copy();
        let (storage, outcome) = open_faulty(&prepared, &copy.path().join("keys"), at, Fault::Stop);
        let result = storage.set_state(id, KeyState::Compromised, NOW);
        let signed = storage.sign(id, b"work", SignFor::Work).await;
        assert!(signed.is_err(), "at call {at}: {result:?}");
        if !outcome.struck() {
            assert!(at > 3);
            break;
        }
        assert_eq!(signed, Err(SignError::Locked), "at call {at}: {result:?}");
    }
}

#[test]
fn a_store_that_is_locked_while_its_passphrase_changes_stays_locked() {
    let prepared = Prepared::new();
    for at in 0.. {
        assert!(at < CALLS_MAX);
        let copy = prepared.copy();
        let dir = copy.path().join("keys");
        let (storage, outcome) = open_faulty(&prepared, &dir, at, Fault::Lock);
        let storage = Arc::new(storage);
        outcome.may_lock(&storage);
        storage
            .change_passphrase(&passphrase("right"), &passphrase("other"))
            .unwrap();
        if !outcome.struck() {
            assert!(at > 3 && !storage.is_locked());
            break;
        }
        assert!(storage.is_locked(), "at call {at}");
    }
}

#[test]
fn a_failure_at_any_call_of_a_passphrase_change_leaves_exactly_one_passphrase() {
    let prepared = Prepared::new();
    let mut seen = BTreeSet::new();
    // A lost rename is the harshest of the losses here; the others take the same path.
    for fault in [Fault::DiskFull, Fault::Stop, Fault::PowerLossOfNames] {
        for at in 0.. {
            assert!(at < CALLS_MAX);
            let copy = prepared.copy();
            let dir = copy.path().join("keys");
            let (storage, outcome) = open_faulty(&prepared, &dir, at, fault);
            let result = storage.change_passphrase(&passphrase("right"), &passphrase("other"));
            if !outcome.struck() {
                result.unwrap();
                break;
            }
            drop(storage);
            let storage = FileStorage::open(&dir, Access::ReadOnly).unwrap();
            let with_old = storage.unlock(&passphrase("right"));
            let with_new = storage.unlock(&passphrase("other"));
            assert!(with_old.is_ok() != with_new.is_ok(), "{fault:?} at call {at}");
            assert!(with_new.is_ok() || result.is_err());
            let refused = if with_old.is_ok() { with_new } else { with_old };
            assert!(matches!(refused, Err(KeyError::WrongPassphrase)));
            seen.insert(storage.unlock(&passphrase("other")).is_ok());
        }
    }
    assert_eq!(seen, BTreeSet::from([false, true]));
}

#[test]
fn a_failure_at_any_call_of_creating_a_store_leaves_nothing_or_a_store() {
    let mut created = BTreeSet::new();
    for fault in Fault::ALL {
        for at in 0.. {
            assert!(at < CALLS_MAX);
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path().join("keys");
            let real = RealDisk::create_or_open(&dir).unwrap();
            let writer = WriterLock::acquire(&real).unwrap();
            let (disk, outcome) = FaultyDisk::new(real, at, fault);
            let right = passphrase("right");
            let result = FileStorage::init_on(
                &dir,
                Box::new(disk),
                Some(writer),
                &right,
                KdfParams::CHEAPEST,
                NOW,
            );
            if !outcome.struck() {
                result.unwrap();
                break;
            }
            let failed = result.is_err();
            drop(result);
            let opened = match FileStorage::open(&dir, Access::ReadOnly) {
                Ok(storage) => {
                    storage.unlock(&right).unwrap();
                    true
                }
                Err(KeyError::NotInitialized { .. }) => {
                    assert!(failed, "{fault:?} at call {at}");
                    FileStorage::init(&dir, &right, KdfParams::CHEAPEST, NOW).unwrap();
                    false
                }
                Err(error) => panic!("{fault:?} at call {at}: {error}"),
            };
            created.insert(opened);
        }
    }
    assert_eq!(created, BTreeSet::from([false, true]));
}

#[test]
fn a_full_disk_is_told_from_other_failures() {
    let prepared = Prepared::new();
    for (fault, full) in [(Fault::DiskFull, true), (Fault::Once, false)] {
        let copy = prepared.copy();
        let (storage, _) = open_faulty(&prepared, &copy.path().join("keys"), 1, fault);
        let error = storage.generate(&identity(2)).unwrap_err();
        assert_eq!(matches!(error, KeyError::DiskFull { .. }), full, "{error}");
        assert_eq!(matches!(error, KeyError::Io { .. }), !full, "{error}");
    }
}

#[test]
fn readers_see_whole_states_while_a_writer_works() {
    let prepared = Prepared::new();
    let dir = prepared.path();
    let storage = reopen(&prepared, &dir);
    let id = prepared.record.id;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..40 {
                let state = if round % 2 == 0 {
                    KeyState::Suspended
                } else {
                    KeyState::Active
                };
                storage.set_state(id, state, NOW).unwrap();
            }
        });
        let mut seen = BTreeSet::new();
        while !writer.is_finished() || seen.is_empty() {
            let reader = FileStorage::open(&dir, Access::ReadOnly).unwrap();
            seen.extend(reader.records().unwrap().iter().map(|record| record.state));
        }
        assert!(
            seen.iter()
                .all(|state| matches!(state, KeyState::Active | KeyState::Suspended))
        );
    });
}
