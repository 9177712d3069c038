use std::io;
use std::path::{Path, PathBuf};

use virtengine_provider_core::ports::signer::Algorithm;

use crate::record::{KeyId, KeyState, Purpose};
use crate::storage::StorageType;

/// Why a key operation failed. Each variant is one cause with one thing to do about it ([`Self::remedy`]) and one stable process
/// exit code ([`Self::exit_code`]). No variant ever holds a secret.
///
/// ```
/// use virtengine_keys::KeyError;
/// assert_eq!(KeyError::WrongPassphrase.exit_code(), 13);
/// assert_ne!(KeyError::Locked.exit_code(), KeyError::WrongPassphrase.exit_code());
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no key store in the directory.
    #[error("there is no key store in {}", dir.display())]
    NotInitialized {
        /// The key directory.
        dir: PathBuf,
    },
    /// The directory already holds a key store, or key files of one.
    #[error("{} already holds a key store", dir.display())]
    AlreadyInitialized {
        /// The key directory.
        dir: PathBuf,
    },
    /// The operation needs an unlocked store.
    #[error("the key store is locked")]
    Locked,
    /// The passphrase is not the one that the store was locked with.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// A file is broken: it does not parse, is cut short, or fails its own checksum. Found without the passphrase.
    #[error("{} is damaged: {problem}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file is well formed but was changed, swapped or replaced by an older copy.
    #[error("{} was tampered with: {problem}", file.display())]
    Tampered {
        /// The file.
        file: PathBuf,
        /// What does not agree.
        problem: String,
    },
    /// Group or others may reach the file or directory.
    #[error("{} has mode {mode:04o}, which lets others reach it; at most {wanted:04o} is allowed", path.display())]
    Mode {
        /// The file or directory.
        path: PathBuf,
        /// The permission bits found.
        mode: u32,
        /// The widest permission bits that are accepted.
        wanted: u32,
    },
    /// Somebody else owns the file or directory.
    #[error("{} belongs to user {owner}, not to user {wanted}", path.display())]
    Owner {
        /// The file or directory.
        path: PathBuf,
        /// Its user id.
        owner: u32,
        /// The effective user id of this process.
        wanted: u32,
    },
    /// A symbolic link where a file or directory must be.
    #[error("{} is a symbolic link", path.display())]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// The file has a second name, through which somebody else may change it.
    #[error("{} has {links} hard links", path.display())]
    HardLink {
        /// The file.
        path: PathBuf,
        /// Its link count.
        links: u64,
    },
    /// Not a regular file (or not a directory, where one must be).
    #[error("{} is not a {expected}", path.display())]
    FileKind {
        /// The path.
        path: PathBuf,
        /// `regular file` or `directory`.
        expected: &'static str,
    },
    /// Written by a newer release.
    #[error("{} has format version {found}; this build reads up to {supported}", file.display())]
    NewerVersion {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u64,
        /// The newest version that this build reads.
        supported: u32,
    },
    /// A key derivation parameter is too weak, or dear enough to exhaust this machine.
    #[error("key derivation parameter {parameter} is {value}, outside {min}..={max}")]
    KdfOutOfBounds {
        /// `memory_kib`, `iterations`, `parallelism` or `argon2 version`.
        parameter: &'static str,
        /// The value given.
        value: u64,
        /// The least that is accepted.
        min: u64,
        /// The most that is accepted.
        max: u64,
    },
    /// Another process has the key directory open for changes.
    #[error("{} is held by {}", dir.display(), pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Held {
        /// The key directory.
        dir: PathBuf,
        /// The process id that the holder wrote down, when readable.
        pid: Option<u32>,
    },
    /// The store was opened for reading only.
    #[error("the key store was opened read-only")]
    ReadOnly,
    /// The purpose already has a key that is in use or may come into use, or this very key was stored before.
    #[error("{purpose} key {id} already exists ({state})")]
    KeyExists {
        /// What the key is for.
        purpose: Purpose,
        /// The existing key.
        id: KeyId,
        /// Its state.
        state: KeyState,
    },
    /// The purpose has no key that is, or may come, into use.
    #[error("there is no {purpose} key in use")]
    NoKey {
        /// The purpose asked for.
        purpose: Purpose,
    },
    /// No key has this id.
    #[error("there is no key {id}")]
    UnknownKey {
        /// The id asked for.
        id: KeyId,
    },
    /// The purpose does not work with the algorithm.
    #[error("{algorithm} cannot be used for the {purpose} key: {reason}")]
    UnsupportedAlgorithm {
        /// The purpose asked for.
        purpose: Purpose,
        /// The algorithm asked for.
        algorithm: Algorithm,
        /// Why not.
        reason: &'static str,
    },
    /// The storage type exists but this build does not contain it.
    #[error("key storage {storage} is not available in this build")]
    StorageNotAvailable {
        /// The storage asked for.
        storage: StorageType,
    },
    /// The storage configuration is incomplete.
    #[error("key storage {storage} needs {missing}")]
    Config {
        /// The storage.
        storage: StorageType,
        /// The setting that is missing.
        missing: &'static str,
    },
    /// A passphrase could not be had.
    #[error("no passphrase from {origin}: {problem}")]
    Passphrase {
        /// Where it was to come from.
        origin: String,
        /// What went wrong.
        problem: String,
    },
    /// Private key bytes that are not a key of the algorithm. The bytes are not repeated here.
    #[error("not a {algorithm} private key: {problem}")]
    InvalidKey {
        /// The algorithm asked for.
        algorithm: Algorithm,
        /// What is wrong.
        problem: &'static str,
    },
    /// A mnemonic or derivation path that is not valid. The words are not repeated here.
    #[error("mnemonic: {problem}")]
    Mnemonic {
        /// What is wrong, by word position only.
        problem: String,
    },
    /// The state of the key does not allow the operation.
    #[error("key {id} is {state} and may not {operation}")]
    StateForbids {
        /// The key.
        id: KeyId,
        /// Its state.
        state: KeyState,
        /// What was asked.
        operation: &'static str,
    },
    /// The life cycle has no such step.
    #[error("key {id} cannot go from {from} to {to}")]
    IllegalTransition {
        /// The key.
        id: KeyId,
        /// Its state.
        from: KeyState,
        /// The state asked for.
        to: KeyState,
    },
    /// The life cycle has this step, but it belongs to rotation, archiving or destruction, which this build does not contain.
    #[error("taking a key to {to} is not available in this build")]
    TransitionNotAvailable {
        /// The state asked for.
        to: KeyState,
    },
    /// The index is full.
    #[error("the key store already holds {max} keys, the most it can")]
    TooManyKeys {
        /// The limit.
        max: usize,
    },
    /// No space (or quota) left for a durable write.
    #[error("no space left to write {}", path.display())]
    DiskFull {
        /// The file that could not be written.
        path: PathBuf,
    },
    /// Any other failure of the file system.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried, e.g. `read`.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Entropy,
    /// Not enough memory for the key derivation.
    #[error("not enough memory for the key derivation ({memory_kib} KiB)")]
    Memory {
        /// What the parameters ask for, in KiB.
        memory_kib: u32,
    },
    /// The store could not sign, or signed wrongly, in a test.
    #[error("test signature of key {id} failed: {problem}")]
    TestSign {
        /// The key.
        id: KeyId,
        /// What went wrong.
        problem: String,
    },
}

