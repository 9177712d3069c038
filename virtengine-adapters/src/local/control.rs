//! Asking a supervisor.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::layout::{self, SOCKET, WorkloadDir};
use super::record::{Request, Response};

/// Why a supervisor did not answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// There is none.
    Absent,
    /// There is one, but it does not speak.
    Silent(io::Error),
}

/// Longest answer in bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// How long a supervisor may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// How long a lock without a listener is waited for: the supervisor is just coming or going, or a process that is being
/// started elsewhere holds, for a moment, what its parent had open.
const TRANSITION_PATIENCE: Duration = Duration::from_millis(500);

/// Asks the supervisor of the workload in `dir`.
pub(crate) fn ask(dir: &WorkloadDir, request: Request) -> Result<Response, NoAnswer> {
    let deadline = Instant::now() + TRANSITION_PATIENCE;
    loop {
        let error = match exchange(dir.path(), request) {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let nobody_listens = matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
        );
        if nobody_listens && !is_supervised(dir) {
            return Err(NoAnswer::Absent);
        }
        if !nobody_listens || Instant::now() > deadline {
            return Err(NoAnswer::Silent(error));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn exchange(dir: &Path, request: Request) -> io::Result<Response> {
    // Through a handle of the directory: a socket's path may not be longer than 107 bytes, ours may.
    let handle = File::open(dir)?;
    let stream = UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", handle.as_raw_fd()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut question = serde_json::to_vec(&request)?;
    question.push(b'\n');
    (&stream).write_all(&question)?;
    let mut answer = Vec::new();
    (&stream).take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    serde_json::from_slice(&answer).map_err(io::Error::from)
}

/// Whether a supervisor lives for the workload in `dir`: it holds a lock that the kernel takes from the dead.
pub(crate) fn is_supervised(dir: &WorkloadDir) -> bool {
    let Ok(file) = OpenOptions::new().read(true).open(dir.lock()) else {
        return false;
    };
    // Shared: it only fails against the supervisor, never against another asker.
    matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
}

/// Takes the supervisor's place while nobody supervises, e.g. to count what lies on the disk; `None` when one lives.
pub(crate) fn stand_in(dir: &WorkloadDir) -> io::Result<Option<File>> {
    lock(&dir.lock(), TRANSITION_PATIENCE)
}

/// Locks a file for this process; `None` when another one still holds it after `patience`.
pub(crate) fn lock(path: &Path, patience: Duration) -> io::Result<Option<File>> {
    let file = layout::open_lock(path)?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) if Instant::now() >= deadline => return Ok(None),
            Err(fs::TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
}
