//! One deployment from its order to the last coin. Each step waits until it can see that it truly happened.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use virtengine_chain::ChainClient;
use virtengine_gateway::api::{ErrorCode, WorkloadState};
use virtengine_gateway::tenant::Trust;
use virtengine_metering::signed::SignedRecord;
use virtengine_provider_core::id::{Address, DeploymentId, Height, LeaseId, OrderId, TxHash, WorkloadId};
use virtengine_provider_core::lease::Phase;
use virtengine_provider_core::lifecycle;
use virtengine_provider_core::manifest::{self, ValidManifest};
use virtengine_provider_core::market::{LeaseState, OrderState, SettlementEscrow};
use virtengine_provider_core::money::{Coin, Denom, Price};
use virtengine_provider_core::ports::chain::{ChainError, ChainQuery, UsageOnChain};
use virtengine_provider_core::ports::signer::PublicKey;

use super::narrate::Narrator;
use super::world::World;
use crate::daemon::DeskHandle;
use crate::provider::Provider;
use crate::tenant::{Landed, Tenant};

/// What the tenant orders.
pub(super) const MANIFEST: &str = include_str!("demo.yaml");
/// What the tenant puts into the deployment's escrow, and into the settlement escrow, in base units.
const DEPOSIT: u128 = 50_000_000;
const ESCROW: u128 = 10_000_000;
/// Longest that one step may take.
const STEP_MAX: Duration = Duration::from_secs(45);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What rounds share.
#[derive(Debug)]
pub(super) struct Rounds {
    chain: ChainClient,
    desk: DeskHandle,
    provider: Address,
    identity: PublicKey,
    api: (String, Trust),
    denom: Denom,
}

impl Rounds {
    pub(super) fn of(world: &World) -> Self {
        Self {
            chain: world.client().clone(),
            desk: world.daemon().desk().clone(),
            provider: world.provider().clone(),
            identity: world.identity().clone(),
            api: world.tenant_api(),
            denom: world.client().config().denom.clone(),
        }
    }
}

/// One deployment of one tenant.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) number: u32,
    pub(super) tenant: Tenant,
    pub(super) dseq: u64,
    pub(super) rounds: Arc<Rounds>,
    pub(super) narrator: Arc<Narrator>,
}

/// What a round came to.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) number: u32,
    pub(super) lease: LeaseId,
    pub(super) workload: WorkloadId,
    pub(super) price: Price,
    pub(super) ordered: Landed,
    pub(super) bid_tx: TxHash,
    pub(super) bid_height: Height,
    pub(super) leased: Landed,
    pub(super) closed: Landed,
    pub(super) records: Vec<SignedRecord>,
    pub(super) usage: Vec<UsageOnChain>,
}

impl Round {
    pub(super) async fn run(self) -> anyhow::Result<Told> {
        let number = self.number;
        self.live().await.with_context(|| format!("round {number}"))
    }

    async fn live(self) -> anyhow::Result<Told> {
        let manifest = manifest::read(MANIFEST.as_bytes())
            .map_err(|problems| anyhow::anyhow!("step manifest: {problems:?}"))?;
        let (order, ordered) = self.order(&manifest).await.context("step order")?;
        let (price, bid_tx, bid_height) = self.bid(&order).await.context("step bid")?;
        let lease = LeaseId::new(order, self.rounds.provider.clone());
        let leased = self
            .tenant
            .create_lease(lease.clone())
            .await
            .context("step lease")?;
        self.say(&format!("lease {lease} taken in block {}", leased.height));
        let escrow = self.escrow(&lease).await.context("step escrow")?;
        self.say(&format!(
            "settlement escrow {escrow} opened for metered usage, activated by the provider"
        ));
        self.manifest(&lease).await.context("step manifest")?;
        let endpoint = self.running(&lease).await.context("step running")?;
        self.traffic(&endpoint).await.context("step traffic")?;
        self.paid(&lease).await.context("step usage")?;
        let closed = self
            .tenant
            .close_deployment(lease.deployment().clone())
            .await
            .context("step close")?;
        self.say(&format!("deployment closed in block {}", closed.height));
        self.gone(&lease, &endpoint).await.context("step clean-up")?;
        let usage = self.settled(&lease).await.context("step settlement")?;
        let records = self.records(&lease).await.context("step records")?;
        let workload = WorkloadId::of_lease(&lease);
        Ok(Told {
            number: self.number,
            lease,
            workload,
            price,
            ordered,
            bid_tx,
            bid_height,
            leased,
            closed,
            records,
            usage,
        })
    }

    fn say(&self, what: &str) {
        self.narrator.say(&format!("tenant {}", self.number), what);
    }

    async fn order(&self, manifest: &ValidManifest) -> anyhow::Result<(OrderId, Landed)> {
        let deposit = Coin::new(self.rounds.denom.clone(), DEPOSIT);
        let (id, landed) = self
            .tenant
            .create_deployment(manifest, self.dseq, deposit)
            .await?;
        let DeploymentId { owner, dseq } = id;
        let order = OrderId::new(owner, dseq, 1, 1);
        let on_chain = self.rounds.chain.order(&order).await?;
        if on_chain.state == OrderState::Closed {
            bail!("order {order} is closed at once");
        }
        self.say(&format!(
            "deployment {}/{dseq} in block {} became order {order}",
            order.owner(),
            landed.height
        ));
        Ok((order, landed))
    }

