use alloc::format;
use alloc::string::String;
use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

use super::quantity;
use super::suggest::unknown_key_hint;
use super::{Code, Entry, Node, Problems, Scalar, Span, Value};
use crate::money::Decimal;

/// Where in a document something is. It lives on the stack of the reader and becomes text only when a problem needs it.
#[derive(Debug, Clone, Copy)]
pub struct Path<'p> {
    parent: Option<&'p Self>,
    segment: Segment<'p>,
}

#[derive(Debug, Clone, Copy)]
enum Segment<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    /// The document itself.
    pub const ROOT: Self = Self {
        parent: None,
        segment: Segment::Root,
    };

    /// The value of `key` below this.
    #[must_use]
    pub const fn key<'c>(&'c self, key: &'c str) -> Path<'c>
    where
        'p: 'c,
    {
        Path {
            parent: Some(self),
            segment: Segment::Key(key),
        }
    }

    /// The `index`-th item below this, from 0.
    #[must_use]
    pub const fn index<'c>(&'c self, index: usize) -> Path<'c>
    where
        'p: 'c,
    {
        Path {
            parent: Some(self),
            segment: Segment::Index(index),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let above = self
            .parent
            .filter(|parent| !matches!(parent.segment, Segment::Root));
        if let Some(parent) = above {
            parent.fmt(f)?;
        }
        match (self.segment, above) {
            (Segment::Root, _) => Ok(()),
            (Segment::Key(key), None) => f.write_str(shortened(key)),
            (Segment::Key(key), Some(_)) => write!(f, ".{}", shortened(key)),
            (Segment::Index(index), _) => write!(f, "[{index}]"),
        }
    }
}

/// Keys are chosen by the author of the text: a problem must not grow with them.
fn shortened(key: &str) -> &str {
    const SHOWN_CHARS_MAX: usize = 64;
    let end = key.char_indices().nth(SHOWN_CHARS_MAX);
    end.and_then(|(end, _)| key.get(..end)).unwrap_or(key)
}

/// A value together with the way to it. The readers return `None` after they have reported a problem.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'p, 'd> {
    /// The way to it.
    pub path: Path<'p>,
    /// The value.
    pub node: &'d Node<'d>,
}

impl<'p, 'd> Cursor<'p, 'd> {
    /// The whole document.
    #[must_use]
    pub const fn root(node: &'d Node<'d>) -> Self {
        Self {
            path: Path::ROOT,
            node,
        }
    }

