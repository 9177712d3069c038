//! What the operator wants: whom to serve, what is offered, at what price, within which limits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use virtengine_provider_core::id::Address;
use virtengine_provider_core::market::{Attribute, EndpointKind};
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::pricing::{BlockTime, Denomination, PriceTable, PricingError};

use crate::limits::Limits;

/// What is offered beside CPU, memory, storage and GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Our attributes as they stand on chain, e.g. `region` = `us-east`, `capabilities/gpu/vendor/nvidia/model/a100` =
    /// `true`, `capabilities/storage/1/class` = `beta2` (spec/chain.md B.4).
    pub attributes: Vec<Attribute>,
    /// Which of them each auditor has signed.
    pub audited: BTreeMap<Address, Vec<Attribute>>,
    /// CPU architectures of our machines, e.g. `amd64`.
    pub architectures: Vec<String>,
    /// Regions whose orders are served; empty: all.
    pub regions: Vec<String>,
    /// Kinds of endpoints that the back ends can give.
    pub endpoints: Vec<EndpointKind>,
    /// Whether the back ends keep volumes beyond the life of a replica.
    pub persistent_storage: bool,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            attributes: Vec::new(),
            audited: BTreeMap::new(),
            architectures: vec!["amd64".to_owned()],
            regions: Vec::new(),
            endpoints: vec![EndpointKind::SharedHttp, EndpointKind::RandomPort],
            persistent_storage: true,
        }
    }
}

/// What the operator wants. Compiled by [`crate::Bidder::new`]; a new policy is a new bidder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Our address.
    pub provider: Address,
    /// What is offered.
    pub profile: Profile,
    /// Owners who are never served.
    pub blocked_owners: BTreeSet<Address>,
    /// Owners who are served; empty: all that are not blocked.
    pub allowed_owners: BTreeSet<Address>,
    /// The prices.
    pub prices: PriceTable,
    /// The money of the chain; orders in other money are declined.
    pub denomination: Denomination,
    /// The average time between two blocks.
    pub block_time: BlockTime,
    /// How many bids may be sent.
    pub limits: Limits,
    /// What is locked up with a bid (chain parameter `bid_min_deposit`).
    pub deposit: Coin,
    /// How many bids an order takes (chain parameter `order_max_bids`, default 20).
    pub order_max_bids: u32,
    /// How long an order may wait to be decided. Then it expires.
    pub order_time_to_live: Duration,
    /// How long a bid may wait for its tenant, with our deposit and capacity in it. Then it is closed.
    pub bid_time_to_live: Duration,
}

impl Policy {
    /// Time to live of an order when the operator names none: most orders are matched within minutes.
    pub const ORDER_TIME_TO_LIVE: Duration = Duration::from_secs(3600);
    /// Time to live of a bid when the operator names none: tenants choose within minutes.
    pub const BID_TIME_TO_LIVE: Duration = Duration::from_secs(900);

    /// A policy with the defaults for everything that has one.
    #[must_use]
    pub fn new(
        provider: Address,
        prices: PriceTable,
        denomination: Denomination,
        block_time: BlockTime,
        deposit: Coin,
    ) -> Self {
        Self {
            provider,
            profile: Profile::default(),
            blocked_owners: BTreeSet::new(),
            allowed_owners: BTreeSet::new(),
            prices,
            denomination,
            block_time,
            limits: Limits::default(),
            deposit,
            order_max_bids: 20,
            order_time_to_live: Self::ORDER_TIME_TO_LIVE,
            bid_time_to_live: Self::BID_TIME_TO_LIVE,
        }
    }
}

/// Why a policy cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The prices cannot be used.
    #[error(transparent)]
    Pricing(#[from] PricingError),
    /// A limit of 0 would mean that no bid is ever sent; to stop bidding there is a hold.
    #[error("{field} must be at least 1")]
    ZeroLimit {
        /// Which setting.
        field: &'static str,
    },
}

impl Limits {
    pub(crate) const fn check(&self) -> Result<(), PolicyError> {
        let field = if self.max_bids_per_minute == 0 {
            "bid_engine.max_bids_per_minute"
        } else if self.max_bids_per_hour == 0 {
            "bid_engine.max_bids_per_hour"
        } else if self.max_concurrent_bids == 0 {
            "bid_engine.max_concurrent_bids"
        } else {
            return Ok(());
        };
        Err(PolicyError::ZeroLimit { field })
    }
}
