use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use virtengine_provider_core::document::{Cursor, Problems};

use crate::config::section::{HOUR, Section, duration_text, seconds};

/// Playbooks that create and remove workloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ansible {
    /// Whether it is used.
    pub enabled: bool,
    /// Directory of the playbooks.
    pub playbook_dir: Option<PathBuf>,
    /// The inventory.
    pub inventory: Option<PathBuf>,
    /// File with the password of the vault.
    pub vault_password_file: Option<PathBuf>,
    /// How long one run may take.
    #[serde(serialize_with = "duration_text")]
    pub timeout: Duration,
}

impl Ansible {
    pub(in crate::config) const KEYS: &[&str] = &[
        "enabled",
        "playbook_dir",
        "inventory",
        "vault_password_file",
        "timeout",
    ];

    pub(super) fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Self {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        let enabled = section.enabled();
        section.require_when(enabled, &["playbook_dir", "inventory"]);
        Self {
            enabled,
            playbook_dir: section.path("playbook_dir"),
            inventory: section.path("inventory"),
            vault_password_file: section.path("vault_password_file"),
            timeout: section.duration("timeout", seconds(1800), seconds(10)..=seconds(6 * HOUR)),
        }
    }
}
