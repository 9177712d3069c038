//! Refusals of the desk as answers of the API.

use virtengine_gateway::api::{ApiError, ErrorCode, ErrorDetail};
use virtengine_provider_core::document::Problem;
use virtengine_provider_core::lease;

use super::desk::{NotTaken, Stopping};
use crate::provider::Refused;

/// The daemon is stopping.
pub(super) fn stopping(_: Stopping) -> ApiError {
    ApiError::new(
        ErrorCode::Unavailable,
        "the daemon is stopping",
        "ask again when it runs",
    )
}

/// A fact was not taken.
pub(super) fn not_taken(why: NotTaken) -> ApiError {
    let refused = match why {
        NotTaken::Stopping(why) => return stopping(why),
        NotTaken::Refused(refused) => refused,
    };
    let (code, remedy) = match &refused {
        Refused::Lease(lease::Rejected::HashMismatch { .. }) => (
            ErrorCode::InvalidRequest,
            "send the manifest that the deployment was created from, or update the deployment",
        ),
        Refused::Lease(lease::Rejected::Unknown) | Refused::NoWorkload => (ErrorCode::NotFound, ""),
        Refused::Capacity(_) => (ErrorCode::Conflict, "free capacity first, or ask for less"),
        Refused::NotAsOrdered(_) | Refused::Groups(_) => (ErrorCode::InvalidRequest, ""),
        Refused::Usage(_) => (ErrorCode::Conflict, "see `usage list --pending`"),
        Refused::Lease(_) | Refused::Workload(_) => (ErrorCode::Conflict, ""),
    };
    ApiError::new(code, refused.to_string(), remedy)
}

/// A manifest that is not valid, with every problem.
pub(super) fn invalid_manifest(problems: &[Problem]) -> ApiError {
    let details = problems.iter().map(|problem| ErrorDetail {
        path: problem.path.to_string(),
        line_column: Some((problem.line, problem.column)),
        code: problem.code.as_str().to_owned(),
        message: problem.message.to_string(),
    });
    let message = format!("the manifest has {} problems", problems.len());
    ApiError::new(
        ErrorCode::InvalidRequest,
        message,
        "see the details, or `manifest validate`",
    )
    .with_details(details.collect())
}
