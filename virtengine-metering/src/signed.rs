//! A record with its signatures.

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use virtengine_provider_core::fraud::Verdict;
use virtengine_provider_core::ports::chain::Message;
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey};

use crate::charge::Charge;
use crate::record::UsageRecord;

/// A record that waits for its signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The record.
    pub record: UsageRecord,
    /// What the fraud rules say about it.
    pub verdict: Verdict,
    /// What it costs on chain; empty when nothing is charged by usage.
    pub charges: Vec<Charge>,
}

impl Draft {
    /// Everything that the identity key signs: the record, then each charge, in this order.
    #[must_use]
    pub fn signing_messages(&self) -> Vec<Vec<u8>> {
        let subject = &self.record.subject;
        let charges = self
            .charges
            .iter()
            .map(|charge| charge.signing_bytes(&subject.chain_id, &subject.provider));
        core::iter::once(self.record.signing_bytes())
            .chain(charges)
            .collect()
    }

    /// The signed record, when `signatures` are those of `key` over [`Self::signing_messages`].
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn sign(&self, key: &PublicKey, signatures: &[Vec<u8>]) -> Result<SignedRecord, SignatureError> {
        let messages = self.signing_messages();
        if messages.len() != signatures.len() {
            return Err(SignatureError::Count {
                expected: messages.len(),
                given: signatures.len(),
            });
        }
        for (message, signature) in messages.iter().zip(signatures) {
            check(key, message, signature)?;
        }
        let mut signatures = signatures.iter().cloned();
        let signature = signatures.next().unwrap_or_default();
        let charges = self.charges.iter().cloned().zip(signatures);
        Ok(SignedRecord {
            record: self.record.clone(),
            key: key.clone(),
            signature,
            charges: charges
                .map(|(charge, signature)| SignedCharge { charge, signature })
                .collect(),
        })
    }
}

/// A record with its signatures: what a tenant gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRecord {
    /// The record.
    pub record: UsageRecord,
    /// The key that signed.
    pub key: PublicKey,
    /// Its signature over [`UsageRecord::signing_bytes`].
    #[serde(with = "hex::serde")]
    pub signature: Vec<u8>,
    /// What it costs on chain.
    pub charges: Vec<SignedCharge>,
}

/// A charge with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCharge {
    /// The charge.
    pub charge: Charge,
    /// The signature over [`Charge::signing_bytes`].
    #[serde(with = "hex::serde")]
    pub signature: Vec<u8>,
}

impl SignedCharge {
    /// The message for the chain.
    #[must_use]
    pub fn message(&self) -> Message {
        self.charge.message(self.signature.clone())
    }
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Records are signed with ed25519.
    #[error("usage records are signed with ed25519, not with {0}")]
    Algorithm(Algorithm),
    /// The public key is none.
    #[error("{0:?} is not an ed25519 public key")]
    Key(PublicKey),
    /// The signature is not of this key over these bytes.
    #[error("the signature is not one of {0:?} over this record")]
    Wrong(PublicKey),
    /// Too many or too few signatures.
    #[error("{expected} signatures are needed, {given} were given")]
    Count {
        /// One for the record and one for each charge.
        expected: usize,
        /// How many there were.
        given: usize,
    },
}

/// Checks one ed25519 signature, strictly: no malleable forms, no weak keys.
///
/// # Errors
/// [`SignatureError`].
pub fn check(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    if key.algorithm != Algorithm::Ed25519 {
        return Err(SignatureError::Algorithm(key.algorithm));
    }
    let bytes = <[u8; 32]>::try_from(key.bytes.as_slice()).map_err(|_| SignatureError::Key(key.clone()))?;
    let verifying = VerifyingKey::from_bytes(&bytes).map_err(|_| SignatureError::Key(key.clone()))?;
    let wrong = || SignatureError::Wrong(key.clone());
    let signature = Signature::from_slice(signature).map_err(|_| wrong())?;
    verifying.verify_strict(message, &signature).map_err(|_| wrong())
}
