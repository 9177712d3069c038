//! The generated reference of the command line.

use std::path::Path;
use std::process::Command;

#[test]
fn the_command_line_reference_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let written = std::fs::read_to_string(file).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_virtengine-provider"))
        .arg("reference")
        // What stands in the environment is nobody's business.
        .env("VIRTENGINE_SOCKET", "/elsewhere")
        .output()
        .unwrap();
    let current = String::from_utf8(output.stdout).unwrap();
    assert!(!current.contains("/elsewhere"));
    assert!(current.contains("## virtengine-provider keys test-sign"));
    assert!(
        written == current,
        "docs/cli.md is old: write it anew with `virtengine-provider reference > docs/cli.md`"
    );
}
