use std::collections::BTreeSet;

use virtengine_keys::algorithm::{VerifyError, verify};
use virtengine_keys::{Algorithm, KeyStore, Purpose, SecretBytes};

use crate::NOW;

const ALL: [Algorithm; 3] = [Algorithm::Ed25519, Algorithm::Secp256k1, Algorithm::P256];

fn store(algorithm: Algorithm) -> KeyStore {
    let keys = KeyStore::memory();
    keys.generate(Purpose::Identity, algorithm, NOW).unwrap();
    keys
}

/// Half the order of the curve, rounded down, big-endian.
fn half_order(algorithm: Algorithm) -> Vec<u8> {
    hex::decode(match algorithm {
        Algorithm::Secp256k1 => "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0",
        Algorithm::P256 => "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8",
        Algorithm::Ed25519 => unreachable!("not an ECDSA curve"),
    })
    .unwrap()
}

#[tokio::test]
async fn four_hundred_ecdsa_signatures_are_all_low_s_on_both_curves() {
    for algorithm in [Algorithm::Secp256k1, Algorithm::P256] {
        let signer = store(algorithm).signer(Purpose::Identity).unwrap();
        let half = half_order(algorithm);
        let mut distinct = BTreeSet::new();
        for message in 0..400_u32 {
            let signature = signer.sign(&message.to_be_bytes()).await.unwrap();
            assert_eq!(signature.len(), 64);
            assert!(signature[32..] <= half[..], "{algorithm} message {message}");
            distinct.insert(signature);
        }
        assert_eq!(distinct.len(), 400);
    }
}

#[tokio::test]
async fn a_high_s_twin_of_a_good_signature_is_refused() {
    use k256::ecdsa::Signature as K;
    use p256::ecdsa::Signature as P;
    let message = b"a message";
    for algorithm in [Algorithm::Secp256k1, Algorithm::P256] {
        let signer = store(algorithm).signer(Purpose::Identity).unwrap();
        let good = signer.sign(message).await.unwrap();
        let high = match algorithm {
            Algorithm::Secp256k1 => {
                let (r, s) = K::from_slice(&good).unwrap().split_scalars();
                K::from_scalars(r, -s).unwrap().to_bytes().to_vec()
            }
            _ => {
                let (r, s) = P::from_slice(&good).unwrap().split_scalars();
                P::from_scalars(r, -s).unwrap().to_bytes().to_vec()
            }
        };
        assert_eq!(verify(&signer.public_key(), message, &good), Ok(()));
        assert_eq!(
            verify(&signer.public_key(), message, &high),
            Err(VerifyError::HighS)
        );
    }
}

#[tokio::test]
async fn a_signature_is_good_for_its_key_and_message_only() {
    for algorithm in ALL {
        let signer = store(algorithm).signer(Purpose::Identity).unwrap();
        let other = store(algorithm).signer(Purpose::Identity).unwrap();
        let good = signer.sign(b"this").await.unwrap();
        let key = signer.public_key();
        assert_eq!(verify(&key, b"this", &good), Ok(()));
        assert_eq!(verify(&key, b"that", &good), Err(VerifyError::Mismatch));
        assert_eq!(
            verify(&other.public_key(), b"this", &good),
            Err(VerifyError::Mismatch)
        );
        assert_eq!(verify(&key, b"this", &good[..63]), Err(VerifyError::Malformed));
        let mut short_key = key.clone();
        short_key.bytes.pop();
        assert_eq!(verify(&short_key, b"this", &good), Err(VerifyError::PublicKey));
        for at in 0..64 {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(verify(&key, b"this", &bad).is_err(), "{algorithm} byte {at}");
        }
    }
}

#[tokio::test]
async fn signing_is_deterministic() {
    for algorithm in ALL {
        let signer = store(algorithm).signer(Purpose::Identity).unwrap();
        assert_eq!(
            signer.sign(b"again").await.unwrap(),
            signer.sign(b"again").await.unwrap()
        );
    }
}

#[test]
fn scalars_outside_the_curve_are_no_keys() {
    let order_k1 = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let order_p256 = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let zero = "00".repeat(32);
    let cases = [
        (Algorithm::Secp256k1, zero.as_str()),
        (Algorithm::Secp256k1, order_k1),
        (Algorithm::P256, zero.as_str()),
        (Algorithm::P256, order_p256),
        (Algorithm::Ed25519, "00112233"),
        (Algorithm::Secp256k1, ""),
    ];
    for (algorithm, secret) in cases {
        let secret = SecretBytes::from_hex(secret).unwrap();
        let keys = KeyStore::memory();
        let error = keys
            .import_raw(Purpose::Identity, algorithm, &secret, NOW)
            .unwrap_err();
        assert_eq!(error.exit_code(), 32, "{algorithm}: {error}");
        assert_eq!(keys.records().unwrap(), []);
    }
    assert!(SecretBytes::from_hex("0g").is_err());
}
