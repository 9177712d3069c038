//! Signing, without saying where the key is.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Signature algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// RFC 8032 over the message itself; 32-byte public key, 64-byte signature.
    Ed25519,
    /// ECDSA over SHA-256 of the message, `r ‖ s`, low-S; 33-byte compressed public key.
    Secp256k1,
    /// ECDSA over SHA-256 of the message, `r ‖ s`, low-S; 33-byte compressed public key.
    P256,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "ed25519",
            Self::Secp256k1 => "secp256k1",
            Self::P256 => "p256",
        })
    }
}

/// A public key with its algorithm.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublicKey {
    /// How it signs.
    pub algorithm: Algorithm,
    /// 32 bytes for ed25519, 33 compressed bytes for the others.
    #[serde(with = "hex::serde")]
    pub bytes: Vec<u8>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, hex::encode(&self.bytes))
    }
}

/// Why a signature could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key store is locked: unlock it and try again.
    #[error("the key store is locked")]
    Locked,
    /// The key may not sign (its state, or a policy); trying again does not help.
    #[error("signing refused: {0}")]
    Refused(String),
    /// The store did not answer; trying again may help.
    #[error("the key store is not reachable: {0}")]
    Unavailable(String),
    /// Anything else; trying again does not help.
    #[error("signing failed: {0}")]
    Failed(String),
}

impl SignError {
    /// Whether the same call may succeed later without anybody acting.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Signs with one key.
#[async_trait]
pub trait Signer: fmt::Debug + Send + Sync {
    /// The key that [`Self::sign`] signs with.
    fn public_key(&self) -> PublicKey;

    /// Signs `message` (the message itself: the signer hashes when its algorithm does). Cancelling the future is safe.
    ///
    /// # Errors
    /// See [`SignError`].
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}
