//! A whole round of the program with known secrets, and a look at everything that it wrote, showed and kept.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use virtengine_devchain::Genesis;
use virtengine_keys::mnemonic::ACCOUNT_PATH;
use virtengine_keys::{Algorithm, KeyStore, Purpose, SecretBytes};
use virtengine_provider_core::time::Timestamp;

use crate::needles::{Needle, files, forms, found};
use crate::site::{PASSPHRASE, Ran, Running, Site, account, finish, until};

pub(crate) const REGISTRY_PASSWORD: &str = "reg-Pw-zQ8fJ4kW-57";
pub(crate) const MANIFEST: &str = "\
version: v2beta1
services:
  web:
    image: virtengine/demo-web
    credentials: {host: registry.example.com, username: shop, password: reg-Pw-zQ8fJ4kW-57}
    expose: [{port: 8080, as: 80, to: [{global: true}]}]
profiles:
  compute:
    web: {resources: {cpu: {units: 500m}, memory: {size: 128Mi}, storage: {size: 256Mi}}}
  placement:
    local: {pricing: {web: {denom: uve, amount: 500000}}}
deployment:
  web: {local: {profile: web, count: 1}}
";
const DSEQ: &str = "1795000001";
/// What the test itself put there.
const GIVEN: [&str; 4] = ["passphrase", "bob.words", "alice.words", "shop.yaml"];

/// The words of the provider. No program of ours knows them, as it does those of the test accounts.
pub(crate) const WORDS: &str = "ozone drill grab fiber curtain grace pudding thank cruise elder eight picnic";

/// The private key that the words stand for.
pub(crate) fn key() -> Vec<u8> {
    let seed = bip39::Mnemonic::parse_in(bip39::Language::English, WORDS)
        .unwrap()
        .to_seed_normalized("");
    let path = ACCOUNT_PATH.parse().unwrap();
    let key = bip32::XPrv::derive_from_path(&seed, &path).unwrap();
    key.private_key().to_bytes().to_vec()
}

/// The account of that key.
fn address() -> String {
    let store = KeyStore::memory();
    let secret = SecretBytes::new(key());
    store
        .import_raw(Purpose::Account, Algorithm::Secp256k1, &secret, Timestamp::EPOCH)
        .unwrap();
    store.account_address("ve").unwrap().to_string()
}

/// A machine whose provider has that account, funded and registered.
async fn machine() -> Site {
    let (mut genesis, bob, address) = (Genesis::default(), account("bob"), address());
    for account in &mut genesis.accounts {
        if account.address == bob.address {
            account.address.clone_from(&address);
        }
    }
    for provider in &mut genesis.providers {
        if provider.owner == bob.address {
            provider.owner.clone_from(&address);
        }
    }
    let score = genesis.veid.remove(bob.address).unwrap();
    genesis.veid.insert(address.clone(), score);
    Site::of(genesis, &address, WORDS).await
}

struct Secrets {
    all: Vec<Needle>,
    /// Those that nobody needs once the key store is unlocked.
    passing: Vec<Needle>,
    /// The account key as it lies in memory.
    key_in_memory: Vec<Needle>,
}

impl Secrets {
    fn new() -> Self {
        let key = key();
        let passing = || {
            let mut needles = forms("mnemonic", WORDS.as_bytes());
            needles.extend(forms("passphrase", PASSPHRASE.as_bytes()));
            needles
        };
        let mut all = passing();
        let some_words: Vec<&str> = WORDS.split(' ').take(6).collect();
        all.extend(forms("half the mnemonic", some_words.join(" ").as_bytes()));
        all.extend(forms("account key", &key));
        all.extend(forms("registry password", REGISTRY_PASSWORD.as_bytes()));
        all.extend(forms(
            "registry login",
            format!("shop:{REGISTRY_PASSWORD}").as_bytes(),
        ));
        let reversed: Vec<u8> = key.iter().rev().copied().collect();
        let key_in_memory = [forms("key", &key), forms("key", &reversed)]
            .into_iter()
            .flatten()
            .collect();
        Self {
            all,
            passing: passing(),
            key_in_memory,
        }
    }

    #[track_caller]
    fn none_in(&self, what: impl std::fmt::Display, hay: &[u8]) {
        let given_away = found(&self.all, hay);
        assert!(given_away.is_empty(), "{what} holds {given_away:?}");
    }

