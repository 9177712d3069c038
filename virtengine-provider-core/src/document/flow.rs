//! Lists and maps between brackets on one line, for the fast reader. It declines whatever is not plainly in this part.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::block::is_plain_key;
use super::read::small;
use super::yaml::has_duplicates;
use super::{Entry, Node, Scalar, Span, Value};

/// Counts a value at a depth; `None` to decline, at the limits.
type Count<'c> = &'c mut dyn FnMut(usize) -> Option<()>;

/// Reads the list or map that `text` begins with, in ASCII, and what stands behind it.
pub(super) fn read<'t>(
    text: &'t str,
    start: Span,
    depth: usize,
    count: Count<'_>,
) -> Option<(Node<'t>, &'t str)> {
    let mut flow = Flow {
        text,
        at: 0,
        start,
        count,
    };
    let node = flow.value(depth)?;
    Some((node, text.get(flow.at..)?))
}

struct Flow<'t, 'c> {
    text: &'t str,
    /// Bytes that are read.
    at: usize,
    /// Where the text begins.
    start: Span,
    count: Count<'c>,
}

impl<'t> Flow<'t, '_> {
    fn value(&mut self, depth: usize) -> Option<Node<'t>> {
        (self.count)(depth)?;
        let span = self.span();
        let value = match self.peek()? {
            b'[' => Value::List(self.list(depth)?),
            b'{' => Value::Map(self.map(depth)?),
            quote @ (b'"' | b'\'') => scalar(self.quoted(quote)?, true),
            _ => scalar(self.plain()?, false),
        };
        Some(Node { span, value })
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Node<'t>>> {
        let mut items = Vec::new();
        self.begin();
        if self.peek()? == b']' {
            self.skip();
            return Some(items);
        }
        loop {
            items.push(self.value(depth.saturating_add(1))?);
            if self.ends_with(b']')? {
                return Some(items);
            }
        }
    }

    fn map(&mut self, depth: usize) -> Option<Vec<Entry<'t>>> {
        let mut entries = Vec::new();
        self.begin();
        if self.peek()? == b'}' {
            self.skip();
            return Some(entries);
        }
        loop {
            (self.count)(depth)?;
            let key_span = self.span();
            let (key, after) = self.rest()?.split_once(':')?;
            if !is_plain_key(key) || !after.starts_with(' ') {
                return None;
            }
            self.at = self.at.saturating_add(key.len()).saturating_add(1);
            self.spaces();
            let value = self.value(depth.saturating_add(1))?;
            let key = Cow::Borrowed(key);
            entries.push(Entry { key, key_span, value });
            if self.ends_with(b'}')? {
                return (!has_duplicates(&entries)).then_some(entries);
            }
        }
    }

    /// Behind the opening bracket.
    fn begin(&mut self) {
        self.skip();
        self.spaces();
    }

    /// Behind a value: whether the bracket closes, or else a comma follows.
    fn ends_with(&mut self, close: u8) -> Option<bool> {
        self.spaces();
        let next = self.peek()?;
        if next != close && next != b',' {
            return None;
        }
        self.skip();
        if next == close {
            return Some(true);
        }
        self.spaces();
        Some(false)
    }

    /// A quoted text without escapes.
    fn quoted(&mut self, quote: u8) -> Option<&'t str> {
        self.skip();
        let (inside, _) = self.rest()?.split_once(char::from(quote))?;
        self.at = self.at.saturating_add(inside.len()).saturating_add(1);
        let ends = matches!(self.peek()?, b' ' | b',' | b']' | b'}');
        (ends && !inside.contains('\\')).then_some(inside)
    }

    /// A plain value in one word.
    fn plain(&mut self) -> Option<&'t str> {
        let rest = self.rest()?;
        let first = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'/' | b'.' | b'$' | b'+');
        let starts = match rest.as_bytes() {
            [b'-', b'-', third, ..] => third.is_ascii_alphanumeric(),
            [b'-', second, ..] => second.is_ascii_alphanumeric(),
            [b, ..] => first(*b),
            [] => false,
        };
        let length = rest
            .bytes()
            .position(|b| matches!(b, b' ' | b',' | b']' | b'}'))?;
        let (value, _) = rest.split_at_checked(length)?;
        self.at = self.at.saturating_add(length);
        (starts && is_word(value)).then_some(value)
    }

    fn rest(&self) -> Option<&'t str> {
        self.text.get(self.at..)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.skip();
        }
    }

    fn span(&self) -> Span {
        Span {
            line: self.start.line,
            column: self.start.column.saturating_add(small(self.at)),
        }
    }
}

/// Whether a plain value has only what cannot be anything else; a colon is part of it only between two others.
fn is_word(value: &str) -> bool {
    let bytes = value.as_bytes();
    let legal = |(index, b): (usize, &u8)| match b {
        b':' => {
            let next = bytes.get(index.saturating_add(1));
            next.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'/')
        }
        b => {
            b.is_ascii_alphanumeric()
                || matches!(b, b'_' | b'-' | b'.' | b'/' | b'+' | b'=' | b'@' | b'$' | b'%')
        }
    };
    bytes.iter().enumerate().all(legal)
}

fn scalar(text: &str, quoted: bool) -> Value<'_> {
    Value::Scalar(Scalar {
        text: Cow::Borrowed(text),
        quoted,
        hidden: false,
    })
}
