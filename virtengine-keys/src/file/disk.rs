//! The key directory on disk: every access goes through open directory handles, checks who else could reach the file, and follows no
//! symbolic link.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::error::KeyError;
use crate::record::KeyId;

const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
const PERMISSION_BITS: u32 = 0o7777;
/// On a directory: new files get its group. Inherited from the parent, and harmless, since the group may do nothing.
const SETGID: u32 = 0o2000;
/// More names than this in one of our directories are not ours to walk through.
const NAMES_MAX: usize = 16 * 1024;

/// One of the two directories of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folder {
    Root,
    Keys,
}

/// A file of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) folder: Folder,
    pub(super) file: String,
}

impl Name {
    pub(super) fn keystore() -> Self {
        Self {
            folder: Folder::Root,
            file: "keystore.json".to_owned(),
        }
    }

    pub(super) fn key(id: KeyId) -> Self {
        Self {
            folder: Folder::Keys,
            file: format!("{id}.json"),
        }
    }

    fn temporary(&self) -> Self {
        Self {
            folder: self.folder,
            file: format!(".{}.tmp", self.file),
        }
    }

    pub(super) fn is_temporary(file: &str) -> bool {
        file.starts_with('.') && file.ends_with(".json.tmp")
    }
}

/// The system calls that change or read a store; tests put failures between them.
pub(super) trait Disk: fmt::Debug + Send + Sync {
    /// The full path of a file, for messages.
    fn path(&self, name: &Name) -> PathBuf;
    /// The content of a file of ours; `None` when there is none.
    fn read(&self, name: &Name, bytes_max: usize) -> Result<Option<Vec<u8>>, KeyError>;
    /// The names in a directory.
    fn list(&self, folder: Folder) -> Result<Vec<String>, KeyError>;
    /// A new, empty file; it must not exist.
    fn create(&self, name: &Name) -> io::Result<File>;
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    fn sync(&self, file: &File) -> io::Result<()>;
    fn rename(&self, from: &Name, to: &Name) -> io::Result<()>;
    fn sync_folder(&self, folder: Folder) -> io::Result<()>;
    /// Missing is success.
    fn remove(&self, name: &Name) -> io::Result<()>;
}

/// Replaces `name` by `bytes`, durably: after `Ok`, not even a power failure brings the old content back; after an error, the file has
/// either the old content or the new.
pub(super) fn replace(disk: &dyn Disk, name: &Name, bytes: &[u8]) -> Result<(), KeyError> {
    let temporary = name.temporary();
    let result = write_beside(disk, &temporary, bytes)
        .and_then(|()| disk.rename(&temporary, name))
        .and_then(|()| disk.sync_folder(name.folder));
    result.map_err(|error| {
        // The first error is the one to tell; what cannot be removed now is removed at the next opening.
        let _ = disk.remove(&temporary);
        KeyError::io("write", &disk.path(name), error)
    })
}

fn write_beside(disk: &dyn Disk, temporary: &Name, bytes: &[u8]) -> io::Result<()> {
    // Left by a stop halfway. Only the holder of the lock writes, so nobody is at work on it.
    disk.remove(temporary)?;
    let mut file = disk.create(temporary)?;
    disk.write(&mut file, bytes)?;
    disk.sync(&file)
}

/// The real file system.
#[derive(Debug)]
pub(super) struct RealDisk {
    dir: PathBuf,
    root: OwnedFd,
    keys: OwnedFd,
}

impl RealDisk {
    /// The key directory `dir`, which must exist.
    pub(super) fn open(dir: &Path) -> Result<Self, KeyError> {
        let root = match open_folder(rustix::fs::CWD, dir, dir) {
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(KeyError::NotInitialized { dir: dir.to_owned() });
            }
            other => other?,
        };
        let keys_path = dir.join("keys");
        let keys = match open_folder(&root, Path::new("keys"), &keys_path) {
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let initialized = openat(&root, "keystore.json", READ, Mode::empty()).is_ok();
                return Err(if initialized {
                    KeyError::damaged(&keys_path, "it is missing")
                } else {
                    KeyError::NotInitialized { dir: dir.to_owned() }
                });
            }
            other => other?,
        };
        Ok(Self {
            dir: dir.to_owned(),
            root,
            keys,
        })
    }

    /// The key directory `dir`, made if needed with all that leads to it. What exists is not changed, only checked.
    pub(super) fn create_or_open(dir: &Path) -> Result<Self, KeyError> {
        let make = |path: &Path| {
            DirBuilder::new()
                .recursive(true)
                .mode(DIR_MODE)
                .create(path)
                .map_err(|error| KeyError::io("create", path, error))
        };
        make(dir)?;
        // The check comes before anything is made inside.
        drop(open_folder(rustix::fs::CWD, dir, dir)?);
        make(&dir.join("keys"))?;
        let disk = Self::open(dir)?;
        let sync =
            |file: io::Result<()>, path: &Path| file.map_err(|error| KeyError::io("sync", path, error));
        sync(disk.sync_folder(Folder::Root), dir)?;
        let parent = match dir.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Ok(disk),
        };
        sync(File::open(parent).and_then(|parent| parent.sync_all()), parent)?;
        Ok(disk)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens `.lock`, making it if needed.
    pub(super) fn open_lock(&self) -> Result<File, KeyError> {
        let path = self.dir.join(".lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(&self.root, ".lock", flags, Mode::from_raw_mode(FILE_MODE))
            .map_err(|errno| open_error(&path, errno))?;
        check_file(&path, &stat(&path, &file)?)?;
        Ok(File::from(file))
    }

    const fn folder(&self, folder: Folder) -> &OwnedFd {
        match folder {
            Folder::Root => &self.root,
            Folder::Keys => &self.keys,
        }
    }

    fn folder_path(&self, folder: Folder) -> PathBuf {
        match folder {
            Folder::Root => self.dir.clone(),
            Folder::Keys => self.dir.join("keys"),
        }
    }
}

