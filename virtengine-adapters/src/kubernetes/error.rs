//! How the answers of the API become adapter errors.

use kube::core::Status;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{AdapterError, ErrorKind, Retry};

pub(crate) const NAME: &str = "kubernetes";

/// Longest message of the API that is passed on, in characters.
const MESSAGE_LEN_MAX: usize = 600;

/// A failure that does not know yet in which call it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) retry: Retry,
    pub(crate) message: String,
}

pub(crate) type Outcome<T> = Result<T, Failure>;

/// Whether a request that failed on its way may have had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Read,
    Write,
}

impl Effect {
    pub(crate) const fn retry(self) -> Retry {
        match self {
            Self::Read => Retry::Later,
            Self::Write => Retry::Unknown,
        }
    }
}

impl Failure {
    pub(crate) const fn new(kind: ErrorKind, retry: Retry, message: String) -> Self {
        Self { kind, retry, message }
    }

    pub(crate) const fn invalid(message: String) -> Self {
        Self::new(ErrorKind::Invalid, Retry::Never, message)
    }

    pub(crate) fn unsupported(service: &str, what: &str) -> Self {
        let message = format!("service {service}: {what} is not offered by this cluster");
        Self::new(ErrorKind::Unsupported, Retry::Never, message)
    }

    pub(crate) fn not_found(id: &WorkloadId) -> Self {
        let message = format!("there is no workload {id}");
        Self::new(ErrorKind::NotFound, Retry::Never, message)
    }

    pub(crate) const fn unavailable(message: String) -> Self {
        Self::new(ErrorKind::Unavailable, Retry::Later, message)
    }

    pub(crate) const fn bug(message: String) -> Self {
        Self::new(ErrorKind::Bug, Retry::Never, message)
    }

    /// What the API, or the way to it, answered while `doing`.
    pub(crate) fn of(doing: &str, effect: Effect, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(doing, effect, status),
            other => {
                let message = format!(
                    "{doing}: the cluster does not answer: {}",
                    shorten(&causes(other))
                );
                Self::new(ErrorKind::Unavailable, effect.retry(), message)
            }
        }
    }

    fn of_status(doing: &str, effect: Effect, status: &Status) -> Self {
        let said = status.message.as_str();
        let (kind, retry) = match status.code {
            401 => (ErrorKind::Denied, Retry::Later),
            403 => forbidden(said),
            404 => (ErrorKind::NotFound, Retry::Later),
            409 => (ErrorKind::Conflict, Retry::Later),
            400 | 405 | 413 | 415 | 422 => (ErrorKind::Invalid, Retry::Never),
            429 => (ErrorKind::RateLimited, Retry::Later),
            // The server could not read what we wrote. It would not be able to the next time either.
            500 if said.contains("failed to create typed patch object") => (ErrorKind::Bug, Retry::Never),
            _ => (ErrorKind::Unavailable, effect.retry()),
        };
        let message = format!("{doing}: {} ({} {})", shorten(said), status.code, status.reason);
        Self::new(kind, retry, message)
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

/// Admission refuses with the same code as authorization; only the words differ.
fn forbidden(said: &str) -> (ErrorKind, Retry) {
    if said.contains("exceeded quota") {
        (ErrorKind::Exhausted, Retry::Later)
    } else if said.contains("because it is being terminated") {
        (ErrorKind::Conflict, Retry::Later)
    } else if said.contains("violates PodSecurity") || said.contains("usage per") {
        (ErrorKind::Invalid, Retry::Never)
    } else {
        (ErrorKind::Denied, Retry::Later)
    }
}

/// The error and what caused it; each says only its own part.
fn causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !words.contains(&said) {
            words = format!("{words}: {said}");
        }
        next = cause.source();
    }
    words
}

pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(MESSAGE_LEN_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_api_have_the_kind_that_the_caller_acts_on() {
        use ErrorKind as K;
        use Retry as R;
        let denied = "pods is forbidden: User \"x\" cannot list resource \"pods\"";
        let quota =
            "pods \"a\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
        let ending = "unable to create new content in namespace a because it is being terminated";
        let security =
            "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true";
        let patch = "failed to create typed patch object (a/b; apps/v1, Kind=Deployment): .spec.replica: field not declared in schema";
        let cases = [
            (401, "Unauthorized", K::Denied, R::Later),
            (403, denied, K::Denied, R::Later),
            (403, quota, K::Exhausted, R::Later),
            (403, ending, K::Conflict, R::Later),
            (403, security, K::Invalid, R::Never),
            (404, "not found", K::NotFound, R::Later),
            (409, "conflict", K::Conflict, R::Later),
            (422, "field is immutable", K::Invalid, R::Never),
            (429, "too many requests", K::RateLimited, R::Later),
            (500, patch, K::Bug, R::Never),
            (500, "etcdserver: request timed out", K::Unavailable, R::Unknown),
            (503, "apiserver not ready", K::Unavailable, R::Unknown),
        ];
        for (code, message, kind, retry) in cases {
            let status = Status {
                code,
                message: message.to_owned(),
                ..Status::default()
            };
            let error = kube::Error::Api(Box::new(status));
            let failure = Failure::of("apply a/b", Effect::Write, &error);
            assert_eq!((failure.kind, failure.retry), (kind, retry), "{code} {message}");
            assert!(failure.message.contains(message));
        }
    }
}
