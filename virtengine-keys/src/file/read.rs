//! Reads a whole store as it was at one moment, although another process may be writing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disk::{Disk, Folder, Name};
use super::format::{Hash, IndexEntry, KEY_FILE_BYTES_MAX, KEYSTORE_BYTES_MAX, KeyFile, KeystoreFile};
use super::seal::StoreKey;
use crate::error::KeyError;
use crate::passphrase::Passphrase;
use crate::record::{KeyId, KeyRecord};
use crate::storage::LoadedKey;

/// A writer makes at most three renames per change, so that seeing the files change this often in a row means something else.
const ATTEMPTS_MAX: usize = 20;

/// Everything that can be read without the passphrase. Not authenticated.
#[derive(Debug)]
pub(super) struct Public {
    /// With every change that was under way taken as done or as not begun, as its key file says.
    pub(super) keystore: KeystoreFile,
    /// The file as it stands on disk.
    pub(super) on_disk: KeystoreFile,
    pub(super) keys: Vec<KeyFile>,
}

/// An unlocked store.
#[derive(Debug)]
pub(super) struct Unlocked {
    pub(super) store_key: Arc<StoreKey>,
    pub(super) keystore: KeystoreFile,
    pub(super) keys: BTreeMap<KeyId, LoadedKey>,
}

impl Public {
    pub(super) fn read(disk: &dyn Disk) -> Result<Self, KeyError> {
        let mut text = keystore_text(disk)?;
        for _ in 0..ATTEMPTS_MAX {
            let result = Self::read_with(disk, &text);
            if result.is_ok() {
                return result;
            }
            // The index always says first what a key file will become: if it is unchanged, no writer explains the mismatch.
            let again = keystore_text(disk)?;
            if again == text {
                return result;
            }
            text = again;
        }
        Self::read_with(disk, &text)
    }

    pub(super) fn records(&self) -> Vec<KeyRecord> {
        self.keys.iter().map(KeyFile::record).collect()
    }

    /// The store key, from the passphrase. Takes the time of one key derivation.
    pub(super) fn store_key(&self, disk: &dyn Disk, passphrase: &Passphrase) -> Result<StoreKey, KeyError> {
        StoreKey::unwrap(passphrase, &disk.path(&Name::keystore()), &self.on_disk)
    }

    /// Unlocks, and proves that nothing was changed by others.
    pub(super) fn unlock(self, disk: &dyn Disk, store_key: Arc<StoreKey>) -> Result<Unlocked, KeyError> {
        store_key.authenticate(&disk.path(&Name::keystore()), &self.on_disk)?;
        let mut keys = BTreeMap::new();
        for file in &self.keys {
            let private = Arc::new(store_key.open(&disk.path(&Name::key(file.id)), file)?);
            let record = file.record();
            keys.insert(file.id, LoadedKey { record, private });
        }
        Ok(Unlocked {
            store_key,
            keystore: self.keystore,
            keys,
        })
    }

    fn read_with(disk: &dyn Disk, text: &[u8]) -> Result<Self, KeyError> {
        let on_disk = KeystoreFile::parse(&disk.path(&Name::keystore()), text)?;
        let mut keystore = on_disk.clone();
        keystore.index.clear();
        let mut keys = Vec::with_capacity(on_disk.index.len());
        for entry in &on_disk.index {
            if let Some((hash, file)) = read_key(disk, entry, &on_disk.keystore_id)? {
                keystore.index.push(IndexEntry {
                    id: entry.id,
                    current: Some(hash),
                    next: None,
                });
                keys.push(file);
            }
        }
        check_unlisted(disk, &on_disk)?;
        Ok(Self {
            keystore,
            on_disk,
            keys,
        })
    }
}

fn keystore_text(disk: &dyn Disk) -> Result<Vec<u8>, KeyError> {
    let name = Name::keystore();
    if let Some(text) = disk.read(&name, KEYSTORE_BYTES_MAX)? {
        return Ok(text);
    }
    let path = disk.path(&name);
    if disk.list(Folder::Keys)?.iter().any(|file| key_of(file).is_some()) {
        return Err(KeyError::damaged(&path, "it is missing, but key files are there"));
    }
    Err(KeyError::NotInitialized {
        dir: path.parent().unwrap_or(&path).to_owned(),
    })
}

/// The key file of `entry` with its hash; `None` when the entry announces a key whose file was never written.
fn read_key(
    disk: &dyn Disk,
    entry: &IndexEntry,
    keystore_id: &[u8; 16],
) -> Result<Option<(Hash, KeyFile)>, KeyError> {
    let name = Name::key(entry.id);
    let path = disk.path(&name);
    let Some(bytes) = disk.read(&name, KEY_FILE_BYTES_MAX)? else {
        return match entry.current {
            None => Ok(None),
            Some(_) => Err(KeyError::damaged(&path, "it is missing")),
        };
    };
    let file = KeyFile::parse(&path, &bytes)?;
    let hash = Hash::of(&bytes);
    if Some(hash) != entry.current && Some(hash) != entry.next {
        return Err(KeyError::tampered(
            &path,
            "it is not the file that the index names: an older copy, or another file",
        ));
    }
    if file.id != entry.id || file.keystore_id != *keystore_id {
        return Err(KeyError::tampered(&path, "it belongs to another key or store"));
    }
    Ok(Some((hash, file)))
}

/// A key file that the index does not know shows that `keystore.json` is an older copy.
fn check_unlisted(disk: &dyn Disk, keystore: &KeystoreFile) -> Result<(), KeyError> {
    for file in disk.list(Folder::Keys)? {
        if let Some(id) = key_of(&file)
            && !keystore.index.iter().any(|entry| entry.id == id)
        {
            return Err(KeyError::tampered(
                &disk.path(&Name::keystore()),
                format!("it does not know keys/{file}: it is an older copy, or the file was put there"),
            ));
        }
    }
    Ok(())
}

fn key_of(file: &str) -> Option<KeyId> {
    file.strip_suffix(".json")?.parse().ok()
}
