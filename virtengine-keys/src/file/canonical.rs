use sha2::{Digest as _, Sha256};

/// An unambiguous encoding of a sequence of fields: each as its length in 8 bytes and its bytes. JSON is not used for what is
/// authenticated, since one meaning has many texts there.
#[derive(Debug, Default)]
pub(super) struct Canonical(Vec<u8>);

impl Canonical {
    pub(super) fn bytes(&mut self, field: &[u8]) -> &mut Self {
        // usize has at most 64 bits on every platform this runs on.
        let len = u64::try_from(field.len()).unwrap_or(u64::MAX);
        self.0.extend_from_slice(&len.to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    pub(super) fn text(&mut self, field: &str) -> &mut Self {
        self.bytes(field.as_bytes())
    }

    pub(super) fn number(&mut self, field: u64) -> &mut Self {
        self.bytes(&field.to_be_bytes())
    }

    pub(super) fn signed(&mut self, field: i64) -> &mut Self {
        self.bytes(&field.to_be_bytes())
    }

    /// An absent field differs from an empty one.
    pub(super) fn optional(&mut self, field: Option<&[u8]>) -> &mut Self {
        match field {
            None => self.number(0),
            Some(bytes) => self.number(1).bytes(bytes),
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}
