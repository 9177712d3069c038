//! The chain, the provider and the tenants of a devnet.

use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use virtengine_adapters::local::{self, LocalAdapter};
use virtengine_chain::{ChainClient, ChainConfig};
use virtengine_devchain::{Devchain, TestAccount};
use virtengine_gateway::tenant::Trust;
use virtengine_keys::mnemonic::ACCOUNT_PATH;
use virtengine_keys::{Access, KdfParams, KeyStore, Mnemonic, Passphrase, Purpose, SecretBytes, StoreConfig};
use virtengine_metering::window::Windows;
use virtengine_provider_core::id::Address;
use virtengine_provider_core::ports::adapter::Adapter;
use virtengine_provider_core::ports::clock::Clock as _;
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey};

use super::narrate::Narrator;
use crate::cli::{DevnetOptions, SystemClock, install_log};
use crate::config::{self, Config};
use crate::daemon::{Daemon, Keys, Pace, Parts};
use crate::tenant::Tenant;

/// The test account that provides.
const PROVIDER: &str = "bob";
/// The test accounts that order, in turn.
const TENANTS: [&str; super::TENANTS_MAX as usize] = ["alice", "operator", "charlie", "validator"];
/// Longest that the end of all workloads may take: their own grace, and the supervisors' after it.
const END_MAX: Duration = Duration::from_secs(30);
/// Length of a usage window: a devnet has no time to wait for a minute.
const WINDOW: Duration = Duration::from_secs(4);

/// Everything of one devnet.
#[derive(Debug)]
pub(super) struct World {
    chain: Devchain,
    client: ChainClient,
    daemon: Daemon,
    adapter: Arc<dyn Adapter>,
    tenants: Vec<Tenant>,
    identity: PublicKey,
    home: PathBuf,
    /// Removed at the end, unless the operator named the home.
    temporary: bool,
}

impl World {
    pub(super) async fn start(options: &DevnetOptions, narrator: &Arc<Narrator>) -> anyhow::Result<Self> {
        let (home, temporary) = make_home(options)?;
        let built = Self::build(options, narrator, &home, temporary).await;
        if built.is_err() && temporary {
            // Nothing of a devnet that did not start is of use.
            let _ = std::fs::remove_dir_all(&home);
        }
        built
    }

    async fn build(
        options: &DevnetOptions,
        narrator: &Arc<Narrator>,
        home: &Path,
        temporary: bool,
    ) -> anyhow::Result<Self> {
        let mut chain_config = virtengine_devchain::Config::every(options.block_time).listen(options.listen);
        if !temporary {
            chain_config = chain_config.home(home.join("chain"));
        }
        let chain = Devchain::start(chain_config).await.context("step chain")?;
        narrator.say(
            "chain",
            &format!("{} at {}", virtengine_devchain::CHAIN_ID, chain.rpc_url()),
        );
        let client = ChainClient::new(chain_client(&chain)?)?;
        let tenants =
            (0..options.tenants).map(|index| tenant(&client, usize::try_from(index).unwrap_or(usize::MAX)));
        let tenants = tenants.collect::<anyhow::Result<_>>()?;
        let config = provider_config(options, home, &chain)?;
        let adapter = adapter(&config)?;
        let keys = provider_keys(&config, home).context("step keys")?;
        let identity = keys.identity.public_key();
        let witness = Arc::clone(narrator);
        let log = install_log(&config.logging).map_err(|error| anyhow::anyhow!("{error}"))?;
        let parts = Parts {
            config,
            keys,
            clock: Arc::new(SystemClock),
            pace: pace(options)?,
            dry_run: false,
            log,
            witness: Some(Box::new(move |event, at| witness.hear(event, at))),
        };
        let daemon = Daemon::start_on(parts, Arc::clone(&adapter))
            .await
            .context("step provider")?;
        narrator.say(
            "provider",
            &format!(
                "{} at work: tenants {}, health {}",
                daemon.provider(),
                daemon.tenant_address(),
                daemon.health_address()
            ),
        );
        Ok(Self {
            chain,
            client,
            daemon,
            adapter,
            tenants,
            identity,
            home: home.to_owned(),
            temporary,
        })
    }

    pub(super) const fn client(&self) -> &ChainClient {
        &self.client
    }

    pub(super) fn rpc_url(&self) -> String {
        self.chain.rpc_url()
    }

    pub(super) const fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    pub(super) fn provider(&self) -> &Address {
        self.daemon.provider()
    }

