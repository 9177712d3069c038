//! A round with every kind of effect, lived by a tenant, an operator, and a daemon that is killed again and again.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use virtengine_adapters::memory::{self, MemoryBackend};
use virtengine_chain::{ChainClient, ChainConfig};
use virtengine_devchain::{CHAIN_ID, Config, Devchain};
use virtengine_gateway::api::{UsageQuery, WorkloadAction, WorkloadState};
use virtengine_gateway::operator::OperatorClient;
use virtengine_gateway::tenant::Trust;
use virtengine_provider_core::id::{Address, LeaseId, OrderId, WorkloadId};
use virtengine_provider_core::manifest;
use virtengine_provider_core::market::BidState;
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::ports::chain::ChainQuery as _;
use virtengine_providerd::cli::SystemClock;
use virtengine_providerd::tenant::Tenant;

use crate::judge;
use crate::keeper::{Keeper, said};
use crate::key::AccountKey;
use crate::points::{Stage, read_marks};
use crate::ports::free_port;
use crate::remote;

const MANIFEST: &str = include_str!("../../src/devnet/demo.yaml");
const STEP_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);
/// Deployments of the tenant: one that is served, one whose bid leads nowhere.
const SERVED: u64 = 1000;
const UNWANTED: u64 = 1001;

/// What runs the workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Memory,
    Local,
}

/// One round.
pub(crate) struct Round {
    pub(crate) home: tempfile::TempDir,
    /// Lives as long as the round.
    _chain: Devchain,
    pub(crate) client: ChainClient,
    pub(crate) backend: Option<MemoryBackend>,
    operator: OperatorClient,
    tenant: Tenant,
    tenant_port: u16,
    keeper: Option<Keeper>,
}

impl Round {
    /// Lives it, judges it, and answers at which kinds of effects the daemon was killed, kill by kill.
    pub(crate) async fn live(backend: Backend, stage: Stage) -> Vec<String> {
        let mut round = Self::set(backend).await;
        round.keeper = Some(Keeper::begin(round.home.path(), stage));
        let (served, unwanted) = (round.order(SERVED).await, round.order(UNWANTED).await);
        let lease = round.lease(&served).await;
        round.escrow(&lease).await;
        round.manifest().await;
        let id = WorkloadId::of_lease(&lease);
        round.is(&id, WorkloadState::Running).await;
        round.paid(&lease).await;
        round.act(&id, WorkloadAction::Pause, WorkloadState::Paused).await;
        round
            .act(&id, WorkloadAction::Resume, WorkloadState::Running)
            .await;
        judge::one_workload(&round, &id);
        round.act(&id, WorkloadAction::Stop, WorkloadState::Stopped).await;
        round
            .act(&id, WorkloadAction::Terminate, WorkloadState::Terminated)
            .await;
        round.bid_is(&unwanted, BidState::Closed).await;
        round.all_paid().await;
        round.nothing_pends().await;
        let marks = read_marks(&round.home.path().join("marks"));
        let lives = round.keeper.take().unwrap().end().await;
        assert_eq!(
            lives,
            u32::try_from(marks.len()).unwrap() + 1,
            "a life ended in another way"
        );
        judge::all(&round, &lease, &unwanted).await;
        marks
    }

    async fn set(backend: Backend) -> Self {
        let home = tempfile::tempdir().unwrap();
        let chain = Devchain::start(Config::every(Duration::from_millis(100)))
            .await
            .unwrap();
        let backend = (backend == Backend::Memory).then(|| {
            let backend = MemoryBackend::new(memory::Config::default(), Arc::new(SystemClock));
            remote::serve(&home.path().join("backend.sock"), backend.clone());
            backend
        });
        let tenant_port = free_port();
        configure(home.path(), &chain, tenant_port);
        let mut config = ChainConfig::new(CHAIN_ID, chain.rpc_url().parse().unwrap());
        config.poll_interval = Duration::from_millis(100);
        let client = ChainClient::new(config).unwrap();
        let key = Arc::new(AccountKey::named("alice"));
        Self {
            tenant: Tenant::new(client.clone(), key, Arc::new(SystemClock)).unwrap(),
            operator: OperatorClient::new(home.path().join("operator.sock")),
            home,
            _chain: chain,
            client,
            backend,
            tenant_port,
            keeper: None,
        }
    }

    pub(crate) fn provider(&self) -> Address {
        AccountKey::named("bob").address()
    }

