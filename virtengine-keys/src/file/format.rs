//! The two kinds of file, as text. Nothing here needs a secret.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey};
use virtengine_provider_core::time::Timestamp;

use super::canonical::Canonical;
use super::config::KdfParams;
use crate::error::KeyError;
use crate::record::{KeyId, KeyRecord, KeyState, Origin, Purpose};

/// The version that this build writes, and the newest that it reads.
pub(super) const VERSION: u32 = 1;
/// Most keys in a store: the index stays under [`KEYSTORE_BYTES_MAX`], and unlocking under a second.
pub(super) const KEYS_MAX: usize = 1024;
pub(super) const KEYSTORE_BYTES_MAX: usize = 1024 * 1024;
pub(super) const KEY_FILE_BYTES_MAX: usize = 16 * 1024;

const KEYSTORE_FORMAT: &str = "virtengine-keystore";
const KEY_FORMAT: &str = "virtengine-key";
const KDF_ALGORITHM: &str = "argon2id";
/// Argon2 version 1.3.
const KDF_VERSION: u32 = 0x13;

/// `keystore.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeystoreFile {
    format: String,
    version: u32,
    #[serde(with = "hex::serde")]
    pub(super) keystore_id: [u8; 16],
    pub(super) created_at: Timestamp,
    pub(super) kdf: KdfBlock,
    /// Shows whether a passphrase is the right one.
    #[serde(with = "hex::serde")]
    pub(super) passphrase_check: [u8; 32],
    pub(super) store_key: WrappedKey,
    /// Counts the writes of this file.
    pub(super) sequence: u64,
    pub(super) index: Vec<IndexEntry>,
    #[serde(with = "hex::serde")]
    pub(super) mac: [u8; 32],
    #[serde(with = "hex::serde")]
    checksum: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KdfBlock {
    algorithm: String,
    version: u32,
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
    #[serde(with = "hex::serde")]
    pub(super) salt: [u8; 32],
}

impl KdfBlock {
    pub(super) fn new(params: KdfParams, salt: [u8; 32]) -> Self {
        Self {
            algorithm: KDF_ALGORITHM.to_owned(),
            version: KDF_VERSION,
            memory_kib: params.memory_kib(),
            iterations: params.iterations(),
            parallelism: params.parallelism(),
            salt,
        }
    }

