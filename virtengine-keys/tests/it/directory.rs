//! A directory of bad directories: everything that must be refused, and as what.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use virtengine_keys::{Access, Algorithm, KeyError, KeyState, Purpose};

use crate::{Directory, LATER, NOW, chmod, passphrase};

fn open_error(directory: &Directory) -> KeyError {
    directory.open(Access::ReadOnly).unwrap_err()
}

#[test]
fn a_new_store_has_the_modes_that_the_check_asks_for() {
    let directory = Directory::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&directory.path()), 0o700);
    assert_eq!(mode(&directory.path().join("keys")), 0o700);
    for file in [
        directory.keystore_file(),
        directory.key_file(Purpose::Account),
        directory.path().join(".lock"),
    ] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn wrong_passphrase_tampering_and_mode_are_three_errors_with_three_exit_codes() {
    let directory = Directory::new();
    let wrong = directory
        .open(Access::ReadOnly)
        .unwrap()
        .unlock(&passphrase("wrong"))
        .unwrap_err();
    let mode = {
        chmod(&directory.keystore_file(), 0o644);
        let error = open_error(&directory);
        chmod(&directory.keystore_file(), 0o600);
        error
    };
    let tampered = {
        let (a, b) = (
            directory.key_file(Purpose::Account),
            directory.key_file(Purpose::Identity),
        );
        fs::copy(&a, &b).unwrap();
        open_error(&directory)
    };
    assert!(matches!(wrong, KeyError::WrongPassphrase), "{wrong}");
    assert!(matches!(mode, KeyError::Mode { mode: 0o644, .. }), "{mode}");
    assert!(matches!(tampered, KeyError::Tampered { .. }), "{tampered}");
    let codes = [wrong, tampered, mode].map(|error| error.exit_code());
    assert_eq!(codes, [13, 15, 16]);
}

#[test]
fn a_flipped_bit_in_any_byte_of_any_file_is_refused() {
    let directory = Directory::new();
    for file in [directory.keystore_file(), directory.key_file(Purpose::Identity)] {
        let good = fs::read(&file).unwrap();
        for at in 0..good.len() {
            // The lowest bit changes digits, the fifth the case of letters.
            for bit in [0, 5] {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                fs::write(&file, &bad).unwrap();
                let error = open_error(&directory);
                assert!(
                    matches!(
                        error,
                        KeyError::Damaged { .. }
                            | KeyError::NewerVersion { .. }
                            | KeyError::KdfOutOfBounds { .. }
                    ),
                    "{} byte {at} bit {bit}: {error}",
                    file.display()
                );
            }
        }
        fs::write(&file, &good).unwrap();
    }
    directory.unlocked(Access::ReadOnly).unwrap();
}

#[test]
fn a_file_cut_at_any_length_or_grown_is_damaged() {
    let directory = Directory::new();
    for file in [directory.keystore_file(), directory.key_file(Purpose::Identity)] {
        let good = fs::read(&file).unwrap();
        for len in 0..good.len() {
            fs::write(&file, &good[..len]).unwrap();
            let error = open_error(&directory);
            assert!(matches!(error, KeyError::Damaged { .. }), "cut at {len}: {error}");
        }
        for tail in ["\n", " ", "{}", "\0"] {
            fs::write(&file, [&good, tail.as_bytes()].concat()).unwrap();
            let error = open_error(&directory);
            assert!(
                matches!(error, KeyError::Damaged { .. }),
                "with {tail:?}: {error}"
            );
        }
        fs::write(&file, vec![b' '; 2 * 1024 * 1024]).unwrap();
        let error = open_error(&directory);
        assert!(error.to_string().contains("longer than"), "{error}");
        fs::write(&file, &good).unwrap();
    }
}

#[test]
fn a_missing_key_file_is_damage() {
    let directory = Directory::new();
    fs::remove_file(directory.key_file(Purpose::Identity)).unwrap();
    let error = open_error(&directory);
    assert!(matches!(error, KeyError::Damaged { .. }), "{error}");
    fs::remove_dir_all(directory.path().join("keys")).unwrap();
    let error = open_error(&directory);
    assert!(matches!(error, KeyError::Damaged { .. }), "{error}");
}

