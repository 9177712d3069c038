//! The README's test command: everything that must hold before a change lands.

use std::process::Command;
use std::thread::JoinHandle;

use anyhow::{Result, bail};

use crate::peers::{self, Peers};
use crate::run::{cargo, output, step, timed};
use crate::{purity, tidy};

/// Runs all of it, the quick checks first.
pub(crate) fn all() -> Result<()> {
    step("format", &mut cargo(&["fmt", "--all", "--check"]))?;
    timed("tidy", tidy::check)?;
    // The peers take minutes to build when nothing is cached: meanwhile everything else is compiled.
    let peers = Starting::begin();
    timed("purity", purity::check)?;
    let clippy = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    step("clippy", &mut cargo(&clippy))?;
    // A workspace of its own, with a lock file of its own: nothing else looks at it.
    let fuzz = [
        "check",
        "--quiet",
        "--locked",
        "--all-targets",
        "--manifest-path",
        "fuzz/Cargo.toml",
    ];
    step("fuzz targets", &mut cargo(&fuzz))?;
    let peers = timed("peers", || peers.wait())?;
    timed("tests of the peers", peers::own_tests)?;
    let mut tests = cargo(&["test", "--workspace", "--all-targets", "--no-fail-fast"]);
    tests.envs(peers.variables.iter().cloned());
    step("tests", &mut tests)?;
    timed("examples", examples)?;
    let mut doctests = cargo(&["test", "--quiet", "--workspace", "--doc"]);
    step("doctests", &mut doctests)?;
    drop(peers);
    let mut docs = cargo(&["doc", "--quiet", "--workspace", "--no-deps"]);
    step("docs", docs.env("RUSTDOCFLAGS", "-D warnings"))?;
    timed("deny", deny)
}

/// Peers on their way up. They go down again whatever happens meanwhile.
struct Starting(Option<JoinHandle<Result<Peers>>>);

impl Starting {
    fn begin() -> Self {
        Self(Some(std::thread::spawn(Peers::up)))
    }

    fn wait(mut self) -> Result<Peers> {
        match self.0.take().map(JoinHandle::join) {
            Some(Ok(peers)) => peers,
            Some(Err(_)) | None => bail!("the start of the peers ended badly"),
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        // Dropping the peers stops them.
        drop(self.0.take().map(JoinHandle::join));
    }
}

/// Builds and runs every example: each ends by itself, and says when something is wrong.
fn examples() -> Result<()> {
    // Not what `cargo test --all-targets` makes of them: that would run their tests, of which there are none.
    let built = output(&mut cargo(&[
        "build",
        "--quiet",
        "--workspace",
        "--examples",
        "--message-format",
        "json",
    ]))?;
    let mut ran = 0;
    for line in built.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let is_example = message["target"]["kind"][0] == "example" && message["profile"]["test"] == false;
        let (Some(program), true) = (message["executable"].as_str(), is_example) else {
            continue;
        };
        let name = message["target"]["name"].as_str().unwrap_or(program);
        step(&format!("example {name}"), &mut Command::new(program))?;
        ran += 1;
    }
    if ran == 0 {
        bail!("no example was built");
    }
    Ok(())
}

/// Licences, advisories, sources and bans. The tool is installed when it is missing in CI.
fn deny() -> Result<()> {
    let present = Command::new("cargo-deny")
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success());
    if !present {
        if std::env::var_os("CI").is_none() {
            println!("SKIPPED: cargo-deny is not installed (cargo install cargo-deny --locked)");
            return Ok(());
        }
        step(
            "install cargo-deny",
            &mut cargo(&["install", "--quiet", "--locked", "cargo-deny"]),
        )?;
    }
    // The advisory database is a git repository, which not every machine reaches.
    step(
        "cargo deny",
        &mut cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"]),
    )
}
