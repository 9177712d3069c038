//! The client that everything else is built on: one chain behind several endpoints.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::{Message, Name};
use virtengine_provider_core::id::{Address, DeploymentId, Height, LeaseId};
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::ports::chain::{ChainError, Head};

use crate::block_time::BlockTime;
use crate::config::{ChainConfig, ConfigError};
use crate::proto::cosmos::auth::v1beta1::{QueryAccountInfoRequest, QueryAccountInfoResponse};
use crate::proto::cosmos::base::query::v1beta1::{PageRequest, PageResponse};
use crate::proto::virtengine::deployment::v1beta4 as deployment;
use crate::proto::virtengine::escrow::types::v1 as escrow;
use crate::proto::virtengine::market::v1beta5 as market;
use crate::rpc::{AbciAnswer, EndpointStatus, Pool, excerpt};
use crate::wire::{self, WireError};

/// Pages of one list that are read at most: 200,000 items with the default page.
const PAGES_MAX: usize = 1000;
/// Items of one list that are read at most, however many a page holds: each is kept in memory.
const ITEMS_MAX: usize = 200_000;
/// Bytes of one list that are read at most.
const LIST_BYTES_MAX: usize = 256 << 20;
/// The longest that a list may take, in request timeouts: 10 minutes with the default of 10 s.
const LIST_TIMEOUTS: u32 = 60;
/// How often a list is begun anew when its height goes away while it is read.
const RESTARTS_MAX: usize = 2;

/// A client of one chain. Cloning is cheap and shares the endpoints and what is known of them.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use virtengine_chain::{ChainClient, ChainConfig};
/// use virtengine_provider_core::ports::chain::ChainQuery as _;
///
/// let endpoint = "http://127.0.0.1:26657".parse()?;
/// let client = ChainClient::new(ChainConfig::new("virtengine-localnet-1", endpoint))?;
/// for order in client.open_orders().await? {
///     println!("{}", order.id);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ChainClient(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: Pool,
    config: ChainConfig,
    block_time: Mutex<BlockTime>,
}

/// An account as the chain has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountState {
    /// Its number.
    pub number: u64,
    /// The sequence that its next transaction must have.
    pub sequence: u64,
}

/// The stream of money of a lease (spec/chain-node.md 2.5: it may go on after the lease has closed).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasePayment {
    /// Whether the provider still earns.
    pub open: bool,
    /// Whether it ended because the escrow ran dry.
    pub overdrawn: bool,
    /// What has been paid out.
    pub withdrawn: Coin,
}

