//! `cargo xtask fuzz`: every fuzz target for a while, one after the other. Needs a nightly compiler and cargo-fuzz.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::run::{output, root, step};

/// One input takes longer than this, in seconds: a finding.
const INPUT_SECONDS_MAX: u32 = 10;
/// A target needs more memory than this, in MiB: a finding.
const MEMORY_MIB_MAX: u32 = 2048;

/// Arguments of `cargo xtask fuzz`.
#[derive(Debug, Args)]
pub(crate) struct Fuzz {
    /// Which targets (files of `fuzz/fuzz_targets`); all when none is named.
    targets: Vec<String>,
    /// How long each of them runs, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Where to build, and to keep the inputs that were found, beside the project's own build directory.
    #[arg(long, env = "VE_FUZZ_TARGET_DIR")]
    target_dir: Option<PathBuf>,
}

impl Fuzz {
    /// Runs all of them, also after a finding; fails when there was one.
    pub(crate) fn run(&self) -> Result<()> {
        let present = nightly_fuzz().arg("--version").output();
        if !present.is_ok_and(|answer| answer.status.success()) {
            bail!(
                "needs a nightly compiler and cargo-fuzz: rustup toolchain install nightly, cargo install cargo-fuzz --locked"
            );
        }
        let known = targets()?;
        if let Some(unknown) = self.targets.iter().find(|name| !known.contains(name)) {
            bail!("there is no target {unknown}; there are: {}", known.join(", "));
        }
        let chosen = if self.targets.is_empty() {
            &known
        } else {
            &self.targets
        };
        let folder = self.folder()?;
        let programs = build(&folder)?;
        let mut findings = Vec::new();
        for target in chosen {
            if let Err(error) = self.fuzz(target, &programs, &folder) {
                println!("{error:#}");
                findings.push(target.as_str());
            }
        }
        if findings.is_empty() {
            return Ok(());
        }
        bail!(
            "findings in {}; their inputs are in fuzz/artifacts",
            findings.join(", ")
        );
    }

    /// Runs the program itself, so that all targets are of the same state of the sources.
    fn fuzz(&self, target: &str, programs: &Path, folder: &Path) -> Result<()> {
        // New inputs go to the first corpus; the committed one is only read.
        let grown = folder.join("corpus").join(target);
        let artifacts = root().join("fuzz/artifacts").join(target);
        for made in [&grown, &artifacts] {
            std::fs::create_dir_all(made).with_context(|| format!("making {}", made.display()))?;
        }
        let scratch = Scratch::new()?;
        let mut command = Command::new(programs.join(target));
        command
            .env("TMPDIR", &scratch.0)
            .arg(&grown)
            .arg(root().join("fuzz/corpus").join(target))
            // A trailing slash says that it is a folder.
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg(format!("-max_total_time={}", self.seconds))
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
            .args(["-print_final_stats=1", "-verbosity=0"]);
        step(&format!("fuzz {target}"), &mut command)
    }

    fn folder(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.target_dir {
            return Ok(folder.clone());
        }
        let home = std::env::var_os("HOME").context("HOME is not set; give --target-dir")?;
        Ok(Path::new(&home).join(".cache/virtengine-fuzz-target"))
    }
}

/// Builds all targets; the folder with their programs.
fn build(folder: &Path) -> Result<PathBuf> {
    let about = output(Command::new("rustup").args(["run", "nightly", "rustc", "-vV"]))?;
    let host = about
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc does not say what machine this is")?;
    let mut command = nightly_fuzz();
    command
        .args(["build", "--fuzz-dir"])
        .arg(root().join("fuzz"))
        .arg("--target-dir")
        .arg(folder)
        // There is no unsafe code of ours; without it, a target runs several times as often.
        .args(["--sanitizer", "none", "--target", host]);
    step("build the fuzz targets", &mut command)?;
    Ok(folder.join(host).join("release"))
}

/// A folder for the files that a target writes, in memory where there is such a place; it goes when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_path_buf()
        } else {
            std::env::temp_dir()
        };
        let folder = parent.join(format!("virtengine-fuzz-{}", std::process::id()));
        std::fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            println!("{} could not be removed: {error}", self.0.display());
        }
    }
}

/// `cargo fuzz` of the nightly toolchain, whatever toolchain runs this.
fn nightly_fuzz() -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo", "fuzz"])
        .env_remove("CARGO")
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(root());
    command
}

/// The names of all targets, sorted.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("fuzz/fuzz_targets")).context("reading fuzz/fuzz_targets")? {
        let path = entry?.path();
        if let (Some(name), Some("rs")) = (path.file_stem(), path.extension().and_then(|e| e.to_str())) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_declared_and_has_a_corpus() {
        let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        let targets = targets().unwrap();
        assert!(!targets.is_empty());
        for target in targets {
            assert!(
                manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")),
                "{target} is not declared in fuzz/Cargo.toml"
            );
            let corpus = root().join("fuzz/corpus").join(&target);
            let seeds = std::fs::read_dir(&corpus).map_or(0, Iterator::count);
            assert!(seeds > 0, "{target} has no seed");
        }
    }
}
