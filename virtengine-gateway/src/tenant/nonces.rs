use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use virtengine_provider_core::id::Address;
use virtengine_provider_core::time::Timestamp;

/// Requests of one owner within the window. Well above what a person or a script needs.
const PER_OWNER_MAX: usize = 1_000;

/// Requests of all owners within the window.
const TOTAL_MAX: usize = 50_000;

/// Lines after which the file is written anew with what still counts.
const FILE_LINES_MAX: usize = 200_000;

/// The largest file that is read at the start: every line at its longest.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Why a nonce is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NonceError {
    /// It was used before.
    Used,
    /// Too many are remembered; forgetting one would let it be used again.
    Full,
}

/// Remembers which nonces were used, for as long as their requests would be accepted. With a file it also remembers over a
/// restart, so that a request seen just before cannot be sent again just after.
#[derive(Debug)]
pub(super) struct NonceCache {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Nonces of each owner with the moment from which they no longer matter.
    owners: BTreeMap<Address, BTreeMap<String, Timestamp>>,
    total: usize,
    file: Option<NonceFile>,
}

#[derive(Debug)]
struct NonceFile {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl NonceCache {
    /// Remembers in memory, and in the file at `path` when there is one.
    pub(super) fn open(path: Option<&Path>, now: Timestamp) -> io::Result<Self> {
        let mut state = State::default();
        if let Some(path) = path {
            state.read(path, now)?;
            state.file = Some(state.rewrite(path)?);
        }
        Ok(Self {
            state: Mutex::new(state),
        })
    }

    /// Takes a nonce that matters until `until`.
    pub(super) fn admit(
        &self,
        owner: &Address,
        nonce: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), NonceError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_old(owner, now);
        let used = state.owners.get(owner);
        if used.is_some_and(|used| used.contains_key(nonce)) {
            return Err(NonceError::Used);
        }
        if used.map_or(0, BTreeMap::len) >= PER_OWNER_MAX {
            return Err(NonceError::Full);
        }
        if state.total >= TOTAL_MAX {
            state.forget_all_old(now);
            if state.total >= TOTAL_MAX {
                return Err(NonceError::Full);
            }
        }
        state.insert(owner.clone(), nonce.to_owned(), until);
        state.write(owner, nonce, until);
        Ok(())
    }
}

impl State {
    fn insert(&mut self, owner: Address, nonce: String, until: Timestamp) {
        let added = self
            .owners
            .entry(owner)
            .or_default()
            .insert(nonce, until)
            .is_none();
        self.total += usize::from(added);
    }

    fn forget_old(&mut self, owner: &Address, now: Timestamp) {
        let Some(used) = self.owners.get_mut(owner) else {
            return;
        };
        let before = used.len();
        used.retain(|_, until| *until >= now);
        self.total -= before - used.len();
        if used.is_empty() {
            self.owners.remove(owner);
        }
    }

    fn forget_all_old(&mut self, now: Timestamp) {
        self.owners.retain(|_, used| {
            used.retain(|_, until| *until >= now);
            !used.is_empty()
        });
        self.total = self.owners.values().map(BTreeMap::len).sum();
    }

    fn read(&mut self, path: &Path, now: Timestamp) -> io::Result<()> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        for line in text.lines() {
            // The last line may be half written: its request was never answered.
            if let Some((until, owner, nonce)) = parse(line)
                && until >= now
            {
                self.insert(owner, nonce, until);
            }
        }
        Ok(())
    }

    fn rewrite(&self, path: &Path) -> io::Result<NonceFile> {
        let draft = path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        let mut text = String::new();
        for (owner, used) in &self.owners {
            for (nonce, until) in used {
                text.push_str(&line(owner, nonce, *until));
            }
        }
        file.write_all(text.as_bytes())?;
        std::fs::rename(&draft, path)?;
        Ok(NonceFile {
            path: path.to_owned(),
            file,
            lines: self.total,
        })
    }

    /// A full disk does not end the service: what is in memory protects until the next restart.
    fn write(&mut self, owner: &Address, nonce: &str, until: Timestamp) {
        let Some(mut kept) = self.file.take() else { return };
        kept.lines += 1;
        let written = if kept.lines > FILE_LINES_MAX {
            self.rewrite(&kept.path).map(|fresh| kept = fresh)
        } else {
            kept.file.write_all(line(owner, nonce, until).as_bytes())
        };
        if let Err(error) = written {
            tracing::warn!(%error, path = %kept.path.display(), "used nonces are not kept on disk");
        }
        self.file = Some(kept);
    }
}

fn line(owner: &Address, nonce: &str, until: Timestamp) -> String {
    format!("{} {owner} {nonce}\n", until.as_millis())
}

fn parse(line: &str) -> Option<(Timestamp, Address, String)> {
    let mut parts = line.split(' ');
    let until = parts.next()?.parse().ok()?;
    let owner = parts.next()?.parse().ok()?;
    let nonce = parts.next()?.to_owned();
    Some((Timestamp::from_millis(until), owner, nonce))
}

/// How long a nonce matters after the timestamp of its request: as long as the request is accepted, and as long again in case
/// the clock is set back.
pub(super) const fn lifetime(window: Duration) -> Duration {
    window.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f";
    const BOB: &str = "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn owner(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn a_nonce_is_taken_once_per_owner_until_it_no_longer_matters() {
        let cache = NonceCache::open(None, at(0)).unwrap();
        let (alice, bob) = (owner(ALICE), owner(BOB));
        assert_eq!(cache.admit(&alice, "n", at(60), at(0)), Ok(()));
        assert_eq!(cache.admit(&alice, "n", at(120), at(60)), Err(NonceError::Used));
        assert_eq!(cache.admit(&bob, "n", at(60), at(0)), Ok(()));
        assert_eq!(cache.admit(&alice, "n", at(121), at(61)), Ok(()));
    }

    #[test]
    fn a_full_cache_refuses_rather_than_forgets() {
        let cache = NonceCache::open(None, at(0)).unwrap();
        let alice = owner(ALICE);
        for number in 0..PER_OWNER_MAX {
            assert_eq!(cache.admit(&alice, &number.to_string(), at(60), at(0)), Ok(()));
        }
        assert_eq!(cache.admit(&alice, "more", at(60), at(1)), Err(NonceError::Full));
        assert_eq!(cache.admit(&alice, "0", at(60), at(1)), Err(NonceError::Used));
        assert_eq!(cache.admit(&owner(BOB), "more", at(60), at(1)), Ok(()));
        assert_eq!(cache.admit(&alice, "more", at(121), at(61)), Ok(()));
    }

    #[test]
    fn used_nonces_survive_a_restart_and_a_torn_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nonces");
        let alice = owner(ALICE);
        let cache = NonceCache::open(Some(&path), at(0)).unwrap();
        cache.admit(&alice, "first", at(60), at(0)).unwrap();
        cache.admit(&alice, "second", at(600), at(0)).unwrap();
        drop(cache);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("600000 ve1av");
        std::fs::write(&path, text).unwrap();
        let cache = NonceCache::open(Some(&path), at(61)).unwrap();
        assert_eq!(
            cache.admit(&alice, "second", at(600), at(61)),
            Err(NonceError::Used)
        );
        assert_eq!(cache.admit(&alice, "first", at(600), at(61)), Ok(()));
    }
}
