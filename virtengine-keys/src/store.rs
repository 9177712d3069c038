use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use virtengine_provider_core::id::Address;
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey, Signer};
use virtengine_provider_core::time::Timestamp;

use crate::address::address_of;
use crate::algorithm::verify;
use crate::error::KeyError;
use crate::file::{Access, FileStorage, KdfParams};
use crate::memory::MemoryStorage;
use crate::mnemonic::Mnemonic;
use crate::passphrase::Passphrase;
use crate::record::{KeyId, KeyRecord, KeyState, Origin, Purpose};
use crate::secret::{SecretBytes, random};
use crate::storage::{NewKey, SignFor, Storage, StorageType, StoredSigner};

/// Which storage, and where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreConfig {
    /// The kind of storage.
    pub storage_type: StorageType,
    /// The key directory; needed for [`StorageType::File`], ignored for [`StorageType::Memory`].
    pub key_dir: Option<PathBuf>,
}

impl StoreConfig {
    /// Encrypted files in `key_dir`.
    #[must_use]
    pub fn file(key_dir: impl Into<PathBuf>) -> Self {
        Self {
            storage_type: StorageType::File,
            key_dir: Some(key_dir.into()),
        }
    }

    fn dir(&self) -> Result<&PathBuf, KeyError> {
        self.key_dir.as_ref().ok_or(KeyError::Config {
            storage: self.storage_type,
            missing: "key_dir",
        })
    }
}

/// The keys of a provider: at most one live key per [`Purpose`], kept by one [`Storage`].
///
/// Clones share the same store. Methods that are not `async` may block for up to a second.
///
/// ```
/// use virtengine_keys::{Algorithm, KeyStore, Purpose};
/// use virtengine_provider_core::time::Timestamp;
///
/// let keys = KeyStore::memory();
/// let record = keys.generate(Purpose::Identity, Algorithm::Ed25519, Timestamp::EPOCH)?;
/// assert_eq!(keys.signer(Purpose::Identity)?.public_key(), record.public_key);
/// # Ok::<(), virtengine_keys::KeyError>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeyStore {
    storage: Arc<dyn Storage>,
    /// Makes "look whether the purpose is free, then store" one step.
    changes: Arc<Mutex<()>>,
}

/// What `keys status` shows. Holds no secret; readable while locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoreStatus {
    /// The kind of storage.
    pub storage_type: StorageType,
    /// The key directory, if there is one.
    pub location: Option<PathBuf>,
    /// Whether signing needs an unlock first.
    pub locked: bool,
    /// All keys.
    pub keys: Vec<KeyRecord>,
}

/// A signature made to show that a key works. It covers a challenge that cannot be mistaken for anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TestSignature {
    /// The key.
    pub id: KeyId,
    /// Its purpose.
    pub purpose: Purpose,
    /// The public key that the signature was verified with.
    pub public_key: PublicKey,
    /// What was signed.
    #[serde(with = "hex::serde")]
    pub message: Vec<u8>,
    /// The verified signature.
    #[serde(with = "hex::serde")]
    pub signature: Vec<u8>,
}

/// No protobuf sign document starts with this (its first byte would be field 14 with the invalid wire type 6), no JSON either.
const CHALLENGE_DOMAIN: &[u8] = b"virtengine-keys/test-sign/v1\n";

impl KeyStore {
    /// An empty store in memory.
    #[must_use]
    pub fn memory() -> Self {
        Self::with_storage(Arc::new(MemoryStorage::default()))
    }

    /// Creates a new store and opens it, unlocked and for changes. Nothing that exists is ever overwritten.
    ///
    /// # Errors
    /// There is a store already, the storage type is not in this build, the file system failed.
    pub fn init(
        config: &StoreConfig,
        passphrase: &Passphrase,
        kdf: KdfParams,
        now: Timestamp,
    ) -> Result<Self, KeyError> {
        match config.storage_type {
            StorageType::File => {
                let storage = FileStorage::init(config.dir()?, passphrase, kdf, now)?;
                Ok(Self::with_storage(Arc::new(storage)))
            }
            StorageType::Memory => Ok(Self::memory()),
            storage => Err(KeyError::StorageNotAvailable { storage }),
        }
    }

    /// Opens an existing store, locked. With [`Access::ReadWrite`] no other process can open it for changes until this one (and all
    /// its clones and signers) is dropped.
    ///
    /// # Errors
    /// There is no store, it is held by another process, others can reach its files, or it is damaged.
    pub fn open(config: &StoreConfig, access: Access) -> Result<Self, KeyError> {
        match config.storage_type {
            StorageType::File => {
                let storage = FileStorage::open(config.dir()?, access)?;
                Ok(Self::with_storage(Arc::new(storage)))
            }
            StorageType::Memory => Ok(Self::memory()),
            storage => Err(KeyError::StorageNotAvailable { storage }),
        }
    }

