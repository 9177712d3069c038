use alloc::format;
use alloc::string::String;

use super::{Code, Node, Path, Problems, Span, TEXT_BYTES_MAX, block, json, yaml};

/// Reads a document. `None` when it could not be read at all; problems that leave the structure readable (a key twice) are
/// reported and reading goes on, so that everything else can be said too.
///
/// Three readers stand behind it: a strict one for JSON, a fast one for the block style that people write, and a full one for
/// all of YAML. A text that begins like JSON but is not is tried as YAML, of whose flow style JSON is a part; a text that the
/// fast reader declines is given to the full one.
pub fn read<'t>(text: &'t [u8], problems: &mut Problems) -> Option<Node<'t>> {
    let text = legal_text(text, problems)?;
    let outcome = if text.trim_ascii_start().starts_with(['{', '[']) {
        json::read(text, problems).or_else(|stop| {
            if stop.is_limit {
                return Err(stop);
            }
            // Of the two complaints, the one about JSON is nearer to what the author meant.
            yaml::read(text, problems).map_err(|other| if other.is_limit { other } else { stop })
        })
    } else if let Some(node) = block::read(text) {
        Ok(node)
    } else {
        yaml::read(text, problems)
    };
    outcome
        .map_err(|stop| problems.stopped(stop.code, stop.path, stop.span, stop.message))
        .ok()
}

/// Checks what must hold before any parser sees the text: size, UTF-8, no control characters.
fn legal_text<'t>(text: &'t [u8], problems: &mut Problems) -> Option<&'t str> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!(
            "{} bytes are more than the {TEXT_BYTES_MAX} that are read",
            text.len()
        );
        problems.error_at(Code::MaxExceeded, &Path::ROOT, Span::default(), message, None);
        return None;
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let bad = |offset: usize, message: &'static str, problems: &mut Problems| {
        let span = position(text, offset);
        problems.error_at(Code::Syntax, &Path::ROOT, span, message, None);
        None
    };
    let forbidden = |b: &u8| (*b < 0x20 && !matches!(*b, b'\t' | b'\n' | b'\r')) || *b == 0x7f;
    if let Some(offset) = text.iter().position(forbidden) {
        return bad(offset, "a control character", problems);
    }
    match core::str::from_utf8(text) {
        Ok(text) => Some(text),
        Err(error) => bad(error.valid_up_to(), "not UTF-8", problems),
    }
}

/// Line and column of a byte.
fn position(text: &[u8], offset: usize) -> Span {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |newline| newline.saturating_add(1));
    let lines = before.iter().filter(|b| **b == b'\n').count();
    let last_line = before.get(line_start..).unwrap_or_default();
    // Continuation bytes of UTF-8 belong to the character before them.
    let columns = last_line.iter().filter(|b| **b & 0xc0 != 0x80).count();
    Span {
        line: small(lines.saturating_add(1)),
        column: small(columns.saturating_add(1)),
    }
}

/// Texts are at most [`TEXT_BYTES_MAX`] long, so that every line and column fits.
pub(super) fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Why reading stopped.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) code: Code,
    pub(super) path: String,
    pub(super) span: Span,
    pub(super) message: alloc::borrow::Cow<'static, str>,
    /// Whether a limit was reached: another parser would only repeat the work.
    pub(super) is_limit: bool,
}
