//! What an error of the database means for the one who waits.

use std::path::Path;

use rusqlite::ErrorCode;
use virtengine_provider_core::ports::journal::JournalError;

/// Whether the writer may go on after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aftermath {
    /// Nothing was written and the next transaction may succeed.
    GoOn,
    /// What the disk holds is uncertain (e.g. a failed sync): only a restart, which reads it again, may go on.
    Stop,
}

/// A database error in the journal's words.
pub(super) fn of(path: &Path, error: &rusqlite::Error) -> (JournalError, Aftermath) {
    let file = path.display();
    let failed = |text: String| JournalError::Failed(text);
    let Some(code) = error.sqlite_error_code() else {
        return (failed(format!("{file}: {error}")), Aftermath::Stop);
    };
    match code {
        ErrorCode::DiskFull => {
            let text =
                format!("nothing was written to {file}; free space on its disk (or raise its size limit)");
            (JournalError::Full(text), Aftermath::GoOn)
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            (damaged(path, &error.to_string()), Aftermath::Stop)
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            let text = format!("{file} is locked by another program that opened it; close that program");
            (failed(text), Aftermath::GoOn)
        }
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly => {
            let text = format!(
                "{file} cannot be opened for writing ({error}); check its owner, its mode and its directory"
            );
            (failed(text), Aftermath::Stop)
        }
        _ => (
            failed(format!(
                "{file}: {error}; restart to read again what the disk holds"
            )),
            Aftermath::Stop,
        ),
    }
}

/// As [`of`], when nobody asks how to go on.
pub(super) fn error(path: &Path, error: &rusqlite::Error) -> JournalError {
    of(path, error).0
}

/// What is stored is not what was written; `what` names the place.
pub(super) fn damaged(path: &Path, what: &str) -> JournalError {
    JournalError::Damaged(format!(
        "{}: {what}; stop the daemon, keep a copy of the file and of the -wal file beside it, and restore the newest backup",
        path.display()
    ))
}

/// An error of the operating system while doing `what`.
pub(super) fn io(path: &Path, what: &str, error: &std::io::Error) -> JournalError {
    let text = format!("cannot {what} {}: {error}", path.display());
    if error.kind() == std::io::ErrorKind::StorageFull {
        return JournalError::Full(text);
    }
    JournalError::Failed(text)
}
