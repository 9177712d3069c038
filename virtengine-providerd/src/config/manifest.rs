use std::time::Duration;

use serde::Serialize;
use virtengine_provider_core::document::{Cursor, Problems};

use super::section::{HOUR, Section, duration_text, seconds};

/// How manifests are awaited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// How long a tenant has after winning a lease to send its manifest; then the lease is closed.
    #[serde(serialize_with = "duration_text")]
    pub timeout: Duration,
}

impl Manifest {
    pub(super) const KEYS: &[&str] = &["timeout"];

    pub(super) fn read(at: Option<Cursor<'_, '_>>, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "manifest", Self::KEYS, problems);
        Self {
            timeout: section.duration("timeout", seconds(300), seconds(10)..=seconds(24 * HOUR)),
        }
    }
}
