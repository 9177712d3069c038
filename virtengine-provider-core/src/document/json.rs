use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::read::{Stop, small};
use super::yaml::{limit, refuse_control, report_duplicates, stop};
use super::{DEPTH_MAX, Entry, NODES_MAX, Node, Path, Problems, Scalar, Span, Value};

/// Reads one JSON document (RFC 8259). Texts without escapes are borrowed.
pub(super) fn read<'t>(text: &'t str, problems: &mut Problems) -> Result<Node<'t>, Stop> {
    let mut reader = Reader {
        rest: text,
        line: 1,
        column: 1,
        nodes: 0,
        problems,
    };
    reader.skip_space();
    let node = reader.value(1, &Path::ROOT)?;
    reader.skip_space();
    if reader.rest.is_empty() {
        Ok(node)
    } else {
        Err(reader.bad(&Path::ROOT, "nothing may follow the document"))
    }
}

struct Reader<'t, 'p> {
    rest: &'t str,
    line: usize,
    column: usize,
    nodes: usize,
    problems: &'p mut Problems,
}

impl<'t> Reader<'t, '_> {
    fn here(&self) -> Span {
        Span {
            line: small(self.line),
            column: small(self.column),
        }
    }

    fn bad(&self, path: &Path<'_>, message: &'static str) -> Stop {
        stop(path, self.here(), message)
    }

    /// Takes `bytes` bytes that hold no line break. `bytes` is always at a character boundary that was just looked at.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        // Continuation bytes of UTF-8 belong to the character before them.
        let characters = taken.bytes().filter(|b| b & 0xc0 != 0x80).count();
        self.column = self.column.saturating_add(characters);
        taken
    }

    fn peek(&self) -> Option<u8> {
        self.rest.bytes().next()
    }

    fn skip_space(&mut self) {
        let mut skipped = 0_usize;
        for byte in self.rest.bytes() {
            match byte {
                b'\n' => {
                    self.line = self.line.saturating_add(1);
                    self.column = 1;
                }
                b' ' | b'\t' | b'\r' => self.column = self.column.saturating_add(1),
                _ => break,
            }
            skipped = skipped.saturating_add(1);
        }
        self.rest = self.rest.get(skipped..).unwrap_or("");
    }

    fn value(&mut self, depth: usize, path: &Path<'_>) -> Result<Node<'t>, Stop> {
        let span = self.here();
        self.count(depth, path)?;
        let value = match self.peek() {
            Some(b'{') => Value::Map(self.map(depth, path)?),
            Some(b'[') => Value::List(self.list(depth, path)?),
            Some(b'"') => Value::Scalar(Scalar {
                text: self.string(path)?,
                quoted: true,
                hidden: false,
            }),
            _ => Value::Scalar(self.word(path)?),
        };
        Ok(Node { span, value })
    }

    fn count(&mut self, depth: usize, path: &Path<'_>) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(1);
        if depth > DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(limit(path, self.here(), message));
        }
        if self.nodes > NODES_MAX {
            return Err(limit(path, self.here(), format!("more than {NODES_MAX} values")));
        }
        Ok(())
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self, path: &Path<'_>) -> Result<Scalar<'t>, Stop> {
        let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(*b, b'-' | b'+' | b'.');
        let length = self.rest.bytes().take_while(legal).count();
        let word = self.rest.get(..length).unwrap_or("");
        if !matches!(word, "true" | "false" | "null") && !is_number(word) {
            return Err(self.bad(path, "a JSON value was expected here"));
        }
        Ok(Scalar {
            text: Cow::Borrowed(self.take(length)),
            quoted: false,
            hidden: false,
        })
    }

    fn list(&mut self, depth: usize, path: &Path<'_>) -> Result<Vec<Node<'t>>, Stop> {
        let mut items = Vec::new();
        self.take(1);
        self.skip_space();
        if self.peek() == Some(b']') {
            self.take(1);
            return Ok(items);
        }
        loop {
            let item = self.value(depth.saturating_add(1), &path.index(items.len()))?;
            items.push(item);
            if self.another(b']', path)? {
                continue;
            }
            return Ok(items);
        }
    }

    fn map(&mut self, depth: usize, path: &Path<'_>) -> Result<Vec<Entry<'t>>, Stop> {
        let mut entries = Vec::new();
        self.take(1);
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.take(1);
            return Ok(entries);
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.bad(path, "a key in double quotes was expected here"));
            }
            self.count(depth, path)?;
            let key_span = self.here();
            let key = self.string(path)?;
            if key.is_empty() {
                return Err(stop(path, key_span, "a key is empty"));
            }
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.bad(path, "a colon was expected here"));
            }
            self.take(1);
            self.skip_space();
            let value = self.value(depth.saturating_add(1), &path.key(&key))?;
            entries.push(Entry { key, key_span, value });
            if !self.another(b'}', path)? {
                report_duplicates(&entries, path, self.problems);
                return Ok(entries);
            }
        }
    }

    /// After an item: a comma means another one, `end` means none.
    fn another(&mut self, end: u8, path: &Path<'_>) -> Result<bool, Stop> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.take(1);
                self.skip_space();
                Ok(true)
            }
            Some(found) if found == end => {
                self.take(1);
                Ok(false)
            }
            _ => Err(self.bad(path, "a comma or the closing bracket was expected here")),
        }
    }

    fn string(&mut self, path: &Path<'_>) -> Result<Cow<'t, str>, Stop> {
        let span = self.here();
        self.take(1);
        let mut owned: Option<String> = None;
        loop {
            let ends = |b: u8| matches!(b, b'"' | b'\\' | b'\n' | b'\r');
            let Some(length) = self.rest.bytes().position(ends) else {
                return Err(stop(path, span, "the text is not closed"));
            };
            let part = self.take(length);
            match self.peek() {
                Some(b'"') => {
                    self.take(1);
                    let Some(mut text) = owned else {
                        return Ok(Cow::Borrowed(part));
                    };
                    text.push_str(part);
                    refuse_control(&text, true, span, path)?;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(part);
                    let c = self.escape(path)?;
                    owned.get_or_insert_default().push(c);
                }
                _ => return Err(self.bad(path, "a line break within a text")),
            }
        }
    }

    fn escape(&mut self, path: &Path<'_>) -> Result<char, Stop> {
        let bad = self.bad(path, "an escape that JSON does not know");
        self.take(1);
        let c = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.take(1);
                return self.unicode().ok_or(bad);
            }
            _ => return Err(bad),
        };
        self.take(1);
        Ok(c)
    }

    /// Four hex digits, or two groups of them that make a surrogate pair.
    fn unicode(&mut self) -> Option<char> {
        let high = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high);
        }
        if !self.rest.starts_with("\\u") {
            return None;
        }
        self.take(2);
        let low = self.four_digits()?;
        if !(0xdc00..0xe000).contains(&low) {
            return None;
        }
        let upper = high.checked_sub(0xd800)?.checked_shl(10)?;
        char::from_u32(
            upper
                .checked_add(low.checked_sub(0xdc00)?)?
                .checked_add(0x1_0000)?,
        )
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u32::from_str_radix(self.take(4), 16).ok()
    }
}

/// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`
fn is_number(word: &str) -> bool {
    let word = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) = match word.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (word, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}
