//! Habits that no compiler checks.

use std::path::Path;

use anyhow::{Result, bail};

use crate::run::{output, root};

/// Longest source file (tests and generated code aside); longer ones are to be split.
const FILE_LINES_MAX: usize = 1000;

/// Fails with every finding at once.
pub(crate) fn check() -> Result<()> {
    let listing = output(
        std::process::Command::new("git")
            .args(["ls-files"])
            .current_dir(root()),
    )?;
    let mut findings = Vec::new();
    for name in listing.lines() {
        let path = root().join(name);
        // A file that is deleted but not committed yet, or not text, has nothing to say here.
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        findings.extend(in_text(name, &text));
    }
    findings.extend(documents());
    if findings.is_empty() {
        return Ok(());
    }
    bail!("{} findings:\n{}", findings.len(), findings.join("\n"));
}

fn in_text(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let generated = name.contains("/src/proto/") || name.ends_with(".pb.go") || name.ends_with(".lock");
    let source = Path::new(name).extension().is_some_and(|e| e == "rs");
    let tests = name.contains("/tests/") || name.ends_with("tests.rs");
    if source && !generated && !tests && text.lines().count() > FILE_LINES_MAX {
        findings.push(format!("{name}: more than {FILE_LINES_MAX} lines; split it"));
    }
    // Spelled in halves, so that this file is not a finding of its own.
    let forbidden = [
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/main"),
        concat!("crates.", "io/"),
        concat!("proxy.", "golang"),
    ];
    for (number, line) in text.lines().enumerate() {
        let at = number + 1;
        for word in forbidden {
            if line.contains(word) && !name.ends_with("Cargo.lock") {
                findings.push(format!(
                    "{name}:{at}: names a path of one machine or a registry's host: {word}"
                ));
            }
        }
        if source
            && !generated
            && [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")]
                .iter()
                .any(|m| line.contains(m))
        {
            findings.push(format!(
                "{name}:{at}: an unfinished mark; finish it, or say in ARCHITECTURE.md that it is absent"
            ));
        }
    }
    findings
}

/// ARCHITECTURE.md names every crate; the documents that newcomers need are there.
fn documents() -> Vec<String> {
    let mut findings = Vec::new();
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        if !root().join(name).is_file() {
            findings.push(format!("{name} is missing"));
        }
    }
    let architecture = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap_or_default();
    let members = std::fs::read_to_string(root().join("Cargo.toml")).unwrap_or_default();
    for line in members.lines() {
        let member = line.trim().trim_end_matches(',').trim_matches('"');
        if member.starts_with("virtengine-") && line.trim().starts_with('"') && !architecture.contains(member)
        {
            findings.push(format!("ARCHITECTURE.md does not mention {member}"));
        }
    }
    findings
}
