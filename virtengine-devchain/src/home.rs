//! A directory that outlives the process: the genesis and every block's time and transactions, written before the block is
//! executed. A restart replays them; the application hashes in the file prove that the replay is the same chain.
//!
//! `blocks.jsonl` has one line per block. A torn last line (the process died while writing) is cut off.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::genesis::{Genesis, GenesisError};
use crate::state::time::BlockTime;

/// Longest line that is read back: a full block in base64.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// What is wrong with the directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The directory holds another chain.
    #[error("{path} belongs to another genesis; give the same genesis or another directory")]
    OtherGenesis {
        /// The genesis file.
        path: PathBuf,
    },
    /// The stored genesis is unusable.
    #[error("{path}: {source}")]
    Genesis {
        /// The genesis file.
        path: PathBuf,
        /// The cause.
        source: GenesisError,
    },
    /// A line in the middle of the file is damaged, or replaying gave another result.
    #[error("{path}: block {height} is damaged: {what}; the directory cannot be used")]
    Damaged {
        /// The block file.
        path: PathBuf,
        /// The height.
        height: u64,
        /// What does not fit.
        what: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    height: u64,
    time: BlockTime,
    /// The application hash before the block.
    app_hash: String,
    txs: Vec<String>,
}

/// A stored block.
#[derive(Debug)]
pub(crate) struct StoredBlock {
    pub(crate) height: u64,
    pub(crate) time: BlockTime,
    pub(crate) app_hash: String,
    pub(crate) txs: Vec<Bytes>,
}

/// The directory, open for appending.
#[derive(Debug)]
pub(crate) struct Home {
    file: File,
    path: PathBuf,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> HomeError + '_ {
    move |source| HomeError::Io {
        path: path.to_owned(),
        source,
    }
}

impl Home {
    /// Opens or creates the directory. `given` is the genesis that was asked for; a stored one must be the same.
    pub(crate) fn open(
        dir: &Path,
        given: Option<Genesis>,
    ) -> Result<(Self, Genesis, Vec<StoredBlock>), HomeError> {
        std::fs::create_dir_all(dir).map_err(io_error(dir))?;
        let genesis = stored_genesis(&dir.join("genesis.json"), given)?;
        let path = dir.join("blocks.jsonl");
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&path)
            .map_err(io_error(&path))?;
        let (blocks, good) = read_blocks(&mut file, &path)?;
        file.set_len(good).map_err(io_error(&path))?;
        Ok((Self { file, path }, genesis, blocks))
    }

    /// Appends a block and waits until it is on disk.
    pub(crate) fn append(
        &mut self,
        height: u64,
        time: BlockTime,
        app_hash: [u8; 32],
        txs: &[Bytes],
    ) -> Result<(), HomeError> {
        let line = Line {
            height,
            time,
            app_hash: hex::encode(app_hash),
            txs: txs.iter().map(|t| STANDARD.encode(t)).collect(),
        };
        let mut text = serde_json::to_vec(&line).map_err(|e| HomeError::Damaged {
            path: self.path.clone(),
            height,
            what: e.to_string(),
        })?;
        text.push(b'\n');
        let before = self.file.metadata().map(|m| m.len());
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        if written.is_err()
            && let Ok(len) = before
        {
            // A half line must not stand before the next one. If this fails too, the next start cuts it.
            let _best_effort = self.file.set_len(len);
        }
        written.map_err(io_error(&self.path))
    }

    /// The error for a block whose replay differs.
    pub(crate) fn differs(&self, block: &StoredBlock, what: String) -> HomeError {
        HomeError::Damaged {
            path: self.path.clone(),
            height: block.height,
            what,
        }
    }
}