    pub(super) const fn identity(&self) -> &PublicKey {
        &self.identity
    }

    pub(super) fn tenants(&self) -> &[Tenant] {
        &self.tenants
    }

    /// Where tenants reach the provider, and how they trust it.
    pub(super) fn tenant_api(&self) -> (String, Trust) {
        let address = self.daemon.tenant_address();
        match self.daemon.fingerprint() {
            Some(fingerprint) => (format!("https://{address}"), Trust::Pinned(fingerprint)),
            None => (format!("http://{address}"), Trust::Roots),
        }
    }

    /// A number for a deployment: far above the escrow counter (spec/chain.md B.8), and another one after a restart.
    pub(super) fn dseq(&self, tenant: usize, deployment: u32) -> u64 {
        let now = u64::try_from(SystemClock.now().as_seconds()).unwrap_or(1);
        let tenant = u64::try_from(tenant).unwrap_or(0);
        now.saturating_mul(1000)
            .saturating_add(tenant.saturating_mul(100))
            .saturating_add(deployment.into())
    }

    /// What to type in a second terminal.
    pub(super) fn hints(&self) -> String {
        let config = self.home.join("provider-config.yaml");
        let commands = ["status", "bids list --last 5", "workload list", "usage list"];
        let lines = commands.iter().map(|command| {
            format!(
                "           virtengine-provider --config {} {command}",
                config.display()
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Stops everything. Workloads outlive a daemon on purpose, and must not outlive a devnet.
    pub(super) async fn stop(self) {
        self.daemon.stop().await;
        let ended = end_workloads(&self.adapter).await;
        self.chain.stop().await;
        if let Err(error) = ended {
            // Their directories say what still runs.
            tracing::error!(home = %self.home.display(), error = format!("{error:#}"), "not every workload has ended");
        } else if self.temporary && std::fs::remove_dir_all(&self.home).is_err() {
            tracing::warn!(home = %self.home.display(), "the devnet's directory could not be removed");
        }
    }
}

/// The back end of the configuration, with nothing but the demo service to run.
fn adapter(config: &Config) -> anyhow::Result<Arc<dyn Adapter>> {
    let settings = local::Config::new(config.storage.dir.join("local"));
    let opened = LocalAdapter::open(settings, Arc::new(SystemClock));
    let opened = opened.map_err(|problems| anyhow::anyhow!("step adapter: {problems:?}"))?;
    Ok(Arc::new(opened))
}

/// Terminates whatever is left of ours, all at once.
async fn end_workloads(adapter: &Arc<dyn Adapter>) -> anyhow::Result<()> {
    let mut ending = JoinSet::new();
    for id in adapter.list().await.context("which workloads there are")? {
        let adapter = Arc::clone(adapter);
        ending.spawn(async move { adapter.terminate(&id).await.with_context(|| id.to_string()) });
    }
    let all = async {
        let mut outcome = Ok(());
        while let Some(ended) = ending.join_next().await {
            let ended = ended.context("ended badly").flatten();
            // The others are ended all the same; the first failure is told.
            if outcome.is_ok() {
                outcome = ended;
            }
        }
        outcome
    };
    match tokio::time::timeout(END_MAX, all).await {
        Ok(outcome) => outcome,
        Err(_) => anyhow::bail!("waited {} s, in vain", END_MAX.as_secs()),
    }
}

fn make_home(options: &DevnetOptions) -> anyhow::Result<(PathBuf, bool)> {
    let (home, temporary) = match &options.home {
        Some(home) => (home.clone(), false),
        None => {
            let name = format!(
                "virtengine-devnet-{}-{}",
                std::process::id(),
                SystemClock.now().as_millis()
            );
            (std::env::temp_dir().join(name), true)
        }
    };
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&home);
    made.with_context(|| format!("--home {}", home.display()))?;
    Ok((std::path::absolute(&home)?, temporary))
}

/// The provider's configuration, written down so that a second terminal can use it.
fn provider_config(options: &DevnetOptions, home: &Path, chain: &Devchain) -> anyhow::Result<Config> {
    let provider = TestAccount::named(PROVIDER).context("the test account of the provider")?;
    // Several devnets at once, when the chain was asked to take any free port.
    let (tenants, metrics) = if options.listen.port() == 0 {
        (0, 0)
    } else {
        (8443, 9090)
    };
    let home_text = home.display();
    let text = format!(
        "provider:
  address: {address}
  attributes:
    region: local
chain:
  endpoints: [\"{rpc}\"]
  chain_id: {chain_id}
  block_time: {block_ms}ms
bid_engine:
  order_poll_interval: 1s
pricing:
  cpu_price_per_core: \"720\"
  memory_price_per_gb: \"180\"
  storage_price_per_gb: \"18\"
  network_price_per_gb: \"50\"
  currency: VIRT
  bid_markup_percent: 10
key_manager:
  storage_type: file
  key_dir: \"{home_text}/keys\"
  passphrase_file: \"{home_text}/passphrase\"
adapters:
  local:
    enabled: true
settlement:
  mode: both
  submit_interval: 1s
storage:
  dir: \"{home_text}/provider\"
gateway:
  listen: 127.0.0.1:{tenants}
  operator_socket: \"{home_text}/provider.sock\"
  metrics_listen: 127.0.0.1:{metrics}
logging:
  level: warn
  file: \"{home_text}/provider.log\"
",
        address = provider.address,
        rpc = chain.rpc_url(),
        chain_id = virtengine_devchain::CHAIN_ID,
        block_ms = options.block_time.as_millis(),
    );
    let path = home.join("provider-config.yaml");
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(config::load(&path)?.config)
}

/// The provider's keys in an encrypted store, as an operator would have them.
fn provider_keys(config: &Config, home: &Path) -> anyhow::Result<Keys> {
    let store_config = StoreConfig::file(&config.key_manager.key_dir);
    let passphrase_path = home.join("passphrase");
    let store = if passphrase_path.exists() {
        let passphrase = Passphrase::new(SecretBytes::new(std::fs::read(&passphrase_path)?))?;
        let store = KeyStore::open(&store_config, Access::ReadWrite)?;
        store.unlock(&passphrase)?;
        store
    } else {
        new_keys(&store_config, &passphrase_path)?
    };
    let (account, identity) = (store.signer(Purpose::Account)?, store.signer(Purpose::Identity)?);
    Ok(Keys { account, identity })
}

fn new_keys(config: &StoreConfig, passphrase_path: &Path) -> anyhow::Result<KeyStore> {
    use std::io::Write as _;
    // 24 words are a passphrase that nobody guesses.
    let words = Mnemonic::generate()?.phrase();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(passphrase_path)?;
    file.write_all(words.as_bytes())?;
    file.sync_all()?;
    let passphrase = Passphrase::new(SecretBytes::new(words.as_bytes().to_vec()))?;
    let now = SystemClock.now();
    let store = KeyStore::init(config, &passphrase, KdfParams::default(), now)?;
    let provider = TestAccount::named(PROVIDER).context("the test account of the provider")?;
    store.import_mnemonic(
        Purpose::Account,
        &Mnemonic::parse(provider.mnemonic)?,
        ACCOUNT_PATH,
        now,
    )?;
    store.generate(Purpose::Identity, Algorithm::Ed25519, now)?;
    Ok(store)
}

fn chain_client(chain: &Devchain) -> anyhow::Result<ChainConfig> {
    let mut config = ChainConfig::new(virtengine_devchain::CHAIN_ID, chain.rpc_url().parse()?);
    config.poll_interval = Duration::from_millis(100);
    Ok(config)
}

fn tenant(client: &ChainClient, index: usize) -> anyhow::Result<Tenant> {
    let name = TENANTS
        .get(index)
        .with_context(|| format!("at most {} tenants have accounts", TENANTS.len()))?;
    let account = TestAccount::named(name).with_context(|| format!("the test account {name}"))?;
    let store = KeyStore::memory();
    store.import_mnemonic(
        Purpose::Account,
        &Mnemonic::parse(account.mnemonic)?,
        ACCOUNT_PATH,
        SystemClock.now(),
    )?;
    Ok(Tenant::new(
        client.clone(),
        store.signer(Purpose::Account)?,
        Arc::new(SystemClock),
    )?)
}

fn pace(options: &DevnetOptions) -> anyhow::Result<Pace> {
    let quick = Duration::from_millis(500);
    Ok(Pace {
        observe: Duration::from_millis(250),
        count: quick,
        inventory: Duration::from_secs(5),
        tx_poll: (options.block_time / 4).clamp(Duration::from_millis(20), quick),
        health: Duration::from_secs(1),
        windows: Some(Windows::accelerated(WINDOW)?),
        settle_min: Some(1),
        settle: Some(quick),
        withdraw_blocks: Some(8),
    })
}
