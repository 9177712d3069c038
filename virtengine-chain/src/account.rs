//! Keys and the accounts that belong to them (spec/chain.md D.1).

use prost_types::Any;
use ripemd::Ripemd160;
use sha2::{Digest, Sha256};
use virtengine_provider_core::id::{Address, IdError};
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey};

use crate::message::any;
use crate::proto::cosmos::crypto::{ed25519, secp256k1, secp256r1};
use crate::wire::{self, WireError};

/// The account of a key under the address prefix of the chain (`ve`): 20 bytes for secp256k1 and ed25519, 32 for p256.
///
/// # Errors
/// `prefix` is not a valid bech32 prefix.
pub fn address_of(key: &PublicKey, prefix: &str) -> Result<Address, IdError> {
    match key.algorithm {
        Algorithm::Secp256k1 => {
            let hash = Ripemd160::digest(Sha256::digest(&key.bytes));
            Address::from_bytes(prefix, &hash)
        }
        Algorithm::Ed25519 => {
            let hash: [u8; 32] = Sha256::digest(&key.bytes).into();
            Address::from_bytes(prefix, hash.first_chunk::<20>().unwrap_or(&[0; 20]))
        }
        Algorithm::P256 => {
            let kind = Sha256::digest(b"cosmos.crypto.secp256r1.PubKey");
            let hash = Sha256::new()
                .chain_update(kind)
                .chain_update(&key.bytes)
                .finalize();
            Address::from_bytes(prefix, &hash)
        }
    }
}

/// The key as a transaction carries it.
#[must_use]
pub fn public_key_to_wire(key: &PublicKey) -> Any {
    let bytes = key.bytes.clone();
    match key.algorithm {
        Algorithm::Secp256k1 => any(&secp256k1::PubKey { key: bytes }),
        Algorithm::Ed25519 => any(&ed25519::PubKey { key: bytes }),
        Algorithm::P256 => any(&secp256r1::PubKey { key: bytes }),
    }
}

/// The key that a transaction carries.
///
/// # Errors
/// An unknown type of key, or a wrong number of bytes.
pub fn public_key(any: &Any) -> Result<PublicKey, WireError> {
    let (algorithm, bytes, length) = match any.type_url.as_str() {
        "/cosmos.crypto.secp256k1.PubKey" => (
            Algorithm::Secp256k1,
            wire::decode::<secp256k1::PubKey>(&any.value)?.key,
            33,
        ),
        "/cosmos.crypto.ed25519.PubKey" => (
            Algorithm::Ed25519,
            wire::decode::<ed25519::PubKey>(&any.value)?.key,
            32,
        ),
        "/cosmos.crypto.secp256r1.PubKey" => (
            Algorithm::P256,
            wire::decode::<secp256r1::PubKey>(&any.value)?.key,
            33,
        ),
        other => return Err(WireError::unknown_type(other)),
    };
    if bytes.len() != length {
        return Err(WireError::field(
            "public key",
            bytes.len(),
            "33 bytes, or 32 for ed25519",
        ));
    }
    Ok(PublicKey { algorithm, bytes })
}

/// Whether `signature` over `message` is one that the chain accepts: 64 bytes, `r ‖ s` with low S for the curves with ECDSA.
#[must_use]
pub fn verifies(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    match key.algorithm {
        Algorithm::Secp256k1 => verifies_secp256k1(&key.bytes, message, signature),
        Algorithm::Ed25519 => verifies_ed25519(&key.bytes, message, signature),
        Algorithm::P256 => verifies_p256(&key.bytes, message, signature),
    }
}

fn verifies_secp256k1(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use k256::ecdsa::signature::Verifier;
    let Ok(key) = k256::ecdsa::VerifyingKey::from_sec1_bytes(key) else {
        return false;
    };
    // A high S is refused by the chain, though it is a signature.
    k256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
        signature.normalize_s() == signature && key.verify(message, &signature).is_ok()
    })
}

fn verifies_p256(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use p256::ecdsa::signature::Verifier;
    let Ok(key) = p256::ecdsa::VerifyingKey::from_sec1_bytes(key) else {
        return false;
    };
    p256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
        signature.normalize_s() == signature && key.verify(message, &signature).is_ok()
    })
}

fn verifies_ed25519(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use ed25519_dalek::Verifier;
    let (Ok(key), Ok(signature)) = (
        <&[u8; 32]>::try_from(key),
        ed25519_dalek::Signature::from_slice(signature),
    ) else {
        return false;
    };
    ed25519_dalek::VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify(message, &signature).is_ok())
}
