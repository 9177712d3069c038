//! One writer: a lock on a file beside the journal, released by the kernel however the process ends.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use virtengine_provider_core::ports::journal::JournalError;

use super::{fault, files};

/// Holds the journal for this process until dropped. The lock file stays: removing it would let two processes lock two files
/// of the same name.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of the journal at `path`, or says who has it.
    pub(super) fn take(path: &Path) -> Result<Self, JournalError> {
        let beside = lock_path(path);
        let mut options = OpenOptions::new();
        let mut file = files::open_private(&beside, options.read(true).write(true).create(true))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(in_use(path, &mut file)),
            Err(errno) => return Err(fault::io(&beside, "lock", &errno.into())),
        }
        write_pid(&mut file).map_err(|e| fault::io(&beside, "write", &e))?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    /// Closing the file is not enough: a process that this one has just forked has it open as well, until it runs its program.
    fn drop(&mut self) {
        // It cannot fail on a file that is open; the kernel lets go with the last one that has it in any case.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    PathBuf::from(name)
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn in_use(path: &Path, file: &mut File) -> JournalError {
    let mut text = String::new();
    // Only a hint for the operator: an unreadable pid does not change the answer.
    let _ = file.take(32).read_to_string(&mut text);
    let holder = match text.trim().parse::<u32>() {
        Ok(pid) if pid == std::process::id() => format!("this process (pid {pid})"),
        Ok(pid) => format!("the process with pid {pid}"),
        Err(_) => "another process".to_owned(),
    };
    JournalError::InUse(format!("{} is held by {holder}; stop it first", path.display()))
}