    /// Whether nothing is written here: an empty plain value, `~` or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.node.is_null()
    }

    /// A copy whose path borrows this one's.
    #[must_use]
    pub const fn here<'c>(&'c self) -> Cursor<'c, 'd>
    where
        'p: 'c,
    {
        *self
    }

    /// Any scalar that is not null, as it is written.
    pub fn scalar(&self, problems: &mut Problems) -> Option<&'d Scalar<'d>> {
        match &self.node.value {
            Value::Scalar(scalar) if !scalar.is_null() => Some(scalar),
            Value::Scalar(_) => {
                problems.error(Code::RequiredField, *self, "a value is missing");
                None
            }
            other => {
                let found = format!("expected a single value, found {}", other.kind());
                problems.error(Code::WrongType, *self, found);
                None
            }
        }
    }

    /// A text: any scalar. `1.0` reads as the text `1.0`.
    pub fn text(&self, problems: &mut Problems) -> Option<&'d str> {
        self.scalar(problems).map(|scalar| &*scalar.text)
    }

    /// A text that is not empty.
    pub fn filled_text(&self, problems: &mut Problems) -> Option<&'d str> {
        let text = self.text(problems)?;
        if text.trim().is_empty() {
            problems.error(Code::RequiredField, *self, "a value is missing");
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    pub fn boolean(&self, problems: &mut Problems) -> Option<bool> {
        let scalar = self.scalar(problems)?;
        match &*scalar.text {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => self.invalid(problems, scalar, "true or false"),
        }
    }

    /// A whole number within `range`.
    pub fn integer(&self, range: RangeInclusive<u64>, problems: &mut Problems) -> Option<u64> {
        let scalar = self.scalar(problems)?;
        let digits = !scalar.text.is_empty() && scalar.text.bytes().all(|b| b.is_ascii_digit());
        let number = digits.then(|| scalar.text.parse::<u64>().ok()).flatten();
        match number {
            Some(number) if range.contains(&number) => Some(number),
            _ if *range.end() >= u64::from(u32::MAX) => self.invalid(
                problems,
                scalar,
                &format!("a whole number of at least {}", range.start()),
            ),
            _ => self.invalid(
                problems,
                scalar,
                &format!("a whole number between {} and {}", range.start(), range.end()),
            ),
        }
    }

    /// A whole number within `range`, as `u32`.
    pub fn integer32(&self, range: RangeInclusive<u32>, problems: &mut Problems) -> Option<u32> {
        let wide = u64::from(*range.start())..=u64::from(*range.end());
        self.integer(wide, problems)
            .and_then(|number| u32::try_from(number).ok())
    }

    /// A port, 1 to 65535.
    pub fn port(&self, problems: &mut Problems) -> Option<u16> {
        self.integer(1..=65_535, problems)
            .and_then(|number| u16::try_from(number).ok())
    }

    /// A decimal with at most 18 digits behind the point, exactly as written.
    pub fn decimal(&self, problems: &mut Problems) -> Option<Decimal> {
        let scalar = self.scalar(problems)?;
        match scalar.text.parse() {
            Ok(decimal) => Some(decimal),
            Err(_) => self.invalid(problems, scalar, "a decimal such as 0.025"),
        }
    }

    /// A duration such as `5s`, `1h30m` or `250ms`.
    pub fn duration(&self, problems: &mut Problems) -> Option<Duration> {
        let scalar = self.scalar(problems)?;
        match quantity::duration(&scalar.text) {
            Some(duration) => Some(duration),
            None => self.invalid(problems, scalar, "a duration such as 30s, 5m or 1h30m"),
        }
    }

    /// CPU in thousandths of a core: `1`, `0.5` or `500m`.
    pub fn cpu_millis(&self, problems: &mut Problems) -> Option<u64> {
        let scalar = self.scalar(problems)?;
        match quantity::cpu_millis(&scalar.text) {
            Some(millis) => Some(millis),
            None => self.invalid(
                problems,
                scalar,
                "CPU cores such as 2, 0.5 or 500m, in whole thousandths",
            ),
        }
    }

    /// Bytes: plain, or with a decimal (`k M G T P E`) or binary (`Ki Mi Gi Ti Pi Ei`) suffix.
    pub fn bytes(&self, problems: &mut Problems) -> Option<u64> {
        let scalar = self.scalar(problems)?;
        match quantity::bytes(&scalar.text) {
            Some(bytes) => Some(bytes),
            None => self.invalid(problems, scalar, "a size such as 512Mi, 1Gi, 10G or 1048576"),
        }
    }

    /// One of `allowed`, by its text; anything else is reported under `code` with the nearest one.
    pub fn one_of<T: Copy>(&self, code: Code, allowed: &[(&str, T)], problems: &mut Problems) -> Option<T> {
        let scalar = self.scalar(problems)?;
        if let Some((_, value)) = allowed.iter().find(|(name, _)| *name == scalar.text) {
            return Some(*value);
        }
        let names = allowed.iter().map(|(name, _)| *name);
        let message = format!("{} is not allowed here", scalar.shown());
        let hint = match super::suggest::nearest(&scalar.text, names.clone()) {
            Some(name) => format!("did you mean {name}?"),
            None => format!("allowed: {}", super::suggest::joined(names)),
        };
        problems.error_hint(code, *self, message, hint);
        None
    }

    /// A list.
    pub fn list(&self, problems: &mut Problems) -> Option<Items<'p, 'd>> {
        match &self.node.value {
            Value::List(nodes) => Some(Items {
                path: self.path,
                nodes,
            }),
            other => {
                let message = format!("expected a list, found {}", other.kind());
                problems.error_hint(
                    Code::WrongType,
                    *self,
                    message,
                    "write it as [a, b] or with one dash per line",
                );
                None
            }
        }
    }

    /// A map.
    pub fn map(&self, problems: &mut Problems) -> Option<Fields<'p, 'd>> {
        match &self.node.value {
            Value::Map(entries) => Some(Fields {
                path: self.path,
                span: self.node.span,
                entries,
            }),
            other => {
                let message = format!("expected a map of keys and values, found {}", other.kind());
                problems.error(Code::WrongType, *self, message);
                None
            }
        }
    }

    fn invalid<T>(&self, problems: &mut Problems, scalar: &Scalar<'_>, expected: &str) -> Option<T> {
        let message = format!("{} is not {expected}", scalar.shown());
        problems.error(Code::InvalidValue, *self, message);
        None
    }
}

