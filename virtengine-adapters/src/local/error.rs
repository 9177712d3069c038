//! How failures on this host become adapter errors.

use std::io;
use std::path::Path;

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{AdapterError, ErrorKind, Retry};

pub(crate) const NAME: &str = "local";

/// A failure that does not know yet in which call it happened.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) retry: Retry,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) const fn new(kind: ErrorKind, retry: Retry, message: String) -> Self {
        Self { kind, retry, message }
    }

    pub(crate) const fn invalid(message: String) -> Self {
        Self::new(ErrorKind::Invalid, Retry::Never, message)
    }

    pub(crate) fn unsupported(service: &str, what: &str) -> Self {
        let message = format!("service {service}: {what} is not offered on this host without isolation");
        Self::new(ErrorKind::Unsupported, Retry::Never, message)
    }

    pub(crate) fn not_found(id: &WorkloadId) -> Self {
        let message = format!("there is no workload {id}");
        Self::new(ErrorKind::NotFound, Retry::Never, message)
    }

    pub(crate) const fn conflict(message: String) -> Self {
        Self::new(ErrorKind::Conflict, Retry::Never, message)
    }

    pub(crate) const fn unavailable(message: String) -> Self {
        Self::new(ErrorKind::Unavailable, Retry::Later, message)
    }

    /// An operation on a file or a process failed.
    pub(crate) fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Exhausted,
            _ => ErrorKind::Unavailable,
        };
        let message = format!("cannot {doing} {}: {error}", path.display());
        Self::new(kind, Retry::Later, message)
    }

    pub(crate) fn during(self, operation: &'static str) -> AdapterError {
        AdapterError {
            kind: self.kind,
            retry: self.retry,
            adapter: NAME,
            operation,
            message: self.message,
        }
    }
}

pub(crate) type Outcome<T> = Result<T, Failure>;