    pub(super) fn params(&self) -> Result<KdfParams, KeyError> {
        super::config::within("argon2 version", self.version, &(KDF_VERSION..=KDF_VERSION))?;
        KdfParams::new(self.memory_kib, self.iterations, self.parallelism)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrappedKey {
    #[serde(with = "hex::serde")]
    pub(super) nonce: [u8; 12],
    #[serde(with = "hex::serde")]
    pub(super) ciphertext: Vec<u8>,
    /// Binds the ciphertext to one store key: AES-GCM alone does not.
    #[serde(with = "hex::serde")]
    pub(super) commitment: [u8; 32],
}

/// One key of the index: what its file is, and during a change what it is about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IndexEntry {
    pub(super) id: KeyId,
    /// SHA-256 of the file; none while the key is being added.
    pub(super) current: Option<Hash>,
    /// SHA-256 of the file that is being written in its place.
    pub(super) next: Option<Hash>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Hash(#[serde(with = "hex::serde")] pub(super) [u8; 32]);

impl Hash {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// `keys/<key id>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyFile {
    format: String,
    version: u32,
    #[serde(with = "hex::serde")]
    pub(super) keystore_id: [u8; 16],
    pub(super) id: KeyId,
    purpose: Purpose,
    generation: u32,
    pub(super) algorithm: Algorithm,
    #[serde(with = "hex::serde")]
    public_key: Vec<u8>,
    created_at: Timestamp,
    state: KeyState,
    state_since: Timestamp,
    origin: Origin,
    derivation_path: Option<String>,
    #[serde(with = "hex::serde")]
    pub(super) salt: [u8; 32],
    #[serde(with = "hex::serde")]
    pub(super) nonce: [u8; 12],
    #[serde(with = "hex::serde")]
    pub(super) ciphertext: Vec<u8>,
    #[serde(with = "hex::serde")]
    checksum: [u8; 32],
}

impl KeystoreFile {
    /// A file without store key, MAC and checksum yet.
    pub(super) fn new(keystore_id: [u8; 16], created_at: Timestamp, kdf: KdfBlock) -> Self {
        Self {
            format: KEYSTORE_FORMAT.to_owned(),
            version: VERSION,
            keystore_id,
            created_at,
            kdf,
            passphrase_check: [0; 32],
            store_key: WrappedKey {
                nonce: [0; 12],
                ciphertext: Vec::new(),
                commitment: [0; 32],
            },
            sequence: 0,
            index: Vec::new(),
            mac: [0; 32],
            checksum: [0; 32],
        }
    }

    /// Reads and checks everything that can be checked without the passphrase.
    pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<Self, KeyError> {
        let parsed: Self = parse(file, KEYSTORE_FORMAT, bytes)?;
        if parsed.kdf.algorithm != KDF_ALGORITHM {
            return Err(KeyError::damaged(
                file,
                format!("key derivation {:?} is not known", parsed.kdf.algorithm),
            ));
        }
        parsed.kdf.params()?;
        check_form(file, &parsed, bytes)?;
        if parsed.checksum != parsed.content().sha256() {
            return Err(KeyError::damaged(file, "its checksum is wrong"));
        }
        let ids: Vec<KeyId> = parsed.index.iter().map(|entry| entry.id).collect();
        if ids.len() > KEYS_MAX || !ids.is_sorted_by(|a, b| a < b) {
            return Err(KeyError::damaged(file, "the index is not in order"));
        }
        Ok(parsed)
    }

    /// What the wrapped store key is bound to.
    pub(super) fn header(&self) -> Canonical {
        let mut header = Canonical::default();
        header
            .text(&self.format)
            .number(self.version.into())
            .bytes(&self.keystore_id)
            .signed(self.created_at.as_millis())
            .text(&self.kdf.algorithm)
            .number(self.kdf.version.into())
            .number(self.kdf.memory_kib.into())
            .number(self.kdf.iterations.into())
            .number(self.kdf.parallelism.into())
            .bytes(&self.kdf.salt)
            .bytes(&self.passphrase_check);
        header
    }

    /// What the MAC covers: everything but the MAC and the checksum.
    pub(super) fn authenticated(&self) -> Canonical {
        let mut all = self.header();
        all.bytes(&self.store_key.nonce)
            .bytes(&self.store_key.ciphertext)
            .bytes(&self.store_key.commitment)
            .number(self.sequence);
        for entry in &self.index {
            all.bytes(entry.id.bytes())
                .optional(entry.current.as_ref().map(|hash| hash.0.as_slice()))
                .optional(entry.next.as_ref().map(|hash| hash.0.as_slice()));
        }
        all
    }

    /// The text of the file, with a fresh checksum.
    pub(super) fn render(&mut self) -> Vec<u8> {
        self.checksum = self.content().sha256();
        render(self)
    }

    fn content(&self) -> Canonical {
        let mut content = self.authenticated();
        content.bytes(&self.mac);
        content
    }
}

impl KeyFile {
    /// A file without sealed key and checksum yet.
    pub(super) fn new(keystore_id: [u8; 16], record: &KeyRecord) -> Self {
        Self {
            format: KEY_FORMAT.to_owned(),
            version: VERSION,
            keystore_id,
            id: record.id,
            purpose: record.purpose,
            generation: record.generation,
            algorithm: record.public_key.algorithm,
            public_key: record.public_key.bytes.clone(),
            created_at: record.created_at,
            state: record.state,
            state_since: record.state_since,
            origin: record.origin,
            derivation_path: record.derivation_path.clone(),
            salt: [0; 32],
            nonce: [0; 12],
            ciphertext: Vec::new(),
            checksum: [0; 32],
        }
    }

    /// Reads and checks everything that can be checked without the passphrase.
    pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<Self, KeyError> {
        let parsed: Self = parse(file, KEY_FORMAT, bytes)?;
        check_form(file, &parsed, bytes)?;
        if parsed.checksum != parsed.content().sha256() {
            return Err(KeyError::damaged(file, "its checksum is wrong"));
        }
        Ok(parsed)
    }

    pub(super) fn record(&self) -> KeyRecord {
        KeyRecord {
            id: self.id,
            purpose: self.purpose,
            generation: self.generation,
            public_key: PublicKey {
                algorithm: self.algorithm,
                bytes: self.public_key.clone(),
            },
            created_at: self.created_at,
            state: self.state,
            state_since: self.state_since,
            origin: self.origin,
            derivation_path: self.derivation_path.clone(),
        }
    }

    /// What the sealed key is bound to: the record, the store, the format and the salt.
    pub(super) fn authenticated(&self) -> Canonical {
        let mut header = Canonical::default();
        header
            .text(&self.format)
            .number(self.version.into())
            .bytes(&self.keystore_id)
            .bytes(self.id.bytes())
            .text(&self.purpose.to_string())
            .number(self.generation.into())
            .text(&self.algorithm.to_string())
            .bytes(&self.public_key)
            .signed(self.created_at.as_millis())
            .text(&self.state.to_string())
            .signed(self.state_since.as_millis())
            .text(match self.origin {
                Origin::Generated => "generated",
                Origin::Mnemonic => "mnemonic",
                Origin::Imported => "imported",
            })
            .optional(self.derivation_path.as_ref().map(String::as_bytes))
            .bytes(&self.salt);
        header
    }

    /// The text of the file, with a fresh checksum.
    pub(super) fn render(&mut self) -> Vec<u8> {
        self.checksum = self.content().sha256();
        render(self)
    }

    fn content(&self) -> Canonical {
        let mut content = self.authenticated();
        content.bytes(&self.nonce).bytes(&self.ciphertext);
        content
    }
}

/// The part that every version has: read first, so that a newer file is called newer and not damaged.
#[derive(Deserialize)]
struct Envelope {
    format: String,
    version: u64,
}

fn parse<T: DeserializeOwned>(file: &Path, format: &str, bytes: &[u8]) -> Result<T, KeyError> {
    let broken = |error: serde_json::Error| KeyError::damaged(file, error.to_string());
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(broken)?;
    if envelope.format != format {
        return Err(KeyError::damaged(
            file,
            format!("its format is {:?}, not {format:?}", envelope.format),
        ));
    }
    if envelope.version > VERSION.into() {
        return Err(KeyError::NewerVersion {
            file: file.to_owned(),
            found: envelope.version,
            supported: VERSION,
        });
    }
    if envelope.version < 1 {
        return Err(KeyError::damaged(file, "format version 0 does not exist"));
    }
    serde_json::from_slice(bytes).map_err(broken)
}

/// These files are written by this program alone, so another spelling of the same content is a foreign edit.
fn check_form<T: Serialize>(file: &Path, parsed: &T, bytes: &[u8]) -> Result<(), KeyError> {
    if render(parsed) == bytes {
        return Ok(());
    }
    Err(KeyError::damaged(
        file,
        "it is not in the form that it was written in",
    ))
}

fn render<T: Serialize>(document: &T) -> Vec<u8> {
    let mut text =
        serde_json::to_vec_pretty(document).expect("only numbers, text and lists, with text as map keys");
    text.push(b'\n');
    text
}
