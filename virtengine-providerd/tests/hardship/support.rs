//! The stage: a chain with as many endpoints as wanted, a back end in memory, tenants with accounts, and the real daemon.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use virtengine_adapters::memory::{self, MemoryAdapter, MemoryBackend};
use virtengine_chain::{ChainClient, ChainConfig, Pipeline};
use virtengine_devchain::{BlockTime, CHAIN_ID, Config, Devchain, Endpoint, Genesis, GenesisAccount};
use virtengine_gateway::operator::OperatorClient;
use virtengine_keys::{KeyStore, Purpose as KeyPurpose};
use virtengine_provider_core::id::{Address, Height, LeaseId, OrderId, WorkloadId};
use virtengine_provider_core::manifest::{self, ValidManifest};
use virtengine_provider_core::market::{Bid, GroupSpec};
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::ports::chain::{ChainQuery as _, Message};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::ports::signer::Algorithm;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;
use virtengine_providerd::daemon::{Daemon, Keys, Pace, Parts, Witness, memory_log};
use virtengine_providerd::provider::{Event, Provider, Purpose};
use virtengine_providerd::tenant::Tenant;

use crate::account::StageClock;
use crate::key::AccountKey;

/// What one tenant orders.
pub(crate) const MANIFEST: &str = include_str!("../../src/devnet/demo.yaml");
/// What pays a deployment.
pub(crate) const DEPOSIT: u128 = 50_000_000;
/// What the back end has.
pub(crate) const CAPACITY: Resources = Resources {
    cpu_millis: 100_000_000,
    memory_bytes: 1 << 50,
    storage_bytes: 1 << 55,
    gpus: 0,
};
/// Between two looks at something that is awaited.
const LOOK: Duration = Duration::from_millis(25);
/// One test at a time.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Waits until `look` finds something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> F,
) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    // A look that itself hangs is over in time too.
    match tokio::time::timeout(within, found).await {
        Ok(found) => found,
        Err(_) => panic!("not within {within:?}: {what}"),
    }
}

/// What the daemon decided, over all of its lives.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Each sending of a bid.
    pub(crate) bids: Vec<(OrderId, Timestamp)>,
    /// Each transaction that it wanted.
    pub(crate) wanted: Vec<Purpose>,
    /// What became of transactions, and when.
    pub(crate) settled: Vec<(Timestamp, String)>,
    /// How often each workload was accepted.
    pub(crate) accepted: BTreeMap<WorkloadId, u32>,
}

impl Heard {
    fn hear(&mut self, event: &Event, at: Timestamp) {
        use virtengine_bid::Event as Bid;
        match event {
            Event::Bid {
                happened: Bid::BidDecided { order, .. } | Bid::BidResent { order, .. },
            } => self.bids.push((order.clone(), at)),
            Event::TxWanted { purpose, .. } => self.wanted.push(purpose.clone()),
            Event::TxSettled { effect, outcome, .. } => {
                self.settled.push((at, format!("{effect}: {outcome:?}")));
            }
            Event::WorkloadAccepted { spec, .. } => {
                *self.accepted.entry(spec.id.clone()).or_default() += 1;
            }
            _ => {}
        }
    }

    /// How often a lease was to be closed by us.
    pub(crate) fn closes(&self) -> usize {
        let close = |purpose: &&Purpose| matches!(purpose, Purpose::CloseLease { .. });
        self.wanted.iter().filter(close).count()
    }
}

/// How the stage is set.
#[derive(Debug, Clone)]
pub(crate) struct Set {
    /// Accounts of tenants.
    pub(crate) tenants: usize,
    /// How much faster than the host's clock.
    pub(crate) speed: u32,
    /// Host time between two blocks.
    pub(crate) block: Duration,
    /// Endpoints that the daemon knows.
    pub(crate) endpoints: usize,
    /// How long the daemon waits for an answer of an endpoint, in seconds.
    pub(crate) patience_s: u32,
    /// Between two looks of the daemon at a workload, and at its own health.
    pub(crate) look: Duration,
    /// Lines of `bid_engine`.
    pub(crate) bid_engine: &'static str,
}