    /// Waits for the provider's bid, as the chain shows it.
    async fn bid(&self, order: &OrderId) -> anyhow::Result<(Price, TxHash, Height)> {
        let bid = until("the provider's bid on chain", || async {
            let bids = self.tenant.open_bids(order).await?;
            Ok(bids
                .into_iter()
                .find(|bid| bid.id.provider == self.rounds.provider))
        })
        .await?;
        let order = order.clone();
        let tx = until("the provider's own record of the bid", || {
            let order = order.clone();
            async move {
                Ok(self
                    .rounds
                    .desk
                    .ask(move |provider| bid_tx(provider, &order))
                    .await?)
            }
        })
        .await?;
        self.say(&format!(
            "bid of {} per block seen, made in block {}",
            bid.price, bid.created_at
        ));
        Ok((bid.price, tx, bid.created_at))
    }

    /// Opens an escrow for metered usage, and waits until the provider has made itself its recipient.
    async fn escrow(&self, lease: &LeaseId) -> anyhow::Result<String> {
        let amount = Coin::new(self.rounds.denom.clone(), ESCROW);
        let (id, _) = self.tenant.create_escrow(lease, amount, 86_400).await?;
        let order = lease.order.to_string();
        until("the provider to activate the escrow", || async {
            let escrows = self.rounds.chain.escrows_of(&order).await?;
            let active =
                |escrow: &&SettlementEscrow| escrow.recipient.as_ref() == Some(&self.rounds.provider);
            Ok(escrows.iter().find(active).map(|_| ()))
        })
        .await?;
        Ok(id)
    }

    /// Sends the manifest, signed with the tenant's account key. The provider may not have seen the lease's block yet.
    async fn manifest(&self, lease: &LeaseId) -> anyhow::Result<()> {
        let (base, trust) = self.rounds.api.clone();
        let client = self.tenant.client_of(base, trust, self.rounds.provider.clone())?;
        let receipt = until("the provider to know the lease", || async {
            match client.put_manifest(self.dseq, MANIFEST).await {
                Ok(receipt) => Ok(Some(receipt)),
                Err(virtengine_gateway::tenant::TenantClientError::Refused(refused))
                    if matches!(
                        refused.code,
                        ErrorCode::NotFound
                            | ErrorCode::Forbidden
                            | ErrorCode::RateLimited
                            | ErrorCode::Unavailable
                    ) =>
                {
                    Ok(None)
                }
                Err(error) => Err(error.into()),
            }
        })
        .await?;
        if !receipt.leases.contains(lease) {
            bail!("the provider took the manifest, but not for {lease}");
        }
        self.say(&format!(
            "manifest {}… sent and accepted",
            receipt.hash.get(..16).unwrap_or_default()
        ));
        Ok(())
    }

    /// Waits until the provider says that the workload runs, and returns where it is reachable.
    async fn running(&self, lease: &LeaseId) -> anyhow::Result<String> {
        let (base, trust) = self.rounds.api.clone();
        let client = self.tenant.client_of(base, trust, self.rounds.provider.clone())?;
        let order = &lease.order;
        let status = until("the workload to run", || async {
            let status = client
                .lease_status(self.dseq, order.group.gseq, order.oseq)
                .await?;
            match status.state {
                Some(WorkloadState::Running) if !status.endpoints.is_empty() => Ok(Some(status)),
                Some(WorkloadState::Failed) => bail!("the workload failed: {}", status.message),
                _ => Ok(None),
            }
        })
        .await?;
        let endpoint = status.endpoints.first().context("no endpoint")?;
        let url = format!("http://{}:{}", endpoint.host, endpoint.external_port);
        self.say(&format!("workload runs, reachable at {url}"));
        Ok(url)
    }

