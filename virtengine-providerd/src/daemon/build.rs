//! Builds a daemon from its parts, and takes it down again.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use virtengine_chain::{ChainClient, Pipeline};
use virtengine_gateway::health::HealthBoard;
use virtengine_gateway::log::LogRing;
use virtengine_gateway::metrics::Metrics;
use virtengine_gateway::tenant::Fingerprint;
use virtengine_provider_core::id::Address;
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::ports::adapter::Adapter;
use virtengine_provider_core::ports::chain::{ChainQuery as _, TxSender as _};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::ports::journal::Journal;
use virtengine_store::{MemoryJournal, Options as StoreOptions, SqliteJournal};

use super::compile::{self, Pace};
use super::desk::{Desk, DeskHandle, Witness};
use super::faces::{self, Faces};
use super::loops::Loops;
use super::outbox::Outbox;
use super::revenue::Revenue;
use super::tally::Tally;
use super::wiring::{OwnAdapter, Straight, Wiring};
use super::{Keys, backend, carry, reload};
use crate::config::Config;
use crate::provider::Provider;

/// The chain's parameters as of spec/chain.md B.4, for a start while no endpoint answers.
const DEPOSIT_DEFAULT: u128 = 500_000;
const ORDER_MAX_BIDS_DEFAULT: u32 = 20;
/// How long the start waits for the chain; it goes on without it.
pub(super) const CHAIN_WAIT: Duration = Duration::from_secs(5);

/// What a daemon is made of.
pub struct Parts {
    /// What the operator set.
    pub config: Config,
    /// The provider's keys.
    pub keys: Keys,
    /// Tells the time.
    pub clock: Arc<dyn carry::ClockDebug>,
    /// Pace of the loops.
    pub pace: Pace,
    /// Send no transaction and write to no back end; say what would be done.
    pub dry_run: bool,
    /// The daemon's log.
    pub log: Arc<LogRing>,
    /// Hears of everything that happens.
    pub witness: Option<Witness>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// What every face and loop of the daemon shares.
#[derive(Debug)]
pub(super) struct Shared {
    /// As it was at the start.
    pub(super) config: Config,
    in_force: Mutex<Config>,
    /// The chain's terms for bids: as it said last, or what is usual until it has.
    bid_params: Mutex<(Coin, u32)>,
    pub(super) provider: Address,
    pub(super) desk: DeskHandle,
    pub(super) chain: ChainClient,
    pub(super) adapter: Arc<dyn Adapter>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) keys: Keys,
    pub(super) clock: Arc<dyn carry::ClockDebug>,
    pub(super) log: Arc<LogRing>,
    pub(super) board: Arc<HealthBoard>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) revenue: Revenue,
    pub(super) dry_run: bool,
    pub(super) started_at: virtengine_provider_core::time::Timestamp,
    pub(super) stop_asked: CancellationToken,
    /// A part of the daemon has ended by itself.
    fallen: CancellationToken,
}

impl Shared {
    /// The configuration that decisions rest on now.
    pub(super) fn in_force(&self) -> MutexGuard<'_, Config> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deposit and most bids per order; asks the chain, and knows the last answer. Whether the chain has answered just now is
    /// beside them.
    pub(super) async fn bid_params(&self) -> ((Coin, u32), bool) {
        let asked = bid_params(&self.chain).await;
        let is_current = asked.is_some();
        let mut known = self.bid_params.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(params) = asked {
            *known = params;
        }
        (known.clone(), is_current)
    }
}

/// A running daemon.
pub struct Daemon {
    shared: Arc<Shared>,
    loops: Loops,
    faces: Faces,
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon")
            .field("provider", &self.shared.provider)
            .finish_non_exhaustive()
    }
}

impl Daemon {
    /// Opens the journal, replays it, and starts every loop and face.
    ///
    /// # Errors
    /// In words for the operator; what was started is stopped again.
    pub async fn start(parts: Parts) -> anyhow::Result<Self> {
        Self::begin(parts, &Straight).await
    }

