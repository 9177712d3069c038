//! The real systems that tests run against: each folder of `peers/` has an `up.sh` that prints `VE_TEST_…=…` lines.
//!
//! Several runs at once share a peer. Each holds a shared lock beside the peer's state, from before it asks for the peer until it
//! needs it no more. Whoever can then have the lock alone is the last, and takes the peer down, unless a person has started it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run::root;

/// Peers that this run uses; those that nobody else does go down when this is dropped.
pub(crate) struct Peers {
    used: Vec<Peer>,
    /// What tests need to find them.
    pub(crate) variables: Vec<(String, String)>,
}

/// The peers that the tests use today.
const PEERS: [&str; 1] = ["chain"];

impl Peers {
    /// Starts every peer. In CI one that does not start is a failure; on a laptop it is said, and its tests skip.
    pub(crate) fn up() -> Result<Self> {
        let mut peers = Self {
            used: Vec::new(),
            variables: Vec::new(),
        };
        let all = state_of_all()?;
        for name in PEERS {
            match Peer::up(&root().join("peers").join(name), &all.join(name)) {
                Ok((peer, variables)) => {
                    peers.used.push(peer);
                    peers.variables.extend(variables);
                }
                Err(error) if std::env::var_os("CI").is_some() => return Err(error),
                Err(error) => println!("SKIPPED: peer {name} does not start, its tests will skip: {error:#}"),
            }
        }
        Ok(peers)
    }
}

/// The same folder that the scripts use.
fn state_of_all() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("VE_PEERS_DIR") {
        return Ok(folder.into());
    }
    let home = std::env::var_os("HOME").context("HOME is not set; set VE_PEERS_DIR")?;
    Ok(Path::new(&home).join(".cache/virtengine-peers"))
}

/// One peer that this run uses.
struct Peer {
    scripts: PathBuf,
    state: PathBuf,
    /// Held shared as long as the peer is used.
    users: File,
}

impl Peer {
    /// Starts it unless it runs, and says where it is.
    fn up(scripts: &Path, state: &Path) -> Result<(Self, Vec<(String, String)>)> {
        std::fs::create_dir_all(state).with_context(|| state.display().to_string())?;
        let users = File::create(state.join("users")).with_context(|| state.display().to_string())?;
        // Waits while the last of other runs takes it down.
        users.lock_shared().context("the lock of the peer's users")?;
        let script = scripts.join("up.sh");
        let output = Command::new(&script)
            .env("VE_PEER_TEST_RUN", "1")
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| script.display().to_string())?;
        if !output.status.success() {
            bail!("{}: {}", script.display(), output.status);
        }
        let text = String::from_utf8(output.stdout)?;
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let variables = pairs
            .filter(|(key, _)| key.starts_with("VE_TEST_"))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let peer = Self {
            scripts: scripts.to_owned(),
            state: state.to_owned(),
            users,
        };
        Ok((peer, variables))
    }

    fn down(&self) -> Result<()> {
        self.users.unlock()?;
        // Refused while another run uses it: that one will be the last.
        if self.users.try_lock().is_err() || !self.state.join("test-run").exists() {
            return Ok(());
        }
        let script = self.scripts.join("down.sh");
        let status = Command::new(&script).status()?;
        if !status.success() {
            bail!("{}: {status}", script.display());
        }
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Err(error) = self.down() {
            println!("peer {} could not be stopped: {error:#}", self.scripts.display());
        }
    }
}

/// What no build of the peers themselves looks at: their own tests. Needs Go, as the peers do.
pub(crate) fn own_tests() -> Result<()> {
    let present = Command::new("go").arg("version").output();
    if !present.is_ok_and(|answer| answer.status.success()) {
        if std::env::var_os("CI").is_some() {
            bail!("the tests of the peers need Go");
        }
        println!("SKIPPED: Go is not installed");
        return Ok(());
    }
    for name in PEERS {
        for arguments in [["vet", "./..."], ["test", "./..."]] {
            let mut command = Command::new("go");
            command
                .args(arguments)
                .current_dir(root().join("peers").join(name));
            let status = command.status().with_context(|| format!("{command:?}"))?;
            if !status.success() {
                bail!("peers/{name}: {command:?}: {status}");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A peer that is up while a file is there. As the real ones, it notes whether a test run has started it.
    fn scripts(folder: &Path, state: &Path) {
        let (state, mark) = (state.display(), state.join("test-run"));
        let mark = mark.display();
        for (name, text) in [
            (
                "up.sh",
                format!(
                    "[ -n \"${{VE_PEER_TEST_RUN:-}}\" ] || rm -f {mark}\n[ -e {state}/up ] || [ -z \"${{VE_PEER_TEST_RUN:-}}\" ] || touch {mark}\n\
                     touch {state}/up\necho VE_TEST_PLACE=here\necho OTHER=x"
                ),
            ),
            ("down.sh", format!("rm {state}/up {mark}")),
        ] {
            let path = folder.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn the_last_run_that_uses_a_peer_takes_it_down() {
        let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        scripts(folder.path(), state.path());
        let is_up = || state.path().join("up").exists();
        let (first, variables) = Peer::up(folder.path(), state.path()).unwrap();
        assert_eq!(variables, [("VE_TEST_PLACE".to_owned(), "here".to_owned())]);
        let (second, _) = Peer::up(folder.path(), state.path()).unwrap();
        // The one that started it ends first.
        drop(first);
        assert!(is_up(), "the second run has lost its peer");
        drop(second);
        assert!(!is_up(), "nobody has taken it down");
    }

    #[test]
    fn a_peer_that_a_person_has_started_stays() {
        let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        scripts(folder.path(), state.path());
        assert!(
            Command::new(folder.path().join("up.sh"))
                .status()
                .unwrap()
                .success()
        );
        drop(Peer::up(folder.path(), state.path()).unwrap());
        assert!(state.path().join("up").exists());
    }
}
