use std::fmt;

use serde::Serialize;
use virtengine_chain::ConfigError as ChainConfigError;
use virtengine_gateway::api::{ApiError, ErrorCode};
use virtengine_gateway::operator::{ClientError, SocketError};
use virtengine_gateway::tenant::TenantClientError;
use virtengine_keys::KeyError;
use virtengine_provider_core::document::Problem;
use virtengine_provider_core::id::IdError;
use virtengine_provider_core::ports::chain::ChainError;

use crate::tenant::TenantError;

/// The exit codes, for `--help`. Those of keys are listed at [`KeyError::exit_code`].
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0      done
  1      refused or failed; the message says why, the hint what to do
  2      wrong usage of the command line
  3      the configuration is not valid, or the daemon cannot start with it; see `config validate`
  4      the daemon is not running; `start` starts it
  5      no permission to talk to the daemon
  6      the chain or the provider cannot be reached; see `chain ping`
  7      the document (manifest, mnemonic file) is not valid
  8      there is no such thing
  9      the request is not authenticated, or not allowed
  10-42  keys: 10 no key store, 11 exists already, 12 locked, 13 wrong passphrase,
         14 damaged, 15 tampered with, 16 file mode, 17 owner, 23 held by a process,
         25 key exists, 26 no key, 31 no passphrase; every one comes with a hint,
         and docs/operator-guide.md lists them all
  130    devnet: ended by Ctrl-C in the middle of a round (143: by SIGTERM)";

/// What went wrong, for people and for scripts.
#[derive(Debug)]
pub struct CliError {
    /// The exit code.
    exit: u8,
    /// Stable name of the kind.
    code: &'static str,
    message: String,
    hint: String,
    details: Vec<Detail>,
}

/// One problem of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Detail {
    /// Where, e.g. `4:9 services.web.image`; may be empty.
    place: String,
    code: String,
    message: String,
    hint: String,
}

impl CliError {
    /// Refused or failed.
    pub(crate) fn failed(message: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self::new(1, "failed", message, hint)
    }

    /// This build cannot do it.
    pub(crate) fn unavailable(message: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self::new(1, "not_available", message, hint)
    }

    /// Wrong usage of the command line.
    pub(crate) fn usage(message: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self::new(2, "usage", message, hint)
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self::new(8, "not_found", message, hint)
    }

    /// A file cannot be used.
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::PermissionDenied => "run the command as a user that may use it",
            _ => "",
        };
        Self::failed(format!("{}: {error}", path.display()), hint)
    }

    /// A document that is not valid; every problem with its place.
    pub(crate) fn document(what: impl fmt::Display, problems: &[Problem]) -> Self {
        Self::problems(7, "invalid_document", what, problems)
    }

    /// A configuration that is not valid; every problem with its place.
    pub(crate) fn config(what: impl fmt::Display, problems: &[Problem]) -> Self {
        Self::problems(3, "invalid_config", what, problems)
    }

    /// A setting that is well formed and cannot be used.
    pub(crate) fn bad_setting(message: impl fmt::Display) -> Self {
        Self::new(3, "invalid_config", message, "correct it in the configuration")
    }

    fn problems(exit: u8, code: &'static str, what: impl fmt::Display, problems: &[Problem]) -> Self {
        let plural = if problems.len() == 1 { "" } else { "s" };
        let message = format!("{what} has {} problem{plural}", problems.len());
        let mut error = Self::new(exit, code, message, "");
        error.details = problems.iter().map(Detail::from).collect();
        error
    }

    fn new(exit: u8, code: &'static str, message: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self {
            exit,
            code,
            message: message.to_string(),
            hint: hint.into(),
            details: Vec::new(),
        }
    }

    /// The exit code.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        self.exit
    }

    /// What went wrong, and what to do about it.
    pub(crate) fn parts(&self) -> (String, String) {
        let mut message = self.message.clone();
        for detail in &self.details {
            message += &format!("; {} {}", detail.place, detail.message);
        }
        let mut hints: Vec<&str> = self.details.iter().map(|detail| &*detail.hint).collect();
        hints.push(&self.hint);
        hints.retain(|hint| !hint.is_empty());
        hints.dedup();
        (message, hints.join("; "))
    }

    /// For people: `error: …`, each problem on a line, `hint: …`.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        for detail in &self.details {
            let place = if detail.place.is_empty() {
                String::new()
            } else {
                format!("{}: ", detail.place)
            };
            text += &format!("  {place}{} [{}]\n", detail.message, detail.code);
            if !detail.hint.is_empty() {
                text += &format!("    hint: {}\n", detail.hint);
            }
        }
        if !self.hint.is_empty() {
            text += &format!("hint: {}\n", self.hint);
        }
        text
    }

    /// For scripts: `{"error":{"code","exit_code","message","hint","details"}}`.
    pub(crate) fn to_json(&self) -> String {
        let error = serde_json::json!({
            "error": {
                "code": self.code,
                "exit_code": self.exit,
                "message": self.message,
                "hint": self.hint,
                "details": self.details,
            }
        });
        format!("{error}\n")
    }
}

