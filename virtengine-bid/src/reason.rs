//! Why an order is declined, deferred or dropped; why a bid fails, is lost or closed. Closed lists with the numbers that
//! explain them; `Display` gives the sentence for people.

use std::fmt;

use serde::{Deserialize, Serialize};
use virtengine_provider_core::id::Address;
use virtengine_provider_core::market::EndpointKind;
use virtengine_provider_core::money::{Decimal, Denom};
use virtengine_provider_core::ports::chain::Rejection;
use virtengine_provider_core::units::Resources;

/// Why we do not bid on an order. Final, until the policy changes and the order is reconsidered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum DeclineReason {
    /// The order is our own.
    OwnOrder,
    /// Its owner is blocked.
    OwnerBlocked,
    /// There is a list of owners whom we serve, and this one is not on it.
    OwnerNotAllowed,
    /// Its price is in money that we do not take.
    Denom {
        /// What the tenant pays in.
        asked: Denom,
        /// What we take.
        accepted: Denom,
    },
    /// It takes no more bids.
    OrderFull {
        /// Bids on it.
        bids: u32,
        /// The most that it takes.
        max: u32,
    },
    /// It wants a region that we do not serve.
    Region {
        /// Which.
        region: String,
    },
    /// It wants an attribute that we do not have.
    Attribute {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// It wants attributes signed by auditors who have not signed ours.
    NotAudited {
        /// Whose signatures are missing: all of them are needed, or one.
        auditors: Vec<Address>,
        /// Whether all of them are needed.
        all: bool,
    },
    /// It wants a CPU that we do not have.
    Cpu {
        /// The key, e.g. `arch`.
        key: String,
        /// The value.
        value: String,
    },
    /// It wants memory that we do not have.
    Memory {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// It wants one of these GPUs, and we have none of them.
    Gpu {
        /// What it wants, as `vendor/…/model/…`.
        wanted: Vec<String>,
    },
    /// It wants a kind of storage that we do not have.
    Storage {
        /// The volume.
        volume: String,
        /// The key, e.g. `class`.
        key: String,
        /// The value.
        value: String,
    },
    /// It wants a kind of endpoint that we do not offer.
    Endpoint {
        /// Which kind.
        kind: EndpointKind,
    },
    /// It makes no sense.
    Malformed {
        /// What is wrong.
        what: String,
    },
    /// It is larger than everything that we have.
    TooLarge {
        /// How much it wants.
        wanted: Resources,
        /// How much we have.
        capacity: Resources,
    },
    /// Our price is above the most that the tenant pays. Per block.
    PriceAboveMax {
        /// Our price.
        price: Decimal,
        /// The most that the tenant pays.
        max: Decimal,
    },
    /// Our price is zero, which the chain does not accept.
    PriceZero,
    /// No price could be computed.
    PriceFailed {
        /// Why.
        what: String,
    },
    /// The operator said so.
    Operator,
}

impl fmt::Display for DeclineReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnOrder => f.write_str("the order is our own"),
            Self::OwnerBlocked => f.write_str("its owner is blocked by the policy"),
            Self::OwnerNotAllowed => f.write_str("its owner is not on the policy's list"),
            Self::Denom { asked, accepted } => write!(f, "it pays in {asked}, we take {accepted}"),
            Self::OrderFull { bids, max } => write!(f, "it has {bids} bids and takes {max}"),
            Self::Region { region } => write!(f, "it wants region {region}, which we do not serve"),
            Self::Attribute { key, value } => {
                write!(f, "it wants the attribute {key}={value}, which we do not have")
            }
            Self::NotAudited { auditors, all } => {
                let auditors: Vec<&str> = auditors.iter().map(Address::as_str).collect();
                let which = if *all { "all of" } else { "one of" };
                write!(
                    f,
                    "it wants our attributes signed by {which} {}",
                    auditors.join(", ")
                )
            }
            Self::Cpu { key, value } => write!(f, "it wants a cpu with {key}={value}, which we do not have"),
            Self::Memory { key, value } => {
                write!(f, "it wants memory with {key}={value}, which we do not have")
            }
            Self::Gpu { wanted } => {
                write!(
                    f,
                    "it wants one of the gpus {}, which we do not have",
                    wanted.join(", ")
                )
            }
            Self::Storage { volume, key, value } => write!(
                f,
                "its volume {volume:?} wants storage with {key}={value}, which we do not have"
            ),
            Self::Endpoint { kind } => {
                let kind = match kind {
                    EndpointKind::SharedHttp => "shared http",
                    EndpointKind::RandomPort => "random port",
                    EndpointKind::LeasedIp => "leased ip",
                };
                write!(f, "it wants a {kind} endpoint, which we do not offer")
            }
            Self::Malformed { what } => write!(f, "it makes no sense: {what}"),
            Self::TooLarge { wanted, capacity } => {
                write!(
                    f,
                    "it wants {wanted:?}, more than the {capacity:?} that we have at all"
                )
            }
            Self::PriceAboveMax { price, max } => {
                write!(
                    f,
                    "our price of {price} per block is above the {max} that it pays"
                )
            }
            Self::PriceZero => f.write_str("our price is zero, which the chain does not accept"),
            Self::PriceFailed { what } => write!(f, "no price could be computed: {what}"),
            Self::Operator => f.write_str("the operator declined it"),
        }
    }
}

