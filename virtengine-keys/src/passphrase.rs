//! Where the passphrase comes from. Never from a process argument: those are visible to every user of the machine.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, geteuid, getpid, pidfd_getfd, pidfd_open};
use zeroize::Zeroizing;

use crate::error::KeyError;
use crate::secret::SecretBytes;

/// Longer passphrases are refused, in bytes: a wrong file was named.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;

/// A passphrase: not empty, at most [`PASSPHRASE_BYTES_MAX`] bytes, wiped when dropped, not shown by `Debug`.
#[derive(PartialEq, Eq)]
pub struct Passphrase(SecretBytes);

impl Passphrase {
    /// Takes the bytes as they are.
    ///
    /// # Errors
    /// Empty or too long.
    pub fn new(bytes: SecretBytes) -> Result<Self, KeyError> {
        Self::checked("the caller".to_owned(), bytes)
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    fn checked(origin: String, bytes: SecretBytes) -> Result<Self, KeyError> {
        let problem = match bytes.expose().len() {
            0 => "it is empty".to_owned(),
            len if len > PASSPHRASE_BYTES_MAX => format!("it is longer than {PASSPHRASE_BYTES_MAX} bytes"),
            _ => return Ok(Self(bytes)),
        };
        Err(KeyError::Passphrase { origin, problem })
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(REDACTED)")
    }
}

/// Asks a person. Implemented by the command line.
pub trait Prompt: Send + Sync {
    /// Shows `question` and returns what was typed, without its line end.
    ///
    /// # Errors
    /// There is no terminal, or the person gave up.
    fn ask(&self, question: &str) -> std::io::Result<Zeroizing<String>>;
}

/// What the passphrase is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassphraseUse {
    /// To unlock: a prompt asks once.
    Unlock,
    /// To lock something new: a prompt asks twice and compares.
    Create,
}

/// A place that a passphrase is read from; in order of preference. Exactly one trailing line end is dropped from files,
/// descriptors and credentials.
#[derive(Clone)]
#[non_exhaustive]
pub enum PassphraseSource {
    /// An open file descriptor of this process, e.g. the read end of a pipe; read to its end.
    Fd(RawFd),
    /// A file that only its owner (this user or root) can read.
    File(PathBuf),
    /// A systemd credential: this file name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// A person at a terminal.
    Prompt(Arc<dyn Prompt>),
    /// An environment variable. The weakest: child processes and crash reporters see it.
    Env(String),
}

impl fmt::Debug for PassphraseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

impl PassphraseSource {
    /// Reads the passphrase. Blocks: a descriptor until its other end closes, a prompt until the person answers.
    ///
    /// # Errors
    /// The source cannot be read, is readable by others, or holds nothing.
    pub fn read(&self, wanted_for: PassphraseUse) -> Result<Passphrase, KeyError> {
        let bytes = match self {
            Self::Fd(fd) => self.read_to_end(self.duplicate(*fd)?)?,
            Self::File(path) => self.read_file(path, 0o077)?,
            Self::Credential(name) => self.read_file(&self.credential_path(name)?, 0o007)?,
            Self::Prompt(prompt) => self.read_prompt(prompt.as_ref(), wanted_for)?,
            Self::Env(name) => std::env::var(name)
                .map(|value| SecretBytes::new(value.into_bytes()))
                .map_err(|error| match error {
                    std::env::VarError::NotPresent => self.problem("it is not set"),
                    std::env::VarError::NotUnicode(_) => self.problem("it is not UTF-8"),
                })?,
        };
        Passphrase::checked(self.origin(), bytes)
    }

    fn origin(&self) -> String {
        match self {
            Self::Fd(fd) => format!("descriptor {fd}"),
            Self::File(path) => format!("file {}", path.display()),
            Self::Credential(name) => format!("credential {name}"),
            Self::Prompt(_) => "the prompt".to_owned(),
            Self::Env(name) => format!("environment variable {name}"),
        }
    }

    fn problem(&self, problem: impl Into<String>) -> KeyError {
        KeyError::Passphrase {
            origin: self.origin(),
            problem: problem.into(),
        }
    }

    fn credential_path(&self, name: &str) -> Result<PathBuf, KeyError> {
        if name.is_empty() || name.starts_with('.') || name.contains('/') {
            return Err(self.problem("a credential is a plain file name"));
        }
        std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|dir| PathBuf::from(dir).join(name))
            .ok_or_else(|| self.problem("CREDENTIALS_DIRECTORY is not set: the service has no credentials"))
    }

    /// Another handle to descriptor `fd`. Taking the number itself over would need unsafe code; asking the kernel for a copy of "the
    /// descriptor of that process", the process being this one, does not. Where that call is forbidden, opening it by name serves in
    /// most cases.
    fn duplicate(&self, fd: RawFd) -> Result<File, KeyError> {
        let copy = pidfd_open(getpid(), PidfdFlags::empty())
            .and_then(|process| pidfd_getfd(process, fd, PidfdGetfdFlags::empty()));
        match copy {
            Ok(copy) => Ok(File::from(copy)),
            Err(Errno::BADF) => Err(self.problem("there is no such descriptor")),
            Err(_) => File::open(format!("/dev/fd/{fd}")).map_err(|error| self.problem(error.to_string())),
        }
    }

    /// Symbolic links are followed (secret mounts are made of them); what counts is the file at the end. `forbidden` are the mode bits
    /// that it must not have.
    fn read_file(&self, path: &Path, forbidden: u32) -> Result<SecretBytes, KeyError> {
        let failed = |error: std::io::Error| self.problem(error.to_string());
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(self.problem("it is not a regular file"));
        }
        if meta.mode() & forbidden != 0 {
            return Err(KeyError::Mode {
                path: path.to_owned(),
                mode: meta.mode() & 0o7777,
                wanted: 0o600,
            });
        }
        let user = geteuid().as_raw();
        if meta.uid() != user && meta.uid() != 0 {
            return Err(KeyError::Owner {
                path: path.to_owned(),
                owner: meta.uid(),
                wanted: user,
            });
        }
        self.read_to_end(file)
    }

    fn read_to_end(&self, file: File) -> Result<SecretBytes, KeyError> {
        // Room for the line end and one byte too many; reserved at once so that no copy stays behind in a freed buffer.
        let limit = PASSPHRASE_BYTES_MAX + 3;
        let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
        file.take(limit as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| self.problem(error.to_string()))?;
        if bytes.ends_with(b"\n") {
            bytes.pop();
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
        }
        Ok(SecretBytes::new(std::mem::take(&mut *bytes)))
    }

    fn read_prompt(&self, prompt: &dyn Prompt, wanted_for: PassphraseUse) -> Result<SecretBytes, KeyError> {
        let ask = |question: &str| {
            prompt
                .ask(question)
                .map(|mut typed| SecretBytes::new(std::mem::take(&mut *typed).into_bytes()))
                .map_err(|error| self.problem(error.to_string()))
        };
        match wanted_for {
            PassphraseUse::Unlock => ask("Passphrase of the key store: "),
            PassphraseUse::Create => {
                let first = ask("New passphrase of the key store: ")?;
                if first != ask("The same passphrase again: ")? {
                    return Err(self.problem("the two entries differ"));
                }
                Ok(first)
            }
        }
    }
}
