use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use virtengine_provider_core::ports::signer::SignError;
use virtengine_provider_core::time::Timestamp;

use super::config::{Access, KdfParams};
use super::disk::{Disk, Folder, Name, RealDisk, replace};
use super::format::{Hash, IndexEntry, KEYS_MAX, KdfBlock, KeystoreFile};
use super::lock::WriterLock;
use super::read::{Public, Unlocked};
use super::seal::StoreKey;
use crate::algorithm::PrivateKey;
use crate::error::KeyError;
use crate::passphrase::Passphrase;
use crate::record::{KeyId, KeyRecord, KeyState};
use crate::secret::{SecretBytes, random};
use crate::storage::{LoadedKey, NewKey, SignFor, Storage, StorageType};

/// Keys in encrypted files; see the module for format and guarantees.
#[derive(Debug)]
pub struct FileStorage {
    dir: PathBuf,
    disk: Box<dyn Disk>,
    /// `None` when opened read-only.
    writer: Option<WriterLock>,
    /// Held for a whole change or unlock: those are slow, and signing must not wait for them.
    changes: Mutex<()>,
    unlocked: RwLock<Option<Unlocked>>,
}

impl FileStorage {
    /// Creates a store in `dir` (made if missing, with mode 0700) and opens it for changes, unlocked.
    ///
    /// # Errors
    /// There is a store, or key files of one; the directory exists and others can reach it; the file system failed.
    pub fn init(
        dir: &Path,
        passphrase: &Passphrase,
        kdf: KdfParams,
        now: Timestamp,
    ) -> Result<Self, KeyError> {
        let disk = RealDisk::create_or_open(dir)?;
        let writer = WriterLock::acquire(&disk)?;
        Self::init_on(dir, Box::new(disk), Some(writer), passphrase, kdf, now)
    }

    /// Opens the store in `dir`, locked.
    ///
    /// # Errors
    /// There is none, others can reach its files, it is damaged, or (for changes) another process holds it.
    pub fn open(dir: &Path, access: Access) -> Result<Self, KeyError> {
        let disk = RealDisk::open(dir)?;
        let writer = match access {
            Access::ReadOnly => None,
            Access::ReadWrite => Some(WriterLock::acquire(&disk)?),
        };
        Self::open_on(dir, Box::new(disk), writer)
    }

    pub(super) fn init_on(
        dir: &Path,
        disk: Box<dyn Disk>,
        writer: Option<WriterLock>,
        passphrase: &Passphrase,
        kdf: KdfParams,
        now: Timestamp,
    ) -> Result<Self, KeyError> {
        remove_temporaries(disk.as_ref())?;
        match Public::read(disk.as_ref()) {
            Err(KeyError::NotInitialized { .. }) => {}
            Ok(_)
            | Err(
                KeyError::Damaged { .. }
                | KeyError::Tampered { .. }
                | KeyError::NewerVersion { .. }
                | KeyError::KdfOutOfBounds { .. },
            ) => return Err(KeyError::AlreadyInitialized { dir: dir.to_owned() }),
            Err(error) => return Err(error),
        }
        let store_key = StoreKey::generate()?;
        let mut keystore = KeystoreFile::new(random()?, now, KdfBlock::new(kdf, random()?));
        store_key.wrap(passphrase, &mut keystore)?;
        write_keystore(disk.as_ref(), &store_key, &mut keystore)?;
        Ok(Self {
            dir: dir.to_owned(),
            disk,
            writer,
            changes: Mutex::default(),
            unlocked: RwLock::new(Some(Unlocked {
                store_key: Arc::new(store_key),
                keystore,
                keys: std::collections::BTreeMap::new(),
            })),
        })
    }

    pub(super) fn open_on(
        dir: &Path,
        disk: Box<dyn Disk>,
        writer: Option<WriterLock>,
    ) -> Result<Self, KeyError> {
        if writer.is_some() {
            remove_temporaries(disk.as_ref())?;
        }
        Public::read(disk.as_ref())?;
        Ok(Self {
            dir: dir.to_owned(),
            disk,
            writer,
            changes: Mutex::default(),
            unlocked: RwLock::new(None),
        })
    }