/// Why an order waits. It is decided later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum DeferReason {
    /// As many bids are on their way as may be at once.
    InFlight {
        /// That many.
        max: u32,
    },
    /// As many bids were sent within a minute as may be.
    PerMinute {
        /// That many.
        max: u32,
    },
    /// As many bids were sent within an hour as may be.
    PerHour {
        /// That many.
        max: u32,
    },
    /// There is not enough room now.
    NoCapacity {
        /// How much it wants.
        wanted: Resources,
        /// How much is free.
        available: Resources,
    },
    /// Our account has too little money for deposit or fee.
    InsufficientFunds,
    /// The chain did not take our transactions, through no fault of the order.
    RetriesUsedUp {
        /// The last refusal.
        rejection: Rejection,
    },
}

impl fmt::Display for DeferReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFlight { max } => write!(f, "{max} bids are on their way, as many as may be at once"),
            Self::PerMinute { max } => write!(f, "{max} bids were sent within a minute, as many as may be"),
            Self::PerHour { max } => write!(f, "{max} bids were sent within an hour, as many as may be"),
            Self::NoCapacity { wanted, available } => {
                write!(f, "it wants {wanted:?} and only {available:?} is free now")
            }
            Self::InsufficientFunds => f.write_str("our account has too little money for deposit or fee"),
            Self::RetriesUsedUp { rejection } => {
                write!(f, "the chain did not take our transactions: {rejection}")
            }
        }
    }
}

/// Why an order is no longer to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoneReason {
    /// It was closed.
    Closed,
    /// Its deployment or group was closed: it stays open on chain for ever but can never become a lease.
    DeploymentClosed,
    /// Another provider has the lease.
    Taken,
    /// It was not decided within the policy's time to live.
    TimeToLive,
    /// The operator said so.
    Operator,
}

impl fmt::Display for GoneReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "it was closed",
            Self::DeploymentClosed => "its deployment was closed",
            Self::Taken => "another provider has the lease",
            Self::TimeToLive => "it waited for too long",
            Self::Operator => "the operator said so",
        })
    }
}

/// Why a decided bid never came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum FailReason {
    /// The chain refused it for good, or as often as we try.
    Rejected {
        /// The last refusal.
        rejection: Rejection,
    },
    /// The order was gone before the bid was sent again.
    Gone {
        /// Why.
        why: GoneReason,
    },
}

impl fmt::Display for FailReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected { rejection } => write!(f, "the chain refused it: {rejection}"),
            Self::Gone { why } => write!(f, "the order was gone: {why}"),
        }
    }
}

/// Why a bid of ours shall be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseWhy {
    /// The order is gone; the deposit may be stuck in the bid (spec/chain.md B.5).
    OrderGone,
    /// No tenant took it within the policy's time to live.
    Stale,
    /// It was found on chain and there is no room for it.
    NoRoom,
    /// The operator said so.
    Operator,
}

/// Why no bids are made at all for the time being.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HoldReason {
    /// No chain endpoint answers.
    ChainUnreachable,
    /// The account key cannot sign.
    KeyUnavailable,
    /// The account has too little money.
    InsufficientFunds,
    /// The back ends have not reported what they have, or what they report is not believed.
    CapacityUnknown,
    /// Maintenance: leases are served to their end, nothing new is taken.
    Draining,
    /// The operator said so.
    Operator,
}