fn stored_genesis(path: &Path, given: Option<Genesis>) -> Result<Genesis, HomeError> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let stored = Genesis::from_json(&text).map_err(|source| HomeError::Genesis {
                path: path.to_owned(),
                source,
            })?;
            let same = |given: &Genesis| {
                Genesis {
                    time: given.time.or(stored.time),
                    ..given.clone()
                } == stored
            };
            if given.as_ref().is_some_and(|g| !same(g)) {
                return Err(HomeError::OtherGenesis {
                    path: path.to_owned(),
                });
            }
            Ok(stored)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let genesis = given.unwrap_or_default();
            let draft = path.with_extension("json.new");
            let write = || {
                let mut file = File::create(&draft)?;
                file.write_all(genesis.to_json().as_bytes())?;
                file.sync_all()?;
                std::fs::rename(&draft, path)
            };
            write().map_err(io_error(path))?;
            Ok(genesis)
        }
        Err(error) => Err(io_error(path)(error)),
    }
}

/// Reads the blocks; answers them and the length of the part of the file that is whole.
fn read_blocks(file: &mut File, path: &Path) -> Result<(Vec<StoredBlock>, u64), HomeError> {
    use std::io::Read as _;
    file.seek(SeekFrom::Start(0)).map_err(io_error(path))?;
    let mut reader = BufReader::new(file);
    let (mut blocks, mut good) = (Vec::new(), 0_u64);
    loop {
        let mut text = Vec::new();
        let read = (&mut reader)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut text)
            .map_err(io_error(path))?;
        if read == 0 {
            return Ok((blocks, good));
        }
        let expected = u64::try_from(blocks.len()).unwrap_or(u64::MAX).saturating_add(1);
        match parse(&text, expected) {
            Ok(block) => blocks.push(block),
            Err(_) if reader.fill_buf().map_err(io_error(path))?.is_empty() => return Ok((blocks, good)),
            Err(what) => {
                return Err(HomeError::Damaged {
                    path: path.to_owned(),
                    height: expected,
                    what,
                });
            }
        }
        good = good.saturating_add(u64::try_from(read).unwrap_or(0));
    }
}

fn parse(text: &[u8], expected: u64) -> Result<StoredBlock, String> {
    if text.last() != Some(&b'\n') {
        return Err("the line has no end".to_owned());
    }
    let line: Line = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    if line.height != expected {
        return Err(format!("height {} stands where {expected} should", line.height));
    }
    let txs = line
        .txs
        .iter()
        .map(|t| STANDARD.decode(t).map(Bytes::from).map_err(|e| e.to_string()))
        .collect::<Result<_, _>>()?;
    Ok(StoredBlock {
        height: line.height,
        time: line.time,
        app_hash: line.app_hash,
        txs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> BlockTime {
        BlockTime { seconds, nanos: 0 }
    }

    #[test]
    fn a_torn_last_line_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let (mut home, _, _) = Home::open(dir.path(), None).unwrap();
        home.append(1, at(1), [0; 32], &[Bytes::from_static(b"a")])
            .unwrap();
        home.append(2, at(2), [0; 32], &[]).unwrap();
        drop(home);
        let path = dir.path().join("blocks.jsonl");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let (mut home, _, blocks) = Home::open(dir.path(), None).unwrap();
        assert_eq!(blocks.len(), 1);
        assert_eq!(blocks[0].txs[0], "a");
        home.append(2, at(3), [0; 32], &[]).unwrap();
        drop(home);
        assert_eq!(Home::open(dir.path(), None).unwrap().2.len(), 2);
    }

    #[test]
    fn damage_in_the_middle_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (mut home, _, _) = Home::open(dir.path(), None).unwrap();
        home.append(1, at(1), [0; 32], &[]).unwrap();
        home.append(2, at(2), [0; 32], &[]).unwrap();
        drop(home);
        let path = dir.path().join("blocks.jsonl");
        let mut text = std::fs::read(&path).unwrap();
        text[3] = b'#';
        std::fs::write(&path, text).unwrap();
        assert!(matches!(
            Home::open(dir.path(), None),
            Err(HomeError::Damaged { height: 1, .. })
        ));
    }

    #[test]
    fn another_genesis_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(Home::open(dir.path(), None).unwrap());
        let mut other = Genesis::default();
        other.rules.min_deposit = 1;
        assert!(matches!(
            Home::open(dir.path(), Some(other)),
            Err(HomeError::OtherGenesis { .. })
        ));
    }
}
