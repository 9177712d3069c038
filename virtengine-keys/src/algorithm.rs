//! The three signature algorithms: private keys in memory, signing and verification.
//!
//! ed25519 is RFC 8032. Both ECDSA curves sign the SHA-256 of the message with RFC 6979 nonces, as `r ‖ s` in 64 bytes, and
//! always the lower of the two possible `s`: the chain refuses the higher one for both curves (spec/keys.md §0).

use std::fmt;

use ed25519_dalek::Signer as _;
use k256::ecdsa::signature::Verifier as _;
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey};

use crate::error::KeyError;
use crate::secret::SecretBytes;

/// Length of a private key of each of the algorithms, in bytes.
pub const PRIVATE_KEY_LEN: usize = 32;

/// A draw of 32 random bytes is no valid scalar with a probability of at most 2^-32, so this many draws never all fail.
const DRAWS_MAX: usize = 16;

/// A private key in memory. Wiped when dropped, not shown by `Debug`.
pub(crate) enum PrivateKey {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    Secp256k1(Box<k256::ecdsa::SigningKey>),
    P256(Box<p256::ecdsa::SigningKey>),
}

impl PrivateKey {
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        for _ in 0..DRAWS_MAX {
            let secret = SecretBytes::random(PRIVATE_KEY_LEN)?;
            if let Ok(key) = Self::from_bytes(algorithm, &secret) {
                return Ok(key);
            }
        }
        Err(KeyError::Entropy)
    }

    pub(crate) fn from_bytes(algorithm: Algorithm, secret: &SecretBytes) -> Result<Self, KeyError> {
        let bad = |problem| KeyError::InvalidKey { algorithm, problem };
        let bytes: &[u8; PRIVATE_KEY_LEN] = secret
            .expose()
            .try_into()
            .map_err(|_| bad("it must have 32 bytes"))?;
        let range = |_| bad("it is zero or not below the order of the curve");
        Ok(match algorithm {
            Algorithm::Ed25519 => Self::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(bytes))),
            Algorithm::Secp256k1 => Self::Secp256k1(Box::new(
                k256::ecdsa::SigningKey::from_slice(bytes).map_err(range)?,
            )),
            Algorithm::P256 => Self::P256(Box::new(
                p256::ecdsa::SigningKey::from_slice(bytes).map_err(range)?,
            )),
        })
    }

    pub(crate) fn to_bytes(&self) -> SecretBytes {
        let mut secret = SecretBytes::zeros(PRIVATE_KEY_LEN);
        let target = secret.expose_mut();
        match self {
            Self::Ed25519(key) => target.copy_from_slice(key.as_bytes()),
            Self::Secp256k1(key) => target.copy_from_slice(&zeroize::Zeroizing::new(key.to_bytes())),
            Self::P256(key) => target.copy_from_slice(&zeroize::Zeroizing::new(key.to_bytes())),
        }
        secret
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        let (algorithm, bytes) = match self {
            Self::Ed25519(key) => (Algorithm::Ed25519, key.verifying_key().to_bytes().to_vec()),
            Self::Secp256k1(key) => (
                Algorithm::Secp256k1,
                key.verifying_key().to_sec1_point(true).as_bytes().to_vec(),
            ),
            Self::P256(key) => (
                Algorithm::P256,
                key.verifying_key().to_sec1_point(true).as_bytes().to_vec(),
            ),
        };
        PublicKey { algorithm, bytes }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, &'static str> {
        let failed = |_| "the curve arithmetic failed";
        Ok(match self {
            Self::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Self::Secp256k1(key) => {
                let signature: k256::ecdsa::Signature = key.try_sign(message).map_err(failed)?;
                signature.normalize_s().to_bytes().to_vec()
            }
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message).map_err(failed)?;
                signature.normalize_s().to_bytes().to_vec()
            }
        })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, REDACTED)", self.public_key().algorithm)
    }
}

/// Why a signature is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The public key is not a point of the curve, or has the wrong length.
    #[error("the public key is not valid")]
    PublicKey,
    /// Not 64 bytes, or a part is out of range.
    #[error("the signature is not well formed")]
    Malformed,
    /// An ECDSA signature with the higher `s`, which the chain refuses.
    #[error("the signature has a high s")]
    HighS,
    /// Made by another key or over another message.
    #[error("the signature does not match")]
    Mismatch,
}

/// Checks `signature` over `message`, as strictly as the chain: high-S ECDSA signatures and small-order ed25519 keys are refused.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
    match key.algorithm {
        Algorithm::Ed25519 => verify_ed25519(&key.bytes, message, signature),
        Algorithm::Secp256k1 => {
            let key = compressed(&key.bytes)
                .and_then(|bytes| k256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).ok())
                .ok_or(VerifyError::PublicKey)?;
            let signature =
                k256::ecdsa::Signature::from_slice(signature).map_err(|_| VerifyError::Malformed)?;
            if signature.normalize_s() != signature {
                return Err(VerifyError::HighS);
            }
            key.verify(message, &signature).map_err(|_| VerifyError::Mismatch)
        }
        Algorithm::P256 => {
            let key = compressed(&key.bytes)
                .and_then(|bytes| p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).ok())
                .ok_or(VerifyError::PublicKey)?;
            let signature =
                p256::ecdsa::Signature::from_slice(signature).map_err(|_| VerifyError::Malformed)?;
            if signature.normalize_s() != signature {
                return Err(VerifyError::HighS);
            }
            key.verify(message, &signature).map_err(|_| VerifyError::Mismatch)
        }
    }
}

fn verify_ed25519(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
    let key = key
        .try_into()
        .ok()
        .and_then(|bytes| ed25519_dalek::VerifyingKey::from_bytes(bytes).ok())
        .ok_or(VerifyError::PublicKey)?;
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| VerifyError::Malformed)?;
    key.verify_strict(message, &signature)
        .map_err(|_| VerifyError::Mismatch)
}

fn compressed(bytes: &[u8]) -> Option<&[u8]> {
    (bytes.len() == 33).then_some(bytes)
}
