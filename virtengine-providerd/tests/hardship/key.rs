//! Keys of accounts, the same in every run.

use async_trait::async_trait;
use k256::ecdsa::signature::Signer as _;
use virtengine_devchain::TestAccount;
use virtengine_gateway::tenant::account_address;
use virtengine_provider_core::id::Address;
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey, SignError, Signer};

/// A secp256k1 account key.
#[derive(Debug, Clone)]
pub(crate) struct AccountKey(pub(crate) k256::ecdsa::SigningKey);

impl AccountKey {
    pub(crate) fn named(name: &str) -> Self {
        let secret = hex::decode(TestAccount::named(name).unwrap().secret_key_hex).unwrap();
        Self(k256::ecdsa::SigningKey::from_slice(&secret).unwrap())
    }

    pub(crate) fn address(&self) -> Address {
        account_address("ve", &self.public_key().bytes).unwrap()
    }
}

#[async_trait]
impl Signer for AccountKey {
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