    /// The same with a back end of the caller's in place of the configured one.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_on(parts: Parts, adapter: Arc<dyn Adapter>) -> anyhow::Result<Self> {
        Self::begin(parts, &OwnAdapter(adapter)).await
    }

    /// The same with the ports that `wiring` gives.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_wired(parts: Parts, wiring: &dyn Wiring) -> anyhow::Result<Self> {
        Self::begin(parts, wiring).await
    }

    async fn begin(parts: Parts, wiring: &dyn Wiring) -> anyhow::Result<Self> {
        let Parts {
            config,
            keys,
            clock,
            pace,
            dry_run,
            log,
            witness,
        } = parts;
        let chain = ChainClient::new(compile::chain(&config)?)?;
        let pipeline = Arc::new(Pipeline::new(chain.clone(), Arc::clone(&keys.account))?);
        let provider = who(&config, &pipeline)?;
        let journal = wiring.journal(open_journal(&config, dry_run)?);
        let adapter = match wiring.adapter() {
            Some(adapter) => adapter,
            None => backend::adapter(&config, provider.as_str(), as_clock(&clock)).await?,
        };
        let asked = bid_params(&chain).await;
        let is_guess = asked.is_none();
        let params = asked.unwrap_or_else(|| usual_bid_params(&config));
        let identity = keys.identity.public_key();
        let settings = compile::settings(&config, provider.clone(), identity, params.clone(), &pace)?;
        let outbox = Arc::new(Outbox::default());
        let machine = Provider::new(settings).context("bid_engine")?;
        let metrics = Arc::new(Metrics::new());
        let revenue = Revenue::new(config.chain.denom.clone());
        let tally = Tally::new(Arc::clone(&metrics), adapter.capabilities().name.clone());
        let (desk, handle) = Desk::recover(
            machine,
            Arc::clone(&journal),
            as_clock(&clock),
            Arc::clone(&outbox),
            Some(both(tally, witness)),
        )
        .await?;
        let now = clock.now();
        let shared = Arc::new(Shared {
            in_force: Mutex::new(config.clone()),
            bid_params: Mutex::new(params),
            config,
            provider,
            desk: handle,
            chain,
            adapter,
            journal,
            keys,
            clock,
            log,
            board: Arc::new(HealthBoard::new(now)),
            metrics,
            revenue,
            outbox,
            dry_run,
            started_at: now,
            stop_asked: CancellationToken::new(),
            fallen: CancellationToken::new(),
        });
        let daemon = Self::open(shared, desk, pipeline, wiring, &pace).await?;
        if is_guess {
            let (shared, stop) = (Arc::clone(&daemon.shared), daemon.loops.stop());
            daemon
                .loops
                .run_for_a_while(reload::learn_bid_params(shared, pace, stop));
        }
        Ok(daemon)
    }

    async fn open(
        shared: Arc<Shared>,
        desk: Desk,
        pipeline: Arc<Pipeline>,
        wiring: &dyn Wiring,
        pace: &Pace,
    ) -> anyhow::Result<Self> {
        let loops = Loops::begin(desk, shared.fallen.clone());
        let opened = async {
            // Before anything new is signed: what may be in a mempool holds its place in the account's sequence.
            for tx in shared.desk.ask(Provider::unsettled_txs).await? {
                pipeline.adopt(&tx);
            }
            loops.start(&shared, wiring.sender(pipeline), pace).await?;
            faces::open(&shared).await
        };
        match opened.await {
            Ok(faces) => Ok(Self { shared, loops, faces }),
            Err(error) => {
                loops.end().await;
                Err(error)
            }
        }
    }

    /// The account that we provide as.
    #[must_use]
    pub fn provider(&self) -> &Address {
        &self.shared.provider
    }

    /// Where tenants reach us.
    #[must_use]
    pub fn tenant_address(&self) -> SocketAddr {
        self.faces.tenants.address()
    }

    /// The fingerprint of our certificate; `None` without TLS.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.faces.tenants.fingerprint()
    }

    /// Where health and metrics are.
    #[must_use]
    pub fn health_address(&self) -> SocketAddr {
        self.faces.health.address()
    }

    /// The way to the desk.
    #[must_use]
    pub fn desk(&self) -> &DeskHandle {
        &self.shared.desk
    }

    /// Follows the configuration file from now on.
    pub fn follow_config(&self, path: PathBuf, pace: Pace) {
        let (shared, stop) = (Arc::clone(&self.shared), self.loops.stop());
        self.loops.run_for_a_while(reload::run(shared, path, pace, stop));
    }

    /// Returns once somebody asked for a stop over the operator API.
    pub async fn asked_to_stop(&self) {
        self.shared.stop_asked.cancelled().await;
    }

    /// Returns once a part of the daemon has ended though nobody stopped it. It cannot work without: stop it, and start anew.
    pub async fn fell(&self) {
        self.shared.fallen.cancelled().await;
    }

    /// Takes no new requests, lets effects that are under way come to a durable result (for a while), and stops. What is not
    /// done by then is in the journal and is finished by the next start. Workloads go on running.
    pub async fn stop(self) {
        self.faces.tenants.stop().await;
        self.faces.operator.stop().await;
        self.loops.end().await;
        self.faces.health.stop();
    }
}

fn as_clock(clock: &Arc<dyn carry::ClockDebug>) -> Arc<dyn Clock> {
    Arc::<dyn carry::ClockDebug>::clone(clock)
}

/// Counts for the metrics, and tells the caller's witness.
fn both(tally: Tally, witness: Option<Witness>) -> Witness {
    Box::new(move |event, at| {
        tally.count(event, at);
        if let Some(witness) = &witness {
            witness(event, at);
        }
    })
}

/// The account of the account key; it must be the configured one.
fn who(config: &Config, pipeline: &Pipeline) -> anyhow::Result<Address> {
    let ours = pipeline.address().clone();
    match config.provider.account() {
        Some(configured) if *configured != ours => anyhow::bail!(
            "provider.address is {configured}, but the account key in {} is that of {ours}: correct one of them",
            config.key_manager.key_dir.display()
        ),
        Some(_) | None => Ok(ours),
    }
}

/// The journal; with `--dry-run` one in memory, because what is decided then never happens.
fn open_journal(config: &Config, dry_run: bool) -> anyhow::Result<Arc<dyn Journal>> {
    let path = journal_path(config)?;
    if dry_run {
        return Ok(Arc::new(MemoryJournal::new()));
    }
    let journal = SqliteJournal::open(&path, StoreOptions::default());
    Ok(Arc::new(
        journal.with_context(|| format!("the journal at {}", path.display()))?,
    ))
}

fn journal_path(config: &Config) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let dir = &config.storage.dir;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("storage.dir {}", dir.display()))?;
    Ok(dir.join("journal.db"))
}

/// The chain's terms for bids; `None` when it does not say.
async fn bid_params(chain: &ChainClient) -> Option<(Coin, u32)> {
    let error = match tokio::time::timeout(CHAIN_WAIT, chain.bid_params()).await {
        Ok(Ok(params)) => return Some(params),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(
        error,
        "the chain does not say its terms for bids; it is asked again"
    );
    None
}

fn usual_bid_params(config: &Config) -> (Coin, u32) {
    (
        Coin::new(config.chain.denom.clone(), DEPOSIT_DEFAULT),
        ORDER_MAX_BIDS_DEFAULT,
    )
}
