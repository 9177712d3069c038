//! The chain and the daemon as separate processes, and a round driven by the command line alone. In its middle the daemon is
//! killed, and the next one carries on.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::ports::free_port;
use crate::program::{Running, json, program, run, succeed, until, write_private};

const BOB: &str = "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq";
const BOB_WORDS: &str = "letter advice cage absurd amount doctor acoustic avoid letter advice cage above";
const ALICE_WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const MANIFEST: &str = include_str!("../../src/devnet/demo.yaml");
const DSEQ: &str = "1795000000";

struct Site {
    home: tempfile::TempDir,
    tenant_port: u16,
}

impl Site {
    fn new(rpc: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (tenant_port, metrics_port) = (free_port(), free_port());
        let at = home.path().display();
        let config = format!(
            "provider:\n  address: {BOB}\n  attributes: {{region: local}}
chain:\n  endpoints: [\"{rpc}\"]\n  chain_id: virtengine-localnet-1\n  block_time: 250ms
bid_engine:\n  order_poll_interval: 1s
pricing:\n  cpu_price_per_core: \"720\"\n  memory_price_per_gb: \"180\"\n  storage_price_per_gb: \"18\"\n  currency: VIRT
key_manager:\n  storage_type: file\n  key_dir: {at}/keys\n  passphrase_file: {at}/passphrase
adapters:\n  local: {{enabled: true}}
settlement:\n  mode: both\n  submit_interval: 1s
storage:\n  dir: {at}/state
gateway:\n  listen: 127.0.0.1:{tenant_port}\n  operator_socket: {at}/operator.sock\n  metrics_listen: 127.0.0.1:{metrics_port}
logging:\n  level: info\n  file: {at}/provider.log\n"
        );
        write_private(&home.path().join("config.yaml"), &config);
        write_private(&home.path().join("passphrase"), "a passphrase for a test");
        write_private(&home.path().join("bob.words"), BOB_WORDS);
        write_private(&home.path().join("alice.words"), ALICE_WORDS);
        write_private(&home.path().join("shop.yaml"), MANIFEST);
        Self { home, tenant_port }
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command
            .args(["--config", &self.path("config.yaml")])
            .args(arguments);
        command
    }

    fn tenant(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&["tenant"]);
        command
            .args(["--from-key", &self.path("alice.words")])
            .args(arguments);
        command
    }

    /// Exercise 1.2 of the training document, with an imported account key.
    fn make_keys(&self) {
        let (dir, passphrase) = (self.path("keys"), self.path("passphrase"));
        let protect = ["--passphrase-file", &passphrase];
        succeed(
            self.command(&["keys", "init", "--storage-type", "file", "--key-dir", &dir])
                .args(protect),
        );
        succeed(
            self.command(&["keys", "import", "--mnemonic-file", &self.path("bob.words")])
                .args(protect),
        );
        succeed(
            self.command(&["keys", "generate", "--algorithm", "ed25519"])
                .args(protect),
        );
        succeed(self.command(&["keys", "test-sign"]).args(protect));
        succeed(&mut self.command(&["keys", "status"]));
    }

    fn start(&self) -> Running {
        let daemon = Running::start(&mut self.command(&["start"]));
        until("the daemon to answer", || {
            run(&mut self.command(&["status"])).status.success().then_some(())
        });
        daemon
    }

    fn workload(&self, state: &str) -> Option<Value> {
        let listed = json(&mut self.command(&["workload", "list", "--state", state]));
        first(&listed)
    }

    fn provider_url(&self) -> [String; 4] {
        let url = format!("http://127.0.0.1:{}", self.tenant_port);
        ["--provider".to_owned(), BOB.to_owned(), "--url".to_owned(), url]
    }
}

/// The first entry of a list, wherever in the answer the list is.
fn first(answer: &Value) -> Option<Value> {
    match answer {
        Value::Array(list) => list.first().cloned(),
        Value::Object(fields) => fields.values().find_map(first),
        _ => None,
    }
}

fn id(workload: &Value) -> String {
    workload["id"].as_str().unwrap().to_owned()
}

fn answers(path: &Path, state: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| format!("{state}: {error}"))
}

/// What an operator does meanwhile.
fn operate(site: &Site, workload: &str) {
    succeed(&mut site.command(&["workload", "pause", workload]));
    until("the pause", || site.workload("paused"));
    succeed(&mut site.command(&["workload", "resume", workload]));
    until("the resumption", || site.workload("running"));
    let logs = succeed(site.tenant(&["logs", DSEQ]).args(site.provider_url()));
    assert!(logs.contains("listening"), "{logs}");
    let bids = json(&mut site.command(&["bids", "list", "--last", "5"]));
    let order = first(&bids).unwrap()["id"]
        .as_str()
        .unwrap()
        .rsplit_once('/')
        .unwrap()
        .0
        .to_owned();
    let explained = succeed(&mut site.command(&["explain", &order]));
    assert!(explained.contains("per block"), "{explained}");
}

#[test]
fn a_round_is_driven_from_a_second_terminal_and_survives_a_killed_daemon() {
    let mut chain = program();
    chain.args([
        "devnet",
        "--chain-only",
        "--listen",
        "127.0.0.1:0",
        "--block-time",
        "250ms",
    ]);
    let mut chain = Running::start(&mut chain);
    let line = chain.line_with("http://");
    let rpc = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap();
    let site = Site::new(rpc);
    site.make_keys();
    let daemon = site.start();

    let shop = site.path("shop.yaml");
    let deploy = [
        "deployment",
        "create",
        "--manifest",
        &shop,
        "--deposit",
        "50000000uve",
        "--dseq",
        DSEQ,
    ];
    succeed(&mut site.tenant(&deploy));
    until("a bid", || first(&json(&mut site.tenant(&["bids", DSEQ]))));
    succeed(&mut site.tenant(&["lease", "create", DSEQ, "--cheapest"]));
    succeed(&mut site.tenant(&["escrow", "create", DSEQ, "--amount", "10000000uve"]));
    until("the manifest to be taken", || {
        let mut send = site.tenant(&["manifest", "send", DSEQ, "--manifest", &shop]);
        run(send.args(site.provider_url())).status.success().then_some(())
    });
    let workload = until("the workload to run", || site.workload("running"));

    // The daemon is killed; the workload runs on, and the next daemon finds it.
    daemon.kill();
    let daemon = site.start();
    let adopted = until("the workload to be adopted", || site.workload("running"));
    assert_eq!(id(&adopted), id(&workload));

    operate(&site, &id(&workload));

    succeed(&mut site.tenant(&["deployment", "close", DSEQ]));
    until("the tear-down", || site.workload("terminated"));
    let settled = until("the usage to be paid", || {
        let usage = first(&json(&mut site.command(&["usage", "list"])))?;
        (usage["state"] == "settled").then_some(usage)
    });
    assert_eq!(settled["kind"], "final", "{settled}");
    assert!(
        settled["metrics"]["cpu_milli_seconds"].as_u64().unwrap() > 0,
        "{settled}"
    );
    assert!(first(&json(&mut site.command(&["usage", "list", "--pending"]))).is_none());
    drop(daemon);
    let log = answers(&site.home.path().join("provider.log"), "the log");
    assert!(
        !log.contains("letter advice"),
        "the account's words are in the log"
    );
}
