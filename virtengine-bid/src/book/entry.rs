//! One order in the book.

use serde::{Deserialize, Serialize};
use virtengine_provider_core::id::Height;
use virtengine_provider_core::market::Order;
use virtengine_provider_core::money::Price;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

use crate::event::Explanation;
use crate::reason::{CloseWhy, DeclineReason, DeferReason, FailReason, GoneReason};

/// What is known of an order that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub(super) seq: u64,
    /// When it was seen first.
    pub seen: Timestamp,
    /// Where it stands.
    pub stage: Stage,
}

/// An order that is not decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The order.
    pub order: Order,
    /// Bids of others on it.
    pub bids: u32,
    /// How often a bid on it was sent.
    pub sendings: u32,
    /// When it expires undecided.
    pub expires: Timestamp,
    /// Why it waits; `None`: it was never considered.
    pub deferral: Option<Deferral>,
}

/// Why an order waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferral {
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub why: DeferReason,
    /// How often it was deferred.
    pub times: u32,
}

/// A bid of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OurBid {
    /// Price per block.
    pub price: Price,
    /// When it was decided, or found.
    pub decided: Timestamp,
    /// Every number that led to it; `None` for one that was found on chain.
    pub explanation: Option<Box<Explanation>>,
}

/// How far a transaction is known to have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flight {
    /// It is to be sent.
    Decided,
    /// It was sent.
    Sent,
    /// Nobody knows.
    Unresolved,
}

/// Where an order stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// Not decided.
    Waiting(Box<Request>),
    /// A bid whose outcome is not known.
    InFlight {
        /// The bid.
        bid: OurBid,
        /// The order, in case it has to be decided again.
        request: Box<Request>,
        /// Which attempt of this bid it is.
        attempt: u32,
        /// How far it is known to have come.
        flight: Flight,
        /// The order went away meanwhile.
        gone: Option<GoneReason>,
    },
    /// A bid that is sent again.
    Retrying {
        /// The bid.
        bid: OurBid,
        /// The order, in case it has to be decided again.
        request: Box<Request>,
        /// Which attempt comes next.
        attempt: u32,
        /// When.
        until: Timestamp,
    },
    /// A bid on chain that waits for its tenant.
    Live {
        /// The bid.
        bid: OurBid,
        /// In which block; 0 when unknown.
        height: Height,
        /// When it is closed if no tenant takes it.
        expires: Timestamp,
    },
    /// A bid that is to be closed on chain.
    Closing {
        /// The bid.
        bid: OurBid,
        /// Why.
        why: CloseWhy,
        /// When it is wanted again.
        again: Timestamp,
    },
    /// A lease.
    Leased {
        /// The bid that it was.
        bid: OurBid,
        /// Since when.
        since: Timestamp,
    },
}

impl Stage {
    /// The name of the stage, for lists.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting(request) if request.deferral.is_none() => "pending",
            Self::Waiting(_) => "deferred",
            Self::InFlight { .. } => "submitting",
            Self::Retrying { .. } => "retrying",
            Self::Live { .. } => "open",
            Self::Closing { .. } => "closing",
            Self::Leased { .. } => "won",
        }
    }

    /// The bid; `None` while undecided.
    #[must_use]
    pub const fn bid(&self) -> Option<&OurBid> {
        match self {
            Self::Waiting(_) => None,
            Self::InFlight { bid, .. }
            | Self::Retrying { bid, .. }
            | Self::Live { bid, .. }
            | Self::Closing { bid, .. }
            | Self::Leased { bid, .. } => Some(bid),
        }
    }
}

impl Entry {
    /// Until when it waits to be considered again; `None` when it does not.
    pub(super) fn waits_until(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Waiting(request) => request.deferral.as_ref().map(|deferral| deferral.until),
            Stage::Retrying { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// How much room it waits for; `None` when it waits for something else.
    pub(super) fn wanted_room(&self) -> Option<&Resources> {
        let Stage::Waiting(request) = &self.stage else {
            return None;
        };
        match &request.deferral.as_ref()?.why {
            DeferReason::NoCapacity { wanted, .. } => Some(wanted),
            _ => None,
        }
    }

    /// When something has to be done about it whatever the limits say.
    pub(super) const fn timer(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Waiting(request) => Some(request.expires),
            Stage::Live { expires, .. } => Some(*expires),
            Stage::Closing { again, .. } => Some(*again),
            Stage::InFlight { .. } | Stage::Retrying { .. } | Stage::Leased { .. } => None,
        }
    }
}

/// How an order ended for us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub(super) seq: u64,
    /// When.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// Our bid, when there was one.
    pub bid: Option<OurBid>,
}

/// How an order ended for us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// We did not bid.
    Declined {
        /// Why.
        reason: DeclineReason,
    },
    /// It went away undecided.
    Expired {
        /// Why.
        why: GoneReason,
    },
    /// Our bid never came to be.
    Failed {
        /// Why.
        reason: FailReason,
    },
    /// Our bid was closed without a lease.
    Closed,
    /// The lease ended.
    LeaseOver,
}

impl Outcome {
    /// The name of the outcome, for lists.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Declined { .. } => "declined",
            Self::Expired { .. } => "expired",
            Self::Failed { .. } => "failed",
            Self::Closed => "closed",
            Self::LeaseOver => "lease over",
        }
    }
}
