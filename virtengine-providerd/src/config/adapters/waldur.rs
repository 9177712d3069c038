use serde::Serialize;
use virtengine_provider_core::document::{Cursor, Problems};

use crate::config::Secret;
use crate::config::section::Section;

/// A Waldur instance in front of clouds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Waldur {
    /// Whether it is used. The training document's sample has no such key: a section without it is meant.
    pub enabled: bool,
    /// Its API.
    pub api_url: Option<String>,
    /// What it knows us by; best as `${VAR}`.
    pub token: Option<Secret>,
    /// The project that everything is created in.
    pub project_uuid: Option<String>,
}

impl Waldur {
    pub(in crate::config) const KEYS: &[&str] = &["enabled", "api_url", "token", "project_uuid"];

    pub(super) fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Self {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        let enabled = section.boolean("enabled", true);
        section.require_when(enabled, &["api_url", "token"]);
        Self {
            enabled,
            api_url: section.url("api_url"),
            token: section.secret("token"),
            project_uuid: section.text("project_uuid"),
        }
    }
}
