//! The chain: what we ask it, and what we send.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::id::{Address, BidId, DeploymentId, GroupId, Height, LeaseId, OrderId, TxHash};
use crate::market::{
    Attribute, Bid, CloseReason, Deployment, GroupSpec, Lease, MarketEvent, Order, SettlementEscrow,
};
use crate::money::{Coin, Denom, Price};
use crate::time::Timestamp;

/// A message of a transaction. The sender is the account that signs the transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Message {
    /// Provider: bid on an order (spec/chain.md B.4).
    CreateBid {
        /// The order and us.
        id: BidId,
        /// Price per block.
        price: Price,
        /// Taken from our balance, back when the bid ends.
        deposit: Coin,
    },
    /// Provider: take back a bid, or close the lease that it became.
    CloseBid {
        /// Which.
        id: BidId,
        /// Why.
        reason: CloseReason,
    },
    /// Provider: collect what the lease escrow owes (at most once per block and account).
    WithdrawLease {
        /// Which.
        id: LeaseId,
    },
    /// Provider: put usage on chain (spec/chain.md B.8).
    RecordUsage {
        /// Order id as the escrow has it.
        order_id: String,
        /// Lease id as the escrow has it.
        lease_id: String,
        /// How much, above 0.
        usage_units: u64,
        /// `cpu`, `memory`, `storage`, `network` or `gpu`.
        usage_type: String,
        /// Unix seconds.
        period_start: i64,
        /// Unix seconds, after `period_start`.
        period_end: i64,
        /// Price of one unit.
        unit_price: Price,
        /// Ours; never empty.
        #[serde(with = "hex::serde")]
        signature: Vec<u8>,
    },
    /// Provider or tenant: pay out recorded usage.
    SettleOrder {
        /// Order id as the escrow has it.
        order_id: String,
        /// Which records; never empty (spec/chain-node.md 2.4: "all" charges twice).
        usage_record_ids: Vec<String>,
        /// Takes the whole remaining balance: only when the lease is closed and every record is on chain.
        is_final: bool,
    },
    /// Provider: inventory heartbeat (spec/chain.md B.7).
    Heartbeat(Heartbeat),
    /// Provider: register (refused by the chain as of spec/chain-node.md 2.1).
    CreateProvider(ProviderRecord),
    /// Provider: change the record.
    UpdateProvider(ProviderRecord),
    /// Tenant: create a deployment (spec/chain.md B.6).
    CreateDeployment {
        /// Its identity.
        id: DeploymentId,
        /// One per placement, sorted by name.
        groups: Vec<GroupSpec>,
        /// Manifest hash (spec/chain.md D.7).
        #[serde(with = "hex::serde")]
        hash: [u8; 32],
        /// Taken from the tenant's balance; pays the leases.
        deposit: Coin,
    },
    /// Tenant: announce another manifest.
    UpdateDeployment {
        /// Which.
        id: DeploymentId,
        /// New manifest hash.
        #[serde(with = "hex::serde")]
        hash: [u8; 32],
    },
    /// Tenant: end a deployment and its leases.
    CloseDeployment {
        /// Which.
        id: DeploymentId,
    },
    /// Tenant: pause a group.
    PauseGroup {
        /// Which.
        id: GroupId,
    },
    /// Tenant: start a paused group.
    StartGroup {
        /// Which.
        id: GroupId,
    },
    /// Tenant: close a group.
    CloseGroup {
        /// Which.
        id: GroupId,
    },
    /// Tenant: accept a bid.
    CreateLease {
        /// Which.
        id: BidId,
    },
    /// Tenant: end a lease.
    CloseLease {
        /// Which.
        id: LeaseId,
    },
    /// Anybody: top up the escrow of a deployment.
    DepositDeployment {
        /// Which.
        id: DeploymentId,
        /// How much.
        deposit: Coin,
    },
    /// Tenant: open a settlement escrow.
    CreateEscrow {
        /// Order id, as text.
        order_id: String,
        /// How much.
        amount: Coin,
        /// Seconds, 3600 to 31,536,000.
        expires_in: u64,
    },
    /// Anybody: name the recipient of a settlement escrow.
    ActivateEscrow {
        /// `escrow-<n>`.
        escrow_id: String,
        /// Lease id, as text.
        lease_id: String,
        /// Who is paid.
        recipient: Address,
    },
    /// Anybody: send coins.
    BankSend {
        /// To whom.
        to: Address,
        /// How much.
        amount: Coin,
    },
}

