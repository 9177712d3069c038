use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use virtengine_provider_core::ports::signer::SignError;
use virtengine_provider_core::time::Timestamp;

use crate::algorithm::PrivateKey;
use crate::error::KeyError;
use crate::passphrase::Passphrase;
use crate::record::{KeyId, KeyRecord, KeyState};
use crate::secret::SecretBytes;
use crate::storage::{LoadedKey, NewKey, SignFor, Storage, StorageType};

/// Keeps keys in memory. It starts unlocked; locking refuses to sign, and any passphrase unlocks, since there is nothing stored
/// that a passphrase could protect.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    locked: bool,
    keys: BTreeMap<KeyId, LoadedKey>,
}

impl MemoryStorage {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, key: LoadedKey) -> Result<KeyRecord, KeyError> {
        let mut inner = self.write();
        if inner.locked {
            return Err(KeyError::Locked);
        }
        let record = key.record.clone();
        inner.keys.insert(record.id, key);
        Ok(record)
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn storage_type(&self) -> StorageType {
        StorageType::Memory
    }

    fn location(&self) -> Option<&Path> {
        None
    }

    fn is_locked(&self) -> bool {
        self.read().locked
    }

    fn unlock(&self, _passphrase: &Passphrase) -> Result<(), KeyError> {
        self.write().locked = false;
        Ok(())
    }

    fn lock(&self) {
        self.write().locked = true;
    }

    fn records(&self) -> Result<Vec<KeyRecord>, KeyError> {
        Ok(self.read().keys.values().map(|key| key.record.clone()).collect())
    }

    fn generate(&self, new: &NewKey) -> Result<KeyRecord, KeyError> {
        self.add(LoadedKey::new(new, PrivateKey::generate(new.algorithm)?))
    }

    fn import(&self, new: &NewKey, secret: &SecretBytes) -> Result<KeyRecord, KeyError> {
        self.add(LoadedKey::new(
            new,
            PrivateKey::from_bytes(new.algorithm, secret)?,
        ))
    }

    fn set_state(&self, id: KeyId, state: KeyState, now: Timestamp) -> Result<KeyRecord, KeyError> {
        let mut inner = self.write();
        if inner.locked {
            return Err(KeyError::Locked);
        }
        let key = inner.keys.get_mut(&id).ok_or(KeyError::UnknownKey { id })?;
        key.record.state = state;
        key.record.state_since = now;
        Ok(key.record.clone())
    }

    fn change_passphrase(&self, _old: &Passphrase, _new: &Passphrase) -> Result<(), KeyError> {
        Ok(())
    }

    async fn sign(&self, id: KeyId, message: &[u8], sign_for: SignFor) -> Result<Vec<u8>, SignError> {
        let inner = self.read();
        if inner.locked {
            return Err(SignError::Locked);
        }
        inner
            .keys
            .get(&id)
            .ok_or_else(|| SignError::Refused(format!("there is no key {id}")))?
            .sign(message, sign_for)
    }
}
