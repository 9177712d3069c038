//! The README: its walk runs as it is written, in an empty home; its links lead somewhere.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use virtengine_devchain::{Config, Devchain};

use crate::site::{Ran, Running, finish, free_port, until};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The walk, as one text for a shell.
fn walk() -> String {
    let readme = document("README.md");
    let blocks = readme.split("```sh\n").skip(1);
    let mut blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    blocks
        .find(|block| block.contains("config generate"))
        .unwrap()
        .to_owned()
}

/// Somebody's empty home, and the program in the path. In a test no port can be a fixed one: those of the generated file are replaced.
struct Stranger {
    home: tempfile::TempDir,
}

impl Stranger {
    fn new(rpc: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let program = home.path().join("bin/virtengine-provider");
        for folder in ["bin", "home", "work"] {
            std::fs::create_dir(home.path().join(folder)).unwrap();
        }
        let (tenants, metrics) = (free_port(), free_port());
        let real = env!("CARGO_BIN_EXE_virtengine-provider");
        let text = format!(
            "#!/bin/sh\n[ \"$1 $2\" = 'config generate' ] || exec '{real}' \"$@\"\n'{real}' \"$@\" | sed '\
             s|http://127.0.0.1:26657|{rpc}|; s|127.0.0.1:8443|127.0.0.1:{tenants}|; s|127.0.0.1:9090|127.0.0.1:{metrics}|'\n"
        );
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { home }
    }

    fn shell(&self, script: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell
            .args(["-eu", "-c", script])
            .env_clear()
            .env("HOME", self.home.path().join("home"))
            .env(
                "PATH",
                format!("{}:{path}", self.home.path().join("bin").display()),
            )
            .current_dir(self.home.path().join("work"))
            .stdin(Stdio::null());
        shell
    }

    fn run(&self, script: &str) -> Ran {
        finish(&mut self.shell(script))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_to_a_provider_of_your_own_works_as_written() {
    let chain = Devchain::start(Config::every(Duration::from_millis(250)))
        .await
        .unwrap();
    let stranger = Stranger::new(&chain.rpc_url());
    let walk = walk();
    let (starts, script): (Vec<&str>, Vec<&str>) = walk
        .lines()
        .partition(|line| line.starts_with("virtengine-provider start"));
    assert_eq!(starts.len(), 2, "{starts:?}");
    let ran = stranger.run(&script.join("\n"));
    let told = ran.ok();
    assert!(
        told.contains("is valid") && !told.contains("cannot start"),
        "{told}"
    );
    assert!(told.contains("identity"), "{told}");
    assert!(told.contains(" 0 failed"), "{told}");

    // What runs until it is told to end, with what the shell would still know.
    let known: String = walk
        .lines()
        .filter(|line| line.starts_with("export ") || line.starts_with("umask "))
        .map(|line| format!("{line}\n"))
        .collect();
    for start in starts {
        let printed = stranger.home.path().join("printed");
        let daemon = Running::start(&mut stranger.shell(&format!("{known}exec {start}")), &printed);
        let status = until("the daemon to answer", || {
            let ran = stranger.run(&format!("{known}virtengine-provider status"));
            (ran.code == 0).then_some(ran.out)
        });
        assert_eq!(
            status.contains("dry run"),
            start.contains("--dry-run"),
            "{status}"
        );
        drop(daemon);
    }
    // Everything is where it was said to be.
    let home = stranger.home.path().join("home");
    assert_eq!(std::fs::read_dir(home).unwrap().count(), 0);
}

#[test]
fn every_link_of_the_documents_leads_to_something() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut links = 0;
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/operator-guide.md",
    ] {
        let (text, folder) = (document(name), root.join(name));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = folder.parent().unwrap().join(file);
            assert!(path.exists(), "{name}: {target}");
            let anchor = |line: &str| {
                let title = line.trim_start_matches('#').trim().to_lowercase();
                title.replace(' ', "-").replace([',', '.', ':', '`'], "")
            };
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let is_there = text
                .lines()
                .any(|line| line.starts_with('#') && anchor(line) == heading);
            assert!(heading.is_empty() || is_there, "{name}: {target}");
        }
    }
    assert!(links >= 5, "only {links} links");
}
