//! Orders, bids and leases.

use virtengine_provider_core::market::{Bid, BidState, Lease, LeaseState, Order, OrderState};
use virtengine_provider_core::money::Coin;

use super::{WireError, bid_id, coin, group_spec, height, lease_id, order_id, price, required};
use crate::proto::virtengine::market::{v1, v1beta5 as wire};

/// An order.
///
/// # Errors
/// A field that is absent or out of range.
pub fn order(order: Option<&wire::Order>) -> Result<Order, WireError> {
    use wire::order::State;
    let order = required("order", order)?;
    let state = match State::try_from(order.state) {
        Ok(State::Open) => OrderState::Open,
        Ok(State::Active) => OrderState::Active,
        Ok(State::Closed) => OrderState::Closed,
        Ok(State::Invalid) | Err(_) => {
            return Err(WireError::field("order.state", order.state, "1, 2 or 3"));
        }
    };
    Ok(Order {
        id: order_id(order.id.as_ref())?,
        state,
        spec: group_spec(order.spec.as_ref())?,
        created_at: height("order.created_at", order.created_at)?,
    })
}

/// A bid.
///
/// # Errors
/// A field that is absent or out of range.
pub fn bid(bid: Option<&wire::Bid>) -> Result<Bid, WireError> {
    use wire::bid::State;
    let bid = required("bid", bid)?;
    let state = match State::try_from(bid.state) {
        Ok(State::Open) => BidState::Open,
        Ok(State::Active) => BidState::Active,
        Ok(State::Lost) => BidState::Lost,
        Ok(State::Closed) => BidState::Closed,
        Ok(State::Invalid) | Err(_) => return Err(WireError::field("bid.state", bid.state, "1 to 4")),
    };
    Ok(Bid {
        id: bid_id(bid.id.as_ref())?,
        state,
        price: price("bid.price", bid.price.as_ref())?,
        created_at: height("bid.created_at", bid.created_at)?,
    })
}

/// A lease.
///
/// # Errors
/// A field that is absent or out of range.
pub fn lease(lease: Option<&v1::Lease>) -> Result<Lease, WireError> {
    use v1::lease::State;
    let lease = required("lease", lease)?;
    let state = match State::try_from(lease.state) {
        Ok(State::Active) => LeaseState::Active,
        Ok(State::InsufficientFunds) => LeaseState::InsufficientFunds,
        Ok(State::Closed) => LeaseState::Closed,
        Ok(State::Invalid) | Err(_) => {
            return Err(WireError::field("lease.state", lease.state, "1, 2 or 3"));
        }
    };
    Ok(Lease {
        id: lease_id(lease.id.as_ref())?,
        state,
        price: price("lease.price", lease.price.as_ref())?,
        created_at: height("lease.created_at", lease.created_at)?,
        closed_on: height("lease.closed_on", lease.closed_on)?,
    })
}

/// Smallest deposit of a bid, and how many bids an order takes.
///
/// # Errors
/// A field that is absent or out of range.
pub fn bid_params(params: Option<&wire::Params>) -> Result<(Coin, u32), WireError> {
    let params = required("params", params)?;
    Ok((
        coin("bid_min_deposit", params.bid_min_deposit.as_ref())?,
        params.order_max_bids,
    ))
}
