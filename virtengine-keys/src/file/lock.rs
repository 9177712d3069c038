use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};

use super::disk::RealDisk;
use crate::error::KeyError;

/// Longer than any process id.
const PID_BYTES_MAX: u64 = 32;

/// The right to change a key directory, until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub(super) struct WriterLock {
    file: File,
}

impl WriterLock {
    pub(super) fn acquire(disk: &RealDisk) -> Result<Self, KeyError> {
        let path = disk.dir().join(".lock");
        let failed = |operation, error| KeyError::io(operation, &path, error);
        let mut file = disk.open_lock()?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(KeyError::Held {
                    dir: disk.dir().to_owned(),
                    pid: holder(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|error| failed("write", error))?;
        Ok(Self { file })
    }
}

impl Drop for WriterLock {
    /// Closing the file is not enough: a process that this one has just forked has it open as well, until it runs its program.
    fn drop(&mut self) {
        // It cannot fail on a file that is open; the kernel lets go with the last one that has it in any case.
        let _ = self.file.unlock();
    }
}

/// Only for the message: the lock itself is what counts.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
