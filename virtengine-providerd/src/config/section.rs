use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serializer;
use virtengine_provider_core::document::{Code, Cursor, Fields, Path, Problems, Span};
use virtengine_provider_core::money::Decimal;

use super::Secret;

/// A section of the file, present or not. Each reader gives the default for an absent key, and also for a wrong one, which is
/// reported.
pub(super) struct Section<'c, 'd, 'p> {
    fields: Option<Fields<'c, 'd>>,
    /// Where the section would be, for problems of one that is absent.
    name: &'static str,
    pub(super) problems: &'p mut Problems,
}

impl<'c, 'd, 'p> Section<'c, 'd, 'p> {
    pub(super) fn open(
        at: Option<Cursor<'c, 'd>>,
        name: &'static str,
        known: &[&str],
        problems: &'p mut Problems,
    ) -> Self {
        let fields = at.and_then(|at| at.map(problems));
        if let Some(fields) = &fields {
            fields.only(known, problems);
        }
        Self {
            fields,
            name,
            problems,
        }
    }

    /// Reads `key` with `read` when it is there.
    pub(super) fn with<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(Cursor<'_, 'd>, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        let at = self.fields.as_ref()?.get(key)?;
        read(at, self.problems)
    }

    /// Reads a section below this one, present or not.
    pub(super) fn below<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(Option<Cursor<'_, 'd>>, &mut Problems) -> T,
    ) -> T {
        let at = self.fields.as_ref().and_then(|fields| fields.get(key));
        read(at, self.problems)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.fields
            .as_ref()
            .is_some_and(|fields| fields.get(key).is_some())
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.with(key, |at, problems| at.filled_text(problems).map(str::to_owned))
    }

    pub(super) fn text_or(&mut self, key: &str, default: &str) -> String {
        self.text(key).unwrap_or_else(|| default.to_owned())
    }

    /// A text that matches `legal`, described by `expected`.
    pub(super) fn text_that(
        &mut self,
        key: &str,
        expected: &str,
        legal: impl Fn(&str) -> bool,
    ) -> Option<String> {
        self.with(key, |at, problems| {
            let text = at.filled_text(problems)?;
            if legal(text) {
                return Some(text.to_owned());
            }
            let message = format!("{} is not {expected}", at.scalar(problems)?.shown());
            problems.error(Code::InvalidValue, at, message);
            None
        })
    }

    /// A text that is never printed. One that does not come from the environment gets a notice: files are copied and backed up.
    pub(super) fn secret(&mut self, key: &str) -> Option<Secret> {
        self.with(key, |at, problems| {
            let text = at.filled_text(problems)?;
            if !at.scalar(problems)?.hidden {
                problems.notice(
                    Code::PlainSecret,
                    at,
                    "a secret stands in the file itself",
                    Some("write ${VARIABLE}, and set it where the daemon is started".to_owned()),
                );
            }
            Some(Secret::new(text))
        })
    }

    pub(super) fn boolean(&mut self, key: &str, default: bool) -> bool {
        self.with(key, |at, problems| at.boolean(problems))
            .unwrap_or(default)
    }

    pub(super) fn integer(&mut self, key: &str, default: u32, range: RangeInclusive<u32>) -> u32 {
        self.with(key, |at, problems| at.integer32(range, problems))
            .unwrap_or(default)
    }

    pub(super) fn decimal(&mut self, key: &str, default: &str) -> Decimal {
        let given = self.with(key, |at, problems| at.decimal(problems));
        given.unwrap_or_else(|| {
            default
                .parse()
                .expect("defaults are decimals; the tests read them all")
        })
    }

    /// A duration within `range`.
    pub(super) fn duration(
        &mut self,
        key: &str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let given = self.with(key, |at, problems| {
            let duration = at.duration(problems)?;
            if range.contains(&duration) {
                return Some(duration);
            }
            let shown = |d: &Duration| humantime::format_duration(*d).to_string();
            let message = format!(
                "{} is not between {} and {}",
                shown(&duration),
                shown(range.start()),
                shown(range.end())
            );
            problems.error(Code::InvalidValue, at, message);
            None
        });
        given.unwrap_or(default)
    }

    /// An absolute path.
    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.text_that(key, "an absolute path", |text| {
            text.starts_with('/') && !text.contains('\0')
        })
        .map(PathBuf::from)
    }

    /// `http://` or `https://` with a host and without credentials.
    pub(super) fn url(&mut self, key: &str) -> Option<String> {
        self.with(key, url)
    }

    /// An address with a port, e.g. `127.0.0.1:8443`.
    pub(super) fn socket(&mut self, key: &str) -> Option<SocketAddr> {
        self.with(key, |at, problems| {
            let scalar = at.scalar(problems)?;
            let parsed = scalar.text.parse().ok();
            if parsed.is_none() {
                let message = format!("{} is not an address with a port", scalar.shown());
                problems.error_hint(
                    Code::InvalidValue,
                    at,
                    message,
                    "for example 127.0.0.1:8443 or [::1]:8443",
                );
            }
            parsed
        })
    }

    pub(super) fn one_of<T: Copy>(&mut self, key: &str, allowed: &[(&str, T)], default: T) -> T {
        self.with(key, |at, problems| {
            at.one_of(Code::InvalidValue, allowed, problems)
        })
        .unwrap_or(default)
    }

    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        self.list(key, |at, problems| at.filled_text(problems).map(str::to_owned))
    }

    /// A list whose items are read with `read`; at most [`ITEMS_MAX`].
    pub(super) fn list<T>(
        &mut self,
        key: &str,
        read: impl Fn(Cursor<'_, 'd>, &mut Problems) -> Option<T>,
    ) -> Vec<T> {
        let items = self.with(key, |at, problems| {
            let items = at.list(problems)?;
            if items.len() > ITEMS_MAX {
                let message = format!("{} items are more than {ITEMS_MAX}", items.len());
                problems.error(Code::MaxExceeded, at, message);
            }
            let known = items.iter().take(ITEMS_MAX);
            Some(known.filter_map(|item| read(item, problems)).collect())
        });
        items.unwrap_or_default()
    }

    /// Reports an error at `key`, or at the section when the key is absent.
    pub(super) fn error(&mut self, code: Code, key: &str, message: impl Display, hint: &str) {
        self.report(false, code, key, message.to_string(), hint);
    }

    /// Reports a notice at `key`, or at the section when the key is absent.
    pub(super) fn notice(&mut self, code: Code, key: &str, message: impl Display, hint: &str) {
        self.report(true, code, key, message.to_string(), hint);
    }

    /// Reports a notice about the section itself.
    pub(super) fn notice_of_section(&mut self, code: Code, message: impl Display, hint: &str) {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        let absent = Path::ROOT.key(self.name);
        let (path, span) = match &self.fields {
            Some(fields) => (fields.path(), fields.span()),
            None => (&absent, Span::default()),
        };
        self.problems
            .notice_at(code, path, span, message.to_string(), hint);
    }

    /// Says of each of `keys` that is there that nothing comes of it.
    pub(super) fn without_effect(&mut self, keys: &[&str], why: &str) {
        for key in keys {
            if self.has(key) {
                let message = format!("has no effect in this build: {why}");
                self.notice(Code::NotCarriedOut, key, message, "it may stay, or be left out");
            }
        }
    }

    fn report(&mut self, is_notice: bool, code: Code, key: &str, message: String, hint: &str) {
        let absent = Path::ROOT.key(self.name);
        let (path, span) = match &self.fields {
            Some(fields) => {
                let at = fields.get(key).map(|at| at.node.span);
                (fields.path(), at.unwrap_or_else(|| fields.span()))
            }
            None => (&absent, Span::default()),
        };
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        if is_notice {
            self.problems.notice_at(code, &path.key(key), span, message, hint);
        } else {
            self.problems.error_at(code, &path.key(key), span, message, hint);
        }
    }
}

/// Most items of any list of the file.
pub(super) const ITEMS_MAX: usize = 200;

/// `http://` or `https://` with a host and without credentials.
pub(super) fn url(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<String> {
    let scalar = at.scalar(problems)?;
    let text = &*scalar.text;
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(""));
    if host.is_some_and(|host| host.contains('@')) {
        // The text may hold a password: it is not repeated.
        problems.error_hint(
            Code::InvalidValue,
            at,
            "credentials in a URL end up in logs",
            "use the keys for the user and the password",
        );
        return None;
    }
    if host.is_none_or(str::is_empty) || text.contains(char::is_whitespace) {
        let message = format!("{} is not an http or https URL", scalar.shown());
        problems.error_hint(
            Code::InvalidValue,
            at,
            message,
            "for example https://host.example.com:8080",
        );
        return None;
    }
    Some(text.to_owned())
}

/// Writes a duration as the file would say it.
pub(super) fn duration_text<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let text = humantime::format_duration(*duration).to_string();
    serializer.serialize_str(&text.replace(' ', ""))
}

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One hour, in seconds.
pub(super) const HOUR: u64 = 3600;