    #[track_caller]
    fn ran(&self, what: &str, ran: Ran) -> Ran {
        self.none_in(
            format!("the output of {what}"),
            format!("{}\n{}", ran.out, ran.err).as_bytes(),
        );
        ran
    }
}

/// A tenant's round, up to a running workload. Gives the order's id.
fn tenant_round(site: &Site, secrets: &Secrets) -> String {
    site.write("shop.yaml", MANIFEST, 0o600);
    let tenant = |arguments: &str| {
        let arguments = format!("tenant --from-key alice.words {arguments}");
        secrets.ran(&arguments, site.run(&arguments))
    };
    tenant(&format!(
        "deployment create --manifest shop.yaml --deposit 50000000uve --dseq {DSEQ}"
    ))
    .ok();
    until("a bid", || {
        (tenant(&format!("bids {DSEQ} --output json"))
            .out
            .contains("\"price\""))
        .then_some(())
    });
    tenant(&format!("lease create {DSEQ} --cheapest")).ok();
    let provider = format!(
        "--provider {} --url http://127.0.0.1:{}",
        site.provider, site.tenant_port
    );
    until("the manifest to be taken", || {
        let sent = tenant(&format!("manifest send {DSEQ} --manifest shop.yaml {provider}"));
        (sent.code == 0).then_some(())
    });
    until("the workload to run", || {
        site.first("workload list --state running")
    });
    tenant(&format!("status {DSEQ} {provider}")).ok();
    tenant(&format!("logs {DSEQ} {provider}")).ok();
    format!("{}/{DSEQ}/1/1", account("alice").address)
}

/// The bytes that answer a request, of a unix socket or of a TCP port.
fn ask(mut stream: impl std::io::Read + std::io::Write, path: &str) -> Vec<u8> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// Everything that the daemon's faces say.
fn faces(site: &Site, secrets: &Secrets, order: &str) {
    let workload = site.first("workload list").unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let paths = [
        "status",
        "health",
        "bid-engine",
        "bids?last=100",
        "orders?limit=100",
        "leases",
        "workloads",
        "usage",
        "logs?tail=1000&level=trace",
        "doctor",
        "chain/ping",
        "config",
    ]
    .map(str::to_owned);
    let more = [format!("explain?order={order}"), format!("workloads/{workload}")];
    for path in paths.iter().chain(&more) {
        let socket = UnixStream::connect(site.path("run/operator.sock")).unwrap();
        let answer = ask(socket, &format!("/v1/{path}"));
        assert!(
            answer.starts_with(b"HTTP/1.1 200"),
            "{path}: {}",
            String::from_utf8_lossy(&answer)
        );
        secrets.none_in(format!("GET /v1/{path}"), &answer);
    }
    for path in ["/metrics", "/health", "/health/key-manager"] {
        let stream = std::net::TcpStream::connect(("127.0.0.1", site.metrics_port)).unwrap();
        let answer = ask(stream, path);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}");
        secrets.none_in(path, &answer);
    }
    for command in [
        "config show",
        "keys status",
        "doctor",
        "logs --tail 10000 --level trace",
    ] {
        secrets.ran(command, site.run(command)).ok();
    }
}

/// The daemon and everything that descends from it or runs in this home.
fn processes(site: &Site, daemon: u32) -> Vec<u32> {
    let home = site.home.path().to_str().unwrap();
    let all = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    all.filter(|pid| {
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let told = [read("cmdline"), read("environ")].concat();
        *pid == daemon || (String::from_utf8_lossy(&told).contains(home) && *pid != std::process::id())
    })
    .collect()
}

fn processes_tell_nothing(site: &Site, secrets: &Secrets, daemon: u32) {
    let ours = processes(site, daemon);
    assert!(
        ours.len() >= 3,
        "the daemon, a supervisor and a service: {ours:?}"
    );
    for pid in ours {
        for file in ["cmdline", "environ"] {
            let told = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            secrets.none_in(format!("/proc/{pid}/{file}"), &told);
        }
    }
    let limits = std::fs::read_to_string(format!("/proc/{daemon}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().collect::<Vec<_>>()[4..6],
        ["0", "0"],
        "{core}"
    );
}

/// Whether `/proc` keeps the process from others of its own user, as it does for one that is not dumpable.
fn is_dumpable(pid: u32) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid();
    owner != 0
}

