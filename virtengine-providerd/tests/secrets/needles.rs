//! What must never be found, and where it is looked for.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A byte sequence that gives a secret away.
pub(crate) struct Needle {
    pub(crate) name: String,
    bytes: Vec<u8>,
}

/// The forms in which a secret could be written down.
pub(crate) fn forms(name: &str, secret: &[u8]) -> Vec<Needle> {
    let (hex, base64) = (hex::encode(secret), STANDARD_NO_PAD.encode(secret));
    // The last character of an encoding depends on what follows.
    let base64 = &base64[..base64.len() - 1];
    let url = &URL_SAFE_NO_PAD.encode(secret)[..base64.len()];
    [
        ("raw", secret.to_vec()),
        ("hex", hex.clone().into_bytes()),
        ("HEX", hex.to_uppercase().into_bytes()),
        ("base64", base64.as_bytes().to_vec()),
        ("base64url", url.as_bytes().to_vec()),
        // As a list of numbers: what a derived `Debug` of bytes prints.
        (
            "numbers",
            format!("{secret:?}").trim_matches(['[', ']']).as_bytes().to_vec(),
        ),
    ]
    .into_iter()
    .map(|(form, bytes)| Needle {
        name: format!("{name} ({form})"),
        bytes,
    })
    .collect()
}

/// The needles that are in `hay`, in one pass: images of memory are large.
pub(crate) fn found<'a>(needles: &'a [Needle], hay: &[u8]) -> Vec<&'a str> {
    let mut by_first = vec![Vec::new(); 256];
    for (index, needle) in needles.iter().enumerate() {
        by_first[usize::from(needle.bytes[0])].push(index);
    }
    let mut found = vec![false; needles.len()];
    for (at, byte) in hay.iter().enumerate() {
        for index in &by_first[usize::from(*byte)] {
            if !found[*index] && hay[at..].starts_with(&needles[*index].bytes) {
                found[*index] = true;
            }
        }
    }
    let names = needles.iter().zip(found).filter(|(_, found)| *found);
    names.map(|(needle, _)| needle.name.as_str()).collect()
}

/// Every regular file below `directory`.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            found.extend(files(&path));
        } else if kind.is_file() {
            found.push(path);
        }
    }
    found
}
