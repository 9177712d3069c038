//! A copy of the journal, taken while it is being written.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use virtengine_provider_core::ports::journal::JournalError;

use super::verify::{self, Verified};
use super::{fault, files};

/// Copies `path` to `target`: into a private file beside it first, which is checked and synced before it gets its name.
pub(super) fn backup(path: &Path, target: &Path) -> Result<Verified, JournalError> {
    refuse_existing(target)?;
    files::prepare_directory(target)?;
    let partial = partial_path(target);
    let result = copy(path, &partial).and_then(|verified| {
        refuse_existing(target)?;
        fs::rename(&partial, target).map_err(|e| fault::io(target, "name", &e))?;
        files::sync_directory(target)?;
        Ok(verified)
    });
    if result.is_err() {
        // Nothing half-written stays; it may never have been made.
        let _ = fs::remove_file(&partial);
    }
    result
}

fn copy(path: &Path, partial: &Path) -> Result<Verified, JournalError> {
    let file = files::open_private(
        partial,
        OpenOptions::new().write(true).create(true).truncate(true),
    )?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let into = partial.to_str().ok_or_else(|| {
        JournalError::Failed(format!(
            "the path {} is not UTF-8; choose another one",
            partial.display()
        ))
    })?;
    let copied = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.execute("VACUUM INTO ?1", [into])
    });
    copied.map_err(|error| fault::error(partial, &error))?;
    file.sync_all().map_err(|e| fault::io(partial, "sync", &e))?;
    verify::verify_file(partial)
}

fn refuse_existing(target: &Path) -> Result<(), JournalError> {
    if target.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(JournalError::Failed(format!(
        "{} exists already; choose another name for the backup",
        target.display()
    )))
}

fn partial_path(target: &Path) -> PathBuf {
    let mut name = OsString::from(target);
    name.push(".partial");
    PathBuf::from(name)
}
