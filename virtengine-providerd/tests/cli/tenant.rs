//! A tenant's whole round by the command line alone: a real chain, a provider's tenant API.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde_json::Value;
use virtengine_chain::{ChainClient, ChainConfig};
use virtengine_devchain::{CHAIN_ID, Config, Devchain, TEST_ACCOUNTS, TestAccount};
use virtengine_gateway::api::*;
use virtengine_gateway::metrics::Metrics;
use virtengine_gateway::tenant::{TenantServer, TenantServerOptions, TlsChoice};
use virtengine_keys::mnemonic::ACCOUNT_PATH;
use virtengine_keys::{KeyStore, Mnemonic, Purpose};
use virtengine_provider_core::id::{Address, BidId, DeploymentId, LeaseId, OrderId};
use virtengine_provider_core::money::Price;
use virtengine_provider_core::ports::adapter::{LogLine, LogQuery};
use virtengine_provider_core::ports::chain::Message;
use virtengine_provider_core::time::Timestamp;
use virtengine_providerd::cli::SystemClock;
use virtengine_providerd::tenant::Tenant;

use crate::program::{Program, Ran};

const SHOP: &str = "\
version: v2beta1
services:
  web: {image: shop/web, expose: [{port: 8080, as: 80, to: [{global: true}]}]}
profiles:
  compute:
    web: {resources: {cpu: {units: 500m}, memory: {size: 128Mi}, storage: {size: 256Mi}}}
  placement:
    local: {pricing: {web: {denom: uve, amount: 10000}}}
deployment:
  web: {local: {profile: web, count: 1}}
";

fn account(name: &str) -> TestAccount {
    TEST_ACCOUNTS
        .into_iter()
        .find(|account| account.name == name)
        .unwrap()
}

/// The tenant API of a provider that has whatever manifest came last.
#[derive(Debug, Default)]
struct Counter {
    manifest: Mutex<Option<String>>,
}

#[async_trait]
impl TenantApi for Counter {
    async fn public_status(&self) -> ApiResult<PublicStatus> {
        Err(ApiError::new(ErrorCode::Unsupported, "not here", ""))
    }
    async fn owners(&self, dseq: u64) -> ApiResult<Vec<Address>> {
        let alice: Address = account("alice").address.parse().unwrap();
        Ok(if dseq == 77 { vec![alice] } else { Vec::new() })
    }
    async fn put_manifest(&self, deployment: &DeploymentId, manifest: &str) -> ApiResult<ManifestReceipt> {
        let before = self.manifest.lock().unwrap().replace(manifest.to_owned());
        Ok(ManifestReceipt {
            deployment: deployment.clone(),
            hash: String::new(),
            unchanged: before.is_some(),
            leases: Vec::new(),
        })
    }
    async fn manifest_status(&self, deployment: &DeploymentId) -> ApiResult<ManifestStatus> {
        Ok(ManifestStatus {
            deployment: deployment.clone(),
            state: ManifestState::Accepted,
            announced_hash: String::new(),
            accepted_at: None,
            deadline: None,
        })
    }
    async fn lease_status(&self, lease: &LeaseId) -> ApiResult<LeaseStatus> {
        Ok(LeaseStatus {
            lease: lease.clone(),
            lease_state: "active".to_owned(),
            price: price(),
            manifest: ManifestState::Accepted,
            state: Some(WorkloadState::Running),
            message: "all is \u{1b}[31mwell".to_owned(),
            services: Vec::new(),
            endpoints: Vec::new(),
            observed_at: Some(Timestamp::from_seconds(1)),
        })
    }
    async fn lease_logs(&self, _lease: &LeaseId, query: &LogQuery, _follow: bool) -> ApiResult<LogStream> {
        let first = query.after.unwrap_or(0) + 1;
        let lines = (first..=3).map(|position| {
            Ok(LogLine {
                service: "web".to_owned(),
                replica: 0,
                position,
                text: format!("line {position}"),
            })
        });
        Ok(futures_util::stream::iter(lines.collect::<Vec<_>>()).boxed())
    }
}

fn price() -> Price {
    Price::new("uve".parse().unwrap(), "2".parse().unwrap())
}

/// A chain, a provider on it, and Alice at her terminal.
struct Market {
    runtime: tokio::runtime::Runtime,
    chain: Devchain,
    counter: Arc<Counter>,
    server: TenantServer,
    program: Program,
    words: String,
}

