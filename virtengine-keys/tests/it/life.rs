//! The rules of the store: purposes, states, locking.

use std::time::{Duration, Instant};

use virtengine_keys::algorithm::verify;
use virtengine_keys::mnemonic::ACCOUNT_PATH;
use virtengine_keys::{
    Access, Algorithm, KdfParams, KeyError, KeyState, KeyStore, Mnemonic, Origin, Purpose, SecretBytes,
    SignError, StorageType, StoreConfig,
};

use crate::{Directory, LATER, NOW, passphrase};

#[tokio::test]
async fn keys_survive_closing_and_sign_as_before() {
    let directory = Directory {
        root: tempfile::tempdir().unwrap(),
    };
    let keys = directory.init().unwrap();
    let mnemonic = Mnemonic::generate().unwrap();
    let account = keys
        .import_mnemonic(Purpose::Account, &mnemonic, ACCOUNT_PATH, NOW)
        .unwrap();
    let identity = keys.generate(Purpose::Identity, Algorithm::P256, NOW).unwrap();
    let before = keys.signer(Purpose::Account).unwrap().sign(b"m").await.unwrap();
    drop(keys);

    let keys = directory.unlocked(Access::ReadWrite).unwrap();
    let mut expected = vec![account.clone(), identity];
    expected.sort_by_key(|record| record.id);
    assert_eq!(keys.records().unwrap(), expected);
    assert_eq!(account.origin, Origin::Mnemonic);
    assert_eq!(account.derivation_path.as_deref(), Some(ACCOUNT_PATH));
    assert_eq!((account.state, account.created_at), (KeyState::Active, NOW));
    assert_eq!(
        keys.signer(Purpose::Account).unwrap().sign(b"m").await.unwrap(),
        before
    );
}

#[tokio::test]
async fn a_locked_store_shows_its_records_and_signs_nothing() {
    let directory = Directory::new();
    let keys = directory.open(Access::ReadWrite).unwrap();
    let status = keys.status().unwrap();
    assert!(status.locked);
    assert_eq!(status.storage_type, StorageType::File);
    assert_eq!(status.location, Some(directory.path()));
    assert_eq!(status.keys.len(), 2);
    let signer = keys.signer(Purpose::Identity).unwrap();
    assert_eq!(signer.sign(b"m").await, Err(SignError::Locked));
    assert!(matches!(
        keys.test_sign(Purpose::Identity).await,
        Err(KeyError::Locked)
    ));
    assert!(matches!(
        keys.set_state(directory.id(Purpose::Identity), KeyState::Suspended, NOW),
        Err(KeyError::Locked)
    ));

    keys.unlock(&passphrase("right")).unwrap();
    assert!(signer.sign(b"m").await.is_ok());
    keys.lock();
    assert_eq!(signer.sign(b"m").await, Err(SignError::Locked));
    assert!(matches!(
        keys.unlock(&passphrase("wrong")),
        Err(KeyError::WrongPassphrase)
    ));
    assert!(keys.is_locked());
}

#[tokio::test]
async fn a_wrong_passphrase_does_not_lock_an_unlocked_store() {
    let keys = Directory::new();
    let keys = keys.unlocked(Access::ReadOnly).unwrap();
    assert!(keys.unlock(&passphrase("wrong")).is_err());
    assert!(keys.test_sign(Purpose::Account).await.is_ok());
}

#[tokio::test]
async fn test_sign_signs_a_fresh_challenge_that_verifies() {
    for algorithm in [Algorithm::Ed25519, Algorithm::Secp256k1, Algorithm::P256] {
        let keys = KeyStore::memory();
        let record = keys.generate(Purpose::Identity, algorithm, NOW).unwrap();
        let one = keys.test_sign(Purpose::Identity).await.unwrap();
        let two = keys.test_sign(Purpose::Identity).await.unwrap();
        assert_eq!(one.id, record.id);
        assert_ne!(one.message, two.message);
        assert!(one.message.starts_with(b"virtengine-keys/test-sign/v1\n"));
        verify(&record.public_key, &one.message, &one.signature).unwrap();
        assert!(
            serde_json::to_string(&one)
                .unwrap()
                .contains(&hex::encode(&one.signature))
        );
    }
    assert!(matches!(
        KeyStore::memory().test_sign(Purpose::Account).await,
        Err(KeyError::NoKey {
            purpose: Purpose::Account
        })
    ));
}

#[test]
fn a_purpose_takes_no_second_key_until_the_first_is_out_of_use() {
    let directory = Directory::new();
    for keys in [
        directory.unlocked(Access::ReadWrite).unwrap(),
        memory_with_identity(),
    ] {
        let first = keys.active(Purpose::Identity).unwrap();
        let refused = keys
            .generate(Purpose::Identity, Algorithm::P256, NOW)
            .unwrap_err();
        assert!(
            matches!(refused, KeyError::KeyExists { id, state: KeyState::Active, .. } if id == first.id),
            "{refused}"
        );
        keys.set_state(first.id, KeyState::Suspended, NOW).unwrap();
        assert!(keys.generate(Purpose::Identity, Algorithm::P256, NOW).is_err());
        keys.set_state(first.id, KeyState::Compromised, LATER).unwrap();
        let second = keys.generate(Purpose::Identity, Algorithm::P256, LATER).unwrap();
        assert_eq!((first.generation, second.generation), (1, 2));
        assert_eq!(keys.active(Purpose::Identity).unwrap(), second);
        let old = keys
            .records()
            .unwrap()
            .into_iter()
            .find(|record| record.id == first.id)
            .unwrap();
        assert_eq!((old.state, old.state_since), (KeyState::Compromised, LATER));
    }
}

