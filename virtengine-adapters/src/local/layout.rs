//! Where things are kept, and how they get there so that a crash leaves the old or the new, never half of it.
//!
//! ```text
//! <state dir>/lock            held while an adapter owns the directory
//!             identity        a random word: the owner mark of everything that we start
//!             workloads/<workload id>/
//!                 intent.json   what was asked for, written before anything is started
//!                 desired.json  running, paused, stopped or terminated
//!                 status.json   what the supervisor saw last
//!                 usage.json    counters
//!                 usage.slot    room for the counters when the disk has none
//!                 shim.lock     held while a supervisor lives
//!                 ctl.sock      the supervisor listens here
//!                 shim.log      the supervisor's own complaints
//!                 data/<service>/<replica>/   working directory of a replica
//!                 logs/<service>/<replica>/<position>.log
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use virtengine_provider_core::id::WorkloadId;

/// The directory of all workloads.
pub(crate) fn workloads(state_dir: &Path) -> PathBuf {
    state_dir.join("workloads")
}

/// The directory of one workload. A [`WorkloadId`] is a DNS label, so the path cannot leave the state directory.
#[derive(Debug, Clone)]
pub(crate) struct WorkloadDir(PathBuf);

impl WorkloadDir {
    pub(crate) fn of(state_dir: &Path, id: &WorkloadId) -> Self {
        Self(workloads(state_dir).join(id.as_str()))
    }

    pub(crate) const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn intent(&self) -> PathBuf {
        self.0.join("intent.json")
    }

    pub(crate) fn desired(&self) -> PathBuf {
        self.0.join("desired.json")
    }

    pub(crate) fn status(&self) -> PathBuf {
        self.0.join("status.json")
    }

    pub(crate) fn usage(&self) -> PathBuf {
        self.0.join("usage.json")
    }

    pub(crate) fn usage_slot(&self) -> PathBuf {
        self.0.join("usage.slot")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("shim.lock")
    }

    pub(crate) fn shim_log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub(crate) fn replica_data(&self, service: &str, replica: u32) -> PathBuf {
        self.data().join(service).join(replica.to_string())
    }

    pub(crate) fn replica_logs(&self, service: &str, replica: u32) -> PathBuf {
        self.0.join("logs").join(service).join(replica.to_string())
    }
}

/// Name of the control socket inside a workload's directory.
pub(crate) const SOCKET: &str = "ctl.sock";

/// Creates a directory and its parents for us alone.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens (and creates) a file for us alone, to be locked.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
}

/// Replaces a file by `value` as JSON: after a crash it holds the old or the new value.
pub(crate) fn store<T: Serialize>(path: &Path, value: &T, durable: bool) -> io::Result<()> {
    let text = serde_json::to_vec(value)?;
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(&text)?;
    if durable {
        file.sync_all()?;
    }
    fs::rename(&fresh, path)?;
    if durable && let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Bytes of a slot: one block of most file systems.
const SLOT_BYTES: usize = 4096;

/// Makes a slot: a file whose room is taken now, for [`fill_slot`].
pub(crate) fn make_slot(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&[b' '; SLOT_BYTES])?;
    file.sync_all()
}

/// Writes `value` as JSON into a slot, or blanks. It takes no room, unless the file system never writes in place; in exchange a
/// crash may leave it unreadable.
pub(crate) fn fill_slot<T: Serialize>(path: &Path, value: Option<&T>) -> io::Result<()> {
    let mut text = value.map_or_else(|| Ok(Vec::new()), serde_json::to_vec)?;
    if text.len() > SLOT_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    text.resize(SLOT_BYTES, b' ');
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(&text)?;
    file.sync_all()
}

/// Reads a file written by [`store`]; `None` when it is not there.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deepest directory whose entries are removed one by one when it cannot be removed as a whole.
const APART_DEPTH_MAX: u32 = 8;

/// Removes a file or a tree, like [`remove_tree`]. When something in it cannot be removed the rest is, and the error is the first.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    remove_apart(path, APART_DEPTH_MAX)
}

fn remove_apart(path: &Path, depth: u32) -> io::Result<()> {
    let is_dir = match fs::symlink_metadata(path) {
        Ok(meta) => meta.is_dir(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !is_dir {
        return fs::remove_file(path);
    }
    let Err(whole) = remove_tree(path) else {
        return Ok(());
    };
    let Some(depth) = depth.checked_sub(1) else {
        return Err(whole);
    };
    let mut outcome = Ok(());
    for entry in fs::read_dir(path)?.flatten() {
        let removed = remove_apart(&entry.path(), depth);
        outcome = outcome.and(removed);
    }
    outcome.and_then(|()| fs::remove_dir(path))
}

/// Removes a tree; missing is success. Symbolic links are removed, not followed. Directories that the workload made
/// unreadable are opened first.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        other => other,
    }
}

fn open_up(root: &Path) -> io::Result<()> {
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        if !fs::symlink_metadata(&dir)?.is_dir() {
            continue;
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_does_not_follow_links() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "x").unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a")).unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("a/link")).unwrap();
        remove_tree(&tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(outside.join("precious").exists() && !tree.exists());
    }

    #[test]
    fn a_stored_value_is_loaded_again_and_missing_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value.json");
        assert_eq!(load::<u32>(&path).unwrap(), None);
        store(&path, &7_u32, true).unwrap();
        assert_eq!(load::<u32>(&path).unwrap(), Some(7));
    }
}
