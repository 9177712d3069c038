//! The operator guide and the systemd unit: every command runs, every configuration is valid.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use virtengine_providerd::config;

use crate::site::{Site, account, until};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The fenced blocks of a language, in order.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let begun = text.split(&fence).skip(1);
    begun.map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The status line and the body of `GET path`.
fn get(port: u16, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// The guide's commands against one machine.
struct Walk {
    site: Site,
    daemon: Option<crate::site::Running>,
    ran: usize,
}

impl Walk {
    fn line(&mut self, line: &str) {
        let home = self.site.home.path().display().to_string();
        let line = line
            .replace("/etc/virtengine/provider", &home)
            .replace("/var/lib/virtengine", &home);
        if let Some(command) = line.strip_prefix("virtengine-provider ") {
            self.ours(command);
        } else if let Some(url) = line.strip_prefix("curl -fsS http://127.0.0.1:9090") {
            let (status, body) = get(self.site.metrics_port, url);
            assert!(status.contains(" 200 ") && !body.is_empty(), "{line}: {status}");
            self.ran += 1;
        } else if line.starts_with("systemctl")
            && line.contains(" virtengine-provider")
            && self.daemon.is_none()
        {
            self.daemon = Some(self.site.start());
        }
    }

    fn ours(&mut self, command: &str) {
        self.ran += 1;
        if let Some((command, file)) = command.split_once(" > ") {
            std::fs::write(file, self.site.run(command).ok()).unwrap();
            // Filled in, as the guide says.
            self.site.configure(|text| text);
        } else if command == "start --dry-run" {
            let printed = self.site.path("dry-run.printed");
            let dry = crate::site::Running::start(self.site.program().args(["start", "--dry-run"]), &printed);
            until("the dry run", || {
                (self.site.run("status").code == 0).then_some(())
            });
            drop(dry);
        } else {
            // The passphrase is where the guide exports it.
            let mut program = self.site.program();
            program.env("VIRTENGINE_KEY_PASSPHRASE_FILE", self.site.path("passphrase"));
            // Before the configuration there is none to name.
            if !self.site.path("provider-config.yaml").exists() {
                program.env_remove("VIRTENGINE_PROVIDER_CONFIG");
                program.env("VIRTENGINE_KEY_DIR", self.site.path("keys"));
            }
            crate::site::finish(program.args(command.split_whitespace())).ok();
        }
        if command == "stop"
            && let Some(mut daemon) = self.daemon.take()
        {
            assert!(daemon.ended().success());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_runs() {
    let guide = file("docs/operator-guide.md");
    let site = Site::new().await;
    site.write("account.words", account("bob").mnemonic, 0o600);
    let mut walk = Walk {
        site,
        daemon: None,
        ran: 0,
    };
    for block in blocks(&guide, "sh") {
        block.lines().for_each(|line| walk.line(line));
    }
    let told = blocks(&guide, "sh").concat();
    let told = told
        .lines()
        .filter(|line| line.starts_with("virtengine-provider ") || line.starts_with("curl "));
    assert_eq!(walk.ran, told.count());
    // Names of metrics are those that are served.
    let (_, metrics) = get(walk.site.metrics_port, "/metrics");
    let names = guide.split('`').filter(|word| word.starts_with("virtengine_"));
    for name in names {
        assert!(
            metrics.contains(&format!("{name} ")) || metrics.contains(&format!("{name}{{")),
            "{name}"
        );
    }
}

#[test]
fn every_configuration_of_the_guide_is_valid_and_can_start() {
    let guide = file("docs/operator-guide.md");
    let snippets = blocks(&guide, "yaml");
    assert_eq!(snippets.len(), 2);
    for snippet in snippets {
        let config =
            config::parse(snippet.as_bytes(), &|_| None).unwrap_or_else(|p| panic!("{p:?}: {snippet}"));
        assert!(config.blockers().is_empty(), "{:?}", config.blockers());
    }
    // What the guide says about defaults.
    let defaults = config::Config::defaults();
    assert!(defaults.gateway.listen.ip().is_loopback() && defaults.gateway.metrics_listen.ip().is_loopback());
    assert!(defaults.key_manager.passphrase_file.is_none());
}

#[test]
fn the_guide_lists_every_exit_code_of_keys() {
    let guide = file("docs/operator-guide.md");
    let (_, listed) = guide.split_once("Exit codes of keys: ").unwrap();
    let numbers = listed.split([' ', '\n']).filter_map(|word| word.parse().ok());
    assert_eq!(numbers.collect::<Vec<u8>>(), (10..=42).collect::<Vec<u8>>());
    use virtengine_keys::KeyError;
    for (error, words) in [
        (KeyError::Locked, "12 locked"),
        (KeyError::ReadOnly, "24 opened for reading only"),
        (KeyError::Entropy, "40 no randomness"),
    ] {
        let code = error.exit_code().to_string();
        assert!(words.starts_with(&code) && listed.contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_systemd_unit_starts_the_daemon_with_its_credential() {
    let unit = file("deploy/systemd/virtengine-provider.service");
    let has = |line: &str| unit.lines().any(|each| each == line);
    for line in [
        "KillMode=process",
        "Delegate=yes",
        "LoadCredential=key-passphrase:/etc/virtengine/provider/passphrase",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "LimitCORE=0",
        "StateDirectoryMode=0700",
        "TimeoutStopSec=40",
    ] {
        assert!(has(line), "{line}");
    }
    let exec = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .unwrap();
    let arguments = exec.strip_prefix("/usr/local/bin/virtengine-provider ").unwrap();

    // As systemd does it: the credential in a directory of its own, no passphrase in the configuration.
    let site = Site::new().await;
    site.configure(|text| text);
    site.make_keys();
    site.configure(|text| {
        text.lines()
            .filter(|line| !line.contains("passphrase_file"))
            .map(|line| format!("{line}\n"))
            .collect()
    });
    std::fs::create_dir(site.path("credentials")).unwrap();
    std::fs::copy(site.path("passphrase"), site.path("credentials/key-passphrase")).unwrap();
    let arguments = arguments.replace(
        "/etc/virtengine/provider",
        &site.home.path().display().to_string(),
    );
    let mut command = site.program();
    command
        .env_remove("VIRTENGINE_PROVIDER_CONFIG")
        .env("CREDENTIALS_DIRECTORY", site.path("credentials"))
        .args(arguments.split_whitespace());
    let daemon = crate::site::Running::start(&mut command, &site.path("daemon.printed"));
    until("the daemon to answer", || {
        (site.run("status").code == 0).then_some(())
    });
    drop(daemon);
    // Without one, a service that has no terminal says where the passphrase could come from.
    let error = site.run("start").fails(31);
    assert!(error.contains("--passphrase-file"), "{error}");
}