    fn begin_change(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_unlocked<T>(&self, look: impl FnOnce(&Unlocked) -> T) -> Option<T> {
        let unlocked = self.unlocked.read().unwrap_or_else(PoisonError::into_inner);
        unlocked.as_ref().map(look)
    }

    fn set_unlocked(&self, unlocked: Option<Unlocked>) {
        *self.unlocked.write().unwrap_or_else(PoisonError::into_inner) = unlocked;
    }

    /// The store key and the index, for a change. Not while locked or read-only.
    fn writable(&self) -> Result<(Arc<StoreKey>, KeystoreFile), KeyError> {
        if self.writer.is_none() {
            return Err(KeyError::ReadOnly);
        }
        self.with_unlocked(|unlocked| (Arc::clone(&unlocked.store_key), unlocked.keystore.clone()))
            .ok_or(KeyError::Locked)
    }

    pub(super) fn unlock_with(&self, public: Public, store_key: Arc<StoreKey>) -> Result<(), KeyError> {
        let on_disk = public.on_disk.clone();
        let mut unlocked = public.unlock(self.disk.as_ref(), store_key)?;
        self.finish_change(&on_disk, &mut unlocked);
        self.set_unlocked(Some(unlocked));
        Ok(())
    }

    fn add(&self, key: LoadedKey) -> Result<KeyRecord, KeyError> {
        let _one_at_a_time = self.begin_change();
        self.put(key)
    }

    /// Stores `key` in place of what has its id.
    fn put(&self, key: LoadedKey) -> Result<KeyRecord, KeyError> {
        let (store_key, mut keystore) = self.writable()?;
        let record = key.record.clone();
        let result = self.write_key(&store_key, &mut keystore, &key);
        let mut unlocked = self.unlocked.write().unwrap_or_else(PoisonError::into_inner);
        match (result, unlocked.as_mut()) {
            (Ok(()), Some(unlocked)) => {
                unlocked.keystore = keystore;
                unlocked.keys.insert(record.id, key);
            }
            // Locked meanwhile: the change is on disk and shows at the next unlock.
            (Ok(()), None) => {}
            (Err(error), _) => {
                drop(unlocked);
                self.follow_disk();
                return Err(error);
            }
        }
        Ok(record)
    }

    fn write_key(
        &self,
        store_key: &StoreKey,
        keystore: &mut KeystoreFile,
        key: &LoadedKey,
    ) -> Result<(), KeyError> {
        let id = key.record.id;
        let bytes = store_key
            .seal(keystore.keystore_id, &key.record, &key.private)?
            .render();
        let hash = Hash::of(&bytes);
        let at = match keystore.index.binary_search_by_key(&id, |entry| entry.id) {
            Ok(at) => at,
            Err(_) if keystore.index.len() >= KEYS_MAX => {
                return Err(KeyError::TooManyKeys { max: KEYS_MAX });
            }
            Err(at) => {
                let announced = IndexEntry {
                    id,
                    current: None,
                    next: None,
                };
                keystore.index.insert(at, announced);
                at
            }
        };
        let disk = self.disk.as_ref();
        keystore.index[at].next = Some(hash);
        write_keystore(disk, store_key, keystore)?;
        replace(disk, &Name::key(id), &bytes)?;
        keystore.index[at].current = Some(hash);
        keystore.index[at].next = None;
        write_keystore(disk, store_key, keystore)
    }

    /// Keeps what the files say, except if somebody locked meanwhile.
    fn refresh_unlocked(&self, fresh: Unlocked) {
        let mut unlocked = self.unlocked.write().unwrap_or_else(PoisonError::into_inner);
        if unlocked.is_some() {
            *unlocked = Some(fresh);
        }
    }

    /// After a failed write, memory follows what the files say: the change may have happened, or not. Where they do not say it, memory
    /// forgets: a key that became compromised or suspended on disk must not go on signing.
    fn follow_disk(&self) {
        let Some(store_key) = self.with_unlocked(|unlocked| Arc::clone(&unlocked.store_key)) else {
            return;
        };
        let disk = self.disk.as_ref();
        match Public::read(disk).and_then(|public| public.unlock(disk, store_key)) {
            Ok(fresh) => self.refresh_unlocked(fresh),
            Err(error) => {
                self.set_unlocked(None);
                tracing::error!(%error, dir = %self.dir.display(), "the key files cannot be read after a failed write; the keys are locked until they are unlocked again");
            }
        }
    }

    /// Brings a change that was under way when its writer stopped to its end on disk.
    fn finish_change(&self, on_disk: &KeystoreFile, unlocked: &mut Unlocked) {
        if self.writer.is_none() || on_disk.index == unlocked.keystore.index {
            return;
        }
        match write_keystore(self.disk.as_ref(), &unlocked.store_key, &mut unlocked.keystore) {
            Ok(()) => {
                tracing::info!(dir = %self.dir.display(), "finished a key change that was cut short");
            }
            // The next change writes the whole index again, and every reader understands it as it is.
            Err(error) => {
                tracing::warn!(%error, dir = %self.dir.display(), "a key change that was cut short is not finished yet");
            }
        }
    }
}

#[async_trait]
impl Storage for FileStorage {
    fn storage_type(&self) -> StorageType {
        StorageType::File
    }