/// What a provider reports of its inventory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Empty: the chain uses `<provider>-<class number>`.
    pub inventory_id: String,
    /// 1 compute, 2 storage, 3 network.
    pub resource_class: u32,
    /// What there is.
    pub total: InventoryCapacity,
    /// What is free.
    pub available: InventoryCapacity,
    /// Strictly increasing per inventory.
    pub sequence: u64,
    /// Region, e.g. `us-east`.
    pub region: String,
}

/// Whole units, as the chain counts inventory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InventoryCapacity {
    /// Cores.
    pub cpu_cores: i64,
    /// GiB.
    pub memory_gb: i64,
    /// GiB.
    pub storage_gb: i64,
    /// GPUs.
    pub gpus: i64,
}

/// A provider's record on chain (spec/chain.md B.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderRecord {
    /// Whose; must be the sender.
    pub owner: Address,
    /// `https`, with a host and no path.
    pub host_uri: String,
    /// Sorted, no duplicate keys.
    pub attributes: Vec<Attribute>,
    /// Contact; may be empty.
    pub email: String,
    /// Web site; may be empty.
    pub website: String,
}

/// Why the chain refused, sorted by what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RejectKind {
    /// The order, bid or lease is in another state by now: nothing to send any more.
    StateChanged,
    /// We have done this already (bid exists, bid closed, record there).
    AlreadyDone,
    /// We do not meet the order's terms (price, attributes, capabilities, bids used up).
    NotEligible,
    /// Too little money in the account, for deposit or fee.
    InsufficientFunds,
    /// The fee was below the node's minimum: raise it and send again.
    FeeTooLow,
    /// More gas was needed: raise it and send again.
    OutOfGas,
    /// Too many transactions in this block: later.
    RateLimited,
    /// The account sequence moved: re-read and sign again.
    SequenceMismatch,
    /// It cannot land any more because its timeout height has passed.
    TimedOut,
    /// Works one block later (second withdrawal in a block).
    NextBlock,
    /// A VEID, MFA, authorization or signature gate.
    Unauthorized,
    /// The node is busy (mempool full).
    Busy,
    /// The chain does not understand or accept the message.
    Invalid,
}

impl RejectKind {
    /// Whether the same message may succeed later without anybody acting.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::FeeTooLow
                | Self::OutOfGas
                | Self::RateLimited
                | Self::SequenceMismatch
                | Self::TimedOut
                | Self::NextBlock
                | Self::Busy
        )
    }
}

/// A refusal of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{codespace}/{code}: {log}")]
pub struct Rejection {
    /// What to do about it.
    pub kind: RejectKind,
    /// The chain's codespace; `undefined` when it kept it to itself (spec/chain-node.md 2.1).
    pub codespace: String,
    /// The chain's code.
    pub code: u32,
    /// The chain's words, shortened to 1 KiB, without stack traces.
    pub log: String,
}

/// A signed transaction: what must be durable before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTx {
    /// Its hash.
    pub hash: TxHash,
    /// The account sequence that it uses.
    pub sequence: u64,
    /// It cannot land above this height.
    pub timeout_height: Height,
    /// The most that it costs.
    pub fee: Coin,
    /// The bytes of its `TxRaw`.
    #[serde(with = "hex::serde")]
    pub tx_raw: Vec<u8>,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum TxOutcome {
    /// It is in a block and did what it says.
    Landed {
        /// The block.
        height: Height,
        /// Gas that it used.
        gas_used: u64,
        /// Ids that the messages answered with, in message order (`usage_id`, `escrow_id`, `settlement_id`; empty otherwise).
        response_ids: Vec<String>,
    },
    /// It did nothing (but may have cost its fee).
    Rejected(Rejection),
    /// Nobody knows yet; ask again, and send nothing in its place before `timeout_height`.
    Unknown,
}

/// Why a question to the chain has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No endpoint answered (in time, or with something usable).
    #[error("no chain endpoint answers: {0}")]
    Unreachable(String),
    /// There is no such thing.
    #[error("not found on chain: {0}")]
    NotFound(String),
    /// The chain refused while simulating or broadcasting.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The signer could not sign.
    #[error(transparent)]
    Sign(#[from] super::signer::SignError),
    /// The answer is not what the contract says.
    #[error("unusable answer from the chain: {0}")]
    Malformed(String),
    /// The endpoint is of another chain than configured.
    #[error("wrong chain: {0}")]
    WrongChain(String),
}