impl From<&Problem> for Detail {
    fn from(problem: &Problem) -> Self {
        let path = &problem.path;
        let place = match (problem.line, path.is_empty()) {
            (0, _) => path.clone(),
            (line, true) => format!("{line}:{}", problem.column),
            (line, false) => format!("{line}:{} {path}", problem.column),
        };
        Self {
            place,
            code: problem.code.to_string(),
            message: problem.message.clone(),
            hint: problem.hint.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> Self {
        Self::new(error.exit_code(), "key", &error, error.remedy())
    }
}

impl From<IdError> for CliError {
    fn from(error: IdError) -> Self {
        Self::usage(error, "")
    }
}

impl From<crate::config::ConfigError> for CliError {
    fn from(error: crate::config::ConfigError) -> Self {
        if error.io.is_none() {
            return Self::config(error.path.display(), &error.problems);
        }
        Self::new(
            3,
            "invalid_config",
            &error,
            "write one with `virtengine-provider config generate`, or name it with --config",
        )
    }
}

impl From<TenantError> for CliError {
    fn from(error: TenantError) -> Self {
        match error {
            TenantError::Address(error) => error.into(),
            TenantError::Chain(error) => error.into(),
            TenantError::Provider(error) => error.into(),
            TenantError::Refused { ref rejection, .. } => {
                Self::new(1, "rejected", &error, rejection_hint(rejection.kind))
            }
        }
    }
}

/// The causes of an error, outermost first; the first that says what to do decides.
impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        let message = said_once(&error);
        for cause in error.chain() {
            if let Some(key) = cause.downcast_ref::<KeyError>() {
                return Self::new(key.exit_code(), "key", message, key.remedy());
            }
            if let Some(SocketError::InUse(_)) = cause.downcast_ref::<SocketError>() {
                return Self::failed(
                    message,
                    "stop the other daemon first: see `virtengine-provider status`",
                );
            }
            if cause.is::<ChainError>() {
                return Self::new(6, "chain", message, "see `virtengine-provider chain ping`");
            }
        }
        Self::failed(message, "")
    }
}

/// The causes of an error, outermost first, without those that another one has quoted already.
fn said_once(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain() {
        let words = cause.to_string();
        if message.is_empty() {
            message = words;
        } else if !message.contains(&words) {
            message = format!("{message}: {words}");
        }
    }
    message
}