    /// Uses the service: processor, memory, disk and network.
    async fn traffic(&self, url: &str) -> anyhow::Result<()> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(no_tls()?)
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()?;
        for path in [
            "/",
            "/healthz",
            "/alloc?mb=16",
            "/write?mb=4",
            "/burn?ms=700",
            "/bytes?kb=256",
        ] {
            let answer = http.get(format!("{url}{path}")).send().await?;
            if !answer.status().is_success() {
                bail!("{path} answered {}", answer.status());
            }
            let bytes = answer.bytes().await?;
            if path == "/" {
                let first = String::from_utf8_lossy(&bytes);
                self.say(&format!(
                    "GET / answered: {}",
                    first.lines().next().unwrap_or_default()
                ));
            }
        }
        Ok(())
    }

    /// Waits until usage is on chain and paid while the lease still runs, and until the lease itself has paid.
    async fn paid(&self, lease: &LeaseId) -> anyhow::Result<()> {
        let order = lease.order.to_string();
        let settled = until("usage on chain, settled", || async {
            let usage = self.rounds.chain.usage_of(&order).await?;
            Ok(usage
                .into_iter()
                .find(|record| record.settled && record.usage_type == "cpu"))
        })
        .await?;
        self.say(&format!(
            "usage {} on chain and paid: {} core-ms",
            settled.id, settled.usage_units
        ));
        let withdrawn = until("a withdrawal from the lease", || async {
            let payment = self.rounds.chain.lease_payment(lease).await?;
            Ok(Some(payment.withdrawn).filter(|coin| coin.amount > 0))
        })
        .await?;
        self.say(&format!("the lease has paid {withdrawn}"));
        Ok(())
    }

    /// Waits until the lease is closed on chain, the workload is gone, nothing answers, and the provider has let go of it.
    async fn gone(&self, lease: &LeaseId, endpoint: &str) -> anyhow::Result<()> {
        let on_chain = self.rounds.chain.lease(lease).await?;
        if on_chain.state == LeaseState::Active {
            bail!("the lease is still active on chain");
        }
        let id = lease.clone();
        until("the provider to tear down", || {
            let id = id.clone();
            async move {
                Ok(self
                    .rounds
                    .desk
                    .ask(move |provider| is_released(provider, &id))
                    .await?
                    .then_some(()))
            }
        })
        .await?;
        let address = endpoint.trim_start_matches("http://");
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            bail!("something still listens at {address}");
        }
        self.say("workload terminated, its port is closed, capacity is free");
        Ok(())
    }

    /// Waits until every charge of every record is on chain and paid.
    async fn settled(&self, lease: &LeaseId) -> anyhow::Result<Vec<UsageOnChain>> {
        let id = lease.clone();
        until("every record to be paid", || {
            let id = id.clone();
            async move {
                let unpaid = move |provider: &Provider| {
                    provider
                        .books(&id)
                        .is_none_or(|books| books.entries().next().is_some())
                };
                Ok((!self.rounds.desk.ask(unpaid).await?).then_some(()))
            }
        })
        .await?;
        let usage = self.rounds.chain.usage_of(&lease.order.to_string()).await?;
        if let Some(open) = usage.iter().find(|record| !record.settled) {
            bail!("usage {} is on chain but not paid", open.id);
        }
        Ok(usage)
    }

    /// The signed records, verified as a tenant would: with nothing but the identity key.
    async fn records(&self, lease: &LeaseId) -> anyhow::Result<Vec<SignedRecord>> {
        let workload = WorkloadId::of_lease(lease);
        let all = move |provider: &Provider| -> Vec<SignedRecord> {
            let tenancy = provider.workloads().get(&workload);
            tenancy
                .map(|t| {
                    t.metered
                        .records()
                        .map(|recorded| recorded.signed.clone())
                        .collect()
                })
                .unwrap_or_default()
        };
        let records = self.rounds.desk.ask(all).await?;
        virtengine_metering::verify::verify_chain(&records, &self.rounds.identity)
            .map_err(|broken| anyhow::anyhow!("the chain of records is broken: {broken:?}"))?;
        self.say(&format!(
            "{} usage records verified with the provider's identity key",
            records.len()
        ));
        Ok(records)
    }
}

/// The transaction of our bid, once it has landed.
fn bid_tx(provider: &Provider, order: &OrderId) -> Option<TxHash> {
    let bids = provider.txs().values().filter(|tx| {
        matches!(&tx.purpose, crate::provider::Purpose::Bid { order: of, .. } if of == order)
            && tx.outcome.is_some()
    });
    bids.max_by_key(|tx| tx.number)?.signed.as_ref().map(|tx| tx.hash)
}

/// Whether the workload is gone and the lease finished.
fn is_released(provider: &Provider, lease: &LeaseId) -> bool {
    let finished = provider
        .leases()
        .get(lease)
        .is_some_and(|lease| matches!(lease.phase, Phase::Finished { .. }));
    let workload = provider.workloads().get(&WorkloadId::of_lease(lease));
    finished && workload.is_some_and(|t| t.machine.state() == lifecycle::WorkloadState::Terminated)
}

/// Looks until there is something to see. The chain being away for a moment is nothing to see.
async fn until<T, F: Future<Output = anyhow::Result<Option<T>>>>(
    what: &str,
    look: impl Fn() -> F,
) -> anyhow::Result<T> {
    let looking = async {
        loop {
            match look().await {
                Ok(Some(seen)) => return Ok(seen),
                Ok(None) => {}
                Err(error) => match error.downcast_ref::<ChainError>() {
                    Some(chain) if chain.is_retryable() => {}
                    _ => return Err(error),
                },
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(STEP_MAX, looking).await {
        Ok(seen) => seen.with_context(|| format!("waiting for {what}")),
        Err(_) => bail!("waited {} s for {what}, in vain", STEP_MAX.as_secs()),
    }
}

/// The client speaks plain HTTP to loopback only, but must be given a TLS backend.
pub(super) fn no_tls() -> anyhow::Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}
