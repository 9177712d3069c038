//! The published test keys of spec/chain.md D.8.

use async_trait::async_trait;
use k256::ecdsa::signature::Signer as _;
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey, SignError, Signer};

/// Of the mnemonics there, path m/44'/118'/0'/0/0.
const BOB: &str = "a5f51adc0ad09ccae3f678abb8f081b6e51359345f92413851e915ed7d351da6";
const ALICE: &str = "e0aff28c65d3d0dc3836e890414b99758a0a166291bdacd880cb1ca8a1a0e6bc";

#[derive(Debug)]
pub(crate) struct TestKey(k256::ecdsa::SigningKey);

impl TestKey {
    fn of(text: &str) -> Self {
        let bytes = hex::decode(text).unwrap();
        Self(k256::ecdsa::SigningKey::from_slice(&bytes).unwrap())
    }

    pub(crate) fn bob() -> Self {
        Self::of(BOB)
    }

    pub(crate) fn alice() -> Self {
        Self::of(ALICE)
    }

    pub(crate) fn key(&self) -> &k256::ecdsa::SigningKey {
        &self.0
    }
}

#[async_trait]
impl Signer for TestKey {
    fn public_key(&self) -> PublicKey {
        PublicKey {
            algorithm: Algorithm::Secp256k1,
            bytes: self.0.verifying_key().to_sec1_point(true).as_bytes().to_vec(),
        }
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature: k256::ecdsa::Signature = self.0.sign(message);
        Ok(signature.to_vec())
    }
}