impl KeyError {
    /// The process exit code of this error: stable, distinct per variant, from 10 upward (below are the shell's and the argument
    /// parser's).
    ///
    /// 10 not initialised · 11 already initialised · 12 locked · 13 wrong passphrase · 14 damaged · 15 tampered · 16 mode ·
    /// 17 owner · 18 symbolic link · 19 hard link · 20 not a file/directory · 21 newer version · 22 key derivation bounds ·
    /// 23 held · 24 read-only · 25 key exists · 26 no key · 27 unknown key · 28 unsupported algorithm · 29 storage not
    /// available · 30 configuration · 31 no passphrase · 32 invalid key · 33 mnemonic · 34 state forbids · 35 illegal
    /// transition · 36 transition not available · 37 too many keys · 38 disk full · 39 input/output · 40 no entropy ·
    /// 41 no memory · 42 test signature failed.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NotInitialized { .. } => 10,
            Self::AlreadyInitialized { .. } => 11,
            Self::Locked => 12,
            Self::WrongPassphrase => 13,
            Self::Damaged { .. } => 14,
            Self::Tampered { .. } => 15,
            Self::Mode { .. } => 16,
            Self::Owner { .. } => 17,
            Self::Symlink { .. } => 18,
            Self::HardLink { .. } => 19,
            Self::FileKind { .. } => 20,
            Self::NewerVersion { .. } => 21,
            Self::KdfOutOfBounds { .. } => 22,
            Self::Held { .. } => 23,
            Self::ReadOnly => 24,
            Self::KeyExists { .. } => 25,
            Self::NoKey { .. } => 26,
            Self::UnknownKey { .. } => 27,
            Self::UnsupportedAlgorithm { .. } => 28,
            Self::StorageNotAvailable { .. } => 29,
            Self::Config { .. } => 30,
            Self::Passphrase { .. } => 31,
            Self::InvalidKey { .. } => 32,
            Self::Mnemonic { .. } => 33,
            Self::StateForbids { .. } => 34,
            Self::IllegalTransition { .. } => 35,
            Self::TransitionNotAvailable { .. } => 36,
            Self::TooManyKeys { .. } => 37,
            Self::DiskFull { .. } => 38,
            Self::Io { .. } => 39,
            Self::Entropy => 40,
            Self::Memory { .. } => 41,
            Self::TestSign { .. } => 42,
        }
    }

    /// What the operator can do about it, as one sentence.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NotInitialized { dir } => {
                format!(
                    "create it with `keys init --key-dir {}`, or name the right directory",
                    dir.display()
                )
            }
            Self::AlreadyInitialized { .. } => {
                "use the store that is there, or name another directory; nothing was overwritten".to_owned()
            }
            Self::Mode { path, wanted, .. } => format!("run: chmod {wanted:o} {}", path.display()),
            Self::Owner { path, wanted, .. } => format!("run: chown {wanted} {}", path.display()),
            Self::HardLink { path, .. } => format!(
                "find the other name (find / -samefile {}), remove it, and ask who made it",
                path.display()
            ),
            Self::NewerVersion { .. } => "use the release that wrote it, or a newer one".to_owned(),
            Self::Held { pid: Some(pid), .. } => {
                format!("stop process {pid} first, or use a command that only reads")
            }
            Self::DiskFull { path } => format!(
                "free space on the file system of {}; the keys stored before are intact",
                path.display()
            ),
            Self::Config { missing, .. } => format!("set {missing} in the configuration"),
            other => other.fixed_remedy().to_owned(),
        }
    }

    const fn fixed_remedy(&self) -> &'static str {
        match self {
            Self::Locked => "unlock the key store with its passphrase",
            Self::WrongPassphrase => {
                "give the passphrase that the store was created with; without it the keys are lost"
            }
            Self::Damaged { .. } => "restore the whole key directory from a backup and check the disk",
            Self::Tampered { .. } => {
                "find out who changed it; then restore the whole key directory, not single files, from one backup"
            }
            Self::Symlink { .. } => "put the real file or directory in its place",
            Self::FileKind { .. } => "move it away and restore the key directory from a backup",
            Self::KdfOutOfBounds { .. } => {
                "choose parameters within the bounds; if a stored file says so, somebody edited it: restore a backup"
            }
            Self::Held { .. } => "stop the other process first, or use a command that only reads",
            Self::ReadOnly => "open the key store for changes",
            Self::KeyExists { .. } => {
                "use the existing key; a new one is possible once it is deactivated or compromised"
            }
            Self::NoKey {
                purpose: Purpose::Account,
            } => {
                "bring it in with `keys import --mnemonic-file FILE`, or create it with `keys generate --algorithm secp256k1`"
            }
            Self::NoKey { .. } => "create it with `keys generate --algorithm ed25519`",
            Self::UnknownKey { .. } => "look at `keys status` for the ids",
            Self::UnsupportedAlgorithm { .. } => "choose an algorithm that the purpose supports",
            Self::StorageNotAvailable { .. } => "use storage_type `file`",
            Self::Passphrase { .. } => {
                "give the passphrase by file, descriptor, credential, prompt or environment variable"
            }
            Self::InvalidKey { .. } | Self::Mnemonic { .. } => {
                "check what was given for import; nothing was stored"
            }
            Self::StateForbids { .. } => "take the key to a state that allows it, or use another key",
            Self::IllegalTransition { .. } => "look at the life cycle of keys in the operator guide",
            Self::TransitionNotAvailable { .. } => "use a release that contains it",
            Self::TooManyKeys { .. } => "start a new key directory",
            Self::Entropy => "check that the system's random source works (getrandom)",
            Self::Memory { .. } => "free memory, or give the service a higher memory limit",
            Self::TestSign { .. } => "do not use this key; check the storage and the hardware",
            _ => "check the file system and the permissions of the key directory",
        }
    }

    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                path: path.to_owned(),
            },
            _ => Self::Io {
                operation,
                path: path.to_owned(),
                source,
            },
        }
    }

    pub(crate) fn damaged(file: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            problem: problem.into(),
        }
    }

    pub(crate) fn tampered(file: &Path, problem: impl Into<String>) -> Self {
        Self::Tampered {
            file: file.to_owned(),
            problem: problem.into(),
        }
    }
}
