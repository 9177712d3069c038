//! The process that is killed: the real daemon, with instruments between it and its ports.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use virtengine_adapters::local::{self, LocalAdapter};
use virtengine_keys::{KeyStore, Purpose, SecretBytes};
use virtengine_metering::window::Windows;
use virtengine_provider_core::ports::adapter::Adapter;
use virtengine_provider_core::ports::clock::Clock as _;
use virtengine_provider_core::ports::signer::{Algorithm, Signer};
use virtengine_providerd::cli::SystemClock;
use virtengine_providerd::daemon::{Daemon, Keys, Pace, Parts, memory_log};

use crate::key::AccountKey;
use crate::points::{Points, Stage};
use crate::remote::RemoteAdapter;
use crate::wiring::Instruments;

/// Where the round lives.
pub(crate) const HOME: &str = "VIRTENGINE_TEST_CRASH_HOME";
/// At which stage the daemon is killed.
pub(crate) const STAGE: &str = "VIRTENGINE_TEST_CRASH_STAGE";

/// The same identity in every life.
pub(crate) fn identity() -> Arc<dyn Signer> {
    let store = KeyStore::memory();
    let secret = SecretBytes::new(vec![7; 32]);
    let now = SystemClock.now();
    store
        .import_raw(Purpose::Identity, Algorithm::Ed25519, &secret, now)
        .unwrap();
    store.signer(Purpose::Identity).unwrap()
}

/// Lives until it is killed or told to stop.
pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(live());
}

async fn live() {
    let home = PathBuf::from(std::env::var_os(HOME).unwrap());
    let stage = Stage::named(&std::env::var(STAGE).unwrap());
    let points = Arc::new(Points::new(stage, home.join("marks")));
    let instruments = Instruments::new(points, adapter(&home));
    let config = virtengine_providerd::config::load(&home.join("provider.yaml"))
        .unwrap()
        .config;
    let parts = Parts {
        config,
        keys: Keys {
            account: Arc::new(AccountKey::named("bob")),
            identity: instruments.signer(identity()),
        },
        clock: Arc::new(SystemClock),
        pace: pace(),
        dry_run: false,
        log: memory_log(),
        witness: None,
    };
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let started = Daemon::start_wired(parts, &instruments).await;
    let daemon = started.unwrap_or_else(|error| panic!("the daemon does not start: {error:#}"));
    tokio::select! {
        _ = terminate.recv() => {}
        () = daemon.fell() => panic!("a part of the daemon has ended by itself"),
    }
    daemon.stop().await;
}

fn adapter(home: &std::path::Path) -> Arc<dyn Adapter> {
    let socket = home.join("backend.sock");
    if socket.exists() {
        return Arc::new(RemoteAdapter::new(socket));
    }
    let mut config = local::Config::new(home.join("state/local"));
    config.supervisor = vec![
        env!("CARGO_BIN_EXE_virtengine-provider").to_owned(),
        "local-shim".to_owned(),
    ];
    config.sample_ms = 200;
    config.startup_grace_ms = 100;
    Arc::new(LocalAdapter::open(config, Arc::new(SystemClock)).unwrap())
}

fn pace() -> Pace {
    let quick = Duration::from_millis(200);
    Pace {
        observe: quick,
        count: quick,
        inventory: quick,
        tx_poll: Duration::from_millis(50),
        health: Duration::from_secs(1),
        windows: Some(Windows::accelerated(Duration::from_secs(2)).unwrap()),
        settle_min: Some(1),
        settle: Some(quick),
        withdraw_blocks: Some(20),
    }
}