/// The items of a list.
#[derive(Debug, Clone, Copy)]
pub struct Items<'p, 'd> {
    path: Path<'p>,
    nodes: &'d [Node<'d>],
}

impl<'p, 'd> Items<'p, 'd> {
    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The items in order.
    pub fn iter<'c>(&'c self) -> impl Iterator<Item = Cursor<'c, 'd>> + use<'c, 'p, 'd> {
        self.nodes.iter().enumerate().map(|(index, node)| Cursor {
            path: self.path.index(index),
            node,
        })
    }
}

/// The fields of a map.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'p, 'd> {
    path: Path<'p>,
    span: Span,
    entries: &'d [Entry<'d>],
}

impl<'p, 'd> Fields<'p, 'd> {
    /// The way to the map.
    #[must_use]
    pub const fn path(&self) -> &Path<'p> {
        &self.path
    }

    /// Where the map begins.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.span
    }

    /// How many fields.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Reports every key that is not in `known`, with the nearest known one.
    pub fn only(&self, known: &[&str], problems: &mut Problems) {
        for entry in self.entries {
            if !known.contains(&&*entry.key) {
                problems.error_at(
                    Code::UnknownField,
                    &self.path.key(&entry.key),
                    entry.key_span,
                    "no such key here",
                    Some(unknown_key_hint(&entry.key, known)),
                );
            }
        }
    }

    /// The value of `key`, unless it is absent or null.
    #[must_use]
    pub fn get<'c>(&'c self, key: &'c str) -> Option<Cursor<'c, 'd>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (!entry.value.is_null()).then_some(Cursor {
            path: self.path.key(key),
            node: &entry.value,
        })
    }

    /// The value of `key`; its absence is a problem at the map.
    pub fn require<'c>(&'c self, key: &'c str, problems: &mut Problems) -> Option<Cursor<'c, 'd>> {
        let found = self.get(key);
        if found.is_none() {
            let at = self.entries.iter().find(|entry| entry.key == key);
            let span = at.map_or(self.span, |entry| entry.key_span);
            problems.error_at(
                Code::RequiredField,
                &self.path.key(key),
                span,
                "required, but not there",
                None,
            );
        }
        found
    }

    /// Every field in order: key, where the key stands, value.
    pub fn iter<'c>(&'c self) -> impl Iterator<Item = (&'d str, Span, Cursor<'c, 'd>)> + use<'c, 'p, 'd> {
        self.entries.iter().map(|entry| {
            let key: &'d str = &entry.key;
            let value = Cursor {
                path: self.path.key(key),
                node: &entry.value,
            };
            (key, entry.key_span, value)
        })
    }

    /// Reports a problem at the map itself.
    pub fn error(
        &self,
        code: Code,
        problems: &mut Problems,
        message: impl Into<alloc::borrow::Cow<'static, str>>,
    ) {
        problems.error_at(code, &self.path, self.span, message, None::<String>);
    }
}