fn memory_with_identity() -> KeyStore {
    let keys = KeyStore::memory();
    keys.generate(Purpose::Identity, Algorithm::Ed25519, NOW).unwrap();
    keys
}

#[tokio::test]
async fn a_signer_follows_the_state_of_its_key() {
    let directory = Directory::new();
    for keys in [
        directory.unlocked(Access::ReadWrite).unwrap(),
        memory_with_identity(),
    ] {
        let signer = keys.signer(Purpose::Identity).unwrap();
        let id = keys.active(Purpose::Identity).unwrap().id;
        keys.set_state(id, KeyState::Suspended, NOW).unwrap();
        assert!(matches!(signer.sign(b"m").await, Err(SignError::Refused(_))));
        assert!(matches!(
            keys.test_sign(Purpose::Identity).await,
            Err(KeyError::StateForbids {
                state: KeyState::Suspended,
                ..
            })
        ));
        assert!(matches!(
            keys.signer(Purpose::Identity),
            Err(KeyError::StateForbids {
                state: KeyState::Suspended,
                ..
            })
        ));
        keys.set_state(id, KeyState::Active, NOW).unwrap();
        assert!(signer.sign(b"m").await.is_ok());
        keys.set_state(id, KeyState::Deactivated, NOW).unwrap();
        assert!(matches!(signer.sign(b"m").await, Err(SignError::Refused(_))));
        assert!(matches!(
            keys.signer(Purpose::Identity),
            Err(KeyError::NoKey { .. })
        ));
    }
}

#[test]
fn a_key_that_was_once_stored_does_not_come_back_by_import() {
    let keys = KeyStore::memory();
    let secret = || SecretBytes::from_hex(&"42".repeat(32)).unwrap();
    let record = keys
        .import_raw(Purpose::Identity, Algorithm::Secp256k1, &secret(), NOW)
        .unwrap();
    // The other purpose does not take it either: the two never share a key.
    let shared = keys.import_raw(Purpose::Account, Algorithm::Secp256k1, &secret(), NOW);
    assert!(matches!(shared, Err(KeyError::KeyExists { .. })));
    keys.set_state(record.id, KeyState::Compromised, NOW).unwrap();
    let again = keys.import_raw(Purpose::Identity, Algorithm::Secp256k1, &secret(), NOW);
    assert!(matches!(
        again,
        Err(KeyError::KeyExists {
            state: KeyState::Compromised,
            ..
        })
    ));
}

#[test]
fn the_account_key_is_secp256k1_only() {
    for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
        let error = KeyStore::memory()
            .generate(Purpose::Account, algorithm, NOW)
            .unwrap_err();
        assert_eq!(error.exit_code(), 28, "{error}");
    }
    assert_eq!(Purpose::Account.default_algorithm(), Algorithm::Secp256k1);
    assert_eq!(Purpose::Identity.default_algorithm(), Algorithm::Ed25519);
}

#[test]
fn all_81_steps_between_states_are_as_decided() {
    use KeyState as S;
    // Rows: from; columns in the order of KeyState::ALL: Created Pending Active Rotating Suspended Deactivated Archived Compromised
    // Destroyed.
    let table = [
        (S::Created, "-PA----XD"),
        (S::Pending, "--A----XD"),
        (S::Active, "---RSd-X-"),
        (S::Rotating, "--A--d-X-"),
        (S::Suspended, "--A--daX-"),
        (S::Deactivated, "------aXD"),
        (S::Archived, "-------XD"),
        (S::Compromised, "--------D"),
        (S::Destroyed, "---------"),
    ];
    for (from, row) in table {
        for (to, cell) in S::ALL.into_iter().zip(row.chars()) {
            assert_eq!(from.may_become(to), cell != '-', "{from} to {to}");
        }
    }
    let signing: Vec<_> = S::ALL.into_iter().filter(|state| state.may_sign()).collect();
    assert_eq!(signing, [S::Active]);
    for state in S::ALL {
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(text, format!("\"{state}\""));
        assert_eq!(serde_json::from_str::<S>(&text).unwrap(), state);
    }
}

#[test]
fn steps_that_do_not_exist_and_steps_of_rotation_are_refused_differently() {
    let keys = memory_with_identity();
    let id = keys.active(Purpose::Identity).unwrap().id;
    let step = |state| keys.set_state(id, state, NOW).unwrap_err().exit_code();
    assert_eq!(step(KeyState::Created), 35);
    assert_eq!(step(KeyState::Rotating), 36);
    let unknown = keys.set_state("0123456789abcdef".parse().unwrap(), KeyState::Suspended, NOW);
    assert!(matches!(unknown, Err(KeyError::UnknownKey { .. })));
    keys.set_state(id, KeyState::Compromised, NOW).unwrap();
    assert_eq!(step(KeyState::Active), 35);
    assert_eq!(step(KeyState::Destroyed), 36);
}

