//! A disk that fails at a chosen system call, and can lose what was not synced.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::super::FileStorage;
use super::super::disk::{Disk, Folder, Name, RealDisk};
use crate::error::KeyError;
use crate::storage::Storage as _;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing fails; at this call somebody else locks the store.
    Lock,
    /// This call fails with an input/output error, later ones work.
    Once,
    /// This call and all later ones that need space fail; a write is cut in half.
    DiskFull,
    /// The process stops: this and all later calls do nothing. What was done before survives.
    Stop,
    /// As `Stop`, and file content that was not synced is lost.
    PowerLossOfContent,
    /// As `Stop`, and renames and new names whose directory was not synced are lost.
    PowerLossOfNames,
}

impl Fault {
    pub(super) const ALL: [Self; 5] = [
        Self::Once,
        Self::DiskFull,
        Self::Stop,
        Self::PowerLossOfContent,
        Self::PowerLossOfNames,
    ];
}

#[derive(Debug)]
struct Undo {
    folder: Folder,
    path: PathBuf,
    old: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(super) struct Progress {
    calls: usize,
    struck: bool,
    content_at_risk: BTreeSet<u64>,
    names_at_risk: Vec<Undo>,
    store: Weak<FileStorage>,
}

impl Progress {
    /// Takes away what a power failure at this moment would take.
    fn lose(&mut self, fault: Fault, disk: &RealDisk) {
        if fault == Fault::PowerLossOfContent {
            for folder in [Folder::Root, Folder::Keys] {
                for file in disk.list(folder).unwrap() {
                    let path = disk.path(&Name { folder, file });
                    let inode = fs::symlink_metadata(&path).unwrap().ino();
                    if self.content_at_risk.contains(&inode) {
                        File::options().write(true).truncate(true).open(path).unwrap();
                    }
                }
            }
        }
        if fault == Fault::PowerLossOfNames {
            for undo in self.names_at_risk.drain(..).rev() {
                match undo.old {
                    Some(bytes) => fs::write(undo.path, bytes).unwrap(),
                    None => fs::remove_file(undo.path).unwrap(),
                }
            }
        }
    }
}

/// Fails at the `at`-th changing call (from 0).
#[derive(Debug)]
pub(super) struct FaultyDisk {
    pub(super) inner: RealDisk,
    at: usize,
    fault: Fault,
    progress: Arc<Mutex<Progress>>,
}

/// Stays with the test when the disk is gone.
#[derive(Debug, Clone)]
pub(super) struct Outcome(Arc<Mutex<Progress>>);

impl Outcome {
    pub(super) fn struck(&self) -> bool {
        self.0.lock().unwrap().struck
    }

    /// The store to lock at [`Fault::Lock`].
    pub(super) fn may_lock(&self, store: &Arc<FileStorage>) {
        self.0.lock().unwrap().store = Arc::downgrade(store);
    }

    /// The power fails now, after the last call.
    pub(super) fn lose_power(&self, fault: Fault, disk: &RealDisk) {
        self.0.lock().unwrap().lose(fault, disk);
    }
}

impl FaultyDisk {
    pub(super) fn new(inner: RealDisk, at: usize, fault: Fault) -> (Self, Outcome) {
        let progress = Arc::default();
        let outcome = Outcome(Arc::clone(&progress));
        let disk = Self {
            inner,
            at,
            fault,
            progress,
        };
        (disk, outcome)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap()
    }

    /// Counts a changing call; an error means that it must not be carried out.
    fn step(&self, needs_space: bool) -> io::Result<()> {
        let mut progress = self.progress();
        let call = progress.calls;
        progress.calls += 1;
        let strikes = match self.fault {
            Fault::Lock | Fault::Once => call == self.at,
            Fault::DiskFull => call >= self.at && needs_space,
            _ => call >= self.at,
        };
        if !strikes {
            return Ok(());
        }
        let first = !progress.struck;
        progress.struck = true;
        if first {
            progress.lose(self.fault, &self.inner);
        }
        if self.fault == Fault::Lock {
            let store = progress.store.upgrade();
            drop(progress);
            store.unwrap().lock();
            return Ok(());
        }
        Err(match self.fault {
            Fault::DiskFull => io::ErrorKind::StorageFull.into(),
            _ => io::Error::other("injected"),
        })
    }

    fn stopped(&self) -> bool {
        self.progress().struck && !matches!(self.fault, Fault::Lock | Fault::Once | Fault::DiskFull)
    }
}

impl Disk for FaultyDisk {
    fn path(&self, name: &Name) -> PathBuf {
        self.inner.path(name)
    }

    fn read(&self, name: &Name, bytes_max: usize) -> Result<Option<Vec<u8>>, KeyError> {
        if self.stopped() {
            return Err(KeyError::io(
                "read",
                &self.path(name),
                io::Error::other("stopped"),
            ));
        }
        self.inner.read(name, bytes_max)
    }

    fn list(&self, folder: Folder) -> Result<Vec<String>, KeyError> {
        self.inner.list(folder)
    }

    fn create(&self, name: &Name) -> io::Result<File> {
        self.step(true)?;
        let file = self.inner.create(name)?;
        self.progress().content_at_risk.insert(file.metadata()?.ino());
        Ok(file)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        self.step(true).inspect_err(|_| {
            file.write_all(&bytes[..bytes.len() / 2]).unwrap();
        })?;
        self.inner.write(file, bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.step(true)?;
        self.inner.sync(file)?;
        self.progress().content_at_risk.remove(&file.metadata()?.ino());
        Ok(())
    }

    fn rename(&self, from: &Name, to: &Name) -> io::Result<()> {
        self.step(true)?;
        let path = self.path(to);
        let undo = Undo {
            folder: to.folder,
            old: fs::read(&path).ok(),
            path,
        };
        self.inner.rename(from, to)?;
        self.progress().names_at_risk.push(undo);
        Ok(())
    }

    fn sync_folder(&self, folder: Folder) -> io::Result<()> {
        self.step(false)?;
        self.inner.sync_folder(folder)?;
        self.progress().names_at_risk.retain(|undo| undo.folder != folder);
        Ok(())
    }

    fn remove(&self, name: &Name) -> io::Result<()> {
        self.step(false)?;
        self.inner.remove(name)
    }
}
