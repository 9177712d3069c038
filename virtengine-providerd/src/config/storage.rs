use std::path::{Path, PathBuf};

use serde::Serialize;
use virtengine_provider_core::document::{Code, Cursor, Problems};

use super::section::Section;

/// Where state is kept: the journal and everything that is not a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Storage {
    /// The directory, mode 0700. One daemon owns it.
    pub dir: PathBuf,
}

impl Storage {
    pub(super) const KEYS: &[&str] = &["dir"];

    pub(super) fn read(
        at: Option<Cursor<'_, '_>>,
        state_dir: Option<&Path>,
        problems: &mut Problems,
    ) -> Self {
        let mut section = Section::open(at, "storage", Self::KEYS, problems);
        let dir = section.path("dir");
        if let (Some(dir), Some(state_dir)) = (&dir, state_dir)
            && dir != state_dir
        {
            section.error(
                Code::Conflict,
                "dir",
                "provider.state_dir names another directory",
                "keep one of them",
            );
        }
        let dir = dir.or_else(|| state_dir.map(Path::to_owned));
        Self {
            dir: dir.unwrap_or_else(|| "/var/lib/virtengine/provider".into()),
        }
    }
}