impl ChainClient {
    /// A client with these settings. Nobody is asked yet: a chain that is away is no reason not to start.
    ///
    /// # Errors
    /// [`ConfigError`] with every setting that cannot be used.
    pub fn new(config: ChainConfig) -> Result<Self, ConfigError> {
        let pool = Pool::new(&config)?;
        let block_time = Mutex::new(BlockTime::new(config.block_time));
        Ok(Self(Arc::new(Shared {
            pool,
            config,
            block_time,
        })))
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &ChainConfig {
        &self.0.config
    }

    /// What is known of each endpoint, without asking anybody: answers at once.
    #[must_use]
    pub fn status(&self) -> Vec<EndpointStatus> {
        self.0.pool.status()
    }

    /// Asks every endpoint now, then tells what is known of each.
    pub async fn ping(&self) -> Vec<EndpointStatus> {
        // Who does not answer is in the list with the reason.
        let _ = self.newest().await;
        self.0.pool.status()
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// How long a block takes: measured once enough of them have passed by, `chain.block_time` before.
    #[must_use]
    pub fn block_time(&self) -> Duration {
        let time = self.0.block_time.lock();
        time.unwrap_or_else(PoisonError::into_inner).estimate()
    }

    /// The newest block, asked now.
    pub(crate) async fn newest(&self) -> Result<Head, ChainError> {
        let head = self.0.pool.head().await?;
        let time = self.0.block_time.lock();
        time.unwrap_or_else(PoisonError::into_inner)
            .saw(head.height, head.time);
        Ok(head)
    }

    /// An account's number and sequence, in the newest block.
    ///
    /// # Errors
    /// [`ChainError::NotFound`] when it has never received anything.
    pub async fn account(&self, address: &Address) -> Result<AccountState, ChainError> {
        let request = QueryAccountInfoRequest {
            address: address.to_string(),
        };
        let answer: QueryAccountInfoResponse = self.ask(ACCOUNT_INFO, &request).await?;
        let info = answer
            .info
            .ok_or_else(|| malformed(&WireError::Missing("info")))?;
        Ok(AccountState {
            number: info.account_number,
            sequence: info.sequence,
        })
    }

    /// The payment of a lease: it, not the lease, says whether the provider still earns.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn lease_payment(&self, id: &LeaseId) -> Result<LeasePayment, ChainError> {
        let request = market::QueryLeaseRequest {
            id: Some(wire::lease_id_to_wire(id)),
        };
        let answer: market::QueryLeaseResponse = self
            .ask("/virtengine.market.v1beta5.Query/Lease", &request)
            .await?;
        let state = answer.escrow_payment.and_then(|payment| payment.state);
        let state = state.ok_or_else(|| malformed(&WireError::Missing("escrow_payment")))?;
        Ok(LeasePayment {
            open: state.state == i32::from(escrow::State::Open),
            overdrawn: state.state == i32::from(escrow::State::Overdrawn),
            withdrawn: wire::coin("withdrawn", state.withdrawn.as_ref())
                .map_err(|error| malformed(&error))?,
        })
    }

    /// Whether the escrow account of a deployment is overdrawn: the sign of an unpaid workload, whatever the lease says
    /// (spec/chain.md B.5).
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn is_overdrawn(&self, id: &DeploymentId) -> Result<bool, ChainError> {
        let request = deployment::QueryDeploymentRequest {
            id: Some(wire::deployment_id_to_wire(id)),
        };
        let answer: deployment::QueryDeploymentResponse = self
            .ask("/virtengine.deployment.v1beta4.Query/Deployment", &request)
            .await?;
        let state = answer.escrow_account.and_then(|account| account.state);
        let state = state.ok_or_else(|| malformed(&WireError::Missing("escrow_account")))?;
        Ok(state.state == i32::from(escrow::State::Overdrawn))
    }

    /// One question to a module.
    ///
    /// # Errors
    /// [`ChainError::NotFound`] when there is no such thing.
    pub(crate) async fn ask<Q, A>(&self, path: &str, request: &Q) -> Result<A, ChainError>
    where
        Q: Message,
        A: Message + Default + Name,
    {
        let answer = self.ask_at(path, &request.encode_to_vec(), Height(0)).await?;
        read(path, &answer)
    }

    pub(crate) async fn ask_at(
        &self,
        path: &str,
        data: &[u8],
        height: Height,
    ) -> Result<AbciAnswer, ChainError> {
        let ask = |rpc: crate::rpc::Rpc| async move { rpc.abci_query(path, data, height).await };
        Ok(self.0.pool.call(ask).await?)
    }

    /// A whole list, page by page, all at one height; bounded in items, bytes and time, whatever an endpoint answers.
    pub(crate) async fn list<Q, A, T>(
        &self,
        path: &str,
        request: impl Fn(PageRequest) -> Q,
        items: impl Fn(A) -> (Vec<T>, Option<PageResponse>),
    ) -> Result<Vec<T>, ChainError>
    where
        Q: Message,
        A: Message + Default + Name,
    {
        let mut restarts = 0;
        let read = async {
            loop {
                match self.list_once(path, &request, &items).await {
                    // The height of the first page is gone, or the next endpoint is not there yet.
                    Err(ListError::Height(_)) if restarts < RESTARTS_MAX => restarts += 1,
                    Err(ListError::Height(error) | ListError::Other(error)) => return Err(error),
                    Ok(list) => return Ok(list),
                }
            }
        };
        let patience = self.0.config.request_timeout.saturating_mul(LIST_TIMEOUTS);
        tokio::time::timeout(patience, read).await.unwrap_or_else(|_| {
            let words = format!("{path}: the list is not complete after {} s", patience.as_secs());
            Err(ChainError::Unreachable(words))
        })
    }

    async fn list_once<Q, A, T>(
        &self,
        path: &str,
        request: &impl Fn(PageRequest) -> Q,
        items: &impl Fn(A) -> (Vec<T>, Option<PageResponse>),
    ) -> Result<Vec<T>, ListError>
    where
        Q: Message,
        A: Message + Default + Name,
    {
        let (mut list, mut key, mut height) = (Vec::new(), Vec::new(), Height(0));
        let mut bytes = 0_usize;
        for _ in 0..PAGES_MAX {
            let page = PageRequest {
                key: key.clone(),
                limit: self.0.config.page_limit,
                ..PageRequest::default()
            };
            let data = request(page).encode_to_vec();
            let answer = self.ask_at(path, &data, height).await.map_err(ListError::Other)?;
            let page = read::<A>(path, &answer);
            let page = page.map_err(|error| {
                if height.0 > 0 {
                    ListError::Height(error)
                } else {
                    ListError::Other(error)
                }
            })?;
            let (found, next) = items(page);
            bytes = bytes.saturating_add(answer.value.len());
            let (count, too_long) = (list.len().saturating_add(found.len()), bytes > LIST_BYTES_MAX);
            if count > ITEMS_MAX || too_long {
                let what = if too_long {
                    format!("{LIST_BYTES_MAX} bytes")
                } else {
                    format!("{ITEMS_MAX} items")
                };
                let error = ChainError::Malformed(format!("{path}: a list of more than {what}"));
                return Err(ListError::Other(error));
            }
            list.extend(found);
            let next = next.map(|page| page.next_key).unwrap_or_default();
            if next.is_empty() {
                return Ok(list);
            }
            if next == key {
                let error = ChainError::Malformed(format!("{path}: the same page again and again"));
                return Err(ListError::Other(error));
            }
            key = next;
            height = answer.height;
        }
        let error = ChainError::Malformed(format!("{path}: more than {PAGES_MAX} pages"));
        Err(ListError::Other(error))
    }
}

const ACCOUNT_INFO: &str = "/cosmos.auth.v1beta1.Query/AccountInfo";

enum ListError {
    /// A later page at a fixed height failed.
    Height(ChainError),
    Other(ChainError),
}

/// What the application answered. Measured: not found is sdk/22, and so is everything that gRPC calls NOT_FOUND; every other
/// refusal of a question means that the question or the path is wrong.
pub(crate) fn read<A: Message + Default + Name>(path: &str, answer: &AbciAnswer) -> Result<A, ChainError> {
    if answer.code != 0 {
        let log = excerpt(&answer.log);
        let not_found = (answer.codespace == "sdk" && answer.code == 22) || log.contains("code = NotFound");
        return Err(if not_found {
            ChainError::NotFound(log)
        } else {
            ChainError::Malformed(format!("{path}: {}/{}: {log}", answer.codespace, answer.code))
        });
    }
    wire::decode(&answer.value).map_err(|error| malformed(&error))
}

pub(crate) fn malformed(error: &WireError) -> ChainError {
    ChainError::Malformed(error.to_string())
}
