//! One shape for every refusal: `{"error":{"code","message","remedy"}}`.

use serde::{Deserialize, Serialize};

/// What went wrong, sorted by who must act. Callers match on this, never on text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The caller's input is not acceptable; `details` may say where.
    InvalidRequest,
    /// Nobody knows who asks: the signature is missing, old, seen before or wrong.
    Unauthenticated,
    /// It is known who asks, and this is not theirs.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The thing is in a state in which this cannot be done.
    Conflict,
    /// The body is larger than this route takes.
    TooLarge,
    /// Too many requests; later.
    RateLimited,
    /// This provider cannot do that.
    Unsupported,
    /// Something that we need does not answer, or we are busy; later.
    Unavailable,
    /// It took too long; whether it happened is not known.
    TimedOut,
    /// A fault of ours.
    Internal,
}

impl ErrorCode {
    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unsupported => 501,
            Self::Unavailable => 503,
            Self::TimedOut => 504,
        }
    }

    /// Whether the same request may succeed later without anybody acting.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable)
    }
}

/// A refusal. Its text is for people; it never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What kind.
    pub code: ErrorCode,
    /// A sentence: lower case, no full stop, names the thing.
    pub message: String,
    /// What the caller can do about it; may be empty.
    #[serde(default)]
    pub remedy: String,
    /// Every problem of an input, when it has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ErrorDetail>,
}

/// One problem of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// Where in the document, e.g. `services.web.image`.
    pub path: String,
    /// 1-based line and column, when they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_column: Option<(u32, u32)>,
    /// Stable name of the rule.
    pub code: String,
    /// A sentence.
    pub message: String,
}

/// The body of an answer that is a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The refusal.
    pub error: ApiError,
}

/// Result of a call.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// A refusal with a remedy (which may be empty).
    pub fn new(code: ErrorCode, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            remedy: remedy.into(),
            details: Vec::new(),
        }
    }

    /// There is no such `thing`.
    pub fn not_found(thing: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, format!("no such {}", thing.into()), "")
    }

    /// A fault of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(
            ErrorCode::Internal,
            message,
            "this is a fault of the provider: report it with the log around this time",
        )
    }

    /// The same refusal with every problem of the input.
    #[must_use]
    pub fn with_details(mut self, details: Vec<ErrorDetail>) -> Self {
        self.details = details;
        self
    }
}
