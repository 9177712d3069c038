//! Edits by somebody who knows the format and recomputes the checksums, but has no passphrase.

use super::super::format::{Hash, IndexEntry};
use super::*;
use crate::KeyError;

type Forge = fn(&mut KeystoreFile);

fn forge_keystore(forge: impl Fn(&mut KeystoreFile)) -> KeyError {
    let prepared = Prepared::new();
    let mut keystore = prepared.keystore();
    forge(&mut keystore);
    prepared.overwrite(&Name::keystore(), &keystore.render());
    prepared.unlock("right").unwrap_err()
}

#[test]
fn every_forged_field_of_the_key_store_file_is_found() {
    let tampered: [(&str, Forge); 8] = [
        ("created_at", |file| file.created_at = Timestamp::EPOCH),
        ("wrapped key", |file| file.store_key.ciphertext[0] ^= 1),
        ("nonce", |file| file.store_key.nonce[0] ^= 1),
        ("commitment", |file| file.store_key.commitment[0] ^= 1),
        ("sequence", |file| file.sequence += 1),
        ("mac", |file| file.mac[0] ^= 1),
        ("next hash", |file| file.index[0].next = Some(Hash([7; 32]))),
        ("added entry", |file| {
            let id = "ffffffffffffffff".parse().unwrap();
            file.index.push(IndexEntry {
                id,
                current: None,
                next: Some(Hash([1; 32])),
            });
        }),
    ];
    for (what, forge) in tampered {
        let error = forge_keystore(forge);
        assert!(matches!(error, KeyError::Tampered { .. }), "{what}: {error}");
    }
}

#[test]
fn a_forged_salt_or_check_value_looks_like_a_wrong_passphrase_and_never_unlocks() {
    let forgeries: [Forge; 2] = [|file| file.kdf.salt[0] ^= 1, |file| file.passphrase_check[0] ^= 1];
    for forge in forgeries {
        let error = forge_keystore(forge);
        assert!(matches!(error, KeyError::WrongPassphrase), "{error}");
    }
}

#[test]
fn a_key_file_forged_together_with_its_hash_in_the_index_is_found() {
    let prepared = Prepared::new();
    let mut file = prepared.key_file();
    let last = file.ciphertext.len() - 1;
    file.ciphertext[last] ^= 1;
    let bytes = file.render();
    prepared.overwrite(&Name::key(prepared.record.id), &bytes);
    let mut keystore = prepared.keystore();
    keystore.index[0].current = Some(Hash::of(&bytes));
    // Even with the MAC right, as after a break of the MAC alone, the seal of the key holds.
    keystore.mac = prepared.store_key.mac(&keystore);
    prepared.overwrite(&Name::keystore(), &keystore.render());
    let error = prepared.unlock("right").unwrap_err();
    assert!(
        matches!(&error, KeyError::Tampered { problem, .. } if problem.contains("sealed")),
        "{error}"
    );
}

#[test]
fn another_commitment_is_found_even_with_the_mac_right() {
    let prepared = Prepared::new();
    let mut keystore = prepared.keystore();
    keystore.store_key.commitment[0] ^= 1;
    keystore.mac = prepared.store_key.mac(&keystore);
    prepared.overwrite(&Name::keystore(), &keystore.render());
    let error = prepared.unlock("right").unwrap_err();
    assert!(matches!(error, KeyError::Tampered { .. }), "{error}");
}

#[test]
fn a_record_that_names_another_public_key_is_found() {
    let prepared = Prepared::new();
    let mut record = prepared.record.clone();
    let other = crate::algorithm::PrivateKey::generate(Algorithm::Ed25519).unwrap();
    record.public_key = other.public_key();
    let private = prepared
        .store_key
        .open(Path::new("key.json"), &prepared.key_file())
        .unwrap();
    // A rightly sealed file whose record lies can only come from a fault of this program; it is found all the same.
    let file = prepared
        .store_key
        .seal(prepared.keystore().keystore_id, &record, &private)
        .unwrap();
    let error = prepared.store_key.open(Path::new("key.json"), &file).unwrap_err();
    assert!(matches!(error, KeyError::Tampered { .. }), "{error}");
}

#[test]
fn the_right_files_unlock_and_only_with_the_right_passphrase() {
    let prepared = Prepared::new();
    assert_eq!(
        prepared.unlock("right").unwrap().records().unwrap(),
        std::slice::from_ref(&prepared.record)
    );
    let error = prepared.unlock("wrong").unwrap_err();
    assert!(matches!(error, KeyError::WrongPassphrase), "{error}");
}

#[test]
fn two_seals_of_one_key_share_neither_salt_nor_nonce_nor_ciphertext() {
    let prepared = Prepared::new();
    let path = Path::new("key.json");
    let private = prepared.store_key.open(path, &prepared.key_file()).unwrap();
    let id = prepared.keystore().keystore_id;
    let one = prepared.store_key.seal(id, &prepared.record, &private).unwrap();
    let two = prepared.store_key.seal(id, &prepared.record, &private).unwrap();
    assert_ne!(one.salt, two.salt);
    assert_ne!(one.nonce, two.nonce);
    assert_ne!(one.ciphertext, two.ciphertext);
}
