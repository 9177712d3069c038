use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::{fs, process};

use tokio::net::{UnixListener, UnixStream};

use crate::listen::{Acceptor, Peer};

/// The kernel's limit for the path of a unix socket, without the final zero.
const PATH_LEN_MAX: usize = 107;

/// Why the socket cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Another daemon answers there.
    #[error("another daemon answers at {}", .0.display())]
    InUse(PathBuf),
    /// Something else lies at its path.
    #[error("{} exists and is not a socket: move it away", .0.display())]
    NotASocket(PathBuf),
    /// The path does not fit into the kernel's address.
    #[error("the socket path {} is longer than {PATH_LEN_MAX} bytes: choose a shorter one", .0.display())]
    TooLong(PathBuf),
    /// Others could replace the socket.
    #[error("the directory {} of the socket is {problem}: choose one that only this user can write to", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The operating system refuses.
    #[error("cannot make the socket {}: {source}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
}

/// A listening socket; its file goes with it.
#[derive(Debug)]
pub(super) struct OwnedSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl OwnedSocket {
    /// Listens at `path`: mode 0600 from the first moment, in a directory that only we can write to (made when missing). A
    /// socket on which nobody answers is replaced.
    pub(super) async fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Io {
            path: path.to_owned(),
            source,
        };
        // It is made under another name, so that it never stands at its place with looser rights.
        let draft = path.with_file_name(format!(".{}", process::id()));
        if path.as_os_str().len().max(draft.as_os_str().len()) > PATH_LEN_MAX {
            return Err(SocketError::TooLong(path.to_owned()));
        }
        prepare_directory(path)?;
        clear_place(path).await?;
        let _ = fs::remove_file(&draft);
        let listener = UnixListener::bind(&draft).map_err(failed)?;
        let placed = fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(&draft, path))
            .and_then(|()| fs::symlink_metadata(path));
        match placed {
            Ok(metadata) => Ok(Self {
                listener,
                path: path.to_owned(),
                inode: metadata.ino(),
            }),
            Err(error) => {
                let _ = fs::remove_file(&draft);
                Err(failed(error))
            }
        }
    }
}

impl Drop for OwnedSocket {
    fn drop(&mut self) {
        // Another daemon may have taken the place since.
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Acceptor for OwnedSocket {
    type Raw = UnixStream;
    type Ready = UnixStream;

    async fn accept(&self) -> io::Result<(Self::Raw, Peer)> {
        let (stream, _) = self.listener.accept().await?;
        let user = stream.peer_cred()?.uid();
        Ok((stream, Peer::Unix(user)))
    }

    fn admit(&self, _peer: Peer) -> Option<Box<dyn Send>> {
        Some(Box::new(()))
    }

    async fn prepare(&self, raw: Self::Raw) -> io::Result<Self::Ready> {
        Ok(raw)
    }
}

fn prepare_directory(socket: &Path) -> Result<(), SocketError> {
    let directory = match socket.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |source| SocketError::Io {
        path: socket.to_owned(),
        source,
    };
    let bad = |problem: String| SocketError::Directory {
        path: directory.to_owned(),
        problem,
    };
    if !directory.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed)?;
    }
    let metadata = fs::metadata(directory).map_err(failed)?;
    if !metadata.is_dir() {
        return Err(bad("not a directory".to_owned()));
    }
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let us = rustix::process::geteuid().as_raw();
    if owner != us && owner != 0 {
        return Err(bad(format!("owned by user {owner}, not by {us}")));
    }
    if mode & 0o022 != 0 {
        return Err(bad(format!("writable by others (mode {mode:04o})")));
    }
    Ok(())
}

async fn clear_place(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}