    /// A store over any storage.
    #[must_use]
    pub fn with_storage(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            changes: Arc::default(),
        }
    }

    /// Makes the keys usable.
    ///
    /// # Errors
    /// Wrong passphrase, damaged or tampered files. The store stays as it was.
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<(), KeyError> {
        self.storage.unlock(passphrase)
    }

    /// Wipes the secrets from memory. Signers stay valid and answer "locked" until the next unlock.
    pub fn lock(&self) {
        self.storage.lock();
    }

    /// Whether signing needs an unlock first.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.storage.is_locked()
    }

    /// All keys. Works while locked; then they are what the files say, and only an unlock proves that nobody edited them.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn records(&self) -> Result<Vec<KeyRecord>, KeyError> {
        self.storage.records()
    }

    /// The state of the store and of all keys; works while locked.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn status(&self) -> Result<StoreStatus, KeyError> {
        Ok(StoreStatus {
            storage_type: self.storage.storage_type(),
            location: self.storage.location().map(ToOwned::to_owned),
            locked: self.storage.is_locked(),
            keys: self.storage.records()?,
        })
    }

    /// Draws a new key, active at once. For the account key prefer [`Mnemonic::generate`] with [`Self::import_mnemonic`], since a
    /// key without a mnemonic cannot be written down.
    ///
    /// # Errors
    /// The purpose has a live key, does not work with the algorithm, or the storage failed.
    pub fn generate(
        &self,
        purpose: Purpose,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<KeyRecord, KeyError> {
        let _one_at_a_time = self.begin_change();
        let new = self.new_key(purpose, algorithm, Origin::Generated, None, now)?;
        self.storage.generate(&new)
    }

    /// Stores the secp256k1 key at `path` of the mnemonic ([`crate::mnemonic::ACCOUNT_PATH`] for the account key). The mnemonic itself
    /// is not stored.
    ///
    /// # Errors
    /// The path is not valid, the purpose has a live key, this key was stored before, or the storage failed.
    pub fn import_mnemonic(
        &self,
        purpose: Purpose,
        mnemonic: &Mnemonic,
        path: &str,
        now: Timestamp,
    ) -> Result<KeyRecord, KeyError> {
        let secret = mnemonic.derive(path)?;
        self.import(
            purpose,
            Algorithm::Secp256k1,
            &secret,
            Origin::Mnemonic,
            Some(path.to_owned()),
            now,
        )
    }

    /// Stores a private key given as its 32 raw bytes.
    ///
    /// # Errors
    /// Not a private key of the algorithm, the purpose has a live key, this key was stored before, or the storage failed.
    pub fn import_raw(
        &self,
        purpose: Purpose,
        algorithm: Algorithm,
        secret: &SecretBytes,
        now: Timestamp,
    ) -> Result<KeyRecord, KeyError> {
        self.import(purpose, algorithm, secret, Origin::Imported, None, now)
    }

    /// Takes a key to another state of its life: to `Active`, `Suspended`, `Deactivated` or `Compromised`. The steps into the other
    /// states belong to rotation, archiving and destruction.
    ///
    /// # Errors
    /// Unknown key, a step that the life cycle does not have or this build does not contain, another live key of the same purpose,
    /// or the storage failed.
    pub fn set_state(&self, id: KeyId, state: KeyState, now: Timestamp) -> Result<KeyRecord, KeyError> {
        let _one_at_a_time = self.begin_change();
        let records = self.storage.records()?;
        let record = records
            .iter()
            .find(|record| record.id == id)
            .ok_or(KeyError::UnknownKey { id })?;
        if !record.state.may_become(state) {
            return Err(KeyError::IllegalTransition {
                id,
                from: record.state,
                to: state,
            });
        }
        match state {
            KeyState::Active | KeyState::Suspended | KeyState::Deactivated | KeyState::Compromised => {
                self.storage.set_state(id, state, now)
            }
            to => Err(KeyError::TransitionNotAvailable { to }),
        }
    }

    /// Changes the passphrase. The keys themselves are not written again.
    ///
    /// # Errors
    /// `old` is wrong or the store is read-only: then `old` stays valid. The storage failed: then exactly one of the two is valid, and
    /// [`Self::unlock`] tells which.
    pub fn change_passphrase(&self, old: &Passphrase, new: &Passphrase) -> Result<(), KeyError> {
        let _one_at_a_time = self.begin_change();
        self.storage.change_passphrase(old, new)
    }

    /// The record of the active key of `purpose`; works while locked.
    ///
    /// # Errors
    /// There is none, the one that there is does not sign at present, or the records cannot be read.
    pub fn active(&self, purpose: Purpose) -> Result<KeyRecord, KeyError> {
        self.usable(purpose, "sign", KeyState::may_sign)
    }

    /// A signer with the active key of `purpose`. Works while locked: it then answers "locked" until the store is unlocked.
    ///
    /// # Errors
    /// There is no active key, or the records cannot be read.
    pub fn signer(&self, purpose: Purpose) -> Result<Arc<dyn Signer>, KeyError> {
        let record = self.active(purpose)?;
        Ok(Arc::new(StoredSigner {
            storage: Arc::clone(&self.storage),
            id: record.id,
            public_key: record.public_key,
        }))
    }

    /// The address of the account key under `prefix`, e.g. `ve`; works while locked.
    ///
    /// # Errors
    /// There is no active account key, or `prefix` is not a bech32 prefix.
    pub fn account_address(&self, prefix: &str) -> Result<Address, KeyError> {
        let record = self.active(Purpose::Account)?;
        address_of(&record.public_key, prefix).map_err(|_| KeyError::Config {
            storage: self.storage.storage_type(),
            missing: "a valid chain.address_prefix",
        })
    }

    /// Signs a fresh challenge with the key of `purpose` that is in use (or about to be) and verifies the signature.
    ///
    /// # Errors
    /// No such key, locked, or the signature is not good.
    pub async fn test_sign(&self, purpose: Purpose) -> Result<TestSignature, KeyError> {
        let record = self.usable(purpose, "make a test signature", KeyState::may_prove_possession)?;
        let id = record.id;
        let failed = |problem: String| KeyError::TestSign { id, problem };
        let nonce: [u8; 32] = random()?;
        let message = [CHALLENGE_DOMAIN, id.bytes(), &nonce].concat();
        let signature = match self.storage.sign(id, &message, SignFor::Proof).await {
            Err(virtengine_provider_core::ports::signer::SignError::Locked) => return Err(KeyError::Locked),
            other => other.map_err(|error| failed(error.to_string()))?,
        };
        verify(&record.public_key, &message, &signature).map_err(|error| failed(error.to_string()))?;
        Ok(TestSignature {
            id,
            purpose,
            public_key: record.public_key,
            message,
            signature,
        })
    }

    fn begin_change(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest key of `purpose` whose state `allows` the `operation`, an active one before all others.
    fn usable(
        &self,
        purpose: Purpose,
        operation: &'static str,
        allows: impl Fn(KeyState) -> bool,
    ) -> Result<KeyRecord, KeyError> {
        let records = self.storage.records()?;
        let live = records
            .into_iter()
            .filter(|record| record.purpose == purpose && record.state.occupies_purpose())
            .max_by_key(|record| (record.state.may_sign(), allows(record.state), record.generation))
            .ok_or(KeyError::NoKey { purpose })?;
        if allows(live.state) {
            return Ok(live);
        }
        Err(KeyError::StateForbids {
            id: live.id,
            state: live.state,
            operation,
        })
    }

    fn import(
        &self,
        purpose: Purpose,
        algorithm: Algorithm,
        secret: &SecretBytes,
        origin: Origin,
        derivation_path: Option<String>,
        now: Timestamp,
    ) -> Result<KeyRecord, KeyError> {
        let _one_at_a_time = self.begin_change();
        let new = self.new_key(purpose, algorithm, origin, derivation_path, now)?;
        let id = KeyId::of(&crate::algorithm::PrivateKey::from_bytes(algorithm, secret)?.public_key());
        // A key that was ever stored, a compromised one above all, does not come back under a new record.
        if let Some(known) = self.storage.records()?.into_iter().find(|record| record.id == id) {
            return Err(KeyError::KeyExists {
                purpose: known.purpose,
                id,
                state: known.state,
            });
        }
        self.storage.import(&new, secret)
    }

    fn new_key(
        &self,
        purpose: Purpose,
        algorithm: Algorithm,
        origin: Origin,
        derivation_path: Option<String>,
        now: Timestamp,
    ) -> Result<NewKey, KeyError> {
        purpose.check(algorithm)?;
        let records = self.storage.records()?;
        let of_purpose = || records.iter().filter(|record| record.purpose == purpose);
        if let Some(live) = of_purpose().find(|record| record.state.occupies_purpose()) {
            return Err(KeyError::KeyExists {
                purpose,
                id: live.id,
                state: live.state,
            });
        }
        let last = of_purpose().map(|record| record.generation).max().unwrap_or(0);
        Ok(NewKey {
            purpose,
            algorithm,
            generation: last.saturating_add(1),
            origin,
            derivation_path,
            created_at: now,
        })
    }
}
