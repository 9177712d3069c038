//! Builds a daemon from its parts, and takes it down again.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use virtengine_chain::{ChainClient, Follower, Pipeline};
use virtengine_gateway::health::{HealthBoard, HealthServer, HealthServerOptions};
use virtengine_gateway::log::LogRing;
use virtengine_gateway::metrics::Metrics;
use virtengine_gateway::operator::{OperatorServer, OperatorServerOptions};
use virtengine_gateway::tenant::{Fingerprint, TenantServer, TenantServerOptions, TlsChoice};
use virtengine_provider_core::id::Address;
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::ports::adapter::Adapter;
use virtengine_provider_core::ports::chain::{ChainQuery, TxSender};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::ports::journal::Journal;
use virtengine_store::{MemoryJournal, Options as StoreOptions, SqliteJournal};

use super::carry::{self, Hands};
use super::compile::{self, Pace};
use super::desk::{Desk, DeskHandle, Witness};
use super::outbox::Outbox;
use super::revenue::Revenue;
use super::tally::Tally;
use super::watch::{self, Rhythm};
use super::{Keys, backend, compare, follow, health, operator, reload, settle, tenants};
use crate::config::Config;
use crate::provider::Provider;

/// The chain's parameters as of spec/chain.md B.4, for a start while no endpoint answers.
const DEPOSIT_DEFAULT: u128 = 500_000;
const ORDER_MAX_BIDS_DEFAULT: u32 = 20;
/// How long the start waits for the chain; it goes on without it.
const CHAIN_WAIT: Duration = Duration::from_secs(5);
/// How long what is under way may take when the daemon stops.
pub(super) const DRAIN: Duration = Duration::from_secs(20);

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
}

impl Shared {
    /// The configuration that decisions rest on now.
    pub(super) fn in_force(&self) -> MutexGuard<'_, Config> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running daemon.
pub struct Daemon {
    shared: Arc<Shared>,
    loops: TaskTracker,
    stop_loops: CancellationToken,
    desk_task: tokio::task::JoinHandle<()>,
    stop_desk: CancellationToken,
    health: HealthServer,
    operator: OperatorServer,
    tenants: TenantServer,
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
        Self::begin(parts, None).await
    }

