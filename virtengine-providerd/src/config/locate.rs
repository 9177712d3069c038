use std::path::{Path, PathBuf};

/// Where the file is when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/virtengine/provider/provider-config.yaml";

/// The environment variable that may name the file.
pub const PATH_VARIABLE: &str = "VIRTENGINE_PROVIDER_CONFIG";

/// Which file, and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The file. Nobody has looked whether it exists.
    pub path: PathBuf,
    /// Who named it.
    pub source: Source,
}

/// Who named the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `--config`.
    Flag,
    /// [`PATH_VARIABLE`].
    Environment,
    /// Nobody: [`DEFAULT_PATH`].
    Default,
}

/// Decides which file is read: `--config`, then [`PATH_VARIABLE`], then [`DEFAULT_PATH`]. An empty variable counts as not set.
#[must_use]
pub fn locate(explicit: Option<&Path>, env: impl Fn(&str) -> Option<String>) -> Located {
    if let Some(path) = explicit {
        return Located {
            path: path.to_owned(),
            source: Source::Flag,
        };
    }
    match env(PATH_VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => Located {
            path: path.into(),
            source: Source::Environment,
        },
        None => Located {
            path: DEFAULT_PATH.into(),
            source: Source::Default,
        },
    }
}
