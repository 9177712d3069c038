//! How a journal is opened.

use virtengine_provider_core::ports::journal::JournalError;

/// Least memory for waiting commits: one commit may take this much of the queue, however large it is.
pub(super) const QUEUE_KIB_MIN: usize = 16 * 1024;

/// Bounds of a journal. The defaults suit a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How many commits may wait for the writer; a further one waits before it is queued. Default 1024.
    pub queue_commits: usize,
    /// How much memory waiting commits may take, in KiB; at least 16 MiB. Default 64 MiB.
    pub queue_kib: usize,
    /// How many waiting commits are written with one sync. Default 512.
    pub batch_commits: usize,
    /// The file may not become larger than this (a commit beyond it is [`JournalError::Full`]), in bytes; at least 64 KiB.
    /// Default: no bound but the disk.
    pub file_bytes_max: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue_commits: 1024,
            queue_kib: 64 * 1024,
            batch_commits: 512,
            file_bytes_max: None,
        }
    }
}

impl Options {
    pub(super) fn check(&self) -> Result<(), JournalError> {
        let refuse = |text: String| Err(JournalError::Failed(text));
        if self.queue_commits == 0 || self.batch_commits == 0 {
            return refuse("journal options: queue_commits and batch_commits must be at least 1".to_owned());
        }
        if self.queue_kib < QUEUE_KIB_MIN || self.queue_kib > tokio::sync::Semaphore::MAX_PERMITS {
            return refuse(format!(
                "journal options: queue_kib must be at least {QUEUE_KIB_MIN}"
            ));
        }
        if self.file_bytes_max.is_some_and(|bytes| bytes < 64 * 1024) {
            return refuse("journal options: file_bytes_max must be at least 65536".to_owned());
        }
        Ok(())
    }
}
