//! How a rule ends.

use virtengine_provider_core::ports::adapter::AdapterError;

use super::fixture::Unable;

/// Why a rule did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Break {
    /// The adapter breaks the rule, in words.
    Broken(String),
    /// The rule cannot be asked here, in words.
    NotApplicable(String),
}

/// What a rule found.
pub(crate) type Finding<T = ()> = Result<T, Break>;

impl From<AdapterError> for Break {
    fn from(error: AdapterError) -> Self {
        Self::Broken(format!(
            "{} failed: {error} (kind {:?}, retry {:?})",
            error.operation, error.kind, error.retry
        ))
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for Break {
    /// A fixture that fails proves nothing, so the rule is not passed.
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self::Broken(format!("the fixture failed: {error}"))
    }
}

impl From<Unable> for Break {
    fn from(unable: Unable) -> Self {
        Self::NotApplicable(unable.0.to_owned())
    }
}

/// Breaks the rule with words unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err($crate::conformance::finding::Break::Broken(format!($($words)+)));
        }
    };
}
pub(crate) use ensure;
