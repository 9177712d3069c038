//! Where keys are kept: the trait behind which each kind of storage stands, and their names.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use virtengine_provider_core::ports::signer::{PublicKey, SignError, Signer};
use virtengine_provider_core::time::Timestamp;

use crate::algorithm::PrivateKey;
use crate::error::KeyError;
use crate::passphrase::Passphrase;
use crate::record::{KeyId, KeyRecord, KeyState, Origin, Purpose};
use crate::secret::SecretBytes;

/// The kinds of storage, by their names in the configuration (spec: key storage types).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StorageType {
    /// Encrypted files.
    #[default]
    File,
    /// A PKCS#11 module. Not in this build.
    Hardware,
    /// A Ledger device. Not in this build.
    Ledger,
    /// An external signer. Not in this build.
    NonCustodial,
    /// Memory only: for tests and throw-away networks.
    Memory,
}

impl fmt::Display for StorageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Hardware => "hardware",
            Self::Ledger => "ledger",
            Self::NonCustodial => "non_custodial",
            Self::Memory => "memory",
        })
    }
}

impl std::str::FromStr for StorageType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "file" => Ok(Self::File),
            "hardware" => Ok(Self::Hardware),
            "ledger" => Ok(Self::Ledger),
            "non_custodial" => Ok(Self::NonCustodial),
            "memory" => Ok(Self::Memory),
            _ => Err(format!(
                "{text:?} is not one of file, hardware, ledger, non_custodial, memory"
            )),
        }
    }
}

/// Everything about a new key except the key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewKey {
    /// What it is for.
    pub purpose: Purpose,
    /// How it signs.
    pub algorithm: virtengine_provider_core::ports::signer::Algorithm,
    /// The count of keys that the purpose will have had with this one.
    pub generation: u32,
    /// How it comes into the store.
    pub origin: Origin,
    /// The BIP-32 path, for keys from a mnemonic.
    pub derivation_path: Option<String>,
    /// Now.
    pub created_at: Timestamp,
}

/// What a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignFor {
    /// A message of the caller: the key must be [`KeyState::may_sign`].
    Work,
    /// A challenge made here: the key must be [`KeyState::may_prove_possession`].
    Proof,
}

impl SignFor {
    /// Refuses when `record` is in a state that does not allow this use.
    ///
    /// # Errors
    /// [`SignError::Refused`], naming key and state.
    pub fn check(self, record: &KeyRecord) -> Result<(), SignError> {
        let allowed = match self {
            Self::Work => record.state.may_sign(),
            Self::Proof => record.state.may_prove_possession(),
        };
        if allowed {
            return Ok(());
        }
        Err(SignError::Refused(format!(
            "key {} is {}",
            record.id, record.state
        )))
    }
}

/// A place that keeps keys. The rules that hold for every place (one key per purpose, which algorithm for which purpose, which
/// life-cycle step) are [`crate::KeyStore`]'s; a storage only keeps and signs. Calls other than [`Self::sign`] may block for up to a
/// second (key derivation, durable writes): run them where blocking is allowed.
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync {
    /// Which kind this is.
    fn storage_type(&self) -> StorageType;

    /// The directory, for kinds that have one.
    fn location(&self) -> Option<&Path>;

    /// Whether secrets are out of reach until [`Self::unlock`].
    fn is_locked(&self) -> bool;

    /// Makes the keys usable. Unlocking twice is allowed and checks the passphrase again.
    ///
    /// # Errors
    /// Wrong passphrase, damaged or tampered files, file system failures. The storage stays as it was.
    fn unlock(&self, passphrase: &Passphrase) -> Result<(), KeyError>;

    /// Wipes the secrets from memory; signers answer [`SignError::Locked`] from then on.
    fn lock(&self);

    /// All keys, in the order of their ids. Works while locked; then they need not be authenticated.
    ///
    /// # Errors
    /// The records cannot be read.
    fn records(&self) -> Result<Vec<KeyRecord>, KeyError>;

    /// Draws a new key and keeps it as [`KeyState::Active`]. Durable when this returns.
    ///
    /// # Errors
    /// Locked, read-only, no entropy, file system failures. After a file system failure the key may or may not have been stored; a
    /// storage that cannot find out locks itself.
    fn generate(&self, new: &NewKey) -> Result<KeyRecord, KeyError>;

    /// Keeps the given private key as [`KeyState::Active`]. Durable when this returns.
    ///
    /// # Errors
    /// As [`Self::generate`], and bytes that are not a key.
    fn import(&self, new: &NewKey, secret: &SecretBytes) -> Result<KeyRecord, KeyError>;

    /// Notes the new state of a key. Durable when this returns.
    ///
    /// # Errors
    /// Unknown key, locked, read-only, file system failures. After a file system failure the state may be the old or the new one; a
    /// storage that cannot find out locks itself.
    fn set_state(&self, id: KeyId, state: KeyState, now: Timestamp) -> Result<KeyRecord, KeyError>;

    /// Changes the passphrase. Durable when this returns. Does not unlock: who locks meanwhile finds it locked.
    ///
    /// # Errors
    /// `old` is wrong or read-only: then `old` stays valid. File system failures: then exactly one of the two is valid, and unlocking
    /// tells which.
    fn change_passphrase(&self, old: &Passphrase, new: &Passphrase) -> Result<(), KeyError>;

    /// Signs `message` with the key `id`, if its state allows that use. Cancelling the future is safe.
    ///
    /// # Errors
    /// Locked, unknown key, forbidden by its state.
    async fn sign(&self, id: KeyId, message: &[u8], sign_for: SignFor) -> Result<Vec<u8>, SignError>;
}

/// A key of a storage, as a signer. It stays valid across lock and unlock.
#[derive(Debug)]
pub(crate) struct StoredSigner {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) id: KeyId,
    pub(crate) public_key: PublicKey,
}

#[async_trait]
impl Signer for StoredSigner {
    fn public_key(&self) -> PublicKey {
        self.public_key.clone()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.storage.sign(self.id, message, SignFor::Work).await
    }
}

/// A private key in memory with its record.
#[derive(Debug, Clone)]
pub(crate) struct LoadedKey {
    pub(crate) record: KeyRecord,
    pub(crate) private: Arc<PrivateKey>,
}

impl LoadedKey {
    pub(crate) fn new(new: &NewKey, private: PrivateKey) -> Self {
        let public_key = private.public_key();
        Self {
            record: KeyRecord {
                id: KeyId::of(&public_key),
                purpose: new.purpose,
                generation: new.generation,
                public_key,
                created_at: new.created_at,
                state: KeyState::Active,
                state_since: new.created_at,
                origin: new.origin,
                derivation_path: new.derivation_path.clone(),
            },
            private: Arc::new(private),
        }
    }

    pub(crate) fn sign(&self, message: &[u8], sign_for: SignFor) -> Result<Vec<u8>, SignError> {
        sign_for.check(&self.record)?;
        self.private
            .sign(message)
            .map_err(|problem| SignError::Failed(problem.to_owned()))
    }
}
