use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use virtengine_provider_core::document::TEXT_BYTES_MAX;
use zeroize::Zeroizing;

use super::{Config, ConfigError, parse};

/// A configuration and the file that it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub config: Config,
}

/// Reads the file with the variables of this process.
///
/// # Errors
/// The file cannot be read, or everything that is wrong with it.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    load_with(path, &|name| std::env::var(name).ok())
}

/// Reads the file; `env` answers for environment variables.
///
/// # Errors
/// As [`load`].
pub fn load_with(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigError> {
    let error = |problems, io| ConfigError {
        path: path.to_owned(),
        problems,
        io,
    };
    let text = read(path).map_err(|io| error(Vec::new(), Some(io)))?;
    let config = parse(&text, env).map_err(|problems| error(problems, None))?;
    Ok(Loaded {
        path: path.to_owned(),
        config,
    })
}

/// The bytes of a regular file, one more than are legal at most, so that a longer file is noticed and not held.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // A pipe or a device could make us wait for ever.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut text = Zeroizing::new(Vec::new());
    let limit = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX);
    File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut text)?;
    Ok(text)
}
