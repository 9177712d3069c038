use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A place in a text; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node<'t> {
    /// Where it begins.
    pub span: Span,
    /// What it is.
    pub value: Value<'t>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'t> {
    /// A single value; what it means is decided by who reads it.
    Scalar(Scalar<'t>),
    /// A list.
    List(Vec<Node<'t>>),
    /// A map, in the order of the text.
    Map(Vec<Entry<'t>>),
}

/// A single value as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar<'t> {
    /// The text, escapes resolved.
    pub text: Cow<'t, str>,
    /// Whether it was quoted (or a YAML block text), so that `"null"` is a text and `null` is nothing.
    pub quoted: bool,
    /// Whether the text came from outside of the document, e.g. from the environment: it must not be repeated in messages.
    pub hidden: bool,
}

/// One entry of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'t> {
    /// The key.
    pub key: Cow<'t, str>,
    /// Where the key begins.
    pub key_span: Span,
    /// The value.
    pub value: Node<'t>,
}

impl Node<'_> {
    /// Whether nothing is written here: an empty plain value, `~` or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }
}

impl Value<'_> {
    /// What to call it in a message.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Scalar(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Longest value that a message repeats.
const SHOWN_CHARS_MAX: usize = 60;

impl Scalar<'_> {
    /// Whether nothing is written: empty, `~` or `null` without quotes.
    #[must_use]
    pub fn is_null(&self) -> bool {
        !self.quoted && matches!(&*self.text, "" | "~" | "null" | "Null" | "NULL")
    }

    /// The value for a message: quoted, shortened, and withheld when it came from outside of the document.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.hidden {
            return String::from("the value from the environment");
        }
        Self::shown_text(&self.text)
    }

    /// Any text for a message: quoted and shortened.
    #[must_use]
    pub fn shown_text(text: &str) -> String {
        match text.char_indices().nth(SHOWN_CHARS_MAX) {
            Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
            None => format!("{text:?}"),
        }
    }
}
