//! Canonical bytes: every part preceded by its length, so that no two different things have the same bytes.

use sha2::{Digest as _, Sha256};
use virtengine_provider_core::time::Timestamp;

/// Collects parts into a SHA-256.
pub(crate) struct Canonical(Sha256);

impl Canonical {
    pub(crate) fn new(domain: &str) -> Self {
        Self(Sha256::new()).text(domain)
    }

    pub(crate) fn bytes(mut self, part: &[u8]) -> Self {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        self.0.update(length.to_be_bytes());
        self.0.update(part);
        self
    }

    pub(crate) fn text(self, part: &str) -> Self {
        self.bytes(part.as_bytes())
    }

    pub(crate) fn u64(self, part: u64) -> Self {
        self.bytes(&part.to_be_bytes())
    }

    pub(crate) fn u128(self, part: u128) -> Self {
        self.bytes(&part.to_be_bytes())
    }

    pub(crate) fn i64(self, part: i64) -> Self {
        self.bytes(&part.to_be_bytes())
    }

    pub(crate) fn time(self, part: Timestamp) -> Self {
        self.i64(part.as_millis())
    }

    pub(crate) fn digest(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The message for the key: the domain in clear, so that the same key never signs the same bytes for another purpose.
pub(crate) fn to_sign(domain: &str, digest: &[u8; 32]) -> Vec<u8> {
    let mut message = domain.as_bytes().to_vec();
    message.push(0);
    message.extend_from_slice(digest);
    message
}
