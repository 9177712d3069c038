#![doc = include_str!("../README.md")]

pub mod address;
pub mod algorithm;
mod error;
pub mod file;
pub mod memory;
pub mod mnemonic;
pub mod passphrase;
pub mod process;
mod record;
mod secret;
pub mod storage;
mod store;

pub use error::KeyError;
pub use file::{Access, FileStorage, KdfParams};
pub use memory::MemoryStorage;
pub use mnemonic::Mnemonic;
pub use passphrase::{Passphrase, PassphraseSource};
pub use record::{KeyId, KeyRecord, KeyState, Origin, Purpose};
pub use secret::SecretBytes;
pub use storage::{Storage, StorageType};
pub use store::{KeyStore, StoreConfig, StoreStatus, TestSignature};
pub use virtengine_provider_core::ports::signer::{Algorithm, PublicKey, SignError, Signer};
