use serde::Serialize;
use virtengine_provider_core::document::{Cursor, Problems};

use crate::config::section::Section;

/// A back end that keeps workloads in memory and runs nothing. For tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Whether it is used.
    pub enabled: bool,
}

impl Memory {
    pub(in crate::config) const KEYS: &[&str] = &["enabled"];

    pub(super) fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Self {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        Self {
            enabled: section.enabled(),
        }
    }
}
