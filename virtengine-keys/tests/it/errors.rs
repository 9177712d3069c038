use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use virtengine_keys::{Algorithm, KeyError, KeyId, KeyState, Purpose, StorageType};

#[allow(clippy::too_many_lines, reason = "a list")]
fn one_of_each() -> Vec<KeyError> {
    let path = || PathBuf::from("/keys/x");
    let id: KeyId = "0123456789abcdef".parse().unwrap();
    let problem = || "it is so".to_owned();
    let (purpose, state, algorithm) = (Purpose::Identity, KeyState::Active, Algorithm::P256);
    let storage = StorageType::Ledger;
    vec![
        KeyError::NotInitialized { dir: path() },
        KeyError::AlreadyInitialized { dir: path() },
        KeyError::Locked,
        KeyError::WrongPassphrase,
        KeyError::Damaged {
            file: path(),
            problem: problem(),
        },
        KeyError::Tampered {
            file: path(),
            problem: problem(),
        },
        KeyError::Mode {
            path: path(),
            mode: 0o644,
            wanted: 0o600,
        },
        KeyError::Owner {
            path: path(),
            owner: 1,
            wanted: 0,
        },
        KeyError::Symlink { path: path() },
        KeyError::HardLink {
            path: path(),
            links: 2,
        },
        KeyError::FileKind {
            path: path(),
            expected: "regular file",
        },
        KeyError::NewerVersion {
            file: path(),
            found: 2,
            supported: 1,
        },
        KeyError::KdfOutOfBounds {
            parameter: "memory_kib",
            value: 1,
            min: 2,
            max: 3,
        },
        KeyError::Held {
            dir: path(),
            pid: Some(7),
        },
        KeyError::ReadOnly,
        KeyError::KeyExists { purpose, id, state },
        KeyError::NoKey { purpose },
        KeyError::UnknownKey { id },
        KeyError::UnsupportedAlgorithm {
            purpose,
            algorithm,
            reason: "so",
        },
        KeyError::StorageNotAvailable { storage },
        KeyError::Config {
            storage,
            missing: "key_dir",
        },
        KeyError::Passphrase {
            origin: "here".to_owned(),
            problem: problem(),
        },
        KeyError::InvalidKey {
            algorithm,
            problem: "so",
        },
        KeyError::Mnemonic { problem: problem() },
        KeyError::StateForbids {
            id,
            state,
            operation: "sign",
        },
        KeyError::IllegalTransition {
            id,
            from: state,
            to: state,
        },
        KeyError::TransitionNotAvailable { to: state },
        KeyError::TooManyKeys { max: 1 },
        KeyError::DiskFull { path: path() },
        KeyError::Io {
            operation: "read",
            path: path(),
            source: io::Error::other("so"),
        },
        KeyError::Entropy,
        KeyError::Memory { memory_kib: 1 },
        KeyError::TestSign {
            id,
            problem: problem(),
        },
    ]
}

#[test]
fn every_error_has_its_own_exit_code_from_10_upward_without_a_gap() {
    let codes: BTreeMap<u8, String> = one_of_each()
        .iter()
        .map(|error| (error.exit_code(), error.to_string()))
        .collect();
    assert_eq!(codes.len(), one_of_each().len(), "{codes:#?}");
    assert_eq!(
        codes.keys().copied().collect::<Vec<_>>(),
        (10..=42).collect::<Vec<_>>()
    );
}

#[test]
fn every_error_says_what_and_what_to_do() {
    for error in one_of_each() {
        let (text, remedy) = (error.to_string(), error.remedy());
        assert!(!text.ends_with('.') && !text.is_empty(), "{text}");
        assert!(
            text.chars().next().unwrap().is_lowercase() || text.starts_with('/'),
            "{text}"
        );
        assert!(remedy.len() > 10 && !remedy.ends_with('.'), "{text}: {remedy}");
    }
}

#[test]
fn the_commands_in_the_advice_are_exact() {
    let remedy = |error: KeyError| error.remedy();
    let path = || PathBuf::from("/keys/x");
    assert_eq!(
        remedy(KeyError::Mode {
            path: path(),
            mode: 0o644,
            wanted: 0o600
        }),
        "run: chmod 600 /keys/x"
    );
    assert_eq!(
        remedy(KeyError::Owner {
            path: path(),
            owner: 1,
            wanted: 33
        }),
        "run: chown 33 /keys/x"
    );
}
