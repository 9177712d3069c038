use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec::Vec;

use crate::document::{Code, Cursor, Fields, Problems};
use crate::manifest::limits::{HOOK_SECONDS_DEFAULT, HOOK_SECONDS_MAX, PROBE_SECONDS_MAX};
use crate::manifest::names::words;
use crate::workload::{HealthCheck, Hook, Probe};

/// One of `exec`, `http`, `tcp` with the times around it.
pub(super) fn health_check(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<HealthCheck> {
    let fields = at.map(problems)?;
    fields.only(
        &[
            "exec",
            "http",
            "tcp",
            "initial_delay_seconds",
            "period_seconds",
            "timeout_seconds",
            "failure_threshold",
            "success_threshold",
        ],
        problems,
    );
    let mut number = |key: &str, default: u32| -> u32 {
        let given = fields
            .get(key)
            .and_then(|at| at.integer32(0..=PROBE_SECONDS_MAX, problems));
        // As in the reference, 0 means that nothing was said.
        given.filter(|number| *number > 0).unwrap_or(default)
    };
    let (initial_delay_seconds, period_seconds) =
        (number("initial_delay_seconds", 0), number("period_seconds", 10));
    let timeout_seconds = number("timeout_seconds", 1);
    let (failure_threshold, success_threshold) =
        (number("failure_threshold", 3), number("success_threshold", 1));
    Some(HealthCheck {
        probe: one_probe(at, &fields, &["exec", "http", "tcp"], problems)?,
        initial_delay_seconds,
        period_seconds,
        timeout_seconds,
        failure_threshold,
        success_threshold,
    })
}

/// One of `exec` and `http` with its timeout.
pub(super) fn hook(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<Hook> {
    let fields = at.map(problems)?;
    fields.only(&["exec", "http", "timeout_seconds"], problems);
    let timeout = fields
        .get("timeout_seconds")
        .and_then(|at| at.integer32(0..=HOOK_SECONDS_MAX, problems));
    Some(Hook {
        probe: one_probe(at, &fields, &["exec", "http"], problems)?,
        timeout_seconds: timeout
            .filter(|seconds| *seconds > 0)
            .unwrap_or(HOOK_SECONDS_DEFAULT),
    })
}

fn one_probe(
    at: Cursor<'_, '_>,
    fields: &Fields<'_, '_>,
    kinds: &[&str],
    problems: &mut Problems,
) -> Option<Probe> {
    let given: Vec<&str> = kinds
        .iter()
        .copied()
        .filter(|kind| fields.get(kind).is_some())
        .collect();
    match *given {
        [] => {
            let message = format!("needs one of {}", kinds.join(", "));
            problems.error(Code::RequiredField, at, message);
            None
        }
        [kind] => {
            let probe = fields.get(kind)?;
            match kind {
                "exec" => exec(probe, problems),
                "http" => http(probe, problems),
                _ => tcp(probe, problems),
            }
        }
        _ => {
            let message = format!("only one of {} is allowed", given.join(", "));
            problems.error(Code::InvalidValue, at, message);
            None
        }
    }
}

fn exec(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<Probe> {
    let fields = at.map(problems)?;
    fields.only(&["command"], problems);
    let command_at = fields.require("command", problems)?;
    let command = words(command_at, problems)?;
    if command.first().is_none_or(|program| program.trim().is_empty()) {
        problems.error(Code::RequiredField, command_at, "the command is empty");
        return None;
    }
    Some(Probe::Exec { command })
}

fn http(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<Probe> {
    let fields = at.map(problems)?;
    fields.only(&["path", "port", "scheme"], problems);
    let schemes = [("http", false), ("https", true), ("HTTP", false), ("HTTPS", true)];
    let https = match fields.get("scheme") {
        Some(at) => at.one_of(Code::InvalidValue, &schemes, problems),
        None => Some(false),
    };
    let port = fields.require("port", problems).and_then(|at| at.port(problems));
    let path = match fields.get("path") {
        Some(at) => url_path(at, problems),
        None => Some("/"),
    };
    Some(Probe::Http {
        path: path?.to_owned(),
        port: port?,
        https: https?,
    })
}

fn url_path<'d>(at: Cursor<'_, 'd>, problems: &mut Problems) -> Option<&'d str> {
    let path = at.text(problems)?;
    if path.starts_with('/') && path.len() <= 2048 && !path.contains(char::is_whitespace) {
        return Some(path);
    }
    problems.error_hint(
        Code::InvalidValue,
        at,
        "not a path of a URL",
        "it begins with / and has no spaces",
    );
    None
}

fn tcp(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<Probe> {
    let fields = at.map(problems)?;
    fields.only(&["port"], problems);
    let port = fields.require("port", problems)?.port(problems)?;
    Some(Probe::Tcp { port })
}
