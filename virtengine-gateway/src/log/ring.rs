use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::api::{LogEntry, LogLevel, OperatorLogQuery};

/// The longest line that is read back.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// How much is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRingOptions {
    /// Lines in memory.
    pub lines: usize,
    /// Lines of warnings and errors in memory, so that chatter does not push them out.
    pub grave_lines: usize,
    /// The file that is written, JSON lines; `None`: memory only. The one before it has `.1` at the end of its name.
    pub file: Option<PathBuf>,
    /// Size at which the files take turns, in bytes: at most twice that is on disk.
    pub file_bytes_max: u64,
}

impl Default for LogRingOptions {
    /// 5,000 lines and 1,000 grave ones in memory; no files; 16 MiB each once there are.
    fn default() -> Self {
        Self {
            lines: 5_000,
            grave_lines: 1_000,
            file: None,
            file_bytes_max: 16 << 20,
        }
    }
}

/// The last lines of the log.
#[derive(Debug)]
pub struct LogRing {
    options: LogRingOptions,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    all: VecDeque<LogEntry>,
    grave: VecDeque<LogEntry>,
    file: Option<LogFile>,
    /// Lines that the disk did not take.
    lost: u64,
}

#[derive(Debug)]
struct LogFile {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl LogRing {
    /// Opens the files, if any, and remembers their last lines.
    ///
    /// # Errors
    /// The directory or the file cannot be made.
    pub fn open(options: LogRingOptions) -> io::Result<Self> {
        let mut state = State::default();
        if let Some(path) = &options.file {
            for entry in read_all(path)? {
                state.remember(entry, &options);
            }
            if let Some(directory) = path.parent() {
                std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(directory)?;
            }
            state.file = Some(LogFile::open(path)?);
        }
        Ok(Self {
            options,
            state: Mutex::new(state),
        })
    }

    /// Adds a line. A disk that does not take it costs the line on disk, never the caller.
    pub fn push(&self, entry: LogEntry) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut state.file
            && file.write(&entry, self.options.file_bytes_max).is_err()
        {
            state.lost += 1;
        }
        state.remember(entry, &self.options);
    }

    /// The last lines that match, oldest first.
    #[must_use]
    pub fn tail(&self, query: OperatorLogQuery) -> Vec<LogEntry> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = if query.level >= LogLevel::Warn {
            &state.grave
        } else {
            &state.all
        };
        last_matching(lines.iter(), query)
    }

    /// How many lines the disk did not take.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).lost
    }
}

impl State {
    fn remember(&mut self, entry: LogEntry, options: &LogRingOptions) {
        if entry.level >= LogLevel::Warn {
            keep(&mut self.grave, entry.clone(), options.grave_lines);
        }
        keep(&mut self.all, entry, options.lines);
    }
}

fn keep(lines: &mut VecDeque<LogEntry>, entry: LogEntry, most: usize) {
    while lines.len() >= most.max(1) {
        lines.pop_front();
    }
    lines.push_back(entry);
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            file,
            path: path.to_owned(),
            bytes,
        })
    }

    fn write(&mut self, entry: &LogEntry, bytes_max: u64) -> io::Result<()> {
        if self.bytes >= bytes_max {
            std::fs::rename(&self.path, before(&self.path))?;
            *self = Self::open(&self.path)?;
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.bytes += u64::try_from(line.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

/// Reads the files of a daemon that is not running.
///
/// # Errors
/// They cannot be read. Missing files have no lines.
pub fn read_log_files(file: &Path, query: OperatorLogQuery) -> io::Result<Vec<LogEntry>> {
    Ok(last_matching(read_all(file)?.iter(), query))
}

/// Where the file is once its turn is over.
fn before(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn last_matching<'a>(
    lines: impl DoubleEndedIterator<Item = &'a LogEntry>,
    query: OperatorLogQuery,
) -> Vec<LogEntry> {
    let mut found: Vec<_> = lines
        .rev()
        .filter(|entry| entry.level >= query.level)
        .take(query.tail)
        .cloned()
        .collect();
    found.reverse();
    found
}

fn read_all(file: &Path) -> io::Result<Vec<LogEntry>> {
    let mut entries = Vec::new();
    for path in [before(file), file.to_owned()] {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // A line that was cut short by a crash is left out.
        for line in BufReader::new(file).split(b'\n') {
            let line = line?;
            if line.len() <= LINE_BYTES_MAX
                && let Ok(entry) = serde_json::from_slice(&line)
            {
                entries.push(entry);
            }
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use virtengine_provider_core::time::Timestamp;

    use super::*;

    fn entry(number: i64, level: LogLevel) -> LogEntry {
        LogEntry {
            at: Timestamp::from_seconds(number),
            level,
            target: "test".to_owned(),
            message: format!("line {number}"),
            fields: std::collections::BTreeMap::new(),
        }
    }

    fn query(tail: usize, level: LogLevel) -> OperatorLogQuery {
        OperatorLogQuery { tail, level }
    }

    fn messages(entries: &[LogEntry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.message.as_str()).collect()
    }

    #[test]
    fn chatter_does_not_push_errors_out() {
        let ring = LogRing::open(LogRingOptions {
            lines: 10,
            grave_lines: 10,
            ..LogRingOptions::default()
        })
        .unwrap();
        ring.push(entry(0, LogLevel::Error));
        for number in 1..100 {
            ring.push(entry(number, LogLevel::Info));
        }
        assert_eq!(messages(&ring.tail(query(5, LogLevel::Error))), ["line 0"]);
        assert_eq!(
            messages(&ring.tail(query(2, LogLevel::Info))),
            ["line 98", "line 99"]
        );
        assert_eq!(ring.tail(query(1000, LogLevel::Trace)).len(), 10);
    }

    #[test]
    fn lines_survive_a_restart_and_files_stay_small() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("provider.log");
        let options = LogRingOptions {
            file: Some(path.clone()),
            file_bytes_max: 2_000,
            ..LogRingOptions::default()
        };
        let ring = LogRing::open(options.clone()).unwrap();
        for number in 0..200 {
            ring.push(entry(number, LogLevel::Info));
        }
        drop(ring);
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"at\":\"2026").unwrap();
        let ring = LogRing::open(options).unwrap();
        assert_eq!(
            messages(&ring.tail(query(2, LogLevel::Info))),
            ["line 198", "line 199"]
        );
        let read = read_log_files(&path, query(1, LogLevel::Info)).unwrap();
        assert_eq!(messages(&read), ["line 199"]);
        let bytes: u64 = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes < 5_000, "{bytes}");
    }
}
