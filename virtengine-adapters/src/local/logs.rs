//! Logs of replicas: files of whole lines, named by the position of their first byte. A line's position is the count of bytes
//! written up to and including it since the replica's log began, so it survives rotation and restarts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::layout::create_private_dir;

/// Longest line in bytes; longer ones are cut into several.
pub(crate) const LINE_BYTES_MAX: usize = 16 * 1024;

/// How many files the kept bytes are spread over: rotation drops one of them.
const SEGMENTS: u64 = 4;

/// Appends lines and drops the oldest.
#[derive(Debug)]
pub(crate) struct LogWriter {
    dir: PathBuf,
    bytes_max: u64,
    file: File,
    segment: u64,
    length: u64,
}

impl LogWriter {
    /// Goes on where the log in `dir` ends.
    pub(crate) fn open(dir: &Path, bytes_max: u64) -> io::Result<Self> {
        create_private_dir(dir)?;
        let segment = segments(dir)?.last().copied().unwrap_or(0);
        let mut file = open_segment(dir, segment)?;
        let mut length = file.seek(SeekFrom::End(0))?;
        if length > 0 && !ends_with_newline(&mut file)? {
            // A crash tore the last line; close it so that the next one stands alone.
            file.write_all(b"\n")?;
            length += 1;
        }
        Ok(Self {
            dir: dir.to_owned(),
            bytes_max,
            file,
            segment,
            length,
        })
    }

    /// Appends one line (without its end). A line that cannot be written is taken back and lost.
    pub(crate) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.length >= self.bytes_max / SEGMENTS {
            self.rotate()?;
        }
        let text = [line, b"\n"].concat();
        if let Err(error) = self.file.write_all(&text) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length = self.length.saturating_add(bytes(text.len()));
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let segment = self.segment.saturating_add(self.length);
        self.file = open_segment(&self.dir, segment)?;
        (self.segment, self.length) = (segment, 0);
        let kept = segments(&self.dir)?;
        let surplus = kept.len().saturating_sub(SEGMENTS as usize);
        for old in kept.iter().take(surplus) {
            fs::remove_file(segment_path(&self.dir, *old))?;
        }
        Ok(())
    }
}

fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn segment_path(dir: &Path, start: u64) -> PathBuf {
    dir.join(format!("{start:020}.log"))
}

fn open_segment(dir: &Path, start: u64) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(segment_path(dir, start))
}

fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut starts: Vec<u64> = entries
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .to_str()?
                .strip_suffix(".log")?
                .parse()
                .ok()
        })
        .collect();
    starts.sort_unstable();
    Ok(starts)
}

/// The kept lines after position `after`, at most the last `tail` of them, oldest first. A missing log is empty.
pub(crate) fn read(dir: &Path, after: u64, tail: Option<usize>) -> io::Result<Vec<(u64, String)>> {
    let mut lines = Vec::new();
    for start in segments(dir)? {
        let text = match fs::read(segment_path(dir, start)) {
            Ok(text) => text,
            // Rotation dropped it between the listing and now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut position = start;
        // What follows the last newline is a line that is being written.
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            position = position.saturating_add(bytes(line.len()));
            if let Some(line) = line.strip_suffix(b"\n")
                && position > after
            {
                lines.push((position, String::from_utf8_lossy(line).into_owned()));
            }
        }
    }
    let surplus = tail.map_or(0, |tail| lines.len().saturating_sub(tail));
    lines.drain(..surplus);
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_rotation_and_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::open(dir.path(), 400).unwrap();
        for number in 0..200 {
            writer.write(format!("line {number}").as_bytes()).unwrap();
        }
        let seen = read(dir.path(), 0, Some(3)).unwrap();
        assert_eq!(seen[2].1, "line 199");
        drop(writer);
        let mut writer = LogWriter::open(dir.path(), 400).unwrap();
        writer.write(b"after").unwrap();
        let fresh = read(dir.path(), seen[2].0, None).unwrap();
        assert_eq!(
            fresh.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
            ["after"]
        );
        let kept = read(dir.path(), 0, None).unwrap();
        assert!(kept.len() < 100 && kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let on_disk: u64 = segments(dir.path())
            .unwrap()
            .iter()
            .map(|start| fs::metadata(segment_path(dir.path(), *start)).unwrap().len())
            .sum();
        assert!(on_disk <= 500, "{on_disk} bytes are kept");
    }

    #[test]
    fn a_torn_line_does_not_swallow_the_next() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(segment_path(dir.path(), 0), "whole\nto").unwrap();
        assert_eq!(read(dir.path(), 0, None).unwrap(), [(6, "whole".to_owned())]);
        LogWriter::open(dir.path(), 1 << 20)
            .unwrap()
            .write(b"next")
            .unwrap();
        let lines = read(dir.path(), 6, None).unwrap();
        assert_eq!(lines, [(9, "to".to_owned()), (14, "next".to_owned())]);
    }
}
