//! The tenant's side of the market: what `virtengine-provider tenant` and the devnet do with a tenant's account.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use virtengine_chain::{ChainClient, Pipeline};
use virtengine_gateway::tenant::{TenantClient, TenantClientError, TenantClientOptions, Trust};
use virtengine_provider_core::id::{Address, BidId, DeploymentId, Height, IdError, LeaseId, OrderId, TxHash};
use virtengine_provider_core::manifest::ValidManifest;
use virtengine_provider_core::market::{Bid, BidState};
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::ports::chain::{
    ChainError, ChainQuery, Message, Rejection, TxOutcome, TxSender,
};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::ports::signer::Signer;

/// How long a transaction may take to land.
const TX_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two questions about it.
const TX_POLL: Duration = Duration::from_millis(100);
/// How often a transaction that the chain refuses for the moment is sent anew.
const TX_TRIES: u32 = 5;

/// A tenant with an account on the chain.
#[derive(Clone)]
pub struct Tenant {
    chain: ChainClient,
    pipeline: Arc<Pipeline>,
    signer: Arc<dyn Signer>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("address", self.pipeline.address())
            .finish_non_exhaustive()
    }
}

/// A transaction that is in a block and did what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    /// Its hash.
    pub hash: TxHash,
    /// The block.
    pub height: Height,
    /// What it cost.
    pub fee: Coin,
    /// Ids that its messages answered with.
    pub response_ids: Vec<String>,
}

/// Why a tenant's wish did not come true.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TenantError {
    /// The account's address cannot be made.
    #[error(transparent)]
    Address(#[from] IdError),
    /// The chain did not answer, or refused.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The transaction is in a block but failed, or can no longer land.
    #[error("transaction {hash} was refused: {rejection}")]
    Refused {
        /// Which.
        hash: TxHash,
        /// Why.
        rejection: Rejection,
    },
    /// The provider did not answer, or refused.
    #[error(transparent)]
    Provider(#[from] TenantClientError),
}

type Result<T> = std::result::Result<T, TenantError>;

impl Tenant {
    /// The tenant whose account key is `signer`.
    ///
    /// # Errors
    /// The configured address prefix is unusable.
    pub fn new(chain: ChainClient, signer: Arc<dyn Signer>, clock: Arc<dyn Clock>) -> Result<Self> {
        let pipeline = Arc::new(Pipeline::new(chain.clone(), Arc::clone(&signer))?);
        Ok(Self {
            chain,
            pipeline,
            signer,
            clock,
        })
    }

    /// The tenant's account.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.pipeline.address()
    }

    /// The chain that the tenant is on.
    #[must_use]
    pub const fn chain(&self) -> &ChainClient {
        &self.chain
    }

    /// Creates the deployment that `manifest` describes.
    ///
    /// # Errors
    /// [`TenantError`].
    pub async fn create_deployment(
        &self,
        manifest: &ValidManifest,
        dseq: u64,
        deposit: Coin,
    ) -> Result<(DeploymentId, Landed)> {
        let id = DeploymentId::new(self.address().clone(), dseq);
        let (groups, hash) = (manifest.group_specs(), manifest.hash());
        let message = Message::CreateDeployment {
            id: id.clone(),
            groups,
            hash,
            deposit,
        };
        Ok((id, self.send(&[message]).await?))
    }

    /// The open bids on an order, cheapest first.
    ///
    /// # Errors
    /// [`TenantError`].
    pub async fn open_bids(&self, order: &OrderId) -> Result<Vec<Bid>> {
        let mut bids = self.chain.bids_on(order).await?;
        bids.retain(|bid| bid.state == BidState::Open);
        bids.sort_by_key(|bid| bid.price.amount);
        Ok(bids)
    }

    /// Takes a bid.
    ///
    /// # Errors
    /// [`TenantError`].
    pub async fn create_lease(&self, bid: BidId) -> Result<Landed> {
        self.send(&[Message::CreateLease { id: bid }]).await
    }

    /// Opens a settlement escrow for metered usage of a lease. It pays nobody until somebody activates it; the provider of the
    /// lease does so by itself.
    ///
    /// # Errors
    /// [`TenantError`].
    pub async fn create_escrow(
        &self,
        lease: &LeaseId,
        amount: Coin,
        expires_in: u64,
    ) -> Result<(String, Landed)> {
        let order_id = lease.order.to_string();
        let created = self
            .send(&[Message::CreateEscrow {
                order_id,
                amount,
                expires_in,
            }])
            .await?;
        Ok((created.response_ids.first().cloned().unwrap_or_default(), created))
    }

    /// Closes a deployment with its leases.
    ///
    /// # Errors
    /// [`TenantError`].
    pub async fn close_deployment(&self, id: DeploymentId) -> Result<Landed> {
        self.send(&[Message::CloseDeployment { id }]).await
    }

    /// A client of the provider's tenant API that signs as this tenant.
    ///
    /// # Errors
    /// The address of the provider is unusable.
    pub fn client_of(&self, base: String, trust: Trust, provider: Address) -> Result<TenantClient> {
        let chain_id = self.chain.config().chain_id.clone();
        let (signer, clock) = (Arc::clone(&self.signer), Arc::clone(&self.clock));
        Ok(TenantClient::new(TenantClientOptions {
            base,
            trust,
            provider,
            chain_id,
            signer,
            clock,
        })?)
    }

    /// Signs, sends and waits until the transaction is in a block. What the chain refuses for the moment is sent anew.
    ///
    /// # Errors
    /// [`TenantError`].
    pub async fn send(&self, messages: &[Message]) -> Result<Landed> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.send_once(messages).await {
                Err(
                    TenantError::Refused { rejection, .. }
                    | TenantError::Chain(ChainError::Rejected(rejection)),
                ) if rejection.kind.is_retryable() && tries < TX_TRIES => {
                    tracing::debug!(%rejection, "sent anew");
                    tokio::time::sleep(TX_POLL * 5).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn send_once(&self, messages: &[Message]) -> Result<Landed> {
        let tx = self.pipeline.sign(messages, TX_TIMEOUT).await?;
        self.pipeline.broadcast(&tx).await?;
        loop {
            match self.pipeline.outcome(&tx).await? {
                TxOutcome::Unknown => tokio::time::sleep(TX_POLL).await,
                TxOutcome::Rejected(rejection) => {
                    return Err(TenantError::Refused {
                        hash: tx.hash,
                        rejection,
                    });
                }
                TxOutcome::Landed {
                    height, response_ids, ..
                } => {
                    return Ok(Landed {
                        hash: tx.hash,
                        height,
                        fee: tx.fee,
                        response_ids,
                    });
                }
            }
        }
    }
}