    /// The same with a back end of the caller's in place of the configured one.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_on(parts: Parts, adapter: Arc<dyn Adapter>) -> anyhow::Result<Self> {
        Self::begin(parts, Some(adapter)).await
    }

    async fn begin(parts: Parts, adapter: Option<Arc<dyn Adapter>>) -> anyhow::Result<Self> {
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
        let journal = open_journal(&config, dry_run)?;
        let adapter = match adapter {
            Some(adapter) => adapter,
            None => backend::adapter(&config, Arc::<dyn carry::ClockDebug>::clone(&clock))?,
        };
        let params = bid_params(&chain, &config).await;
        let settings = compile::settings(
            &config,
            provider.clone(),
            keys.identity.public_key(),
            params,
            &pace,
        )?;
        let outbox = Arc::new(Outbox::default());
        let machine = Provider::new(settings).context("bid_engine")?;
        let desk_clock: Arc<dyn Clock> = Arc::<dyn carry::ClockDebug>::clone(&clock);
        let metrics = Arc::new(Metrics::new());
        let revenue = Revenue::new(config.chain.denom.clone());
        let tally = Tally::new(Arc::clone(&metrics), adapter.capabilities().name.clone());
        let heard: Witness = Box::new(move |event, at| {
            tally.count(event, at);
            if let Some(witness) = &witness {
                witness(event, at);
            }
        });
        let (desk, handle) = Desk::recover(
            machine,
            Arc::clone(&journal),
            desk_clock,
            Arc::clone(&outbox),
            Some(heard),
        )
        .await?;
        let now = clock.now();
        let shared = Arc::new(Shared {
            in_force: Mutex::new(config.clone()),
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
        });
        Self::open(shared, desk, pipeline, &pace).await
    }

    async fn open(
        shared: Arc<Shared>,
        desk: Desk,
        pipeline: Arc<Pipeline>,
        pace: &Pace,
    ) -> anyhow::Result<Self> {
        let (stop_loops, stop_desk) = (CancellationToken::new(), CancellationToken::new());
        let desk_task = tokio::spawn(desk.run(stop_desk.clone()));
        // Before anything new is signed: what may be in a mempool holds its place in the account's sequence.
        for tx in shared.desk.ask(Provider::unsettled_txs).await? {
            pipeline.adopt(&tx);
        }
        let loops = TaskTracker::new();
        start_loops(&shared, pipeline, pace, &loops, &stop_loops).await?;
        let (health, operator, tenants) = open_faces(&shared).await?;
        Ok(Self {
            shared,
            loops,
            stop_loops,
            desk_task,
            stop_desk,
            health,
            operator,
            tenants,
        })
    }

    /// The account that we provide as.
    #[must_use]
    pub fn provider(&self) -> &Address {
        &self.shared.provider
    }

    /// Where tenants reach us.
    #[must_use]
    pub fn tenant_address(&self) -> SocketAddr {
        self.tenants.address()
    }

    /// The fingerprint of our certificate; `None` without TLS.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.tenants.fingerprint()
    }

    /// Where health and metrics are.
    #[must_use]
    pub fn health_address(&self) -> SocketAddr {
        self.health.address()
    }

    /// The way to the desk.
    #[must_use]
    pub fn desk(&self) -> &DeskHandle {
        &self.shared.desk
    }

    /// Follows the configuration file from now on.
    pub fn follow_config(&self, path: PathBuf, pace: Pace) {
        let (shared, stop) = (Arc::clone(&self.shared), self.stop_loops.clone());
        self.loops.spawn(reload::run(shared, path, pace, stop));
    }

    /// Returns once somebody asked for a stop over the operator API.
    pub async fn asked_to_stop(&self) {
        self.shared.stop_asked.cancelled().await;
    }

    /// Takes no new requests, lets effects that are under way come to a durable result (for a while), and stops. What is not
    /// done by then is in the journal and is finished by the next start. Workloads go on running.
    pub async fn stop(self) {
        self.tenants.stop().await;
        self.operator.stop().await;
        self.stop_loops.cancel();
        self.loops.close();
        if tokio::time::timeout(DRAIN, self.loops.wait()).await.is_err() {
            tracing::warn!("some loops did not end in time; their effects are finished by the next start");
        }
        self.stop_desk.cancel();
        if self.desk_task.await.is_err() {
            tracing::error!("the desk ended badly; the journal has everything that was decided");
        }
        self.health.stop();
    }
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