impl Default for Set {
    fn default() -> Self {
        Self {
            tenants: 1,
            speed: 1,
            block: Duration::from_millis(100),
            endpoints: 1,
            patience_s: 1,
            look: Duration::from_millis(250),
            bid_engine: "max_bids_per_minute: 1000\n  max_bids_per_hour: 10000\n  max_concurrent_bids: 20\n  order_poll_interval: 1s",
        }
    }
}

/// Everything that is not the daemon.
pub(crate) struct Stage {
    pub(crate) chain: Arc<Devchain>,
    /// What the daemon reaches the chain by. Tenants have an endpoint of their own, which never fails.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) clock: Arc<StageClock>,
    pub(crate) backend: MemoryBackend,
    pub(crate) heard: Arc<Mutex<Heard>>,
    pub(crate) client: ChainClient,
    keys: Keys,
    set: Set,
    home: tempfile::TempDir,
    ticker: tokio::task::JoinHandle<()>,
    held: Arc<AtomicBool>,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Stage {
    pub(crate) async fn set(set: Set) -> Self {
        let turn = TURN.lock().await;
        let clock = Arc::new(StageClock::new(set.speed));
        let config = Config::manual().genesis(genesis(&set, &clock));
        let chain = Arc::new(Devchain::start(config).await.unwrap());
        let mut endpoints = Vec::new();
        for _ in 0..set.endpoints {
            endpoints.push(chain.extra_endpoint().await.unwrap());
        }
        let held = Arc::new(AtomicBool::new(false));
        let backend_config = memory::Config {
            capacity: CAPACITY,
            ..memory::Config::default()
        };
        let plain: Arc<dyn Clock> = Arc::<StageClock>::clone(&clock);
        Self {
            ticker: tokio::spawn(tick(
                Arc::clone(&chain),
                Arc::clone(&clock),
                set.block,
                Arc::clone(&held),
            )),
            held,
            client: client(&chain.rpc_url(), &set),
            chain,
            endpoints,
            backend: MemoryBackend::new(backend_config, plain),
            heard: Arc::default(),
            keys: provider_keys(&*clock),
            clock,
            set,
            home: tempfile::tempdir().unwrap(),
            _turn: turn,
        }
    }

    pub(crate) fn provider(&self) -> Address {
        AccountKey::named("bob").address()
    }

    /// A tenant with an account, on the endpoint that never fails.
    pub(crate) fn tenant(&self, number: usize) -> Tenant {
        let clock: Arc<dyn Clock> = Arc::<StageClock>::clone(&self.clock);
        Tenant::new(self.client.clone(), Arc::new(AccountKey::numbered(number)), clock).unwrap()
    }

    /// The account of a tenant, for transactions that have all the time that they need.
    pub(crate) fn account(&self, number: usize) -> Pipeline {
        Pipeline::new(self.client.clone(), Arc::new(AccountKey::numbered(number))).unwrap()
    }

    /// The provider's own account, in other hands than the daemon's.
    pub(crate) fn provider_account(&self) -> Pipeline {
        Pipeline::new(self.client.clone(), Arc::new(AccountKey::named("bob"))).unwrap()
    }

    /// No block is made while it is held: what is sent meanwhile comes in one block.
    pub(crate) fn hold_blocks(&self, held: bool) {
        self.held.store(held, Ordering::SeqCst);
    }

    /// Waits for `blocks` more blocks.
    pub(crate) async fn blocks(&self, blocks: u64) -> u64 {
        let height = self.chain.height() + blocks;
        self.chain.wait_height(height).await;
        height
    }

    fn config_path(&self) -> PathBuf {
        let home = self.home.path().display();
        let endpoints: Vec<String> = self.endpoints.iter().map(Endpoint::rpc_url).collect();
        let block_ms = (self.set.block * self.set.speed).as_millis();
        let text = format!(
            "provider:
  address: {provider}
  attributes: {{region: local}}
chain:
  endpoints: [{endpoints}]
  chain_id: {CHAIN_ID}
  block_time: {block_ms}ms
  request_timeout: {patience_s}s
bid_engine:
  {bid_engine}
capacity:
  total_cpu_cores: 50000
pricing:
  cpu_price_per_core: \"1\"
  memory_price_per_gb: \"0.1\"
  storage_price_per_gb: \"0.01\"
  currency: VIRT
key_manager: {{storage_type: file, key_dir: \"{home}/keys\"}}
adapters: {{memory: {{enabled: true}}}}
storage: {{dir: \"{home}/state\"}}
gateway:
  listen: 127.0.0.1:0
  metrics_listen: 127.0.0.1:0
  operator_socket: \"{home}/operator.sock\"
logging: {{level: warn, file: \"{home}/provider.log\"}}
",
            provider = self.provider(),
            endpoints = endpoints.join(", "),
            bid_engine = self.set.bid_engine,
            patience_s = self.set.patience_s,
        );
        let path = self.home.path().join("provider.yaml");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A life of the daemon: on the same state, the same back end.
    pub(crate) async fn start(&self) -> Life {
        let heard = Arc::clone(&self.heard);
        self.start_heard_by(Box::new(move |event, at| heard.lock().unwrap().hear(event, at)))
            .await
    }

    /// A life of the daemon of which `witness` hears.
    pub(crate) async fn start_heard_by(&self, witness: Witness) -> Life {
        let config = virtengine_providerd::config::load(&self.config_path())
            .unwrap()
            .config;
        let parts = Parts {
            config,
            keys: self.keys.clone(),
            clock: Arc::<StageClock>::clone(&self.clock),
            pace: Pace {
                observe: self.set.look,
                count: self.set.look * 4,
                inventory: Duration::from_secs(1),
                tx_poll: Duration::from_millis(50),
                health: self.set.look,
                ..Pace::default()
            },
            dry_run: false,
            log: memory_log(),
            witness: Some(witness),
        };
        let adapter = Arc::new(MemoryAdapter::attach(self.backend.clone()));
        let daemon = Daemon::start_on(parts, adapter).await.unwrap();
        let operator = OperatorClient::new(self.home.path().join("operator.sock"));
        Life { daemon, operator }
    }

    /// Orders of one tenant: one deployment with these groups. Answers the orders.
    pub(crate) async fn order(&self, tenant: &Tenant, dseq: u64, groups: Vec<GroupSpec>) -> Vec<OrderId> {
        let orders = (1..).take(groups.len());
        let orders = orders.map(|gseq| OrderId::new(tenant.address().clone(), dseq, gseq, 1));
        let orders = orders.collect();
        let message = self.deployment(tenant.address(), dseq, groups);
        tenant.send(&[message]).await.unwrap();
        orders
    }

    pub(crate) fn deployment(&self, owner: &Address, dseq: u64, groups: Vec<GroupSpec>) -> Message {
        Message::CreateDeployment {
            id: virtengine_provider_core::id::DeploymentId::new(owner.clone(), dseq),
            groups,
            hash: shop().hash(),
            deposit: coin(DEPOSIT),
        }
    }

    /// Our bid on an order, once it is on chain.
    pub(crate) async fn bid_on(&self, order: &OrderId, within: Duration) -> Bid {
        let look = async {
            loop {
                let bids = self.client.bids_on(order).await.unwrap();
                if let Some(bid) = bids.into_iter().find(|bid| bid.id.provider == self.provider()) {
                    return bid;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(within, look).await {
            Ok(bid) => bid,
            Err(_) => {
                let heard = self.heard.lock().unwrap();
                panic!(
                    "not within {within:?}: a bid on {order}; now {:?}, {heard:#?}",
                    self.clock.now()
                )
            }
        }
    }

    /// From order to running workload.
    pub(crate) async fn serve(&self, life: &Life, tenant: &Tenant, dseq: u64) -> LeaseId {
        let order = self.order(tenant, dseq, shop().group_specs()).await.remove(0);
        let bid = self.bid_on(&order, Duration::from_secs(10)).await;
        tenant.create_lease(bid.id.clone()).await.unwrap();
        let base = format!("http://{}", life.daemon.tenant_address());
        let trust = virtengine_gateway::tenant::Trust::Roots;
        let api = tenant.client_of(base, trust, self.provider()).unwrap();
        until("the manifest to be taken", Duration::from_secs(10), || async {
            api.put_manifest(dseq, MANIFEST).await.ok()
        })
        .await;
        self.running(&bid.id).await;
        bid.id
    }

    /// Waits until the workload of a lease runs.
    pub(crate) async fn running(&self, lease: &LeaseId) {
        let id = WorkloadId::of_lease(lease);
        until("the workload to run", Duration::from_secs(10), || async {
            self.runs(&id).then_some(())
        })
        .await;
    }

    /// Whether the back end really has it.
    pub(crate) fn runs(&self, id: &WorkloadId) -> bool {
        self.backend.workloads().iter().any(|spec| spec.id == *id)
    }

    /// Sendings of bids on an order so far.
    pub(crate) fn sendings(&self, order: &OrderId) -> usize {
        let heard = self.heard.lock().unwrap();
        heard.bids.iter().filter(|(of, _)| of == order).count()
    }

    pub(crate) fn closes(&self) -> usize {
        self.heard.lock().unwrap().closes()
    }

    pub(crate) async fn strike(self) {
        self.ticker.abort();
        let _aborted = self.ticker.await;
    }
}

/// One life of the daemon.
pub(crate) struct Life {
    pub(crate) daemon: Daemon,
    pub(crate) operator: OperatorClient,
}

impl Life {
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Provider) -> T + Send + 'static,
    ) -> T {
        self.daemon.desk().ask(question).await.unwrap()
    }

    pub(crate) async fn height(&self) -> Height {
        self.ask(Provider::height).await
    }

    /// `GET /health/chain`: its status and its words.
    pub(crate) async fn chain_health(&self) -> (String, String) {
        let at = self.daemon.health_address();
        let asked = tokio::task::spawn_blocking(move || super::pulse::get(at, "/health/chain"));
        let (_, body) = asked.await.unwrap().unwrap();
        let health: serde_json::Value = serde_json::from_str(&body).unwrap();
        let word = |key: &str| health[key].as_str().unwrap().to_owned();
        (word("status"), word("message"))
    }

    /// Waits until the chain's health is one of `statuses`; answers its words.
    pub(crate) async fn chain_is(&self, statuses: &[&str], within: Duration) -> String {
        until(&format!("the chain to be {statuses:?}"), within, || async {
            let (status, message) = self.chain_health().await;
            statuses.contains(&status.as_str()).then_some(message)
        })
        .await
    }

    pub(crate) async fn stop(self) {
        self.daemon.stop().await;
    }
}

pub(crate) fn shop() -> ValidManifest {
    manifest::read(MANIFEST.as_bytes()).unwrap()
}

pub(crate) fn coin(amount: u128) -> Coin {
    Coin::new("uve".parse().unwrap(), amount)
}

fn genesis(set: &Set, clock: &StageClock) -> Genesis {
    let mut genesis = Genesis::default();
    for number in 0..set.tenants {
        let address = AccountKey::numbered(number).address().to_string();
        genesis.veid.insert(address.clone(), 80);
        genesis.accounts.push(GenesisAccount {
            name: format!("tenant {number}"),
            address,
            amount: "1000000000000uve".to_owned(),
        });
    }
    genesis.time = Some(BlockTime::from_millis(clock.now().as_millis()));
    genesis
}

fn client(url: &str, set: &Set) -> ChainClient {
    let mut config = ChainConfig::new(CHAIN_ID, url.parse().unwrap());
    config.poll_interval = Duration::from_millis(100);
    config.block_time = set.block * set.speed;
    config.txs_per_block = 10;
    config.timeout_blocks = 1000;
    config.gas_max = 1_000_000_000;
    config.page_limit = 1000;
    ChainClient::new(config).unwrap()
}

fn provider_keys(clock: &dyn Clock) -> Keys {
    let store = KeyStore::memory();
    store
        .generate(KeyPurpose::Identity, Algorithm::Ed25519, clock.now())
        .unwrap();
    Keys {
        account: Arc::new(AccountKey::named("bob")),
        identity: store.signer(KeyPurpose::Identity).unwrap(),
    }
}

/// Makes blocks in the stage's time.
async fn tick(chain: Arc<Devchain>, clock: Arc<StageClock>, every: Duration, held: Arc<AtomicBool>) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if held.load(Ordering::SeqCst) {
            continue;
        }
        let time = BlockTime::from_millis(clock.now().as_millis());
        let time = time.max(chain.time().plus(Duration::from_nanos(1)));
        chain.advance_to(time).unwrap();
    }
}