/// Not blocking, so that a named pipe in the place of a file cannot hang the caller.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

impl Disk for RealDisk {
    fn path(&self, name: &Name) -> PathBuf {
        self.folder_path(name.folder).join(&name.file)
    }

    fn read(&self, name: &Name, bytes_max: usize) -> Result<Option<Vec<u8>>, KeyError> {
        let path = self.path(name);
        let folder = self.folder(name.folder);
        let folder_path = self.folder_path(name.folder);
        check_folder(&folder_path, &stat(&folder_path, folder)?)?;
        let file = match openat(folder, name.file.as_str(), READ, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.map_err(|errno| open_error(&path, errno))?,
        };
        check_file(&path, &stat(&path, &file)?)?;
        let mut bytes = Vec::new();
        File::from(file)
            .take(bytes_max as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| KeyError::io("read", &path, error))?;
        if bytes.len() > bytes_max {
            return Err(KeyError::damaged(
                &path,
                format!("it is longer than {bytes_max} bytes"),
            ));
        }
        Ok(Some(bytes))
    }

    fn list(&self, folder: Folder) -> Result<Vec<String>, KeyError> {
        let path = self.folder_path(folder);
        let failed = |errno: Errno| KeyError::io("list", &path, errno.into());
        let mut names = Vec::new();
        for entry in Dir::read_from(self.folder(folder)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
            if names.len() > NAMES_MAX {
                return Err(KeyError::damaged(
                    &path,
                    format!("it holds more than {NAMES_MAX} files"),
                ));
            }
        }
        Ok(names)
    }

    fn create(&self, name: &Name) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(FILE_MODE);
        Ok(openat(self.folder(name.folder), name.file.as_str(), flags, mode)?.into())
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Name, to: &Name) -> io::Result<()> {
        Ok(renameat(
            self.folder(from.folder),
            from.file.as_str(),
            self.folder(to.folder),
            to.file.as_str(),
        )?)
    }

    fn sync_folder(&self, folder: Folder) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.folder(folder))?)
    }

    fn remove(&self, name: &Name) -> io::Result<()> {
        match unlinkat(self.folder(name.folder), name.file.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn open_folder(at: impl std::os::fd::AsFd, name: &Path, path: &Path) -> Result<OwnedFd, KeyError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::DIRECTORY;
    let folder = openat(at, name, flags, Mode::empty()).map_err(|errno| match errno {
        // The system calls a link to a directory "not a directory" here.
        Errno::NOTDIR if path.is_symlink() => KeyError::Symlink {
            path: path.to_owned(),
        },
        Errno::NOTDIR => KeyError::FileKind {
            path: path.to_owned(),
            expected: "directory",
        },
        errno => open_error(path, errno),
    })?;
    check_folder(path, &stat(path, &folder)?)?;
    Ok(folder)
}

fn open_error(path: &Path, errno: Errno) -> KeyError {
    match errno {
        Errno::LOOP => KeyError::Symlink {
            path: path.to_owned(),
        },
        errno => KeyError::io("open", path, errno.into()),
    }
}

fn stat(path: &Path, file: &OwnedFd) -> Result<Stat, KeyError> {
    fstat(file).map_err(|errno| KeyError::io("inspect", path, errno.into()))
}

fn check_folder(path: &Path, stat: &Stat) -> Result<(), KeyError> {
    check_owner(path, stat)?;
    check_mode(path, stat.st_mode & !SETGID, DIR_MODE)
}

fn check_file(path: &Path, stat: &Stat) -> Result<(), KeyError> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(KeyError::FileKind {
            path: path.to_owned(),
            expected: "regular file",
        });
    }
    check_owner(path, stat)?;
    check_mode(path, stat.st_mode, FILE_MODE)?;
    if stat.st_nlink > 1 {
        return Err(KeyError::HardLink {
            path: path.to_owned(),
            links: stat.st_nlink,
        });
    }
    Ok(())
}

fn check_owner(path: &Path, stat: &Stat) -> Result<(), KeyError> {
    let wanted = rustix::process::geteuid().as_raw();
    if stat.st_uid == wanted {
        return Ok(());
    }
    Err(KeyError::Owner {
        path: path.to_owned(),
        owner: stat.st_uid,
        wanted,
    })
}

fn check_mode(path: &Path, mode: u32, wanted: u32) -> Result<(), KeyError> {
    let mode = mode & PERMISSION_BITS;
    if mode & !wanted == 0 {
        return Ok(());
    }
    Err(KeyError::Mode {
        path: path.to_owned(),
        mode,
        wanted,
    })
}
