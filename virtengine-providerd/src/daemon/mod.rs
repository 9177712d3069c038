//! The loops around the composition: one per port. Each reads, tells the desk, and carries on; the desk decides.
//!
//! ```text
//!  follow  (blocks) ──┐                    ┌─► journal
//!  compare (queries) ─┤                    │
//!  watch   (adapter) ─┼─► desk ─► provider ┼─► outbox ─► carry ─► chain, adapter, identity key
//!  settle  (money) ───┤                    │
//!  tenants, operator ─┘                    └─► answers
//! ```

mod answers;
pub(crate) mod backend;
mod build;
mod carry;
mod compare;
mod compile;
mod desk;
mod faces;
mod follow;
pub(crate) mod health;
mod loops;
mod operator;
mod outbox;
mod reload;
mod revenue;
mod settle;
mod tally;
mod tenants;
mod views;
mod watch;
mod wiring;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use virtengine_gateway::log::LogRing;
use virtengine_keys::{Access, KeyStore, Purpose, StoreConfig};
use virtengine_provider_core::ports::signer::Signer;

pub use build::{Daemon, Parts};
pub use carry::ClockDebug;
pub use compile::{Pace, Unusable, chain as chain_config};
pub use desk::{Desk, DeskHandle, NotTaken, Stopping, Witness};
pub use outbox::Outbox;
pub use wiring::{TxSenderDebug, Wiring};

use crate::cli::{StartOptions, SystemClock, passphrase_source};
use crate::config::{Config, KeyStorage};

/// The keys of a provider.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Owns the address and the funds, signs transactions.
    pub account: Arc<dyn Signer>,
    /// Signs usage records and statements.
    pub identity: Arc<dyn Signer>,
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// It cannot start, in words for the operator.
pub async fn run(options: StartOptions) -> anyhow::Result<()> {
    let (config, path) = (options.loaded.config, options.loaded.path);
    let keys = open_keys(&config, options.passphrase_file.as_deref())?;
    let parts = Parts {
        config,
        keys,
        clock: Arc::new(SystemClock),
        pace: Pace::default(),
        dry_run: options.dry_run,
        log: options.log,
        witness: None,
    };
    let daemon = Daemon::start(parts).await?;
    daemon.follow_config(path, Pace::default());
    tracing::info!(provider = %daemon.provider(), "the provider is at work");
    let end = wait_for_end(&daemon).await;
    tracing::info!("stopping: what is under way is finished first");
    daemon.stop().await;
    end
}

/// Opens and unlocks the key store.
fn open_keys(config: &Config, passphrase_file: Option<&std::path::Path>) -> anyhow::Result<Keys> {
    let manager = &config.key_manager;
    if manager.storage_type != KeyStorage::File {
        anyhow::bail!("key_manager.storage_type: only `file` keeps keys over a restart in this build");
    }
    let store = KeyStore::open(&StoreConfig::file(&manager.key_dir), Access::ReadWrite)?;
    let file = passphrase_file.or(manager.passphrase_file.as_deref());
    let passphrase = match (&manager.passphrase, file) {
        (Some(secret), None) => virtengine_keys::Passphrase::new(virtengine_keys::SecretBytes::new(
            secret.reveal().as_bytes().to_vec(),
        ))?,
        _ => passphrase_source(file).read(virtengine_keys::passphrase::PassphraseUse::Unlock)?,
    };
    store.unlock(&passphrase)?;
    let account = store.signer(Purpose::Account).context("the account key")?;
    let identity = store.signer(Purpose::Identity).context("the identity key")?;
    Ok(Keys { account, identity })
}

async fn wait_for_end(daemon: &Daemon) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        () = daemon.asked_to_stop() => Ok(()),
        () = daemon.fell() => Err(anyhow::anyhow!(
            "a part of the daemon has ended by itself, the log says which; start it again, and report it"
        )),
    }
}

/// A log ring that keeps nothing on disk, for runs without a log file.
#[must_use]
pub fn memory_log() -> Arc<LogRing> {
    let ring = LogRing::open(virtengine_gateway::log::LogRingOptions::default());
    Arc::new(ring.expect("a ring without files opens no file"))
}
