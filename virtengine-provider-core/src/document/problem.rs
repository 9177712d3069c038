use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::{Cursor, Path, Span};

/// Most problems that one reading reports. A hostile text could otherwise make us hold one per byte.
pub const PROBLEMS_MAX: usize = 200;

/// What kind of problem it is. The names on the wire are those of spec/reference.md §3.1, with our own after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Code {
    /// Something that must be there is not.
    RequiredField,
    /// A version that this build does not read.
    UnsupportedVersion,
    /// A name that breaks the rule for names.
    InvalidName,
    /// More than the limit.
    MaxExceeded,
    /// The same name twice.
    DuplicateName,
    /// A type outside the allowed ones.
    UnsupportedType,
    /// A value outside the allowed ones.
    InvalidValue,
    /// A reference to something that is not declared.
    UndefinedReference,
    /// A key that nobody reads.
    UnknownField,
    /// A map where a text was expected, and the like.
    WrongType,
    /// Two statements about one thing that do not agree.
    Conflict,
    /// The text is neither YAML nor JSON, or uses a part of YAML that is refused here.
    Syntax,
    /// A manifest and the group on chain differ.
    Mismatch,
    /// An environment variable that is not set.
    UnsetVariable,
    /// A sample value that must be replaced before use.
    Placeholder,
    /// Something that this build cannot do.
    NotAvailable,
    /// Nothing of the manifest is reachable from outside.
    NoGlobalService,
    /// A default was taken where the author may have meant something else.
    DefaultUsed,
    /// A wish that is checked but not carried out.
    NotCarriedOut,
    /// A secret that stands in the text itself.
    PlainSecret,
    /// An older or foreign spelling.
    Alias,
}

impl Code {
    /// The name on the wire, e.g. `REQUIRED_FIELD`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequiredField => "REQUIRED_FIELD",
            Self::UnsupportedVersion => "UNSUPPORTED_VERSION",
            Self::InvalidName => "INVALID_NAME",
            Self::MaxExceeded => "MAX_EXCEEDED",
            Self::DuplicateName => "DUPLICATE_NAME",
            Self::UnsupportedType => "UNSUPPORTED_TYPE",
            Self::InvalidValue => "INVALID_VALUE",
            Self::UndefinedReference => "UNDEFINED_REFERENCE",
            Self::UnknownField => "UNKNOWN_FIELD",
            Self::WrongType => "WRONG_TYPE",
            Self::Conflict => "CONFLICT",
            Self::Syntax => "SYNTAX",
            Self::Mismatch => "MISMATCH",
            Self::UnsetVariable => "UNSET_VARIABLE",
            Self::Placeholder => "PLACEHOLDER",
            Self::NotAvailable => "NOT_AVAILABLE",
            Self::NoGlobalService => "NO_GLOBAL_SERVICE",
            Self::DefaultUsed => "DEFAULT_USED",
            Self::NotCarriedOut => "NOT_CARRIED_OUT",
            Self::PlainSecret => "PLAIN_SECRET",
            Self::Alias => "ALIAS",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong, or worth saying, about a text: what, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind.
    pub code: Code,
    /// Where in the document, e.g. `services.web.expose[0].port`; empty for the document itself.
    pub path: String,
    /// Line, from 1; 0 when the problem has no place in a text.
    pub line: u32,
    /// Column in characters, from 1; 0 when the problem has no place in a text.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do, when we know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    /// One line: `4:9 services.web.image: message [CODE] (hint)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{} ", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{} [{}]", self.message, self.code)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for Problem {}

/// Everything found while reading one text: errors make it unusable, notices do not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    errors: Vec<Problem>,
    notices: Vec<Problem>,
}

impl Problems {
    /// None so far.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            errors: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Reports an error at a value.
    pub fn error(&mut self, code: Code, at: Cursor<'_, '_>, message: impl Into<Cow<'static, str>>) {
        self.error_at(code, &at.path, at.node.span, message, None);
    }

    /// Reports an error at a value, with what to do.
    pub fn error_hint(
        &mut self,
        code: Code,
        at: Cursor<'_, '_>,
        message: impl Into<Cow<'static, str>>,
        hint: impl Into<String>,
    ) {
        self.error_at(code, &at.path, at.node.span, message, Some(hint.into()));
    }

    /// Reports an error at a place that is not a value, e.g. a key.
    pub fn error_at(
        &mut self,
        code: Code,
        path: &Path<'_>,
        span: Span,
        message: impl Into<Cow<'static, str>>,
        hint: Option<String>,
    ) {
        push(&mut self.errors, problem(code, path, span, message.into(), hint));
    }

    /// Reports why reading stopped; the path is text already.
    #[cfg(feature = "std")]
    pub(super) fn stopped(&mut self, code: Code, path: String, span: Span, message: Cow<'static, str>) {
        let mut error = problem(code, &Path::ROOT, span, message, None);
        error.path = path;
        push(&mut self.errors, error);
    }

    /// Reports something worth saying that is no error.
    pub fn notice(
        &mut self,
        code: Code,
        at: Cursor<'_, '_>,
        message: impl Into<Cow<'static, str>>,
        hint: Option<String>,
    ) {
        self.notice_at(code, &at.path, at.node.span, message, hint);
    }

    /// Reports something worth saying at a place that is not a value, e.g. an absent key.
    pub fn notice_at(
        &mut self,
        code: Code,
        path: &Path<'_>,
        span: Span,
        message: impl Into<Cow<'static, str>>,
        hint: Option<String>,
    ) {
        push(&mut self.notices, problem(code, path, span, message.into(), hint));
    }

    /// Whether there is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// How many errors there are.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.errors.len()
    }

    /// The errors and the notices, each in the order of the text.
    #[must_use]
    pub fn into_parts(mut self) -> (Vec<Problem>, Vec<Problem>) {
        self.errors.sort_by_key(|p| (p.line, p.column));
        self.notices.sort_by_key(|p| (p.line, p.column));
        (self.errors, self.notices)
    }
}

fn push(list: &mut Vec<Problem>, problem: Problem) {
    if list.len() < PROBLEMS_MAX {
        list.push(problem);
    }
}

fn problem(
    code: Code,
    path: &Path<'_>,
    span: Span,
    message: Cow<'static, str>,
    hint: Option<String>,
) -> Problem {
    Problem {
        code,
        path: path.to_string(),
        line: span.line,
        column: span.column,
        message: message.into_owned(),
        hint,
    }
}
