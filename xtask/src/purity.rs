//! The pure crates stay pure: nothing that does I/O, tells the time or draws randomness is in their dependency tree.

use anyhow::{Result, bail};

use crate::run::{cargo, output, step};

const PURE: [&str; 3] = [
    "virtengine-provider-core",
    "virtengine-bid",
    "virtengine-metering",
];

const IMPURE: [&str; 22] = [
    "tokio",
    "reqwest",
    "hyper",
    "axum",
    "rustls",
    "rusqlite",
    "mio",
    "socket2",
    "getrandom",
    "rand",
    "jiff",
    "chrono",
    "time",
    "rustix",
    "nix",
    "libc",
    "async-std",
    "smol",
    "tracing",
    "log",
    "ring",
    "crossbeam-channel",
];

/// Fails when a pure crate is not.
pub(crate) fn check() -> Result<()> {
    for package in PURE {
        let tree = output(&mut cargo(&[
            "tree", "-e", "normal", "--prefix", "none", "--format", "{p}", "-p", package,
        ]))?;
        let names = tree.lines().filter_map(|line| line.split_whitespace().next());
        let mut found: Vec<&str> = names.filter(|name| IMPURE.contains(name)).collect();
        found.sort_unstable();
        found.dedup();
        if !found.is_empty() {
            bail!(
                "{package} must stay pure, but depends on {} (see: cargo tree -e normal -i NAME)",
                found.join(", ")
            );
        }
        println!("{package}: pure");
    }
    step(
        "core without std",
        &mut cargo(&["check", "--quiet", "-p", PURE[0], "--no-default-features"]),
    )
}
