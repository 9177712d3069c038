//! What a replica writes becomes lines of its log.

use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::super::logs::{LINE_BYTES_MAX, LogWriter};

/// The log of one replica; every process of it writes here, one after the other.
#[derive(Debug)]
pub(super) struct ReplicaLog {
    writer: LogWriter,
    last_line: String,
    lost: u64,
}

/// Longest part of a line that is repeated in a message.
const QUOTE_CHARS_MAX: usize = 200;

impl ReplicaLog {
    pub(super) const fn new(writer: LogWriter) -> Self {
        Self {
            writer,
            last_line: String::new(),
            lost: 0,
        }
    }

    fn append(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.iter().all(u8::is_ascii_whitespace) {
            self.last_line = String::from_utf8_lossy(line)
                .chars()
                .filter(|c| !c.is_control())
                .take(QUOTE_CHARS_MAX)
                .collect();
        }
        if let Err(error) = self.writer.write(line) {
            // Said at powers of two: a full disk must not fill the supervisor's own log.
            self.lost += 1;
            if self.lost.is_power_of_two() {
                super::say(&format!("{} log lines are lost: {error}", self.lost));
            }
        }
    }

    /// The last line that says something, shortened; empty when there is none yet.
    pub(super) fn last_line(&self) -> &str {
        &self.last_line
    }
}

/// Copies lines from `source` to `log` until every writer has closed it.
pub(super) fn start(source: PipeReader, log: Arc<Mutex<ReplicaLog>>) -> std::io::Result<JoinHandle<()>> {
    let receiver = pipe::Receiver::from_owned_fd(OwnedFd::from(source))?;
    Ok(tokio::spawn(async move {
        let mut reader = BufReader::with_capacity(LINE_BYTES_MAX, receiver);
        let mut line = Vec::new();
        loop {
            line.clear();
            let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
            match (&mut reader).take(most).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    let whole = line.strip_suffix(b"\n").unwrap_or(&line);
                    log.lock().unwrap_or_else(PoisonError::into_inner).append(whole);
                }
            }
        }
    }))
}