/// An image of the daemon's memory, when there is a tool for it and we may: the keys are in it, what unlocked them is not.
fn memory_keeps_only_keys(site: &Site, secrets: &Secrets, daemon: u32) {
    let image = site.path("image");
    let made = Command::new("gcore")
        .arg("-o")
        .arg(&image)
        .arg(daemon.to_string())
        .output();
    let file = site.path(&format!("image.{daemon}"));
    if !made.is_ok_and(|made| made.status.success()) || !file.exists() {
        return crate::site::skip(
            "no image of the daemon's memory can be made: gcore (package gdb) is needed",
        );
    }
    let memory = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(
        !found(&secrets.key_in_memory, &memory).is_empty(),
        "the search would not find a key"
    );
    let kept = found(&secrets.passing, &memory);
    assert!(kept.is_empty(), "{kept:?} are kept in memory");
}

fn files_tell_nothing(site: &Site, secrets: &Secrets) {
    let all = files(site.home.path());
    let of = |name: &str| all.iter().any(|path| path.ends_with(name));
    assert!(
        of("state/journal.db") && of("state/provider.log") && of("daemon.printed"),
        "{all:?}"
    );
    // The journal is plain enough to find a secret in: it has the rest of the manifest.
    let journal = all
        .iter()
        .filter(|path| path.to_str().unwrap().contains("state/journal.db"));
    let journal: Vec<u8> = journal.flat_map(|path| std::fs::read(path).unwrap()).collect();
    assert!(String::from_utf8_lossy(&journal).contains("virtengine/demo-web"));
    for path in &all {
        let name = path.file_name().unwrap().to_str().unwrap();
        let given = GIVEN.contains(&name) && path.parent() == Some(site.home.path());
        // The program itself, copied for another user.
        if !given && name != "program" {
            secrets.none_in(path.display(), &std::fs::read(path).unwrap());
        }
    }
}

/// Keys with every secret given by file, and a configuration that logs everything.
async fn prepared(secrets: &Secrets) -> Site {
    let site = machine().await;
    let run = site.path("run");
    site.configure(|text| {
        let socket = format!("gateway:\n  operator_socket: {}/operator.sock\n", run.display());
        text.replace("gateway:\n", &socket)
            .replace("level: info", "level: trace")
    });
    for command in [
        "keys init",
        "keys import --mnemonic-file bob.words",
        "keys generate --algorithm ed25519",
        "keys test-sign",
        "keys status --output json",
    ] {
        secrets.ran(command, site.run(command)).ok();
    }
    // What fails tells no more.
    secrets
        .ran(
            "a second import",
            site.run("keys import --mnemonic-file bob.words"),
        )
        .fails(25);
    secrets
        .ran(
            "the words as passphrase",
            site.run("keys test-sign --passphrase-file bob.words"),
        )
        .fails(13);
    site
}

