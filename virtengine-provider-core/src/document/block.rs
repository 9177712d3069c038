//! A fast reader for the part of YAML that people write: block maps and lists of values that stand on one line, in ASCII, lists
//! and maps between brackets among them. It borrows every value from the text and is several times as fast as the full parser.
//!
//! It never judges: whatever is not plainly in this part (or wrong) makes it decline, and the full parser decides. What it
//! accepts, it reads as the full parser does; a test compares the two.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::flow;
use super::read::small;
use super::yaml::has_duplicates;
use super::{DEPTH_MAX, Entry, NODES_MAX, Node, Scalar, Span, Value};

/// Longest key. The full parser has a limit of its own beyond this.
const KEY_BYTES_MAX: usize = 128;

/// Reads the document, or declines.
pub(super) fn read(text: &str) -> Option<Node<'_>> {
    if !text.bytes().all(|b| b == b'\n' || (0x20..0x7f).contains(&b)) {
        return None;
    }
    let mut reader = Reader {
        rest: text,
        number: 0,
        line: None,
        nodes: 0,
    };
    reader.advance()?;
    let first = reader.line.filter(|line| line.indent == 0)?;
    let node = reader.block(first, 1)?;
    reader.line.is_none().then_some(node)
}

/// A line with content, without its indentation. What follows a dash is a line of its own, further right.
#[derive(Clone, Copy)]
struct Line<'t> {
    text: &'t str,
    indent: usize,
    number: usize,
}

impl Line<'_> {
    fn span(self) -> Span {
        self.span_at(0)
    }

    fn span_at(self, offset: usize) -> Span {
        Span {
            line: small(self.number),
            column: small(self.indent.saturating_add(offset).saturating_add(1)),
        }
    }

    fn is_item(self) -> bool {
        self.text == "-" || self.text.starts_with("- ")
    }
}