impl Market {
    fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let every = Config::every(Duration::from_millis(200));
        let chain = runtime.block_on(Devchain::start(every)).unwrap();
        let counter = Arc::new(Counter::default());
        let options = TenantServerOptions::new(
            ([127, 0, 0, 1], 0).into(),
            TlsChoice::Off,
            account("bob").address.parse().unwrap(),
            CHAIN_ID,
        );
        let metrics = Arc::new(Metrics::new());
        let started = TenantServer::start(options, counter.clone(), metrics, Arc::new(SystemClock));
        let server = runtime.block_on(started).unwrap();
        let program = Program::new();
        let words = program.write("alice.words", account("alice").mnemonic, 0o600);
        Self {
            runtime,
            chain,
            counter,
            server,
            program,
            words,
        }
    }

    /// `tenant …` as Alice.
    fn run(&self, command: &str) -> Ran {
        let mut args = vec!["tenant"];
        args.extend(command.split(' '));
        let (node, url) = (self.chain.rpc_url(), format!("http://{}", self.server.address()));
        let env = [
            ("VIRTENGINE_TENANT_KEY", self.words.as_str()),
            ("VIRTENGINE_NODE", node.as_str()),
            ("VIRTENGINE_CHAIN_ID", CHAIN_ID),
            ("VIRTENGINE_PROVIDER_URL", url.as_str()),
        ];
        self.program.run_with(&args, "", &env)
    }

    #[track_caller]
    fn json(&self, command: &str) -> Value {
        self.run(&format!("{command} --output json")).json()
    }

    /// Bob bids on the order.
    fn bid(&self, order: &OrderId) {
        let config = ChainConfig::new(CHAIN_ID, self.chain.rpc_url().parse().unwrap());
        let store = KeyStore::memory();
        let mnemonic = Mnemonic::parse(account("bob").mnemonic).unwrap();
        store
            .import_mnemonic(Purpose::Account, &mnemonic, ACCOUNT_PATH, Timestamp::EPOCH)
            .unwrap();
        let (client, signer) = (
            ChainClient::new(config).unwrap(),
            store.signer(Purpose::Account).unwrap(),
        );
        let bob = Tenant::new(client, signer, Arc::new(SystemClock)).unwrap();
        let bid = Message::CreateBid {
            id: BidId::new(order.clone(), bob.address().clone()),
            price: price(),
            deposit: "500000uve".parse().unwrap(),
        };
        self.runtime.block_on(bob.send(&[bid])).unwrap();
    }
}

#[test]
fn a_tenant_drives_a_whole_round() {
    let market = Market::open();
    let (alice, bob) = (account("alice").address, account("bob").address);
    let file = market.program.write("shop.yaml", SHOP, 0o644);

    let before = market.json("account");
    assert_eq!(before["address"], alice);
    let created = market.json(&format!(
        "deployment create --manifest {file} --deposit 5000000uve --dseq 77"
    ));
    let order = format!("{alice}/77/1/1");
    assert_eq!(
        (&created["dseq"], &created["orders"]),
        (&77.into(), &serde_json::json!([order]))
    );
    assert!(market.run("bids 77").ok().contains("no bids yet"));
    let error = market.run("lease create 77 --cheapest").fails(8);
    assert!(error.contains("nobody bids"), "{error}");

    market.bid(&order.parse().unwrap());
    let bids = market.json("bids 77");
    assert_eq!(
        (&bids[0]["id"], &bids[0]["state"]),
        (&format!("{order}/{bob}").into(), &"open".into())
    );
    let lease = market.json("lease create 77 --cheapest");
    assert_eq!(
        (&lease["lease"], &lease["provider"]),
        (&format!("{order}/{bob}").into(), &bob.into())
    );
    let again = market.run(&format!("lease create 77 --provider {bob}"));
    assert_eq!(again.code, 1, "{again:?}");

    let sent = market.json(&format!("manifest send 77 --manifest {file} --provider {bob}"));
    assert_eq!(sent["unchanged"], false);
    assert_eq!(market.counter.manifest.lock().unwrap().as_deref(), Some(SHOP));
    assert_eq!(
        market.json(&format!("manifest status 77 --provider {bob}"))["state"],
        "accepted"
    );
    let status = market.run(&format!("status 77 --provider {bob}")).ok();
    assert!(
        status.contains("running") && !status.contains('\u{1b}'),
        "{status:?}"
    );
    assert_eq!(
        market.run(&format!("logs 77 --provider {bob} --after 1")).ok(),
        "web/0 line 2\nweb/0 line 3\n"
    );
    market.run(&format!("status 78 --provider {bob}")).fails(8);

    let escrow = market.json("escrow create 77 --amount 1000000uve");
    let escrow = escrow["escrow"].as_str().unwrap().to_owned();
    market.json(&format!("escrow activate {escrow} 77 --provider {bob}"));
    let escrows = market.json("escrow list 77");
    assert_eq!(
        (&escrows[0]["id"], &escrows[0]["state"]),
        (&escrow.into(), &"active".into())
    );

    assert!(
        escrows[0]["expires_at"].as_str().unwrap().ends_with('Z'),
        "{escrows}"
    );

    market.json("deployment close 77");
    let closed = market.run("deployment close 77");
    assert_eq!(closed.code, 1, "{closed:?}");
}

#[test]
fn a_tenant_without_key_chain_or_money_is_told_so() {
    let market = Market::open();
    let program = &market.program;
    let node = market.chain.rpc_url();
    let error = program
        .run(&["tenant", "account", "--node", &node, "--chain-id", CHAIN_ID])
        .fails(2);
    assert!(error.contains("--from-key"), "{error}");
    let open = program.write("open.words", account("alice").mnemonic, 0o644);
    program.run(&["tenant", "account", "--from-key", &open]).fails(16);
    let error = market.run("account --node http://127.0.0.1:1").fails(6);
    assert!(error.contains("--node"), "{error}");
    market.run("account --chain-id another-1").fails(6);
    market.run("account --node not-an-address").fails(2);
    let file = program.write("shop.yaml", SHOP, 0o644);
    let poor = market.run(&format!("deployment create --manifest {file} --deposit 1uve"));
    assert_eq!(poor.code, 1, "{poor:?}");
    let words = [("VIRTENGINE_TENANT_MNEMONIC", account("alice").mnemonic)];
    let args = ["tenant", "account", "--node", &node, "--chain-id", CHAIN_ID];
    program.run_with(&args, "", &words).ok();
}
