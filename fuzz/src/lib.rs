//! What the fuzz targets share.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::{Builder, TempDir};

/// A folder of its own. `cargo xtask fuzz` puts it into memory (`TMPDIR`), since targets that write files write them hundreds of
/// times a second, and removes it afterwards: a fuzz target never returns from its main function.
///
/// # Panics
/// When no folder can be made.
#[must_use]
pub fn folder() -> TempDir {
    Builder::new()
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .expect("a folder")
}
