//! The real systems that tests run against: each folder of `peers/` has an `up.sh` that prints `VE_TEST_…=…` lines.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run::root;

/// Peers that are running; they go down when this is dropped.
pub(crate) struct Peers {
    names: Vec<&'static str>,
    /// What tests need to find them.
    pub(crate) variables: Vec<(String, String)>,
}

/// The peers that the tests use today.
const PEERS: [&str; 1] = ["chain"];

impl Peers {
    /// Starts every peer. In CI one that does not start is a failure; on a laptop it is said, and its tests skip.
    pub(crate) fn up() -> Result<Self> {
        let mut peers = Self {
            names: Vec::new(),
            variables: Vec::new(),
        };
        for name in PEERS {
            match start(name) {
                Ok(variables) => {
                    peers.names.push(name);
                    peers.variables.extend(variables);
                }
                Err(error) if std::env::var_os("CI").is_some() => return Err(error),
                Err(error) => println!("SKIPPED: peer {name} does not start, its tests will skip: {error:#}"),
            }
        }
        Ok(peers)
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for name in &self.names {
            let script = root().join("peers").join(name).join("down.sh");
            if let Err(error) = Command::new(script).status() {
                println!("peer {name} could not be stopped: {error}");
            }
        }
    }
}

fn start(name: &str) -> Result<Vec<(String, String)>> {
    let script = root().join("peers").join(name).join("up.sh");
    let output = Command::new(&script)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{}", script.display()))?;
    if !output.status.success() {
        bail!("peers/{name}/up.sh: {}", output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs
        .filter(|(key, _)| key.starts_with("VE_TEST_"))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect())
}
