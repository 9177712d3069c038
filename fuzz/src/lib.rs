//! What the fuzz targets share.

use std::path::Path;

use tempfile::TempDir;

/// A folder of its own, in memory where that is possible: targets that write files write them thousands of times a second.
///
/// # Panics
/// When no folder can be made.
#[must_use]
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a folder")
}
