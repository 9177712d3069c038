use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ripemd::Ripemd160;
use sha2::{Digest as _, Sha256};
use virtengine_provider_core::id::{Address, IdError};
use virtengine_provider_core::ports::signer::{Algorithm, SignError, Signer};
use virtengine_provider_core::time::Timestamp;

/// Names of the headers that carry a signature.
pub(super) mod header {
    pub(in crate::tenant) const ADDRESS: &str = "x-ve-address";
    pub(in crate::tenant) const PUBLIC_KEY: &str = "x-ve-pubkey";
    pub(in crate::tenant) const TIMESTAMP: &str = "x-ve-timestamp";
    pub(in crate::tenant) const NONCE: &str = "x-ve-nonce";
    pub(in crate::tenant) const SIGNATURE: &str = "x-ve-signature";
}

/// What a tenant signs: one request, to one provider, on one chain, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestToSign<'a> {
    /// Upper case, e.g. `PUT`.
    pub method: &'a str,
    /// Exactly as it goes over the wire, e.g. `/lease/1/1/1/logs?tail=10`.
    pub path_and_query: &'a str,
    /// The body; empty for a `GET`.
    pub body: &'a [u8],
    /// Whom it is for.
    pub provider: &'a Address,
    /// On which chain.
    pub chain_id: &'a str,
    /// When it is made.
    pub at: Timestamp,
    /// 16 to 64 of `A-Z a-z 0-9 - _`, never used before.
    pub nonce: &'a str,
}

impl RequestToSign<'_> {
    /// The bytes that an account key with this address signs (before its own hashing): the ADR-36 sign document.
    #[must_use]
    pub fn sign_document(&self, signer: &Address) -> Vec<u8> {
        let data = BASE64.encode(self.canonical());
        // Keys in order, no white space; neither base64 nor bech32 needs escaping.
        let head = r#"{"account_number":"0","chain_id":"","fee":{"amount":[],"gas":"0"},"memo":"","msgs":["#;
        let message =
            format!(r#"{{"type":"sign/MsgSignData","value":{{"data":"{data}","signer":"{signer}"}}}}"#);
        format!(r#"{head}{message}],"sequence":"0"}}"#).into_bytes()
    }

    fn canonical(&self) -> String {
        let mut text = String::from("virtengine-tenant-request/1\n");
        let body = hex::encode(Sha256::digest(self.body));
        let at = self.at.as_millis();
        for part in [
            self.method,
            self.path_and_query,
            &body,
            self.provider.as_str(),
            self.chain_id,
        ] {
            text.push_str(part);
            text.push('\n');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{at}\n{}\n", self.nonce);
        text
    }
}

/// Why a request cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignRequestError {
    /// Not an account key.
    #[error("requests are signed with a secp256k1 account key, not with {0}")]
    Algorithm(Algorithm),
    /// The address prefix is not one.
    #[error(transparent)]
    Prefix(#[from] IdError),
    /// The signer refuses.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// The five headers of a signed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    headers: [(&'static str, String); 5],
}

impl SignedRequest {
    /// Signs `request` as the account of `signer` under the address `prefix` (e.g. `ve`).
    ///
    /// # Errors
    /// See [`SignRequestError`].
    pub async fn sign(
        request: &RequestToSign<'_>,
        signer: &dyn Signer,
        prefix: &str,
    ) -> Result<Self, SignRequestError> {
        let key = signer.public_key();
        if key.algorithm != Algorithm::Secp256k1 {
            return Err(SignRequestError::Algorithm(key.algorithm));
        }
        let address = account_address(prefix, &key.bytes)?;
        let signature = signer.sign(&request.sign_document(&address)).await?;
        Ok(Self {
            headers: [
                (header::ADDRESS, address.to_string()),
                (header::PUBLIC_KEY, BASE64.encode(&key.bytes)),
                (header::TIMESTAMP, request.at.as_millis().to_string()),
                (header::NONCE, request.nonce.to_owned()),
                (header::SIGNATURE, BASE64.encode(signature)),
            ],
        })
    }

    /// Names (lower case) and values, to be added to the request.
    #[must_use]
    pub const fn headers(&self) -> &[(&'static str, String); 5] {
        &self.headers
    }
}

/// The account address of a secp256k1 public key (33 bytes) under `prefix`: RIPEMD-160 of SHA-256 (spec/chain.md D.1).
///
/// # Errors
/// `prefix` is not a bech32 prefix.
pub fn account_address(prefix: &str, public_key: &[u8]) -> Result<Address, IdError> {
    Address::from_bytes(prefix, &Ripemd160::digest(Sha256::digest(public_key)))
}
