use std::path::PathBuf;

use serde::Serialize;
use virtengine_provider_core::document::{Cursor, Problems};

use super::Storage;
use super::section::Section;

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Logging {
    /// The least important level that is written.
    pub level: LogLevel,
    /// For people or for machines.
    pub format: LogFormat,
    /// The file that `logs` reads; the same lines go to standard error.
    pub file: PathBuf,
}

/// Levels, the most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed that nobody repairs by itself.
    Error,
    /// Something failed that is tried again.
    Warn,
    /// What the daemon does.
    Info,
    /// Why it does it.
    Debug,
    /// Every request.
    Trace,
}

/// Formats of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogLevel {
    /// The name, as in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Logging {
    pub(super) const KEYS: &[&str] = &["level", "format", "file"];

    pub(super) fn read(at: Option<Cursor<'_, '_>>, storage: &Storage, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "logging", Self::KEYS, problems);
        let levels = [
            LogLevel::Error,
            LogLevel::Warn,
            LogLevel::Info,
            LogLevel::Debug,
            LogLevel::Trace,
        ]
        .map(|level| (level.as_str(), level));
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        Self {
            level: section.one_of("level", &levels, LogLevel::Info),
            format: section.one_of("format", &formats, LogFormat::Text),
            file: section
                .path("file")
                .unwrap_or_else(|| storage.dir.join("provider.log")),
        }
    }
}
