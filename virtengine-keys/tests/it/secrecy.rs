//! A known secret must be nowhere: not on disk, not in any text that the crate makes.

use std::fs;
use std::path::Path;

use virtengine_keys::{
    Access, Algorithm, KdfParams, KeyStore, Mnemonic, PassphraseSource, Purpose, SecretBytes,
};

use crate::{Directory, NOW, passphrase};

const SECRET: &str = "5ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7";
const PASSPHRASE: &str = "correct horse battery staple";

fn forbidden() -> Vec<Vec<u8>> {
    let raw = hex::decode(SECRET).unwrap();
    vec![
        SECRET.as_bytes().to_vec(),
        SECRET.to_uppercase().into_bytes(),
        format!("{:?}", raw).trim_matches(['[', ']']).as_bytes().to_vec(),
        raw,
        PASSPHRASE.as_bytes().to_vec(),
        hex::encode(PASSPHRASE).into_bytes(),
    ]
}

fn assert_clean(what: &str, content: &[u8]) {
    for secret in forbidden() {
        assert!(
            !content.windows(secret.len()).any(|window| window == secret),
            "a secret shows in {what}"
        );
    }
}

fn assert_files_clean(dir: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += assert_files_clean(&path);
        } else {
            assert_clean(&path.display().to_string(), &fs::read(&path).unwrap());
            files += 1;
        }
    }
    files
}

#[tokio::test]
async fn a_known_secret_is_in_no_file_and_no_text() {
    let directory = Directory {
        root: tempfile::tempdir().unwrap(),
    };
    let right = passphrase(PASSPHRASE);
    let keys = KeyStore::init(&directory.config(), &right, KdfParams::CHEAPEST, NOW).unwrap();
    let secret = SecretBytes::from_hex(SECRET).unwrap();
    keys.import_raw(Purpose::Account, Algorithm::Secp256k1, &secret, NOW)
        .unwrap();
    keys.generate(Purpose::Identity, Algorithm::Ed25519, NOW).unwrap();
    assert_eq!(assert_files_clean(&directory.path()), 4);

    let again = keys
        .import_raw(Purpose::Account, Algorithm::Secp256k1, &secret, NOW)
        .unwrap_err();
    let bad_length = keys
        .import_raw(
            Purpose::Identity,
            Algorithm::P256,
            &SecretBytes::from_hex(&format!("{SECRET}00")).unwrap(),
            NOW,
        )
        .unwrap_err();
    let wrong = keys.unlock(&passphrase("no")).unwrap_err();
    let texts = [
        format!("{keys:?} {keys:#?}"),
        format!("{right:?} {secret:?}"),
        format!("{:?}", keys.signer(Purpose::Account).unwrap()),
        format!("{:?}", keys.status().unwrap()),
        serde_json::to_string(&keys.status().unwrap()).unwrap(),
        format!("{:?}", keys.test_sign(Purpose::Account).await.unwrap()),
        format!("{again} {again:?} {}", again.remedy()),
        format!("{bad_length} {bad_length:?} {}", bad_length.remedy()),
        format!("{wrong} {wrong:?}"),
        format!("{:?}", PassphraseSource::Env("VARIABLE".to_owned())),
    ];
    for text in texts {
        assert_clean(&text, text.as_bytes());
    }
}

#[test]
fn debug_of_secrets_says_redacted() {
    let mnemonic = Mnemonic::generate().unwrap();
    let shown = [
        format!("{mnemonic:?}"),
        format!("{:?}", passphrase("x")),
        format!("{:?}", SecretBytes::new(vec![1, 2, 3])),
    ];
    for text in shown {
        assert!(text.contains("REDACTED"), "{text}");
    }
    let first = mnemonic.phrase().split(' ').next().unwrap().to_owned();
    assert!(!format!("{mnemonic:?}").contains(&first));
}

#[test]
fn locking_takes_the_keys_out_of_the_debug_text_too() {
    let directory = Directory::new();
    let keys = directory.unlocked(Access::ReadOnly).unwrap();
    assert!(format!("{keys:?}").contains("PrivateKey"));
    keys.lock();
    assert!(!format!("{keys:?}").contains("PrivateKey"));
}
