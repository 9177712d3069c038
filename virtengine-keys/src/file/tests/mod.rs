//! What only the inside can test: failures between system calls, and forgeries with a correct checksum.

mod failures;
mod faulty;
mod forgeries;
mod parsing;

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use virtengine_provider_core::ports::signer::Algorithm;
use virtengine_provider_core::time::Timestamp;

use super::disk::{Disk, Name, RealDisk};
use super::format::{KEY_FILE_BYTES_MAX, KEYSTORE_BYTES_MAX, KeyFile, KeystoreFile};
use super::read::Public;
use super::seal::StoreKey;
use super::{Access, FileStorage, KdfParams};
use crate::passphrase::Passphrase;
use crate::record::{KeyRecord, Origin, Purpose};
use crate::secret::SecretBytes;
use crate::storage::{NewKey, Storage as _};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(SecretBytes::new(text.as_bytes().to_vec())).unwrap()
}

fn identity(generation: u32) -> NewKey {
    NewKey {
        purpose: Purpose::Identity,
        algorithm: Algorithm::Ed25519,
        generation,
        origin: Origin::Generated,
        derivation_path: None,
        created_at: NOW,
    }
}

/// A store with one key, closed, with what is needed to look into it.
struct Prepared {
    dir: TempDir,
    store_key: Arc<StoreKey>,
    record: KeyRecord,
}

impl Prepared {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let storage = FileStorage::init(&path, &passphrase("right"), KdfParams::CHEAPEST, NOW).unwrap();
        let record = storage.generate(&identity(1)).unwrap();
        drop(storage);
        let disk = RealDisk::open(&path).unwrap();
        let public = Public::read(&disk).unwrap();
        let store_key = public.store_key(&disk, &passphrase("right")).unwrap();
        Self {
            dir,
            store_key: Arc::new(store_key),
            record,
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("keys")
    }

    fn disk(&self) -> RealDisk {
        RealDisk::open(&self.path()).unwrap()
    }

    fn keystore(&self) -> KeystoreFile {
        let bytes = self
            .disk()
            .read(&Name::keystore(), KEYSTORE_BYTES_MAX)
            .unwrap()
            .unwrap();
        KeystoreFile::parse(Path::new("keystore.json"), &bytes).unwrap()
    }

    fn key_file(&self) -> KeyFile {
        let bytes = self
            .disk()
            .read(&Name::key(self.record.id), KEY_FILE_BYTES_MAX)
            .unwrap()
            .unwrap();
        KeyFile::parse(Path::new("key.json"), &bytes).unwrap()
    }

    fn overwrite(&self, name: &Name, bytes: &[u8]) {
        std::fs::write(self.disk().path(name), bytes).unwrap();
    }

    /// A copy of the files in another directory.
    fn copy(&self) -> TempDir {
        use std::os::unix::fs::PermissionsExt as _;
        let copy = tempfile::tempdir().unwrap();
        let to = copy.path().join("keys");
        for folder in ["", "keys"] {
            let target = to.join(folder);
            std::fs::create_dir(&target).unwrap();
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o700)).unwrap();
            for entry in std::fs::read_dir(self.path().join(folder)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    std::fs::copy(entry.path(), target.join(entry.file_name())).unwrap();
                }
            }
        }
        copy
    }

    /// Opens the store for reading and unlocks it.
    fn unlock(&self, text: &str) -> Result<FileStorage, crate::KeyError> {
        let storage = FileStorage::open(&self.path(), Access::ReadOnly)?;
        storage.unlock(&passphrase(text))?;
        Ok(storage)
    }
}