pub(super) async fn bid_params(chain: &ChainClient, config: &Config) -> (Coin, u32) {
    let error = match tokio::time::timeout(CHAIN_WAIT, chain.bid_params()).await {
        Ok(Ok(params)) => return params,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(
        error,
        "the chain's bid parameters are not known; the usual ones are taken until the next start"
    );
    (
        Coin::new(config.chain.denom.clone(), DEPOSIT_DEFAULT),
        ORDER_MAX_BIDS_DEFAULT,
    )
}

async fn start_loops(
    shared: &Arc<Shared>,
    pipeline: Arc<Pipeline>,
    pace: &Pace,
    loops: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let desk = || shared.desk.clone();
    let query: Arc<dyn ChainQuery> = Arc::new(shared.chain.clone());
    let at_once = Arc::new(Notify::new());
    let from = follow_from(shared).await?;
    let follower = Follower::new(shared.chain.clone(), from);
    let provider = shared.provider.clone();
    loops.spawn(follow::run(
        follower,
        Arc::clone(&query),
        desk(),
        provider.clone(),
        Arc::clone(&at_once),
        stop.clone(),
    ));
    let interval = shared.config.bid_engine.order_poll_interval;
    loops.spawn(compare::run(
        query,
        desk(),
        provider,
        interval,
        at_once,
        stop.clone(),
    ));
    let rhythm = Rhythm {
        observe: pace.observe,
        count: pace.count,
        inventory: pace.inventory,
    };
    let look = Arc::new(Notify::new());
    loops.spawn(watch::run(
        Arc::clone(&shared.adapter),
        desk(),
        rhythm,
        Arc::clone(&look),
        stop.clone(),
    ));
    let interval = pace.settle.unwrap_or(shared.config.settlement.submit_interval);
    loops.spawn(settle::run(Arc::clone(shared), interval, stop.clone()));
    loops.spawn(health::run(Arc::clone(shared), pace.health, stop.clone()));
    let hands = Hands {
        desk: desk(),
        outbox: Arc::clone(&shared.outbox),
        adapter: Arc::clone(&shared.adapter),
        sender: (!shared.dry_run).then_some(pipeline as Arc<dyn carry::TxSenderDebug>),
        identity: Arc::clone(&shared.keys.identity),
        clock: Arc::clone(&shared.clock),
        tx_poll: pace.tx_poll,
        look,
        turn: tokio::sync::Mutex::default(),
    };
    loops.spawn(carry::run(Arc::new(hands), stop.clone()));
    Ok(())
}

/// Behind the last block that was worked through; a new journal begins at the chain's head, and the comparison finds what is
/// older.
async fn follow_from(shared: &Shared) -> anyhow::Result<virtengine_provider_core::id::Height> {
    let height = shared.desk.ask(Provider::height).await?;
    if height.0 > 0 {
        return Ok(height.plus(1));
    }
    match tokio::time::timeout(CHAIN_WAIT, shared.chain.head()).await {
        Ok(Ok(head)) => Ok(head.height),
        Ok(Err(_)) | Err(_) => Ok(height.plus(1)),
    }
}

async fn open_faces(shared: &Arc<Shared>) -> anyhow::Result<(HealthServer, OperatorServer, TenantServer)> {
    let gateway = &shared.config.gateway;
    let clock = || -> Arc<dyn Clock> { Arc::<dyn carry::ClockDebug>::clone(&shared.clock) };
    let source = Arc::clone(&shared.board);
    let options = HealthServerOptions {
        listen: gateway.metrics_listen,
        ..HealthServerOptions::default()
    };
    let health = HealthServer::start(options, source, Arc::clone(&shared.metrics), clock())?;
    let options = OperatorServerOptions::new(&gateway.operator_socket);
    let api = Arc::new(operator::Operator::new(Arc::clone(shared)));
    let operator =
        OperatorServer::start(options, api, Arc::<HealthBoard>::clone(&shared.board), clock()).await?;
    let tls = tls(&shared.config);
    let mut options = TenantServerOptions::new(
        gateway.listen,
        tls,
        shared.provider.clone(),
        shared.config.chain.chain_id.clone(),
    );
    options.nonce_file = Some(shared.config.storage.dir.join("nonces"));
    let api = Arc::new(tenants::Tenants::new(Arc::clone(shared)));
    let tenants = TenantServer::start(options, api, Arc::clone(&shared.metrics), clock()).await?;
    Ok((health, operator, tenants))
}

/// Plain HTTP never leaves this host: away from loopback there is a certificate, if need be one that we sign ourselves.
fn tls(config: &Config) -> TlsChoice {
    match &config.gateway.tls {
        Some(tls) => TlsChoice::Files {
            certificate: tls.cert.clone(),
            key: tls.key.clone(),
        },
        None if config.gateway.listen.ip().is_loopback() => TlsChoice::Off,
        None => TlsChoice::SelfSigned {
            directory: config.storage.dir.join("tls"),
            names: config
                .provider
                .host_uri
                .iter()
                .filter_map(|uri| host_of(uri))
                .collect(),
        },
    }
}

/// The host of an address such as `https://provider.example:8443`.
fn host_of(uri: &str) -> Option<String> {
    let authority = uri.split_once("://")?.1.split('/').next()?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    (!host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_served_in_the_clear_on_loopback_only() {
        let of = |gateway: &str| {
            let text =
                format!("provider: {{host_uri: 'https://cloud.example:8443'}}\ngateway: {{{gateway}}}\n");
            tls(&crate::config::parse(text.as_bytes(), &|_| None).unwrap())
        };
        assert!(matches!(of(""), TlsChoice::Off));
        assert!(matches!(of("listen: '127.0.0.2:1'"), TlsChoice::Off));
        assert!(matches!(of("listen: '[::1]:1'"), TlsChoice::Off));
        for listen in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
            let TlsChoice::SelfSigned { names, .. } = of(&format!("listen: '{listen}'")) else {
                panic!("{listen} is served in the clear");
            };
            assert_eq!(names, ["cloud.example"]);
        }
        let files = of("listen: '127.0.0.1:1', tls: {cert: /c, key: /k}");
        assert!(matches!(files, TlsChoice::Files { .. }));
    }
}