#[tokio::test]
async fn the_passphrase_can_be_changed_and_the_keys_stay() {
    let directory = Directory::new();
    let keys = directory.unlocked(Access::ReadWrite).unwrap();
    let before = keys.records().unwrap();
    assert!(matches!(
        keys.change_passphrase(&passphrase("wrong"), &passphrase("new")),
        Err(KeyError::WrongPassphrase)
    ));
    keys.change_passphrase(&passphrase("right"), &passphrase("new"))
        .unwrap();
    assert!(keys.test_sign(Purpose::Identity).await.is_ok());
    // Changes after it build on the new wrapping.
    let id = directory.id(Purpose::Identity);
    keys.set_state(id, KeyState::Suspended, NOW).unwrap();
    keys.set_state(id, KeyState::Active, NOW).unwrap();
    drop(keys);
    let keys = directory.open(Access::ReadOnly).unwrap();
    assert!(matches!(
        keys.unlock(&passphrase("right")),
        Err(KeyError::WrongPassphrase)
    ));
    keys.unlock(&passphrase("new")).unwrap();
    assert_eq!(
        keys.records().unwrap().iter().map(|r| r.id).collect::<Vec<_>>(),
        before.iter().map(|r| r.id).collect::<Vec<_>>()
    );
    assert!(keys.test_sign(Purpose::Identity).await.is_ok());
}

#[test]
fn a_read_only_store_changes_nothing() {
    let directory = Directory::new();
    let keys = directory.unlocked(Access::ReadOnly).unwrap();
    let id = directory.id(Purpose::Identity);
    let codes = [
        keys.set_state(id, KeyState::Compromised, NOW).unwrap_err(),
        keys.change_passphrase(&passphrase("right"), &passphrase("new"))
            .unwrap_err(),
    ]
    .map(|error| error.exit_code());
    assert_eq!(codes, [24, 24]);
}

#[test]
fn init_overwrites_nothing() {
    let directory = Directory::new();
    assert!(matches!(
        directory.init(),
        Err(KeyError::AlreadyInitialized { .. })
    ));
    directory.unlocked(Access::ReadOnly).unwrap();
    // Not even key files whose key store file is lost.
    std::fs::remove_file(directory.keystore_file()).unwrap();
    assert!(matches!(
        directory.init(),
        Err(KeyError::AlreadyInitialized { .. })
    ));
    let error = directory.open(Access::ReadOnly).unwrap_err();
    assert!(matches!(error, KeyError::Damaged { .. }), "{error}");
}

#[test]
fn storages_that_are_not_in_this_build_say_so() {
    for name in ["hardware", "ledger", "non_custodial"] {
        let storage_type: StorageType = serde_json::from_str(&format!("{name:?}")).unwrap();
        assert_eq!(name.parse::<StorageType>().unwrap(), storage_type);
        let config = StoreConfig {
            storage_type,
            key_dir: None,
        };
        let right = passphrase("right");
        let created = KeyStore::init(&config, &right, KdfParams::CHEAPEST, NOW).unwrap_err();
        let opened = KeyStore::open(&config, Access::ReadOnly).unwrap_err();
        for error in [created, opened] {
            assert_eq!(error.exit_code(), 29);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    let no_dir = StoreConfig::default();
    assert_eq!(
        KeyStore::open(&no_dir, Access::ReadOnly).unwrap_err().exit_code(),
        30
    );
    assert!("usb".parse::<StorageType>().is_err());
}

#[test]
fn a_missing_or_empty_directory_is_not_initialized() {
    let root = tempfile::tempdir().unwrap();
    let missing = StoreConfig::file(root.path().join("no/such"));
    let empty = StoreConfig::file(root.path());
    crate::chmod(root.path(), 0o700);
    for config in [missing, empty] {
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let error = KeyStore::open(&config, access).unwrap_err();
            assert!(matches!(error, KeyError::NotInitialized { .. }), "{error}");
        }
    }
}

#[test]
fn unlocking_with_the_default_parameters_stays_near_a_second() {
    let root = tempfile::tempdir().unwrap();
    let config = StoreConfig::file(root.path().join("keys"));
    let keys = KeyStore::init(&config, &passphrase("right"), KdfParams::default(), NOW).unwrap();
    keys.generate(Purpose::Identity, Algorithm::Ed25519, NOW).unwrap();
    keys.lock();
    let best = (0..3)
        .map(|_| {
            let start = Instant::now();
            keys.unlock(&passphrase("right")).unwrap();
            start.elapsed()
        })
        .min()
        .unwrap();
    println!("unlock took {best:?}");
    // One second on an idle machine; room for neighbours that are compiling.
    assert!(best < Duration::from_secs(3), "{best:?}");
}