impl From<ApiError> for CliError {
    fn from(error: ApiError) -> Self {
        let (exit, code) = match error.code {
            ErrorCode::InvalidRequest if !error.details.is_empty() => (7, "invalid_document"),
            ErrorCode::NotFound => (8, "not_found"),
            ErrorCode::Unauthenticated => (9, "unauthenticated"),
            ErrorCode::Forbidden => (9, "forbidden"),
            ErrorCode::Conflict => (1, "conflict"),
            ErrorCode::Unsupported => (1, "unsupported"),
            ErrorCode::RateLimited | ErrorCode::Unavailable => (1, "unavailable"),
            ErrorCode::TimedOut => (1, "timed_out"),
            _ => (1, "failed"),
        };
        let mut cli = Self::new(exit, code, &error.message, error.remedy);
        cli.details = error
            .details
            .into_iter()
            .map(|detail| Detail {
                place: match detail.line_column {
                    Some((line, column)) => format!("{line}:{column} {}", detail.path),
                    None => detail.path,
                },
                code: detail.code,
                message: detail.message,
                hint: String::new(),
            })
            .collect();
        cli
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NotRunning { ref socket } => Self::new(
                4,
                "daemon_not_running",
                format!("the daemon is not running (no socket at {})", socket.display()),
                "start it with `virtengine-provider start`, or name its socket with --socket",
            ),
            ClientError::NoPermission { ref socket } => Self::new(
                5,
                "no_permission",
                format!("no permission to talk to the daemon at {}", socket.display()),
                "run the command as the user that runs the daemon, or as root",
            ),
            ClientError::TimedOut(_) => Self::new(
                1,
                "timed_out",
                &error,
                "see `virtengine-provider logs --level warn` and the health page",
            ),
            ClientError::Refused(error) => error.into(),
            other => Self::failed(
                other,
                "the command and the daemon may be of different versions: compare `virtengine-provider --version` with `status`",
            ),
        }
    }
}

impl From<ChainError> for CliError {
    fn from(error: ChainError) -> Self {
        match &error {
            ChainError::Unreachable(_) => Self::new(
                6,
                "chain_unreachable",
                &error,
                "check chain.endpoints (or --node) and ask `virtengine-provider chain ping`",
            ),
            ChainError::WrongChain(_) => Self::new(
                6,
                "wrong_chain",
                &error,
                "set chain.chain_id (or --chain-id) to the chain of the endpoint",
            ),
            ChainError::NotFound(_) => Self::not_found(&error, ""),
            ChainError::Rejected(rejection) => {
                Self::new(1, "rejected", rejection, rejection_hint(rejection.kind))
            }
            _ => Self::failed(&error, ""),
        }
    }
}

const fn rejection_hint(kind: virtengine_provider_core::ports::chain::RejectKind) -> &'static str {
    use virtengine_provider_core::ports::chain::RejectKind;
    match kind {
        RejectKind::InsufficientFunds => "send money to the account, or lower the deposit",
        RejectKind::StateChanged => "look at the state of the order, bid or lease: somebody was faster",
        RejectKind::AlreadyDone => "nothing is left to do",
        kind if kind.is_retryable() => "try again in a few seconds",
        _ => "",
    }
}

impl From<ChainConfigError> for CliError {
    fn from(error: ChainConfigError) -> Self {
        Self::new(
            3,
            "invalid_config",
            error,
            "set it in the configuration, or by --node and --chain-id",
        )
    }
}

impl From<TenantClientError> for CliError {
    fn from(error: TenantClientError) -> Self {
        match error {
            TenantClientError::Refused(error) => error.into(),
            TenantClientError::Unreachable { .. } => Self::new(
                6,
                "provider_unreachable",
                error,
                "check --url; a certificate of the provider's own needs --fingerprint",
            ),
            TenantClientError::Options(message) => Self::usage(message, ""),
            other => Self::failed(other, ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_and_what_to_do() {
        let problems = virtengine_provider_core::manifest::read(b"version: v3").unwrap_err();
        let error = CliError::document("shop.yaml", &problems);
        assert_eq!(error.exit_code(), 7);
        let text = error.to_text();
        assert!(
            text.starts_with("error: shop.yaml has 1 problem\n  1:10 version: "),
            "{text}"
        );
        assert!(text.contains("[UNSUPPORTED_VERSION]"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&error.to_json()).unwrap();
        assert_eq!(json["error"]["details"][0]["place"], "1:10 version");
    }

    #[test]
    fn key_errors_keep_their_exit_codes() {
        assert_eq!(CliError::from(KeyError::WrongPassphrase).exit_code(), 13);
        assert!(CliError::from(KeyError::Locked).to_text().contains("\nhint: "));
    }
}