    fn location(&self) -> Option<&Path> {
        Some(&self.dir)
    }

    fn is_locked(&self) -> bool {
        self.with_unlocked(|_| ()).is_none()
    }

    fn unlock(&self, passphrase: &Passphrase) -> Result<(), KeyError> {
        let _one_at_a_time = self.begin_change();
        let public = Public::read(self.disk.as_ref())?;
        let store_key = public.store_key(self.disk.as_ref(), passphrase)?;
        self.unlock_with(public, Arc::new(store_key))
    }

    fn lock(&self) {
        self.set_unlocked(None);
    }

    fn records(&self) -> Result<Vec<KeyRecord>, KeyError> {
        let loaded =
            self.with_unlocked(|unlocked| unlocked.keys.values().map(|key| key.record.clone()).collect());
        match loaded {
            Some(records) => Ok(records),
            None => Ok(Public::read(self.disk.as_ref())?.records()),
        }
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
        let _one_at_a_time = self.begin_change();
        self.writable()?;
        let mut key = self
            .with_unlocked(|unlocked| unlocked.keys.get(&id).cloned())
            .ok_or(KeyError::Locked)?
            .ok_or(KeyError::UnknownKey { id })?;
        key.record.state = state;
        key.record.state_since = now;
        self.put(key)
    }

    fn change_passphrase(&self, old: &Passphrase, new: &Passphrase) -> Result<(), KeyError> {
        let _one_at_a_time = self.begin_change();
        if self.writer.is_none() {
            return Err(KeyError::ReadOnly);
        }
        let disk = self.disk.as_ref();
        let public = Public::read(disk)?;
        let store_key = public.store_key(disk, old)?;
        let mut fresh = public.unlock(disk, Arc::new(store_key))?;
        let params = fresh.keystore.kdf.params()?;
        fresh.keystore.kdf = KdfBlock::new(params, random()?);
        fresh.store_key.wrap(new, &mut fresh.keystore)?;
        let result = write_keystore(disk, &fresh.store_key, &mut fresh.keystore);
        if let Err(error) = result {
            self.follow_disk();
            return Err(error);
        }
        self.refresh_unlocked(fresh);
        Ok(())
    }

    async fn sign(&self, id: KeyId, message: &[u8], sign_for: SignFor) -> Result<Vec<u8>, SignError> {
        self.with_unlocked(|unlocked| {
            unlocked
                .keys
                .get(&id)
                .ok_or_else(|| SignError::Refused(format!("there is no key {id}")))?
                .sign(message, sign_for)
        })
        .ok_or(SignError::Locked)?
    }
}

/// Writes the next version of `keystore.json`, authenticated.
fn write_keystore(
    disk: &dyn Disk,
    store_key: &StoreKey,
    keystore: &mut KeystoreFile,
) -> Result<(), KeyError> {
    keystore.sequence = keystore.sequence.saturating_add(1);
    keystore.mac = store_key.mac(keystore);
    replace(disk, &Name::keystore(), &keystore.render())
}

/// What a stop halfway left behind. Never holds the only copy of anything: it was not yet renamed into place.
fn remove_temporaries(disk: &dyn Disk) -> Result<(), KeyError> {
    for folder in [Folder::Root, Folder::Keys] {
        for file in disk
            .list(folder)?
            .into_iter()
            .filter(|file| Name::is_temporary(file))
        {
            let name = Name { folder, file };
            disk.remove(&name)
                .map_err(|error| KeyError::io("remove", &disk.path(&name), error))?;
        }
    }
    Ok(())
}
