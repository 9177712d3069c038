//! What the bidder is told or asked.

use virtengine_provider_core::id::{BidId, Height, LeaseId, OrderId};
use virtengine_provider_core::market::{Bid, Lease, Order};
use virtengine_provider_core::money::Price;
use virtengine_provider_core::ports::chain::Rejection;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

use crate::reason::{GoneReason, HoldReason};

/// What the bidder is told or asked. Facts may come late, twice, or in another order than they happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// An open order was seen, by event or by query.
    OrderSeen {
        /// The whole order.
        order: Box<Order>,
        /// Bids on it, as far as known.
        bids: u32,
    },
    /// Another provider bid on an order.
    RivalBid {
        /// Which order.
        order: OrderId,
    },
    /// An order is no longer to be had.
    OrderGone {
        /// Which.
        order: OrderId,
        /// Why.
        why: GoneReason,
    },
    /// Another provider has the lease on an order.
    LeaseLost {
        /// Which order.
        order: OrderId,
    },
    /// An order that was declined, that expired or whose bid failed shall be decided anew, e.g. under a new policy.
    Reconsider {
        /// The whole order.
        order: Box<Order>,
        /// Bids on it, as far as known.
        bids: u32,
    },
    /// Decide one order that is due. Nothing due: nothing happens.
    Consider,
    /// Carry out one deadline that is due. Nothing due: nothing happens.
    Tick,
    /// The transaction of a bid was signed and sent.
    BidSent {
        /// Which bid.
        id: BidId,
        /// Which sending of this order: the number in the event that asked for it. An answer to an older one is ignored.
        sending: u32,
    },
    /// A bid is on chain.
    BidLanded {
        /// Which.
        id: BidId,
        /// In which block.
        height: Height,
    },
    /// The chain refused a bid. It is certain that it is not on chain.
    BidRejected {
        /// Which.
        id: BidId,
        /// Which sending of this order: the number in the event that asked for it. An answer to an older one is ignored.
        sending: u32,
        /// Why.
        rejection: Rejection,
    },
    /// Nobody knows whether a bid is on chain. Nothing is sent in its place until somebody does.
    BidUnknown {
        /// Which.
        id: BidId,
        /// Which sending of this order: the number in the event that asked for it. An answer to an older one is ignored.
        sending: u32,
    },
    /// A bid became a lease.
    LeaseWon {
        /// Which.
        id: LeaseId,
        /// Price per block.
        price: Price,
    },
    /// A lease of ours ended. Its capacity stays reserved until its workload is gone
    /// ([`virtengine_provider_core::capacity::Command::Free`]).
    LeaseEnded {
        /// Which.
        id: LeaseId,
    },
    /// A bid of ours is closed on chain.
    BidClosed {
        /// Which.
        id: BidId,
    },
    /// The chain refused to close a bid.
    CloseRejected {
        /// Which bid.
        id: BidId,
        /// Why.
        rejection: Rejection,
    },
    /// An open bid of ours was found on chain.
    AdoptBid {
        /// The bid.
        bid: Bid,
        /// What its order takes from capacity.
        resources: Resources,
        /// Whether its order can still become a lease.
        order_open: bool,
    },
    /// An active lease of ours was found on chain.
    AdoptLease {
        /// The lease.
        lease: Lease,
        /// What it takes from capacity.
        resources: Resources,
    },
    /// The operator takes an order or bid back.
    Withdraw {
        /// Which order.
        order: OrderId,
    },
    /// Make no bids for now. Orders are collected, nothing is lost.
    Hold {
        /// Why.
        reason: HoldReason,
        /// Until when; `None`: until released.
        until: Option<Timestamp>,
    },
    /// A reason to hold has ended.
    Release {
        /// Which.
        reason: HoldReason,
    },
}
