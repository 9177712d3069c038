//! Failures of the back end in memory.

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{AdapterError, ErrorKind, Retry};

use super::fault::Operation;

pub(crate) const NAME: &str = "memory";

pub(crate) fn error(operation: Operation, kind: ErrorKind, retry: Retry, message: String) -> AdapterError {
    AdapterError {
        kind,
        retry,
        adapter: NAME,
        operation: operation.name(),
        message,
    }
}

pub(crate) fn not_found(operation: Operation, id: &WorkloadId) -> AdapterError {
    let message = format!("there is no workload {id}");
    error(operation, ErrorKind::NotFound, Retry::Never, message)
}

pub(crate) fn unsupported(operation: Operation, what: &str) -> AdapterError {
    let message = format!("this back end does not offer {what}");
    error(operation, ErrorKind::Unsupported, Retry::Never, message)
}
