//! Keys in encrypted files (spec/keys.md 1.3).
//!
//! ```text
//! key_dir/                 0700, ours, not a symbolic link
//!   keystore.json          0600  ids, key derivation, wrapped store key, index {key id → SHA-256 of its file}, MAC
//!   keys/<key id>.json     0600  record (clear, authenticated) and sealed private key
//!   .lock                  0600  held by the one process that may write; holds its process id
//! ```
//!
//! **Keys.** passphrase → Argon2id → root; HKDF(root) wraps a random 256-bit store key; HKDF(store key, salt of the file, key id)
//! seals one file with AES-256-GCM. Every write draws a new salt, so no nonce can repeat under one key.
//!
//! **Wrong, damaged or tampered.** Each file carries a plain SHA-256 of its meaning and must be, byte for byte, what this program would
//! write: accidents are found without the passphrase (damaged). The root has a stored check value: another root is a wrong passphrase.
//! (Whoever replaces salt *and* checksum makes the right passphrase look wrong; nothing can tell these apart.) With the right
//! passphrase everything else is authenticated: what does not agree then is tampered with. The index names each key file by hash, so
//! that swapped files and older copies of single files are found. An older copy of the *whole* directory is consistent in itself and
//! cannot be told from the directory of that day.
//!
//! **Writing.** One change is three durable writes: the index says what the key file will be, the key file is replaced, the index says
//! that it is done. Each is a new file, synced, renamed over the old, and the directory synced. A stop at any point leaves the old or
//! the new state, and opening for changes finishes the half-done one.

mod canonical;
mod config;
mod disk;
mod format;
mod lock;
mod read;
mod seal;
mod storage;

#[cfg(test)]
mod tests;

pub use config::{Access, KdfParams};
pub use storage::FileStorage;
