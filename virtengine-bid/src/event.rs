//! What the bidder decided, or learned.

use serde::{Deserialize, Serialize};
use virtengine_provider_core::capacity;
use virtengine_provider_core::id::{Height, OrderId};
use virtengine_provider_core::market::Order;
use virtengine_provider_core::money::{Decimal, Price};
use virtengine_provider_core::ports::chain::Rejection;
use virtengine_provider_core::pricing::Quote;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

use crate::reason::{CloseWhy, DeclineReason, DeferReason, FailReason, GoneReason, HoldReason};

/// Every number that led to a bid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// What the order takes.
    pub resources: Resources,
    /// What was free before.
    pub available: Resources,
    /// The most that the tenant pays, per block.
    pub max: Decimal,
    /// What the operator's prices give.
    pub quote: Quote,
    /// Bids of others that we had seen.
    pub rivals: u32,
}

/// What the bidder decided, or learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// An order was seen for the first time, or is decided anew.
    OrderSeen {
        /// The whole order, so that policies can be tested on the past.
        order: Box<Order>,
        /// Bids on it.
        bids: u32,
        /// When it expires undecided.
        expires: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// Another provider bid on an order that we have not decided yet.
    RivalBidSeen {
        /// Which order.
        order: OrderId,
        /// When.
        at: Timestamp,
    },
    /// No bid. Final.
    OrderDeclined {
        /// Which order.
        order: OrderId,
        /// Why.
        reason: DeclineReason,
        /// When.
        at: Timestamp,
    },
    /// Decided later.
    OrderDeferred {
        /// Which order.
        order: OrderId,
        /// Not before this moment.
        until: Timestamp,
        /// Why.
        why: DeferReason,
        /// When.
        at: Timestamp,
    },
    /// The order went away undecided. Final.
    OrderExpired {
        /// Which order.
        order: OrderId,
        /// Why.
        why: GoneReason,
        /// When.
        at: Timestamp,
    },
    /// Bid. The transaction is to be sent ([`crate::Bidder::message`]).
    BidDecided {
        /// On which order.
        order: OrderId,
        /// Price per block.
        price: Price,
        /// Every number that led to it.
        explanation: Box<Explanation>,
        /// Which sending of this order it is: unique, so it names the effect.
        sending: u32,
        /// When.
        at: Timestamp,
    },
    /// Its transaction was sent.
    BidSent {
        /// On which order.
        order: OrderId,
        /// When.
        at: Timestamp,
    },
    /// Nobody knows what became of its transaction.
    BidUnresolved {
        /// On which order.
        order: OrderId,
        /// When.
        at: Timestamp,
    },
    /// The order went away while the bid was on its way.
    OrderWithdrawn {
        /// Which order.
        order: OrderId,
        /// Why.
        why: GoneReason,
        /// When.
        at: Timestamp,
    },
    /// The chain refused it; it is sent again later.
    BidRetry {
        /// On which order.
        order: OrderId,
        /// Which attempt comes next; the first was 1.
        attempt: u32,
        /// Not before this moment.
        until: Timestamp,
        /// Why.
        rejection: Rejection,
        /// When.
        at: Timestamp,
    },
    /// The transaction is to be sent again.
    BidResent {
        /// On which order.
        order: OrderId,
        /// Price per block, as decided.
        price: Price,
        /// Which attempt of this bid it is; the first was 1.
        attempt: u32,
        /// Which sending of this order it is: unique, so it names the effect.
        sending: u32,
        /// When.
        at: Timestamp,
    },
    /// The bid never came to be. Final.
    BidFailed {
        /// On which order.
        order: OrderId,
        /// Why.
        reason: FailReason,
        /// When.
        at: Timestamp,
    },
    /// The bid is on chain.
    BidLanded {
        /// On which order.
        order: OrderId,
        /// In which block; 0 when unknown.
        height: Height,
        /// When it is closed if no tenant takes it.
        expires: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// A bid of ours that we did not know was found on chain.
    BidAdopted {
        /// On which order.
        order: OrderId,
        /// Price per block.
        price: Price,
        /// In which block.
        height: Height,
        /// When it is closed if no tenant takes it.
        expires: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// The bid became a lease.
    BidWon {
        /// On which order.
        order: OrderId,
        /// Price per block.
        price: Price,
        /// When.
        at: Timestamp,
    },
    /// A lease of ours that we did not know was found on chain.
    LeaseAdopted {
        /// On which order.
        order: OrderId,
        /// Price per block.
        price: Price,
        /// When.
        at: Timestamp,
    },
    /// The bid can no longer become a lease. What is locked in it is fetched by closing it.
    BidLost {
        /// On which order.
        order: OrderId,
        /// Why.
        why: GoneReason,
        /// When.
        at: Timestamp,
    },
    /// The bid is to be closed on chain ([`crate::Bidder::message`]). Repeated until it is.
    BidCloseWanted {
        /// On which order.
        order: OrderId,
        /// Why.
        why: CloseWhy,
        /// When it is wanted again.
        again: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// The bid is closed on chain. Final.
    BidClosed {
        /// On which order.
        order: OrderId,
        /// When.
        at: Timestamp,
    },
    /// The lease ended. Final.
    LeaseOver {
        /// On which order.
        order: OrderId,
        /// When.
        at: Timestamp,
    },
    /// No bids for now.
    BiddingHeld {
        /// Why.
        reason: HoldReason,
        /// Until when; `None`: until released.
        until: Option<Timestamp>,
        /// When.
        at: Timestamp,
    },
    /// A reason to hold has ended.
    BiddingReleased {
        /// Which.
        reason: HoldReason,
        /// When.
        at: Timestamp,
    },
    /// What it means for the capacity ledger.
    Capacity {
        /// The ledger's event.
        change: capacity::Event,
    },
}

impl Event {
    /// The kind, as it is tagged in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::OrderSeen { .. } => "order_seen",
            Self::RivalBidSeen { .. } => "rival_bid_seen",
            Self::OrderDeclined { .. } => "order_declined",
            Self::OrderDeferred { .. } => "order_deferred",
            Self::OrderExpired { .. } => "order_expired",
            Self::BidDecided { .. } => "bid_decided",
            Self::BidSent { .. } => "bid_sent",
            Self::BidUnresolved { .. } => "bid_unresolved",
            Self::OrderWithdrawn { .. } => "order_withdrawn",
            Self::BidRetry { .. } => "bid_retry",
            Self::BidResent { .. } => "bid_resent",
            Self::BidFailed { .. } => "bid_failed",
            Self::BidLanded { .. } => "bid_landed",
            Self::BidAdopted { .. } => "bid_adopted",
            Self::BidWon { .. } => "bid_won",
            Self::LeaseAdopted { .. } => "lease_adopted",
            Self::BidLost { .. } => "bid_lost",
            Self::BidCloseWanted { .. } => "bid_close_wanted",
            Self::BidClosed { .. } => "bid_closed",
            Self::LeaseOver { .. } => "lease_over",
            Self::BiddingHeld { .. } => "bidding_held",
            Self::BiddingReleased { .. } => "bidding_released",
            Self::Capacity { .. } => "capacity",
        }
    }

    /// The order that it is about; `None` for holds. A ledger event about an order names it too.
    #[must_use]
    pub fn order(&self) -> Option<&OrderId> {
        match self {
            Self::OrderSeen { order, .. } => Some(&order.id),
            Self::RivalBidSeen { order, .. }
            | Self::OrderDeclined { order, .. }
            | Self::OrderDeferred { order, .. }
            | Self::OrderExpired { order, .. }
            | Self::BidDecided { order, .. }
            | Self::BidSent { order, .. }
            | Self::BidUnresolved { order, .. }
            | Self::OrderWithdrawn { order, .. }
            | Self::BidRetry { order, .. }
            | Self::BidResent { order, .. }
            | Self::BidFailed { order, .. }
            | Self::BidLanded { order, .. }
            | Self::BidAdopted { order, .. }
            | Self::BidWon { order, .. }
            | Self::LeaseAdopted { order, .. }
            | Self::BidLost { order, .. }
            | Self::BidCloseWanted { order, .. }
            | Self::BidClosed { order, .. }
            | Self::LeaseOver { order, .. } => Some(order),
            Self::BiddingHeld { .. } | Self::BiddingReleased { .. } => None,
            Self::Capacity { change } => match change {
                capacity::Event::Reserved { key, .. }
                | capacity::Event::ReservationConverted { key, .. }
                | capacity::Event::ReservationFreed { key, .. } => match key {
                    capacity::ReservationKey::Order(order) => Some(order),
                    capacity::ReservationKey::Workload(_) => None,
                },
                _ => None,
            },
        }
    }
}