#[test]
fn swapped_and_foreign_key_files_are_tampering() {
    let directory = Directory::new();
    let (a, b) = (
        directory.key_file(Purpose::Account),
        directory.key_file(Purpose::Identity),
    );
    let (bytes_a, bytes_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
    fs::write(&a, &bytes_b).unwrap();
    fs::write(&b, &bytes_a).unwrap();
    let error = open_error(&directory);
    assert!(matches!(error, KeyError::Tampered { .. }), "{error}");

    let other = Directory::new();
    fs::write(&a, &bytes_a).unwrap();
    fs::copy(other.key_file(Purpose::Identity), &b).unwrap();
    let error = open_error(&directory);
    assert!(matches!(error, KeyError::Tampered { .. }), "{error}");

    fs::write(&b, &bytes_b).unwrap();
    directory.unlocked(Access::ReadOnly).unwrap();
}

#[test]
fn the_key_store_file_of_another_store_is_tampering() {
    let (directory, other) = (Directory::new(), Directory::new());
    fs::copy(other.keystore_file(), directory.keystore_file()).unwrap();
    let error = open_error(&directory);
    // It names other key files, which are not there.
    assert!(
        matches!(error, KeyError::Damaged { .. } | KeyError::Tampered { .. }),
        "{error}"
    );
}

#[test]
fn an_older_copy_of_one_file_does_not_bring_a_compromised_key_back() {
    let directory = Directory::new();
    let id = directory.id(Purpose::Identity);
    let key_file = directory.key_file(Purpose::Identity);
    let keystore_file = directory.keystore_file();
    let (old_key, old_keystore) = (fs::read(&key_file).unwrap(), fs::read(&keystore_file).unwrap());
    let keys = directory.unlocked(Access::ReadWrite).unwrap();
    keys.set_state(id, KeyState::Compromised, LATER).unwrap();
    drop(keys);
    let (new_key, new_keystore) = (fs::read(&key_file).unwrap(), fs::read(&keystore_file).unwrap());

    fs::write(&key_file, &old_key).unwrap();
    assert!(matches!(open_error(&directory), KeyError::Tampered { .. }));

    fs::write(&key_file, &new_key).unwrap();
    fs::write(&keystore_file, &old_keystore).unwrap();
    assert!(matches!(open_error(&directory), KeyError::Tampered { .. }));

    fs::write(&keystore_file, &new_keystore).unwrap();
    directory.unlocked(Access::ReadOnly).unwrap();
}

#[test]
fn an_older_key_store_file_that_does_not_know_a_newer_key_is_tampering() {
    let directory = Directory {
        root: tempfile::tempdir().unwrap(),
    };
    let keys = directory.init().unwrap();
    keys.generate(Purpose::Account, Algorithm::Secp256k1, NOW)
        .unwrap();
    let old = fs::read(directory.keystore_file()).unwrap();
    keys.generate(Purpose::Identity, Algorithm::Ed25519, NOW).unwrap();
    drop(keys);
    fs::write(directory.keystore_file(), old).unwrap();
    let error = open_error(&directory);
    assert!(matches!(error, KeyError::Tampered { .. }), "{error}");
}

#[test]
fn loose_modes_are_refused_with_the_command_that_repairs_them() {
    let directory = Directory::new();
    let files = [
        (directory.path(), 0o700),
        (directory.path().join("keys"), 0o700),
        (directory.keystore_file(), 0o600),
        (directory.key_file(Purpose::Account), 0o600),
    ];
    for (path, right) in files {
        for extra in [0o040, 0o004, 0o020, 0o002, 0o010, 0o001, 0o4000] {
            chmod(&path, right | extra);
            let error = open_error(&directory);
            assert!(
                matches!(&error, KeyError::Mode { path: found, .. } if *found == path),
                "{} with {extra:o}: {error}",
                path.display()
            );
            assert_eq!(error.remedy(), format!("run: chmod {right:o} {}", path.display()));
        }
        chmod(&path, right);
    }
    let lock = directory.path().join(".lock");
    chmod(&lock, 0o644);
    let error = directory.open(Access::ReadWrite).unwrap_err();
    assert!(matches!(error, KeyError::Mode { .. }), "{error}");
    chmod(&lock, 0o600);
    directory.unlocked(Access::ReadWrite).unwrap();
}

#[test]
fn a_mode_that_becomes_loose_after_opening_is_found_at_the_unlock() {
    let directory = Directory::new();
    let keys = directory.open(Access::ReadOnly).unwrap();
    chmod(&directory.path(), 0o755);
    let error = keys.unlock(&passphrase("right")).unwrap_err();
    assert!(matches!(error, KeyError::Mode { .. }), "{error}");
}

#[test]
fn a_directory_that_inherits_its_group_is_fine() {
    let directory = Directory {
        root: tempfile::tempdir().unwrap(),
    };
    chmod(directory.root.path(), 0o2700);
    directory.init().unwrap();
    directory.unlocked(Access::ReadWrite).unwrap();
}

#[test]
fn an_existing_loose_directory_is_not_taken_for_a_new_store() {
    let directory = Directory {
        root: tempfile::tempdir().unwrap(),
    };
    fs::create_dir(directory.path()).unwrap();
    chmod(&directory.path(), 0o755);
    let error = directory.init().unwrap_err();
    assert!(matches!(error, KeyError::Mode { .. }), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    chmod(&directory.path(), 0o700);
    directory.init().unwrap();
}

#[test]
fn symbolic_links_are_refused_for_every_file_and_folder() {
    let directory = Directory::new();
    let lock = directory.path().join(".lock");
    let targets = [
        directory.keystore_file(),
        directory.key_file(Purpose::Identity),
        directory.path().join("keys"),
        directory.path(),
        lock.clone(),
    ];
    for path in targets {
        let moved = directory.root.path().join("moved");
        fs::rename(&path, &moved).unwrap();
        symlink(&moved, &path).unwrap();
        let access = if path == lock {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        };
        let error = directory.open(access).unwrap_err();
        assert!(
            matches!(error, KeyError::Symlink { .. }),
            "{}: {error}",
            path.display()
        );
        fs::remove_file(&path).unwrap();
        fs::rename(&moved, &path).unwrap();
    }
    directory.unlocked(Access::ReadWrite).unwrap();
}

#[test]
fn hard_links_are_refused() {
    let directory = Directory::new();
    for path in [directory.keystore_file(), directory.key_file(Purpose::Identity)] {
        let other = directory.root.path().join("other-name");
        fs::hard_link(&path, &other).unwrap();
        let error = open_error(&directory);
        assert!(matches!(error, KeyError::HardLink { links: 2, .. }), "{error}");
        fs::remove_file(other).unwrap();
    }
    directory.unlocked(Access::ReadOnly).unwrap();
}

#[test]
fn files_and_folders_of_another_user_are_refused() {
    let directory = Directory::new();
    let me = fs::metadata(directory.path()).unwrap().uid();
    for path in [
        directory.keystore_file(),
        directory.key_file(Purpose::Identity),
        directory.path().join("keys"),
        directory.path(),
    ] {
        if let Err(error) = std::os::unix::fs::chown(&path, Some(me + 1), None) {
            // A laptop may skip this, continuous integration may not.
            assert!(
                std::env::var_os("CI").is_none(),
                "only root can give files away: run this test as root ({error})"
            );
            println!("skipped: only root can give files away");
            return;
        }
        let error = open_error(&directory);
        assert!(
            matches!(error, KeyError::Owner { owner, wanted, .. } if owner == me + 1 && wanted == me),
            "{error}"
        );
        std::os::unix::fs::chown(&path, Some(me), None).unwrap();
    }
    directory.unlocked(Access::ReadOnly).unwrap();
}

#[test]
fn a_pipe_or_a_folder_in_the_place_of_a_file_is_refused_at_once() {
    let directory = Directory::new();
    let path = directory.keystore_file();
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let error = open_error(&directory);
    assert!(matches!(error, KeyError::FileKind { .. }), "{error}");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = open_error(&directory);
    assert!(matches!(error, KeyError::FileKind { .. }), "{error}");

    let plain = Directory {
        root: tempfile::tempdir().unwrap(),
    };
    fs::write(plain.path(), "").unwrap();
    let error = open_error(&plain);
    assert!(matches!(error, KeyError::FileKind { .. }), "{error}");
}

/// Replaces text in a file, at both kinds of file.
fn edited(from: &str, to: &str) -> [KeyError; 2] {
    [Purpose::Account, Purpose::Identity].map(|which| {
        let directory = Directory::new();
        let file = if which == Purpose::Account {
            directory.keystore_file()
        } else {
            directory.key_file(which)
        };
        let good = fs::read_to_string(&file).unwrap();
        assert!(good.contains(from), "{from} is not in {good}");
        fs::write(&file, good.replacen(from, to, 1)).unwrap();
        open_error(&directory)
    })
}

#[test]
fn a_newer_format_is_called_newer_whatever_else_is_in_it() {
    for to in [
        "\"version\": 2,",
        "\"version\": 4294967296,",
        "\"version\": 2, \"unknown\": [],",
    ] {
        for error in edited("\"version\": 1,", to) {
            assert!(
                matches!(error, KeyError::NewerVersion { supported: 1, .. }),
                "{error}"
            );
        }
    }
    for error in edited("\"version\": 1,", "\"version\": 0,") {
        assert!(matches!(error, KeyError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_json_key_given_twice_is_refused_wherever_it_is() {
    let directory = Directory::new();
    let mut doubled = 0;
    for file in [directory.keystore_file(), directory.key_file(Purpose::Identity)] {
        let good = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = good.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            // Lines that hold a whole `"key": value`.
            if !line.contains("\": ") || line.ends_with(['{', '[']) {
                continue;
            }
            let mut twice = lines.clone();
            let first = format!("{},", line.trim_end_matches(','));
            twice.insert(at, &first);
            fs::write(&file, format!("{}\n", twice.join("\n"))).unwrap();
            let error = open_error(&directory);
            assert!(matches!(error, KeyError::Damaged { .. }), "{line}: {error}");
            assert!(error.to_string().contains("duplicate field"), "{line}: {error}");
            doubled += 1;
        }
        fs::write(&file, &good).unwrap();
    }
    assert!(doubled > 25, "{doubled}");
}

#[test]
fn unknown_json_keys_are_refused() {
    for error in edited("\"version\": 1,", "\"version\": 1, \"extra\": 1,") {
        assert!(matches!(error, KeyError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("unknown field"), "{error}");
    }
}

#[test]
fn key_derivation_out_of_bounds_is_refused_before_any_work() {
    let cases = [
        ("\"memory_kib\": 19456", "\"memory_kib\": 8", "memory_kib"),
        (
            "\"memory_kib\": 19456",
            "\"memory_kib\": 4000000000",
            "memory_kib",
        ),
        ("\"iterations\": 2", "\"iterations\": 0", "iterations"),
        ("\"iterations\": 2", "\"iterations\": 1000000", "iterations"),
        ("\"parallelism\": 1", "\"parallelism\": 0", "parallelism"),
        ("\"parallelism\": 1", "\"parallelism\": 255", "parallelism"),
        ("\"version\": 19", "\"version\": 16", "argon2 version"),
    ];
    for (from, to, name) in cases {
        let directory = Directory::new();
        let file = directory.keystore_file();
        let good = fs::read_to_string(&file).unwrap();
        assert!(good.contains(from));
        fs::write(&file, good.replacen(from, to, 1)).unwrap();
        let error = open_error(&directory);
        assert!(
            matches!(error, KeyError::KdfOutOfBounds { parameter, .. } if parameter == name),
            "{to}: {error}"
        );
    }
    use virtengine_keys::KdfParams;
    assert!(KdfParams::new(19_455, 2, 1).is_err());
    assert!(KdfParams::new(1_048_577, 2, 1).is_err());
    assert!(KdfParams::new(19_456, 17, 1).is_err());
    assert!(KdfParams::new(19_456, 2, 17).is_err());
    assert!(KdfParams::new(19_456, 1, 1).is_ok());
}

#[test]
fn files_that_are_not_ours_do_not_disturb() {
    let directory = Directory::new();
    for name in ["notes.txt", "keys/.keep", "keys/not-a-key.json"] {
        fs::write(directory.path().join(name), "x").unwrap();
    }
    directory.unlocked(Access::ReadWrite).unwrap();
    assert!(directory.path().join("notes.txt").exists());
}

#[test]
fn a_temporary_file_left_by_a_stop_is_cleared_by_the_next_writer_only() {
    let directory = Directory::new();
    let left = directory.path().join(".keystore.json.tmp");
    fs::write(&left, "half").unwrap();
    drop(directory.unlocked(Access::ReadOnly).unwrap());
    assert!(left.exists());
    drop(directory.open(Access::ReadWrite).unwrap());
    assert!(!left.exists());
}
