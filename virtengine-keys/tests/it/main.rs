//! The crate as others see it.
#![allow(clippy::unwrap_used, reason = "a failed test may panic anywhere")]

mod compatibility;
mod directory;
mod errors;
mod life;
mod passphrases;
mod processes;
mod secrecy;
mod signatures;
mod vectors;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use virtengine_keys::{
    Access, Algorithm, KdfParams, KeyError, KeyId, KeyStore, Passphrase, Purpose, SecretBytes, StoreConfig,
};
use virtengine_provider_core::time::Timestamp;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
const LATER: Timestamp = Timestamp::from_seconds(1_790_003_600);

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(SecretBytes::new(text.as_bytes().to_vec())).unwrap()
}

/// A key directory with an account key and an identity key, closed.
struct Directory {
    root: TempDir,
}

impl Directory {
    fn new() -> Self {
        let directory = Self {
            root: tempfile::tempdir().unwrap(),
        };
        let keys = directory.init().unwrap();
        keys.generate(Purpose::Account, Algorithm::Secp256k1, NOW)
            .unwrap();
        keys.generate(Purpose::Identity, Algorithm::Ed25519, NOW).unwrap();
        directory
    }

    fn path(&self) -> PathBuf {
        self.root.path().join("keys")
    }

    fn config(&self) -> StoreConfig {
        StoreConfig::file(self.path())
    }

    fn init(&self) -> Result<KeyStore, KeyError> {
        KeyStore::init(&self.config(), &passphrase("right"), KdfParams::CHEAPEST, NOW)
    }

    fn open(&self, access: Access) -> Result<KeyStore, KeyError> {
        KeyStore::open(&self.config(), access)
    }

    fn unlocked(&self, access: Access) -> Result<KeyStore, KeyError> {
        let keys = self.open(access)?;
        keys.unlock(&passphrase("right"))?;
        Ok(keys)
    }

    fn keystore_file(&self) -> PathBuf {
        self.path().join("keystore.json")
    }

    fn key_file(&self, purpose: Purpose) -> PathBuf {
        let id = self.id(purpose);
        self.path().join("keys").join(format!("{id}.json"))
    }

    fn id(&self, purpose: Purpose) -> KeyId {
        self.open(Access::ReadOnly).unwrap().active(purpose).unwrap().id
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