impl ChainError {
    /// Whether asking again may help without anybody acting.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Rejected(rejection) => rejection.kind.is_retryable(),
            Self::Sign(error) => error.is_retryable(),
            _ => false,
        }
    }
}

/// The newest block that an endpoint knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The chain.
    pub chain_id: String,
    /// Its height.
    pub height: Height,
    /// Its time.
    pub time: Timestamp,
}

/// One block as a provider sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Its height.
    pub height: Height,
    /// Its time.
    pub time: Timestamp,
    /// The market events of its transactions and of the block itself, in order.
    pub events: Vec<MarketEvent>,
    /// Every transaction in it.
    pub txs: Vec<TxHash>,
}

/// Questions to the chain. Every list is complete (all pages).
#[async_trait]
pub trait ChainQuery: Send + Sync {
    /// The newest block.
    async fn head(&self) -> Result<Head, ChainError>;
    /// Every open order.
    async fn open_orders(&self) -> Result<Vec<Order>, ChainError>;
    /// One order.
    async fn order(&self, id: &OrderId) -> Result<Order, ChainError>;
    /// The provider's open and active bids.
    async fn bids_of(&self, provider: &Address) -> Result<Vec<Bid>, ChainError>;
    /// One bid.
    async fn bid(&self, id: &BidId) -> Result<Bid, ChainError>;
    /// Every bid on an order.
    async fn bids_on(&self, order: &OrderId) -> Result<Vec<Bid>, ChainError>;
    /// The provider's active leases.
    async fn leases_of(&self, provider: &Address) -> Result<Vec<Lease>, ChainError>;
    /// One lease.
    async fn lease(&self, id: &LeaseId) -> Result<Lease, ChainError>;
    /// One deployment with its groups.
    async fn deployment(&self, id: &DeploymentId) -> Result<Deployment, ChainError>;
    /// Settlement escrows of an order (order id as text).
    async fn escrows_of(&self, order_id: &str) -> Result<Vec<SettlementEscrow>, ChainError>;
    /// Usage recorded for an order, without the chain's duplicates (spec/chain-node.md 2.4).
    async fn usage_of(&self, order_id: &str) -> Result<Vec<UsageOnChain>, ChainError>;
    /// A provider's record; `None` when it is not registered.
    async fn provider(&self, owner: &Address) -> Result<Option<ProviderRecord>, ChainError>;
    /// Balance of an account.
    async fn balance(&self, account: &Address, denom: &Denom) -> Result<Coin, ChainError>;
    /// Smallest deposit of a bid, and how many bids an order takes.
    async fn bid_params(&self) -> Result<(Coin, u32), ChainError>;
}

/// A usage record as it stands on chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageOnChain {
    /// `usage-<…>`.
    pub id: String,
    /// What kind.
    pub usage_type: String,
    /// How much.
    pub usage_units: u64,
    /// Unix seconds.
    pub period_start: i64,
    /// Unix seconds.
    pub period_end: i64,
    /// What it costs.
    pub total_cost: Vec<Coin>,
    /// Whether it has been paid.
    pub settled: bool,
    /// The signature that came with it.
    #[serde(with = "hex::serde")]
    pub signature: Vec<u8>,
}

/// Sends transactions of one account. Only one call at a time signs: there is one owner of the account sequence.
#[async_trait]
pub trait TxSender: Send + Sync {
    /// The account.
    fn address(&self) -> &Address;

    /// Simulates, prices and signs; nothing is sent. The result must be durable before [`Self::broadcast`].
    ///
    /// # Errors
    /// [`ChainError::Rejected`] when the simulation is refused.
    async fn sign(&self, messages: &[Message], timeout: Duration) -> Result<SignedTx, ChainError>;

    /// Sends; safe to repeat with the same transaction. `Ok` means "in the mempool or a block", not success.
    async fn broadcast(&self, tx: &SignedTx) -> Result<(), ChainError>;

    /// What became of it, asked once. [`TxOutcome::Unknown`] until it is in a block or can no longer land.
    async fn outcome(&self, tx: &SignedTx) -> Result<TxOutcome, ChainError>;
}