    /// Waits until there is something to see. The daemon being away for a moment is nothing to see.
    async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, look: impl Fn() -> F) -> T {
        let begun = Instant::now();
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            let is_over = self.keeper.as_ref().is_some_and(Keeper::is_over);
            assert!(
                begun.elapsed() < STEP_MAX && !is_over,
                "waited for {what}, in vain; the daemons said: {}",
                said(self.home.path())
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn order(&self, dseq: u64) -> OrderId {
        let manifest = manifest::read(MANIFEST.as_bytes()).unwrap();
        let created = self
            .tenant
            .create_deployment(&manifest, dseq, coin(50_000_000))
            .await;
        let (deployment, _) = created.unwrap();
        OrderId::new(deployment.owner, dseq, 1, 1)
    }

    async fn bid_is(&self, order: &OrderId, state: BidState) {
        self.until(&format!("a bid that is {state:?}"), || async {
            let bids = self.client.bids_on(order).await.unwrap();
            bids.iter().any(|bid| bid.state == state).then_some(())
        })
        .await;
    }

    async fn lease(&self, order: &OrderId) -> LeaseId {
        self.bid_is(order, BidState::Open).await;
        let lease = LeaseId::new(order.clone(), self.provider());
        self.tenant.create_lease(lease.clone()).await.unwrap();
        lease
    }

    async fn escrow(&self, lease: &LeaseId) {
        self.tenant
            .create_escrow(lease, coin(10_000_000), 86_400)
            .await
            .unwrap();
    }

    async fn manifest(&self) {
        let base = format!("http://127.0.0.1:{}", self.tenant_port);
        let api = self
            .tenant
            .client_of(base, Trust::Roots, self.provider())
            .unwrap();
        self.until("the manifest to be taken", || async {
            api.put_manifest(SERVED, MANIFEST).await.ok()
        })
        .await;
    }

    async fn is(&self, id: &WorkloadId, state: WorkloadState) {
        self.until(&format!("the workload to be {state:?}"), || async {
            let view = self.operator.workload(id).await.ok()?;
            (view.state == state).then_some(())
        })
        .await;
    }

    /// Asks until it is so: an answer may be lost with the daemon that was to give it.
    async fn act(&self, id: &WorkloadId, action: WorkloadAction, then: WorkloadState) {
        self.until(&format!("{action:?} to be taken"), || async {
            match self.operator.act_on_workload(id, action).await {
                Ok(view) => (view.wanted == then || view.state == then).then_some(()),
                Err(_) => None,
            }
        })
        .await;
        self.is(id, then).await;
    }

    /// Usage is on chain and paid, and the lease has paid, while it runs.
    async fn paid(&self, lease: &LeaseId) {
        let order = lease.order.to_string();
        self.until("usage to be paid", || async {
            let usage = self.client.usage_of(&order).await.unwrap();
            usage.iter().any(|record| record.settled).then_some(())
        })
        .await;
        self.until("a withdrawal", || async {
            let payment = self.client.lease_payment(lease).await.unwrap();
            (payment.withdrawn.amount > 0).then_some(())
        })
        .await;
    }

    /// Nothing is owed any more.
    async fn all_paid(&self) {
        self.until("all usage to be paid", || async {
            let query = |pending| UsageQuery { pending, limit: 1000 };
            let all = self.operator.usage(query(false)).await.ok()?;
            let pending = self.operator.usage(query(true)).await.ok()?;
            (!all.is_empty() && pending.is_empty()).then_some(())
        })
        .await;
    }

    async fn nothing_pends(&self) {
        let pending = self.home.path().join("pending");
        self.until("every effect to be finished", || async {
            let count = std::fs::read_to_string(&pending).unwrap_or_default();
            (count == "0").then_some(())
        })
        .await;
    }
}

impl Drop for Round {
    /// Workloads outlive their daemon, on purpose; those of a round that failed must not outlive the test.
    fn drop(&mut self) {
        drop(self.keeper.take());
        for (pid, _) in judge::processes(self, "") {
            // Gone already: nothing to do.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

fn coin(amount: u128) -> Coin {
    Coin::new("uve".parse().unwrap(), amount)
}

fn configure(home: &Path, chain: &Devchain, tenant_port: u16) {
    let text = format!(
        "provider:
  address: {provider}
  attributes: {{region: local}}
chain:
  endpoints: [\"{rpc}\"]
  chain_id: {CHAIN_ID}
  block_time: 100ms
bid_engine:
  order_poll_interval: 1s
  bid_time_to_live: 10s
pricing:
  cpu_price_per_core: \"720\"
  memory_price_per_gb: \"180\"
  storage_price_per_gb: \"18\"
  currency: VIRT
key_manager: {{storage_type: file, key_dir: \"{home}/keys\"}}
adapters: {{memory: {{enabled: true}}}}
settlement: {{mode: both}}
storage: {{dir: \"{home}/state\"}}
gateway:
  listen: 127.0.0.1:{tenant_port}
  metrics_listen: 127.0.0.1:0
  operator_socket: \"{home}/operator.sock\"
logging: {{level: warn, file: \"{home}/provider.log\"}}
",
        provider = AccountKey::named("bob").address(),
        rpc = chain.rpc_url(),
        home = home.display(),
    );
    std::fs::write(home.join("provider.yaml"), text).unwrap();
}
