//! What the market says, as the provider sees it: orders, bids, leases, deployments, escrows. The chain crate converts wire
//! messages into these; nothing here goes on the wire.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::{Address, BidId, DeploymentId, GroupId, Height, LeaseId, OrderId};
use crate::money::{Coin, Price};
use crate::units::Resources;

/// A key with a value, e.g. `region` = `us-east`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attribute {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// State of an order on chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Waits for bids.
    Open,
    /// Matched by a lease.
    Active,
    /// Over.
    Closed,
}

/// State of a bid on chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BidState {
    /// Waits for the tenant. May stay so for ever when another bid won (spec/chain.md B.5).
    Open,
    /// Became a lease.
    Active,
    /// Another bid won; the deposit is back.
    Lost,
    /// Over.
    Closed,
}

/// State of a lease on chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    /// Being served.
    Active,
    /// Closed because the escrow ran dry.
    InsufficientFunds,
    /// Closed.
    Closed,
}

/// An order: what a tenant asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its identity.
    pub id: OrderId,
    /// Its state.
    pub state: OrderState,
    /// What is asked.
    pub spec: GroupSpec,
    /// The height at which it was opened.
    pub created_at: Height,
}

/// The needs of one placement group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// Name of the placement.
    pub name: String,
    /// Attributes that the provider must have; keys may be globs (`*`), values compare exactly.
    pub attributes: Vec<Attribute>,
    /// Auditors that must all have signed the attributes.
    pub signed_by_all_of: Vec<Address>,
    /// Auditors of which one must have signed the attributes.
    pub signed_by_any_of: Vec<Address>,
    /// The units asked for.
    pub resources: Vec<ResourceUnit>,
}

/// `count` times the same resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceUnit {
    /// Unique within the group, above 0.
    pub id: u32,
    /// How many.
    pub count: u32,
    /// CPU of one, in thousandths of a core.
    pub cpu_millis: u64,
    /// Memory of one, in bytes.
    pub memory_bytes: u64,
    /// Volumes of one.
    pub storage: Vec<StorageVolume>,
    /// GPUs of one.
    pub gpus: u64,
    /// GPU wishes, e.g. `vendor/nvidia/model/a100` = `true`: at least one must be offered.
    pub gpu_attributes: Vec<Attribute>,
    /// CPU wishes, e.g. `arch` = `amd64`.
    pub cpu_attributes: Vec<Attribute>,
    /// Memory wishes.
    pub memory_attributes: Vec<Attribute>,
    /// Endpoints asked for.
    pub endpoints: Vec<Endpoint>,
    /// The most that the tenant pays for one, per block.
    pub price: Price,
}

/// One volume of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageVolume {
    /// Its name; `default` when the tenant gave none.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Wishes, e.g. `class` = `beta2`, `persistent` = `true`: all must be offered.
    pub attributes: Vec<Attribute>,
}

/// An endpoint that the tenant asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// What kind.
    pub kind: EndpointKind,
    /// Which leased address; 0 when none.
    pub sequence_number: u32,
}

/// Kinds of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointKind {
    /// A host name behind a shared HTTP ingress.
    SharedHttp,
    /// A port of the provider's choice.
    RandomPort,
    /// An address of its own.
    LeasedIp,
}

impl ResourceUnit {
    /// What one unit takes from capacity.
    ///
    /// # Errors
    /// [`crate::units::Overflow`] when the volumes sum up beyond `u64`.
    pub fn one(&self) -> Result<Resources, crate::units::Overflow> {
        let mut storage_bytes = 0_u64;
        for volume in &self.storage {
            storage_bytes = storage_bytes
                .checked_add(volume.bytes)
                .ok_or(crate::units::Overflow)?;
        }
        Ok(Resources {
            cpu_millis: self.cpu_millis,
            memory_bytes: self.memory_bytes,
            storage_bytes,
            gpus: self.gpus,
        })
    }
}

impl GroupSpec {
    /// What the whole group takes from capacity: Σ unit × count.
    ///
    /// # Errors
    /// [`crate::units::Overflow`].
    pub fn total(&self) -> Result<Resources, crate::units::Overflow> {
        let mut total = Resources::ZERO;
        for unit in &self.resources {
            total = total.checked_add(&unit.one()?.checked_mul(u64::from(unit.count))?)?;
        }
        Ok(total)
    }
}

