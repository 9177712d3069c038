//! The journal's directory and file: made private, and refused when others could replace them.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use virtengine_provider_core::ports::journal::JournalError;

use super::fault;

const OTHERS_MAY_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// The directory that holds `path`.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes the directory of `path` (mode 0700) when it is missing.
pub(super) fn prepare_directory(path: &Path) -> Result<(), JournalError> {
    let directory = directory_of(path);
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(directory)
        .map_err(|e| fault::io(directory, "make the directory", &e))?;
    let mode = fs::metadata(directory)
        .map_err(|e| fault::io(directory, "look at", &e))?
        .mode();
    if mode & OTHERS_MAY_WRITE != 0 && mode & STICKY == 0 {
        return Err(JournalError::Failed(format!(
            "everybody may write to {}, so anybody could replace the journal; chmod it to 0700",
            directory.display()
        )));
    }
    Ok(())
}

/// Makes the file when it is missing, and makes it readable for its owner alone. SQLite gives its side files the same mode.
pub(super) fn prepare_file(path: &Path) -> Result<(), JournalError> {
    let file = open_private(path, OpenOptions::new().read(true).write(true).create(true))?;
    let mode = file
        .metadata()
        .map_err(|e| fault::io(path, "look at", &e))?
        .mode();
    if mode & 0o777 != 0o600 {
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(|e| fault::io(path, "make private", &e))?;
    }
    sync_directory(path)
}

/// Opens with mode 0600; a symbolic link or anything but a plain file is refused.
pub(super) fn open_private(path: &Path, options: &mut OpenOptions) -> Result<File, JournalError> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = options
        .mode(0o600)
        .custom_flags(no_follow)
        .open(path)
        .map_err(|e| fault::io(path, "open", &e))?;
    let metadata = file.metadata().map_err(|e| fault::io(path, "look at", &e))?;
    if !metadata.is_file() {
        return Err(JournalError::Failed(format!(
            "{} is not a plain file",
            path.display()
        )));
    }
    Ok(file)
}

/// Makes the entry of `path` in its directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), JournalError> {
    let directory = directory_of(path);
    File::open(directory)
        .and_then(|handle| handle.sync_all())
        .map_err(|e| fault::io(directory, "sync", &e))
}
