//! How names, images, hosts, paths and environment variables must look.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::limits::{HOST_BYTES_MAX, IMAGE_BYTES_MAX, NAME_CHARS_MAX, WORD_BYTES_MAX, WORDS_MAX};
use crate::document::{Code, Cursor, Path, Problems, Scalar, Span};

/// A DNS label: lower-case letters, digits and dashes, at most 63, no dash at either end.
pub(super) fn is_label(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty()
        && name.len() <= NAME_CHARS_MAX
        && name.bytes().all(legal)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Checks a name that stands as a key of a map.
pub(super) fn check_key(name: &str, path: &Path<'_>, span: Span, problems: &mut Problems) {
    if !is_label(name) {
        let message = format!(
            "{} is not a name: a-z, 0-9 and dashes, at most 63 characters",
            Scalar::shown_text(name)
        );
        problems.error_at(Code::InvalidName, path, span, message, label_hint(name));
    }
}

/// A name that stands as a value.
pub(super) fn label<'d>(at: Cursor<'_, 'd>, problems: &mut Problems) -> Option<&'d str> {
    let name = at.filled_text(problems)?;
    if is_label(name) {
        return Some(name);
    }
    let shown = at.scalar(problems)?.shown();
    let message = format!("{shown} is not a name: a-z, 0-9 and dashes, at most 63 characters");
    problems.error_at(
        Code::InvalidName,
        &at.path,
        at.node.span,
        message,
        label_hint(name),
    );
    None
}

/// The name that was probably meant, when it is a name.
fn label_hint(name: &str) -> Option<String> {
    let dashes = |c: char| {
        if matches!(c, '_' | '.' | ' ' | '/') {
            '-'
        } else {
            c
        }
    };
    let better: String = name.to_ascii_lowercase().chars().map(dashes).collect();
    is_label(&better).then(|| format!("for example {better}"))
}

/// `[host[:port]/]path[:tag][@algorithm:digest]` with a lower-case path.
pub(super) fn is_image_reference(image: &str) -> bool {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let (path, tag) = match name.rsplit_once(':') {
        // A colon before the last slash belongs to the port of the host.
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (name, None),
    };
    image.len() <= IMAGE_BYTES_MAX
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
        && is_repository(path)
}

fn is_repository(path: &str) -> bool {
    let (host, rest) = match path.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), rest),
        _ => (None, path),
    };
    host.is_none_or(is_host_and_port) && rest.split('/').all(is_path_component)
}

fn is_host_and_port(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "443"));
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    !host.is_empty() && host.bytes().all(legal) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_path_component(part: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    part.bytes().all(legal) && edge(part.bytes().next()) && edge(part.bytes().next_back())
}

fn is_tag(tag: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=128).contains(&tag.len()) && tag.bytes().all(legal) && !tag.starts_with(['.', '-'])
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, value)) = digest.split_once(':') else {
        return false;
    };
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    match algorithm {
        "sha256" => value.len() == 64 && value.bytes().all(hex),
        "sha512" => value.len() == 128 && value.bytes().all(hex),
        _ => false,
    }
}

/// A host name (RFC 1123), lower case.
pub(super) fn is_host(host: &str) -> bool {
    !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.split('.').all(is_label)
}

/// An absolute path without `..`, not the root itself.
pub(super) fn is_mount_path(path: &str) -> bool {
    path.len() <= 4096
        && path
            .strip_prefix('/')
            .is_some_and(|rest| !rest.trim_matches('/').is_empty())
        && path.split('/').all(|part| part != ".." && part != ".")
}

/// `^[-._a-zA-Z][-._a-zA-Z0-9]*$` (spec/reference.md §3.2).
pub(super) fn is_env_name(name: &str) -> bool {
    let first = |b: u8| b.is_ascii_alphabetic() || matches!(b, b'-' | b'.' | b'_');
    name.bytes().next().is_some_and(first) && name.bytes().all(|b| first(b) || b.is_ascii_digit())
}

/// A list of words such as a command, each of bounded length.
pub(super) fn words(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<Vec<String>> {
    let items = at.list(problems)?;
    if items.len() > WORDS_MAX {
        let message = format!("{} words are more than {WORDS_MAX}", items.len());
        problems.error(Code::MaxExceeded, at, message);
        return None;
    }
    Some(items.iter().filter_map(|item| word(item, problems)).collect())
}

/// One word of bounded length.
pub(super) fn word(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<String> {
    let text = at.text(problems)?;
    if text.len() > WORD_BYTES_MAX {
        let message = format!("{} bytes are more than {WORD_BYTES_MAX}", text.len());
        problems.error(Code::MaxExceeded, at, message);
        return None;
    }
    Some(text.to_owned())
}

/// Reports more items than a limit.
pub(super) fn at_most(at: Cursor<'_, '_>, count: usize, most: usize, what: &str, problems: &mut Problems) {
    if count > most {
        let message = format!("{count} {what} are more than {most}");
        problems.error(Code::MaxExceeded, at, message);
    }
}
