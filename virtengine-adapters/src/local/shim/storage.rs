//! Bytes that the data of a workload really occupy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Entries looked at in one walk; a tree with more is counted up to here.
const ENTRIES_MAX: usize = 2_000_000;

/// Occupied bytes by `(service, replica)`.
pub(super) type Occupied = BTreeMap<(String, u32), u64>;

/// Walks the data directory of a workload. Links are not followed; a file with several names counts once.
pub(super) fn measure(data: &Path) -> Occupied {
    let mut found = Occupied::new();
    let mut left = ENTRIES_MAX;
    for (service, path) in subdirs(data) {
        for (replica, path) in subdirs(&path) {
            if let Ok(replica) = replica.parse() {
                found.insert((service.clone(), replica), tree_bytes(&path, &mut left));
            }
        }
    }
    found
}

fn subdirs(path: &Path) -> Vec<(String, std::path::PathBuf)> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.file_name().to_str()?.to_owned(), entry.path())))
        .collect()
}

fn tree_bytes(root: &Path, left: &mut usize) -> u64 {
    let mut sum = 0_u64;
    let mut linked = BTreeSet::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries.flatten() {
            let Some(rest) = left.checked_sub(1) else {
                return sum;
            };
            *left = rest;
            // Does not follow a link.
            let Ok(meta) = entry.metadata() else {
                continue;
            };
            if meta.is_dir() {
                pending.push(entry.path());
            } else if meta.nlink() > 1 && !linked.insert((meta.dev(), meta.ino())) {
                continue;
            }
            // Blocks are of 512 bytes whatever the file system's own block is.
            sum = sum.saturating_add(meta.blocks().saturating_mul(512));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_counted_once_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let replica = dir.path().join("web/0");
        fs::create_dir_all(&replica).unwrap();
        let big = dir.path().join("outside");
        fs::write(&big, vec![1; 5 << 20]).unwrap();
        fs::write(replica.join("file"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(replica.join("file"), replica.join("again")).unwrap();
        std::os::unix::fs::symlink(&big, replica.join("link")).unwrap();
        let bytes = measure(dir.path())[&("web".to_owned(), 0)];
        assert!((1 << 20..(1 << 20) + 65_536).contains(&bytes), "{bytes}");
    }
}
