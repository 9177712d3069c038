//! Running other programs, with their time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The top folder of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// `cargo` with the given arguments, in the top folder.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Runs one step: says its name before, its time after, and fails when it fails.
pub(crate) fn step(name: &str, command: &mut Command) -> Result<()> {
    timed(name, || {
        let status = command
            .status()
            .with_context(|| format!("cannot start {command:?}"))?;
        if !status.success() {
            bail!("{name}: {status}");
        }
        Ok(())
    })
}

/// Runs one step written here.
pub(crate) fn timed<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("== {name}");
    let begun = Instant::now();
    let result = work();
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "== {name}: {} in {seconds:.1} s",
        if result.is_ok() { "ok" } else { "FAILED" }
    );
    result
}

/// What a program printed; fails when it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}
