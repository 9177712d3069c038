//! The chain, a tenant with many deployments, the back end, and the daemon's process.

use std::future::Future;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use virtengine_adapters::memory::{self, MemoryBackend};
use virtengine_chain::{ChainClient, ChainConfig, Pipeline};
use virtengine_devchain::{CHAIN_ID, Config, Devchain, TestAccount};
use virtengine_gateway::operator::OperatorClient;
use virtengine_gateway::tenant::Trust;
use virtengine_provider_core::id::{Address, DeploymentId, LeaseId, OrderId};
use virtengine_provider_core::manifest;
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::ports::chain::{Message, TxSender as _};
use virtengine_provider_core::units::Resources;
use virtengine_providerd::cli::SystemClock;
use virtengine_providerd::tenant::Tenant;

use crate::{child, remote};

const MANIFEST: &str = include_str!("../../../virtengine-providerd/src/devnet/demo.yaml");
/// Deployments per transaction.
const BATCH: usize = 10;
const STEP_MAX: Duration = Duration::from_secs(300);

pub(crate) struct Market {
    home: tempfile::TempDir,
    chain: Devchain,
    backend: MemoryBackend,
    tenant: Tenant,
    account: Pipeline,
    operator: OperatorClient,
    tenant_port: u16,
}

/// The daemon's process.
pub(crate) struct Running(Child, OperatorClient);

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn end(mut self) {
        let operator = self.1.clone();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(operator.shutdown()).unwrap();
            });
        });
        assert!(self.0.wait().unwrap().success());
    }
}

impl Market {
    pub(crate) async fn open() -> Self {
        let home = tempfile::tempdir().unwrap();
        let chain = Devchain::start(Config::every(Duration::from_millis(100)))
            .await
            .unwrap();
        let capacity = Resources {
            cpu_millis: 100_000_000,
            memory_bytes: 1 << 50,
            storage_bytes: 1 << 55,
            gpus: 0,
        };
        let config = memory::Config {
            capacity,
            ..memory::Config::default()
        };
        let backend = MemoryBackend::new(config, Arc::new(SystemClock));
        remote::serve(&home.path().join("backend.sock"), backend.clone());
        let mut config = ChainConfig::new(CHAIN_ID, chain.rpc_url().parse().unwrap());
        config.poll_interval = Duration::from_millis(50);
        config.timeout_blocks = 1000;
        config.gas_max = 1_000_000_000;
        let client = ChainClient::new(config).unwrap();
        let key = child::account("alice");
        let tenant_port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let market = Self {
            tenant: Tenant::new(client.clone(), Arc::clone(&key), Arc::new(SystemClock)).unwrap(),
            account: Pipeline::new(client, key).unwrap(),
            operator: OperatorClient::new(home.path().join("operator.sock")),
            home,
            chain,
            backend,
            tenant_port,
        };
        market.configure();
        market
    }

    fn provider() -> Address {
        TestAccount::named("bob").unwrap().address.parse().unwrap()
    }

