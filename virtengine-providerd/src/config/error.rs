use std::fmt;
use std::io;
use std::path::PathBuf;

use virtengine_provider_core::document::Problem;

/// A file that cannot be used.
#[derive(Debug)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// Everything that is wrong with its content; empty when it could not be read at all.
    pub problems: Vec<Problem>,
    /// Why it could not be read.
    pub io: Option<io::Error>,
}

impl fmt::Display for ConfigError {
    /// One line per problem: `file:line:column path: message [CODE] (hint)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        if let Some(error) = &self.io {
            return write!(f, "cannot read the configuration {path}: {error}");
        }
        for (index, problem) in self.problems.iter().enumerate() {
            let line_break = if index > 0 { "\n" } else { "" };
            write!(f, "{line_break}{path}:{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.io.as_ref().map(|error| error as _)
    }
}
