//! A provider's machine: a chain, a home with everything that `/etc/virtengine` and `/var/lib/virtengine` would hold, and the
//! program as people run it. What every process prints goes to files of the home.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use serde_json::Value;
use virtengine_devchain::{CHAIN_ID, Config, Devchain, Genesis, TestAccount};

#[path = "../common/ports.rs"]
mod ports;

pub(crate) use ports::free_port;

pub(crate) const PASSPHRASE: &str = "a passphrase Of-a-test 7391";

pub(crate) struct Site {
    pub(crate) home: tempfile::TempDir,
    pub(crate) chain: Devchain,
    pub(crate) provider: String,
    pub(crate) tenant_port: u16,
    pub(crate) metrics_port: u16,
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn account(name: &str) -> &'static TestAccount {
    TestAccount::named(name).unwrap()
}

impl Site {
    /// A chain, and a home without configuration and keys; the provider is one of the chain's test accounts.
    pub(crate) async fn new() -> Self {
        let bob = account("bob");
        Self::of(Genesis::default(), bob.address, bob.mnemonic).await
    }

    /// The same with another first state and another provider.
    pub(crate) async fn of(genesis: Genesis, provider: &str, words: &str) -> Self {
        let config = Config::every(Duration::from_millis(250)).genesis(genesis);
        let site = Self {
            home: tempfile::tempdir().unwrap(),
            chain: Devchain::start(config).await.unwrap(),
            provider: provider.to_owned(),
            tenant_port: free_port(),
            metrics_port: free_port(),
        };
        site.write("passphrase", PASSPHRASE, 0o600);
        site.write("bob.words", words, 0o600);
        site.write("alice.words", account("alice").mnemonic, 0o600);
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// A configuration that works, after `change`.
    pub(crate) fn configure(&self, change: impl FnOnce(String) -> String) {
        let (at, rpc) = (self.home.path().display(), self.chain.rpc_url());
        let (tenants, metrics) = (self.tenant_port, self.metrics_port);
        let bob = &self.provider;
        let text = format!(
            "provider:\n  address: {bob}\n  attributes: {{region: local}}
chain:\n  endpoints: [\"{rpc}\"]\n  chain_id: {CHAIN_ID}\n  block_time: 250ms
bid_engine:\n  order_poll_interval: 1s
key_manager:\n  storage_type: file\n  key_dir: {at}/keys\n  passphrase_file: {at}/passphrase
adapters:\n  local: {{enabled: true}}
settlement:\n  mode: both\n  submit_interval: 1s
storage:\n  dir: {at}/state
gateway:\n  listen: 127.0.0.1:{tenants}\n  metrics_listen: 127.0.0.1:{metrics}
logging:\n  level: info\n"
        );
        self.write("provider-config.yaml", &change(text), 0o600);
    }

    /// The program in this home, with the configuration of this home.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_virtengine-provider"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("VIRTENGINE_PROVIDER_CONFIG", self.path("provider-config.yaml"))
            .current_dir(self.home.path())
            .stdin(std::process::Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Ran {
        self.run_args(&arguments.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn run_args(&self, arguments: &[&str]) -> Ran {
        finish(self.program().args(arguments))
    }

    /// Exercise 1.2 of the training document, with an imported account key.
    pub(crate) fn make_keys(&self) {
        self.run("keys init").ok();
        self.run("keys import --mnemonic-file bob.words").ok();
        self.run("keys generate --algorithm ed25519").ok();
    }

    /// The daemon, once it answers.
    pub(crate) fn start(&self) -> Running {
        let daemon = Running::start(self.program().arg("start"), &self.path("daemon.printed"));
        until("the daemon to answer", || {
            (self.run("status").code == 0).then_some(())
        });
        daemon
    }

    pub(crate) fn first(&self, arguments: &str) -> Option<Value> {
        first(&self.run(&format!("{arguments} --output json")).json())
    }
}

impl Drop for Site {
    /// Workloads outlive the daemon, on purpose; those of a test that failed must not outlive the test.
    fn drop(&mut self) {
        let home = self.home.path().to_string_lossy().into_owned();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let ours = String::from_utf8_lossy(&command).contains(&home);
            if let Some(pid) = pid.filter(|_| ours).and_then(rustix::process::Pid::from_raw) {
                // Gone already: nothing to do.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
    }
}

/// Whether this user can run programs as another one. Where not, tests that need it skip; in continuous integration they fail.
#[allow(dead_code, reason = "not every test binary asks")]
pub(crate) fn can_be_somebody_else() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip("only root can act as another user");
    }
    is_root
}

/// Says that something cannot be tested here. In continuous integration that is a failure.
#[allow(dead_code, reason = "not every test binary asks")]
#[track_caller]
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "cannot be tested here: {why}");
    eprintln!("skipped: {why}");
}

pub(crate) fn finish(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
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

impl Ran {
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Standard error, after a failure with `code` that says what to do.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        assert!(self.err.starts_with("error: "), "{}", self.err);
        self.err
    }
}

/// A process that runs until it is dropped; it is asked to end, and then made to.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command, printed: &Path) -> Self {
        let file = File::options().create(true).append(true).open(printed).unwrap();
        let error = file.try_clone().unwrap();
        Self(command.stdout(file).stderr(error).spawn().unwrap())
    }

    /// Its process.
    #[allow(dead_code, reason = "not every test binary asks")]
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        // Ended already: nothing to do.
        let _ = rustix::process::kill_process(pid, signal);
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.0.try_wait().unwrap() {
                assert!(status.code().is_some() || status.signal().is_some());
                return status;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.0.kill().unwrap();
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        self.ended();
    }
}

/// Looks until there is something to see.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(90) {
        if let Some(seen) = look() {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("waited for {what}, in vain");
}