    fn configure(&self) {
        let text = format!(
            "provider:
  address: {provider}
  attributes: {{region: local}}
chain:
  endpoints: [\"{rpc}\"]
  chain_id: {CHAIN_ID}
  block_time: 100ms
bid_engine:
  max_bids_per_minute: 10000
  max_bids_per_hour: 600000
  max_concurrent_bids: 100
  bid_time_to_live: 168h
capacity: {{total_cpu_cores: 50000}}
manifest: {{timeout: 1h}}
pricing:
  cpu_price_per_core: \"0.002\"
  memory_price_per_gb: \"0.001\"
  storage_price_per_gb: \"0.0001\"
  currency: VIRT
key_manager: {{storage_type: file, key_dir: \"{home}/keys\"}}
adapters: {{memory: {{enabled: true}}}}
storage: {{dir: \"{home}/state\"}}
gateway:
  listen: 127.0.0.1:{port}
  metrics_listen: 127.0.0.1:0
  operator_socket: \"{home}/operator.sock\"
logging: {{level: warn, file: \"{home}/provider.log\"}}
",
            provider = Self::provider(),
            rpc = self.chain.rpc_url(),
            home = self.home.path().display(),
            port = self.tenant_port,
        );
        std::fs::write(self.home.path().join("provider.yaml"), text).unwrap();
    }

    pub(crate) fn start(&self) -> Running {
        let child = Command::new(std::env::current_exe().unwrap())
            .env(child::HOME, self.home.path())
            .stdin(Stdio::null())
            .spawn();
        Running(child.unwrap(), self.operator.clone())
    }

    pub(crate) async fn is_up(&self) {
        until("the daemon to answer", Duration::from_millis(50), || async {
            self.operator.status().await.is_ok()
        })
        .await;
    }

    pub(crate) async fn hold_blocks(&self, held: bool) {
        self.chain.pause(held);
        // One that is being made is made.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }

    pub(crate) fn make_block(&self) {
        self.chain.advance().unwrap();
    }

    /// A transaction of ours waits for the next block.
    pub(crate) async fn bid_waits(&self) {
        until("a bid", Duration::from_micros(100), || async {
            self.chain.waiting() > 0
        })
        .await;
    }

    /// An order that the next block will have.
    pub(crate) async fn submit_order(&self, dseq: u64) {
        let messages = [self.deployment(dseq)];
        let tx = self
            .account
            .sign(&messages, Duration::from_secs(60))
            .await
            .unwrap();
        self.account.broadcast(&tx).await.unwrap();
    }

    fn deployment(&self, dseq: u64) -> Message {
        let manifest = manifest::read(MANIFEST.as_bytes()).unwrap();
        Message::CreateDeployment {
            id: DeploymentId::new(self.tenant.address().clone(), dseq),
            groups: manifest.group_specs(),
            hash: manifest.hash(),
            deposit: Coin::new("uve".parse().unwrap(), 5_000_000),
        }
    }

    fn lease_id(&self, dseq: u64) -> LeaseId {
        let order = OrderId::new(self.tenant.address().clone(), dseq, 1, 1);
        LeaseId::new(order, Self::provider())
    }

    /// So many deployments, from order to running workload.
    pub(crate) async fn lease(&self, first: u64, count: u64) {
        let dseqs: Vec<u64> = (first..first + count).collect();
        for batch in dseqs.chunks(BATCH) {
            let messages: Vec<Message> = batch.iter().map(|dseq| self.deployment(*dseq)).collect();
            self.tenant.send(&messages).await.unwrap();
        }
        for batch in dseqs.chunks(BATCH) {
            for dseq in batch {
                let order = self.lease_id(*dseq).order;
                until("a bid on an order", Duration::from_millis(20), || async {
                    !self.tenant.open_bids(&order).await.unwrap().is_empty()
                })
                .await;
            }
            let leases = batch.iter().map(|dseq| Message::CreateLease {
                id: self.lease_id(*dseq),
            });
            self.tenant.send(&leases.collect::<Vec<_>>()).await.unwrap();
        }
        let base = format!("http://127.0.0.1:{}", self.tenant_port);
        let api = self
            .tenant
            .client_of(base, Trust::Roots, Self::provider())
            .unwrap();
        for dseq in &dseqs {
            until("a manifest to be taken", Duration::from_millis(50), || async {
                api.put_manifest(*dseq, MANIFEST).await.is_ok()
            })
            .await;
        }
        until("the workloads", Duration::from_millis(100), || async {
            self.backend.workloads().len() >= dseqs.len()
        })
        .await;
    }
}

async fn until<F: Future<Output = bool>>(what: &str, pause: Duration, look: impl Fn() -> F) {
    let begun = Instant::now();
    while !look().await {
        assert!(begun.elapsed() < STEP_MAX, "waited for {what}, in vain");
        tokio::time::sleep(pause).await;
    }
}