struct Reader<'t> {
    rest: &'t str,
    /// Number of the last line that was taken from `rest`.
    number: usize,
    /// The line to be read next; `None` at the end.
    line: Option<Line<'t>>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    /// Goes to the next line with content. `None` to decline: at the marks of a document.
    fn advance(&mut self) -> Option<()> {
        while !self.rest.is_empty() {
            let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
            self.rest = rest;
            self.number = self.number.saturating_add(1);
            let text = line.trim_start_matches(' ');
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let indent = line.len().saturating_sub(text.len());
            if indent == 0 && text.starts_with(['%', '.']) || text.starts_with("---") {
                return None;
            }
            self.line = Some(Line {
                text,
                indent,
                number: self.number,
            });
            return Some(());
        }
        self.line = None;
        Some(())
    }

    /// The list or map that begins with `first`.
    fn block(&mut self, first: Line<'t>, depth: usize) -> Option<Node<'t>> {
        self.count(depth)?;
        let span = first.span();
        let value = if first.is_item() {
            Value::List(self.list(first.indent, depth)?)
        } else {
            Value::Map(self.map(first.indent, depth)?)
        };
        Some(Node { span, value })
    }

    fn list(&mut self, indent: usize, depth: usize) -> Option<Vec<Node<'t>>> {
        let mut items = Vec::new();
        while let Some(line) = self.line.filter(|line| line.indent == indent && line.is_item()) {
            let after = line.text.strip_prefix('-')?;
            let item = after.trim_start_matches(' ');
            let offset = line.text.len().saturating_sub(item.len());
            if is_nothing(item) {
                items.push(self.below(indent, depth)?);
                continue;
            }
            let inner = Line {
                text: item,
                indent: indent.saturating_add(offset),
                number: line.number,
            };
            if inner.is_item() {
                return None;
            }
            if item.starts_with(['"', '\'', '[', '{']) || split_key(item).is_none() {
                items.push(self.scalar(item, inner.span(), indent, depth)?);
            } else {
                self.line = Some(inner);
                items.push(self.block(inner, depth.saturating_add(1))?);
            }
        }
        Some(items)
    }

    fn map(&mut self, indent: usize, depth: usize) -> Option<Vec<Entry<'t>>> {
        let mut entries = Vec::new();
        while let Some(line) = self.line.filter(|line| line.indent >= indent) {
            // Deeper than this map, or a list beside its keys: not ours to judge.
            if line.indent > indent || line.is_item() {
                return None;
            }
            let (key, after) = split_key(line.text)?;
            if !is_plain_key(key) {
                return None;
            }
            self.count(depth)?;
            let text = after.trim_start_matches(' ');
            let value = if is_nothing(text) {
                self.value_below(indent, depth)?
            } else {
                let offset = line.text.len().saturating_sub(text.len());
                self.scalar(text, line.span_at(offset), indent, depth)?
            };
            entries.push(Entry {
                key: Cow::Borrowed(key),
                key_span: line.span(),
                value,
            });
        }
        (!has_duplicates(&entries)).then_some(entries)
    }

    /// The value of a key that has nothing beside it: further right, or a list at the same place.
    fn value_below(&mut self, indent: usize, depth: usize) -> Option<Node<'t>> {
        self.advance()?;
        let line = self.line?;
        if line.indent > indent {
            return self.block(line, depth.saturating_add(1));
        }
        let beside = line
            .text
            .strip_prefix("- ")
            .map_or("", |after| after.trim_start_matches(' '));
        if line.indent < indent || is_nothing(beside) {
            return None;
        }
        let mut list = self.block(line, depth.saturating_add(1))?;
        // The full parser places such a list at its first item, not at its first dash.
        if let Value::List(items) = &list.value {
            list.span = items.first()?.span;
        }
        Some(list)
    }

    /// The item of a dash that has nothing beside it: further right.
    fn below(&mut self, indent: usize, depth: usize) -> Option<Node<'t>> {
        self.advance()?;
        let line = self.line.filter(|line| line.indent > indent)?;
        self.block(line, depth.saturating_add(1))
    }

    /// A value that ends with its line; `indent` is that of the list or map that it is in.
    fn scalar(&mut self, text: &'t str, span: Span, indent: usize, depth: usize) -> Option<Node<'t>> {
        if text.starts_with(['[', '{']) {
            return self.flow(text, span, indent, depth.saturating_add(1));
        }
        self.count(depth.saturating_add(1))?;
        let (text, quoted) = match text.bytes().next()? {
            b'"' => (quoted(text, '"')?, true),
            b'\'' => (quoted(text, '\'')?, true),
            _ => (plain(text)?, false),
        };
        self.ends(indent)?;
        Some(Node {
            span,
            value: Value::Scalar(Scalar {
                text: Cow::Borrowed(text),
                quoted,
                hidden: false,
            }),
        })
    }

    /// A list or map between brackets that ends with its line.
    fn flow(&mut self, text: &'t str, span: Span, indent: usize, depth: usize) -> Option<Node<'t>> {
        let (node, after) = flow::read(text, span, depth, &mut |depth| self.count(depth))?;
        let rest = after.trim_start_matches(' ');
        let is_comment = rest.starts_with('#') && after.starts_with(' ');
        if !rest.is_empty() && !is_comment {
            return None;
        }
        self.ends(indent)?;
        Some(node)
    }

    /// Goes on behind a value; a line further right would go on with it.
    fn ends(&mut self, indent: usize) -> Option<()> {
        self.advance()?;
        let goes_on = self.line.is_some_and(|next| next.indent > indent);
        (!goes_on).then_some(())
    }

    fn count(&mut self, depth: usize) -> Option<()> {
        self.nodes = self.nodes.saturating_add(1);
        (depth <= DEPTH_MAX && self.nodes <= NODES_MAX).then_some(())
    }
}

/// The end of a line that says nothing more.
fn is_nothing(text: &str) -> bool {
    text.is_empty() || text.starts_with('#')
}

/// Splits at the first colon that ends a key.
fn split_key(text: &str) -> Option<(&str, &str)> {
    let mut from = 0_usize;
    while let Some(found) = text.get(from..)?.find(':') {
        let at = from.saturating_add(found);
        let (key, after) = text.split_at_checked(at)?;
        let after = after.strip_prefix(':')?;
        if after.is_empty() || after.starts_with(' ') {
            return Some((key, after));
        }
        from = at.saturating_add(1);
    }
    None
}

pub(super) fn is_plain_key(key: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/');
    key.len() <= KEY_BYTES_MAX
        && key
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && key.bytes().all(legal)
}

/// A quoted text without escapes that ends its line.
fn quoted(text: &str, quote: char) -> Option<&str> {
    let (inside, after) = text.strip_prefix(quote)?.split_once(quote)?;
    let after_spaces = after.trim_start_matches(' ');
    let ends = after_spaces.is_empty() || (after_spaces.starts_with('#') && after.starts_with(' '));
    (ends && !inside.contains('\\')).then_some(inside)
}

/// A plain value, cut before a comment.
fn plain(text: &str) -> Option<&str> {
    let first =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'/' | b'.' | b'$' | b'+' | b'(' | b'^');
    let mut bytes = text.bytes();
    let starts = match bytes.next()? {
        b'-' => bytes.next().is_some_and(|b| b.is_ascii_alphanumeric()),
        b => first(b),
    };
    let value = text.split_once(" #").map_or(text, |(value, _)| value);
    let value = value.trim_end_matches(' ');
    (starts && split_key(value).is_none()).then_some(value)
}