/// The daemon, started by a shell that allows core images.
fn dumpable_start(site: &Site) -> Running {
    let mut command = site.program();
    let program = command.get_program().to_owned();
    let variables: Vec<_> = command
        .get_envs()
        .map(|(k, v)| (k.to_owned(), v.unwrap().to_owned()))
        .collect();
    command = Command::new("sh");
    command
        .args(["-c", "ulimit -c unlimited && exec \"$@\"", "sh"])
        .arg(program)
        .arg("start")
        .env_clear()
        .envs(variables)
        .current_dir(site.home.path());
    let daemon = Running::start(&mut command, &site.path("daemon.printed"));
    until("the daemon to answer", || {
        (site.run("status").code == 0).then_some(())
    });
    daemon
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_gives_no_secret_away() {
    let secrets = Secrets::new();
    let site = prepared(&secrets).await;
    let mut daemon = dumpable_start(&site);
    let order = tenant_round(&site, &secrets);
    faces(&site, &secrets, &order);
    processes_tell_nothing(&site, &secrets, daemon.pid());
    memory_keeps_only_keys(&site, &secrets, daemon.pid());
    secrets.ran("stop", site.run("stop")).ok();
    assert!(daemon.ended().success());
    files_tell_nothing(&site, &secrets);

    // The next one finds everything in the journal, and then ends in the worst way.
    let mut daemon = dumpable_start(&site);
    until("the workload to be found again", || {
        site.first("workload list --state running")
    });
    secrets
        .ran(
            "close",
            site.run(&format!("tenant --from-key alice.words deployment close {DSEQ}")),
        )
        .ok();
    until("the end", || site.first("workload list --state terminated"));
    daemon.signal(rustix::process::Signal::ABORT);
    let ended = daemon.ended();
    assert_eq!(ended.signal(), Some(rustix::process::Signal::ABORT.as_raw()));
    assert!(!ended.core_dumped(), "a core image was written");
    files_tell_nothing(&site, &secrets);
}

/// The program as a user that owns nothing here.
fn as_nobody(site: &Site, arguments: &str) -> Ran {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(site.path("program"))
        .args(arguments.split_whitespace())
        .current_dir("/");
    finish(&mut command)
}

fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn other_users_cannot_use_the_operators_socket() {
    if !crate::site::can_be_somebody_else() {
        return;
    }
    let secrets = Secrets::new();
    let site = prepared(&secrets).await;
    let daemon = site.start();
    std::fs::copy(env!("CARGO_BIN_EXE_virtengine-provider"), site.path("program")).unwrap();
    for path in [".", "program", "run"] {
        open_to_all(&site.path(path));
    }
    let socket = site.path("run/operator.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let status = format!("--socket {} status", socket.display());
    // That the program can run as this user at all:
    assert_eq!(as_nobody(&site, "--version").code, 0);
    let error = as_nobody(&site, &status).fails(5);
    assert!(error.contains("no permission"), "{error}");
    // And when somebody opens the socket to all by mistake, the daemon looks who is there.
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    let refused = as_nobody(&site, &status);
    assert!(
        refused.code != 0 && !refused.out.contains(&site.provider),
        "{refused:?}"
    );
    let stopped = as_nobody(&site, &format!("--socket {} stop", socket.display()));
    assert_ne!(stopped.code, 0, "{stopped:?}");
    site.run("status").ok();
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_of_a_plain_user_cannot_be_looked_into_by_that_user() {
    if !crate::site::can_be_somebody_else() {
        return;
    }
    let site = Site::new().await;
    site.configure(|text| text);
    site.make_keys();
    std::fs::copy(env!("CARGO_BIN_EXE_virtengine-provider"), site.path("program")).unwrap();
    open_to_all(&site.path("program"));
    let given = Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(site.home.path())
        .status()
        .unwrap();
    assert!(given.success());
    let as_them = |program: &str| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", program])
            .current_dir(site.home.path())
            .env("VIRTENGINE_PROVIDER_CONFIG", site.path("provider-config.yaml"));
        command
    };
    let program = site.path("program");
    let daemon = Running::start(
        as_them(program.to_str().unwrap()).arg("start"),
        &site.path("daemon.printed"),
    );
    until("the daemon to answer", || {
        (finish(as_them(program.to_str().unwrap()).arg("status")).code == 0).then_some(())
    });
    assert!(!is_dumpable(daemon.pid()));
    let mem = format!("/proc/{}/mem", daemon.pid());
    let looked = as_them("head").args(["-c", "1", &mem]).output().unwrap();
    let error = String::from_utf8_lossy(&looked.stderr);
    assert!(
        !looked.status.success() && error.contains("Permission denied"),
        "{error}"
    );
    // A process of theirs that is no daemon of ours can be looked at: the check itself.
    let plain = Running::start(as_them("sleep").arg("60"), &site.path("sleep.printed"));
    until("it to be theirs", || is_dumpable(plain.pid()).then_some(()));
    drop(plain);
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_certificate_never_means_plain_http() {
    let site = Site::new().await;
    site.configure(|text| {
        let at = site.home.path().display();
        text.replace(
            "gateway:\n",
            &format!("gateway:\n  tls: {{cert: {at}/none.crt, key: {at}/none.key}}\n"),
        )
    });
    site.make_keys();
    let ran = site.run("start");
    let error = ran.err.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert_eq!(error.matches("none.crt").count(), 1, "{error}");
    assert_eq!(ran.code, 1);
    assert!(std::net::TcpStream::connect(("127.0.0.1", site.tenant_port)).is_err());
}