/// A bid on chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bid {
    /// Its identity.
    pub id: BidId,
    /// Its state.
    pub state: BidState,
    /// Price per block.
    pub price: Price,
    /// The height at which it was made.
    pub created_at: Height,
}

/// A lease on chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its identity.
    pub id: LeaseId,
    /// Its state.
    pub state: LeaseState,
    /// Price per block.
    pub price: Price,
    /// The height at which it began.
    pub created_at: Height,
    /// The height at which it ended; 0 while active.
    pub closed_on: Height,
}

/// Why a lease ended; the numbers are the chain's (spec/chain.md B.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// By the tenant.
    Owner,
    /// The workload could not be kept running.
    Unstable,
    /// The provider takes capacity out of service.
    Decommission,
    /// No reason given.
    Unspecified,
    /// The tenant sent no manifest in time.
    ManifestTimeout,
    /// The escrow ran dry.
    InsufficientFunds,
}

impl CloseReason {
    /// The chain's number.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Owner => 1,
            Self::Unstable => 10_000,
            Self::Decommission => 10_001,
            Self::Unspecified => 10_002,
            Self::ManifestTimeout => 10_003,
            Self::InsufficientFunds => 20_000,
        }
    }

    /// The reason behind the chain's number; unknown numbers are [`Self::Unspecified`].
    #[must_use]
    pub const fn from_code(code: i32) -> Self {
        match code {
            1 => Self::Owner,
            10_000 => Self::Unstable,
            10_001 => Self::Decommission,
            10_003 => Self::ManifestTimeout,
            20_000 => Self::InsufficientFunds,
            _ => Self::Unspecified,
        }
    }
}

/// A deployment on chain, as far as a provider cares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its identity.
    pub id: DeploymentId,
    /// Whether it is active.
    pub active: bool,
    /// Hash of the manifest that the tenant will send (spec/chain.md D.7).
    pub manifest_hash: [u8; 32],
    /// Its groups, in order of `gseq`.
    pub groups: Vec<(GroupId, GroupSpec)>,
}

/// A settlement escrow (spec/chain.md B.8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementEscrow {
    /// `escrow-<n>`.
    pub id: String,
    /// The order that it pays for, as the tenant wrote it.
    pub order_id: String,
    /// The lease that it pays for; empty while pending.
    pub lease_id: String,
    /// Who is paid; `None` while pending.
    pub recipient: Option<Address>,
    /// `pending`, `active`, `released`, `refunded`, `disputed` or `expired`.
    pub state: String,
    /// What is left.
    pub balance: Vec<Coin>,
    /// When it expires, unix seconds.
    pub expires_at: i64,
}

/// What a block told us, in order (spec/chain.md C.1). Unknown events are not represented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum MarketEvent {
    /// A deployment appeared.
    DeploymentCreated {
        /// Which.
        id: DeploymentId,
        /// Its manifest hash.
        #[serde(with = "hex::serde")]
        manifest_hash: [u8; 32],
    },
    /// The tenant announced another manifest.
    DeploymentUpdated {
        /// Which.
        id: DeploymentId,
        /// Its new manifest hash.
        #[serde(with = "hex::serde")]
        manifest_hash: [u8; 32],
    },
    /// A deployment ended.
    DeploymentClosed {
        /// Which.
        id: DeploymentId,
    },
    /// A group was started again.
    GroupStarted {
        /// Which.
        id: GroupId,
    },
    /// A group was paused.
    GroupPaused {
        /// Which.
        id: GroupId,
    },
    /// A group ended.
    GroupClosed {
        /// Which.
        id: GroupId,
    },
    /// An order opened.
    OrderCreated {
        /// Which.
        id: OrderId,
    },
    /// An order ended.
    OrderClosed {
        /// Which.
        id: OrderId,
    },
    /// Somebody bid.
    BidCreated {
        /// Which.
        id: BidId,
        /// Price per block.
        price: Price,
    },
    /// A bid ended.
    BidClosed {
        /// Which.
        id: BidId,
    },
    /// A lease began. The losing bids get no event.
    LeaseCreated {
        /// Which.
        id: LeaseId,
        /// Price per block.
        price: Price,
    },
    /// A lease ended.
    LeaseClosed {
        /// Which.
        id: LeaseId,
        /// Why.
        reason: CloseReason,
    },
}
