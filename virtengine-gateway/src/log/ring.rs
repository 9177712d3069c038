use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use virtengine_provider_core::time::Timestamp;

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
    missing: Option<Missing>,
}

#[derive(Debug)]
struct LogFile {
    file: File,
    path: PathBuf,
    bytes: u64,
    /// Whether the last line may have been written in part.
    torn: bool,
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

    /// Adds a line. A disk that does not take it costs the line on disk, never the caller; [`Self::tail`] then tells how many lines
    /// the disk lacks, and the file does once it is written again.
    pub fn push(&self, entry: LogEntry) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.write(&entry, &self.options);
        state.remember(entry, &self.options);
    }

    /// The last lines that match, oldest first. While the disk does not take lines, the last one says so: how many, and why.
    #[must_use]
    pub fn tail(&self, query: OperatorLogQuery) -> Vec<LogEntry> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = if query.level >= LogLevel::Warn {
            &state.grave
        } else {
            &state.all
        };
        let notice = state.missing.as_ref().map(Missing::notice);
        last_matching(lines.iter().chain(&notice), query)
    }
}

/// Lines that the disk did not take since it last took one.
#[derive(Debug)]
struct Missing {
    lines: u64,
    /// Time of the last of them.
    last: Timestamp,
    /// What the operating system said to the last of them.
    error: String,
}

impl Missing {
    fn notice(&self) -> LogEntry {
        LogEntry {
            at: self.last,
            level: LogLevel::Error,
            target: module_path!().to_owned(),
            message: format!("{} lines of the log are not in its file", self.lines),
            fields: [("error".to_owned(), self.error.clone())].into(),
        }
    }
}

impl State {
    fn write(&mut self, entry: &LogEntry, options: &LogRingOptions) {
        if let Err(error) = self.try_write(entry, options) {
            let before = self.missing.take().map_or(0, |missing| missing.lines);
            self.missing = Some(Missing {
                lines: before.saturating_add(1),
                last: entry.at,
                error: error.to_string(),
            });
        }
    }

    fn try_write(&mut self, entry: &LogEntry, options: &LogRingOptions) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let Some(notice) = self.missing.as_ref().map(Missing::notice) else {
            return file.write(entry, options.file_bytes_max);
        };
        file.write(&notice, options.file_bytes_max)?;
        let written = file.write(entry, options.file_bytes_max);
        self.missing = None;
        self.remember(notice, options);
        written
    }

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
            // As a crash may have left it; an empty line is nothing to who reads.
            torn: bytes > 0,
        })
    }

    fn write(&mut self, entry: &LogEntry, bytes_max: u64) -> io::Result<()> {
        if self.bytes >= bytes_max {
            match std::fs::rename(&self.path, before(&self.path)) {
                Ok(()) => {}
                // Somebody took the file away: there is nothing to keep, and a new one is to be begun all the same.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            *self = Self::open(&self.path)?;
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if std::mem::replace(&mut self.torn, true) {
            line.insert(0, b'\n');
        }
        self.file.write_all(&line)?;
        self.torn = false;
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

    fn on_disk(path: &Path, file_bytes_max: u64) -> LogRing {
        LogRing::open(LogRingOptions {
            file: Some(path.to_owned()),
            file_bytes_max,
            ..LogRingOptions::default()
        })
        .unwrap()
    }

    #[test]
    fn a_file_that_somebody_took_away_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("provider.log");
        let ring = on_disk(&path, 200);
        for number in 0..3 {
            ring.push(entry(number, LogLevel::Info));
        }
        std::fs::remove_file(&path).unwrap();
        for number in 3..5 {
            ring.push(entry(number, LogLevel::Info));
        }
        let read = read_log_files(&path, query(100, LogLevel::Info)).unwrap();
        assert_eq!(messages(&read), ["line 3", "line 4"]);
    }

    #[test]
    fn lines_that_the_disk_did_not_take_are_told_in_memory_and_later_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("provider.log");
        let ring = on_disk(&path, 200);
        // A folder in the place of the file before: the files cannot take turns.
        std::fs::create_dir(before(&path)).unwrap();
        for number in 0..10 {
            ring.push(entry(number, LogLevel::Info));
        }
        let tail = ring.tail(query(2, LogLevel::Error));
        assert_eq!(tail.len(), 1);
        assert!(tail[0].message.contains("7 lines"), "{tail:?}");
        assert_eq!(tail[0].at, Timestamp::from_seconds(9));
        assert!(!tail[0].fields["error"].is_empty(), "{tail:?}");
        let tail = ring.tail(query(2, LogLevel::Info));
        assert_eq!(tail[0].message, "line 9");
        assert!(tail[1].message.contains("7 lines"), "{tail:?}");

        std::fs::remove_dir(before(&path)).unwrap();
        ring.push(entry(10, LogLevel::Info));
        let read = read_log_files(&path, query(100, LogLevel::Info)).unwrap();
        assert_eq!(read.len(), 5, "{read:?}");
        assert!(read[3].message.contains("7 lines"), "{read:?}");
        assert_eq!(read[4].message, "line 10");
        assert_eq!(ring.tail(query(2, LogLevel::Info)), read[3..]);
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
        // What comes after the torn line is not lost with it.
        ring.push(entry(200, LogLevel::Info));
        let read = read_log_files(&path, query(1, LogLevel::Info)).unwrap();
        assert_eq!(messages(&read), ["line 200"]);
        let bytes: u64 = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes < 5_000, "{bytes}");
    }
}
