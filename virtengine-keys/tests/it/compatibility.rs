//! Key directories of every released format must open for ever. To add one: run the ignored test below in the release that writes it.

use std::fs;
use std::path::Path;

use virtengine_keys::mnemonic::ACCOUNT_PATH;
use virtengine_keys::{
    Access, Algorithm, KdfParams, KeyState, KeyStore, Mnemonic, Purpose, SecretBytes, StoreConfig,
};

use crate::{LATER, NOW, chmod, passphrase};

const WORDS: &str = "letter advice cage absurd amount doctor acoustic avoid letter advice cage above";

fn fixture() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/key-directory-v1")
}

/// The fixture, with the modes that a version control system does not keep.
fn copy_of_fixture(to: &Path) {
    for folder in ["", "keys"] {
        fs::create_dir(to.join(folder)).unwrap();
        chmod(&to.join(folder), 0o700);
        for entry in fs::read_dir(fixture().join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let target = to.join(folder).join(entry.file_name());
                fs::copy(entry.path(), &target).unwrap();
                chmod(&target, 0o600);
            }
        }
    }
}

#[tokio::test]
async fn a_key_directory_of_format_1_opens_signs_and_takes_changes() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("keys");
    copy_of_fixture(&dir);
    let keys = KeyStore::open(&StoreConfig::file(&dir), Access::ReadWrite).unwrap();
    assert_eq!(keys.records().unwrap().len(), 3);
    keys.unlock(&passphrase("fixture passphrase")).unwrap();

    let account = keys.active(Purpose::Account).unwrap();
    assert_eq!(
        keys.account_address("ve").unwrap().as_str(),
        "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq"
    );
    assert_eq!(account.derivation_path.as_deref(), Some(ACCOUNT_PATH));
    let identity = keys.active(Purpose::Identity).unwrap();
    assert_eq!((identity.generation, identity.algorithm()), (2, Algorithm::P256));
    assert_eq!(identity.created_at, LATER);
    let old = keys
        .records()
        .unwrap()
        .into_iter()
        .find(|r| r.state == KeyState::Compromised);
    assert_eq!(old.unwrap().algorithm(), Algorithm::Ed25519);
    keys.test_sign(Purpose::Account).await.unwrap();
    keys.test_sign(Purpose::Identity).await.unwrap();
    keys.set_state(identity.id, KeyState::Suspended, LATER).unwrap();
}

#[test]
#[ignore = "writes the fixture; run once per format version"]
fn write_the_fixture() {
    let dir = fixture();
    assert!(!dir.exists(), "a fixture is never rewritten");
    let config = StoreConfig::file(&dir);
    let keys = KeyStore::init(
        &config,
        &passphrase("fixture passphrase"),
        KdfParams::CHEAPEST,
        NOW,
    )
    .unwrap();
    let mnemonic = Mnemonic::parse(WORDS).unwrap();
    keys.import_mnemonic(Purpose::Account, &mnemonic, ACCOUNT_PATH, NOW)
        .unwrap();
    let first = keys.generate(Purpose::Identity, Algorithm::Ed25519, NOW).unwrap();
    keys.set_state(first.id, KeyState::Compromised, LATER).unwrap();
    let secret = SecretBytes::from_hex(&"17".repeat(32)).unwrap();
    keys.import_raw(Purpose::Identity, Algorithm::P256, &secret, LATER)
        .unwrap();
    drop(keys);
    fs::remove_file(dir.join(".lock")).unwrap();
}
