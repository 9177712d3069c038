//! The daemon that is measured.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use virtengine_devchain::TestAccount;
use virtengine_keys::mnemonic::ACCOUNT_PATH;
use virtengine_keys::{KeyStore, Mnemonic, Purpose, SecretBytes};
use virtengine_provider_core::ports::clock::Clock as _;
use virtengine_provider_core::ports::signer::{Algorithm, Signer};
use virtengine_providerd::cli::SystemClock;
use virtengine_providerd::daemon::{Daemon, Keys, Pace, Parts, memory_log};

use crate::remote::RemoteAdapter;

/// Where it finds its configuration and its back end.
pub(crate) const HOME: &str = "VIRTENGINE_BENCH_HOME";

/// The account key of a test account.
pub(crate) fn account(name: &str) -> Arc<dyn Signer> {
    let words = Mnemonic::parse(TestAccount::named(name).unwrap().mnemonic).unwrap();
    let store = KeyStore::memory();
    let now = SystemClock.now();
    store
        .import_mnemonic(Purpose::Account, &words, ACCOUNT_PATH, now)
        .unwrap();
    store.signer(Purpose::Account).unwrap()
}

fn identity() -> Arc<dyn Signer> {
    let store = KeyStore::memory();
    let (secret, now) = (SecretBytes::new(vec![7; 32]), SystemClock.now());
    store
        .import_raw(Purpose::Identity, Algorithm::Ed25519, &secret, now)
        .unwrap();
    store.signer(Purpose::Identity).unwrap()
}

/// Works until it is told to stop over the operator's socket.
pub(crate) fn run(home: &Path) {
    let parts = Parts {
        config: virtengine_providerd::config::load(&home.join("provider.yaml"))
            .unwrap()
            .config,
        keys: Keys {
            account: account("bob"),
            identity: identity(),
        },
        clock: Arc::new(SystemClock),
        pace: Pace {
            tx_poll: Duration::from_millis(100),
            ..Pace::default()
        },
        dry_run: false,
        log: memory_log(),
        witness: None,
    };
    let adapter = Arc::new(RemoteAdapter::new(home.join("backend.sock")));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let daemon = Daemon::start_on(parts, adapter).await.unwrap();
        daemon.asked_to_stop().await;
        daemon.stop().await;
    });
}
