//! Orders, bids and leases (spec/chain.md B.4, B.5).

use crate::rules::payment::{self, Payment};
use crate::rules::{deployment, escrow, group_limits, matching};
use crate::state::amount::{DENOM, dec_of, int_of};
use crate::state::context::Context;
use crate::state::event;
use crate::state::failure::{Failure, deployment as deployment_errors, ignore, market as errors};
use crate::state::keys::{self, group_of, order_of};
use crate::wire::{deposit, dv1, dv4, et, mv1, mv5, pv4};

use mv1::lease::State as LeaseState;
use mv5::bid::State as BidState;
use mv5::order::State as OrderState;

pub(crate) fn order(ctx: &mut Context<'_>, id: &mv1::OrderId) -> Result<Option<mv5::Order>, Failure> {
    ctx.load(&keys::order(id))
}

pub(crate) fn bid(ctx: &mut Context<'_>, id: &mv1::BidId) -> Result<Option<mv5::Bid>, Failure> {
    ctx.load(&keys::bid(id))
}

pub(crate) fn lease(ctx: &mut Context<'_>, id: &mv1::BidId) -> Result<Option<mv1::Lease>, Failure> {
    ctx.load(&keys::lease(id))
}

fn bids_of(ctx: &mut Context<'_>, order: &mv1::OrderId) -> Result<Vec<mv5::Bid>, Failure> {
    ctx.list(&keys::bids_of_order(order))
}

fn save_order(ctx: &mut Context<'_>, order: &mv5::Order) -> Result<(), Failure> {
    ctx.save(keys::order(&order.id.clone().unwrap_or_default()), order)
}

fn save_bid(ctx: &mut Context<'_>, bid: &mv5::Bid) -> Result<(), Failure> {
    ctx.save(keys::bid(&bid.id.clone().unwrap_or_default()), bid)
}

/// Opens the next order of a group. One order per group is open or active at a time.
pub(crate) fn open_order(ctx: &mut Context<'_>, group: &dv4::Group) -> Result<(), Failure> {
    let group_id = group.id.clone().unwrap_or_default();
    let mut oseq = 1_u32;
    for order in ctx.list::<mv5::Order>(&keys::orders_of_group(&group_id))? {
        if order.state() != OrderState::Closed {
            return Err(errors::ORDER_ACTIVE.lose("create order: active order exists"));
        }
        oseq = oseq.saturating_add(1);
    }
    let id = mv1::OrderId {
        owner: group_id.owner,
        dseq: group_id.dseq,
        gseq: group_id.gseq,
        oseq,
    };
    save_order(
        ctx,
        &mv5::Order {
            id: Some(id.clone()),
            state: OrderState::Open.into(),
            spec: group.group_spec.clone(),
            created_at: ctx.height,
        },
    )?;
    ctx.emit(event::order("Created", &id));
    Ok(())
}

fn close_order(ctx: &mut Context<'_>, mut order: mv5::Order) -> Result<(), Failure> {
    if order.state() == OrderState::Closed {
        return Ok(());
    }
    order.set_state(OrderState::Closed);
    save_order(ctx, &order)?;
    ctx.emit(event::order("Closed", &order.id.unwrap_or_default()));
    Ok(())
}

/// Closes a bid and returns its deposit.
fn close_bid_record(ctx: &mut Context<'_>, mut bid: mv5::Bid) -> Result<(), Failure> {
    if matches!(bid.state(), BidState::Closed | BidState::Lost) {
        return Ok(());
    }
    bid.set_state(BidState::Closed);
    save_bid(ctx, &bid)?;
    let id = bid.id.unwrap_or_default();
    // The refund happens; the account hook answers an error for bids that nobody looks at.
    ignore(escrow::close(ctx, &keys::bid_account(&id)))?;
    ctx.emit(event::bid_closed(&id));
    Ok(())
}

/// Closes an active lease. The reason goes to the event only, never into the record.
fn close_lease_record(
    ctx: &mut Context<'_>,
    mut lease: mv1::Lease,
    state: LeaseState,
    reason: i32,
) -> Result<(), Failure> {
    if lease.state() != LeaseState::Active {
        return Ok(());
    }
    let id = keys::bid_of_lease(&lease.id.clone().unwrap_or_default());
    lease.set_state(state);
    lease.closed_on = ctx.height;
    ctx.save(keys::lease(&id), &lease)?;
    ctx.emit(event::lease_closed(&id, reason));
    Ok(())
}

/// Closes the active orders of a group with their bids and leases. Open orders stay open (spec/chain.md B.5).
pub(crate) fn close_orders_of(ctx: &mut Context<'_>, group: &dv1::GroupId) -> Result<(), Failure> {
    for order in ctx.list::<mv5::Order>(&keys::orders_of_group(group))? {
        if order.state() != OrderState::Active {
            continue;
        }
        let order_id = order.id.clone().unwrap_or_default();
        close_order(ctx, order)?;
        let bids = bids_of(ctx, &order_id)?;
        for state in [BidState::Open, BidState::Active] {
            for bid in bids.iter().filter(|b| b.state() == state) {
                let id = bid.id.clone().unwrap_or_default();
                close_bid_record(ctx, bid.clone())?;
                if let Some(lease) = lease(ctx, &id)? {
                    let owner = mv1::LeaseClosedReason::LeaseClosedOwner.into();
                    close_lease_record(ctx, lease, LeaseState::Closed, owner)?;
                    ignore(payment::close(ctx, &keys::lease_payment(&id)))?;
                }
            }
        }
    }
    Ok(())
}

/// The hook of a payment that ended: its lease is closed, if that has not happened yet.
pub(crate) fn on_payment_ended(ctx: &mut Context<'_>, payment: &Payment) -> Result<(), Failure> {
    let Some(id) = bid_of_payment(payment) else {
        return Ok(());
    };
    let Some(bid) = bid(ctx, &id)?.filter(|b| b.state() == BidState::Active) else {
        return Ok(());
    };
    let order = order(ctx, &order_of(&id))?.ok_or_else(|| errors::ORDER_NOT_FOUND.fail())?;
    let lease = lease(ctx, &id)?.ok_or_else(|| errors::LEASE_NOT_FOUND.fail())?;
    close_order(ctx, order)?;
    close_bid_record(ctx, bid)?;
    let (state, reason) = if payment.state == et::State::Overdrawn {
        (
            LeaseState::InsufficientFunds,
            mv1::LeaseClosedReason::InsufficientFunds,
        )
    } else {
        (LeaseState::Closed, mv1::LeaseClosedReason::Unspecified)
    };
    close_lease_record(ctx, lease, state, reason.into())
}

fn bid_of_payment(payment: &Payment) -> Option<mv1::BidId> {
    let aid = payment.id.aid.as_ref()?;
    let (owner, dseq) = aid.xid.split_once('/')?;
    let mut parts = payment.id.xid.splitn(3, '/');
    Some(mv1::BidId {
        owner: owner.to_owned(),
        dseq: dseq.parse().ok()?,
        gseq: parts.next()?.parse().ok()?,
        oseq: parts.next()?.parse().ok()?,
        provider: parts.next()?.to_owned(),
        bseq: 0,
    })
}

/// How Go prints a deposit.
fn go_deposit(deposit: &deposit::Deposit) -> String {
    let coin = deposit.amount.clone().unwrap_or_default();
    let sources: Vec<String> = deposit
        .sources
        .iter()
        .map(|s| deposit::Source::try_from(*s).map_or_else(|_| s.to_string(), |k| k.as_str_name().to_owned()))
        .collect();
    format!("{{{}{} [{}]}}", coin.amount, coin.denom, sources.join(" "))
}

/// The record of a registered provider.
pub(crate) fn provider(ctx: &mut Context<'_>, owner: &str) -> Result<Option<pv4::Provider>, Failure> {
    ctx.load(&keys::Key::table("provider").address(owner).bytes())
}

fn open_order_for_bid(ctx: &mut Context<'_>, id: &mv1::BidId) -> Result<mv5::Order, Failure> {
    let order = order(ctx, &order_of(id))?.ok_or_else(|| errors::ORDER_NOT_FOUND.fail())?;
    match order.state() {
        OrderState::Active => Err(errors::ORDER_ACTIVE.fail()),
        OrderState::Closed => Err(errors::ORDER_CLOSED.fail()),
        _ => Ok(order),
    }
}

/// The checks of a bid, in the order of the node.
fn check_bid(ctx: &mut Context<'_>, id: &mv1::BidId, msg: &mv5::MsgCreateBid) -> Result<(), Failure> {
    let deposit = msg.deposit.clone().unwrap_or_default();
    let coin = deposit.amount.clone().unwrap_or_default();
    let least = i128::from(ctx.rules.min_deposit);
    if coin.denom != DENOM || int_of(&coin.amount)? < least {
        return Err(errors::INVALID_DEPOSIT.lose(format_args!(
            "mininum:{least}{DENOM} received:{}",
            go_deposit(&deposit)
        )));
    }
    let most = ctx.rules.order_max_bids;
    if bids_of(ctx, &order_of(id))?.len() > usize::try_from(most).unwrap_or(usize::MAX) {
        return Err(errors::INVALID_BID.lose(format_args!("too many existing bids ({most})")));
    }
    let spec = open_order_for_bid(ctx, id)?.spec.unwrap_or_default();
    let price = msg.price.clone().unwrap_or_default();
    if !group_limits::is_valid_price(&price)? {
        return Err(errors::BID_INVALID_PRICE.fail());
    }
    let (denom, highest) = group_limits::group_price(&spec)?;
    group_limits::same_denom(&denom, &price.denom)?;
    if highest < dec_of(&price.amount)? {
        return Err(errors::BID_OVER_ORDER.fail());
    }
    if !matching::offer_fits(&msg.resources_offer, &spec) {
        return Err(errors::CAPABILITIES_MISMATCH.fail());
    }
    let provider = provider(ctx, &id.provider)?.ok_or_else(|| errors::UNKNOWN_PROVIDER.fail())?;
    if !matching::requirements_met(
        &spec.requirements.clone().unwrap_or_default(),
        &provider.attributes,
    ) {
        return Err(errors::ATTRIBUTE_MISMATCH.fail());
    }
    if !matching::capable(&spec, &provider.attributes) {
        return Err(errors::CAPABILITIES_MISMATCH.fail());
    }
    Ok(())
}

/// `MsgCreateBid`.
pub(crate) fn create_bid(
    ctx: &mut Context<'_>,
    msg: &mv5::MsgCreateBid,
) -> Result<mv5::MsgCreateBidResponse, Failure> {
    let id = msg.id.clone().unwrap_or_default();
    check_bid(ctx, &id, msg)?;
    let deposits = escrow::find_deposit(ctx, &id.provider, &msg.deposit.clone().unwrap_or_default())?;
    if bid(ctx, &id)?.is_some() {
        return Err(errors::BID_EXISTS.fail());
    }
    let price = msg.price.clone().unwrap_or_default();
    save_bid(
        ctx,
        &mv5::Bid {
            id: Some(id.clone()),
            state: BidState::Open.into(),
            price: Some(price.clone()),
            created_at: ctx.height,
            resources_offer: msg.resources_offer.clone(),
        },
    )?;
    ctx.emit(event::bid_created(&id, &price));
    escrow::open(ctx, keys::bid_account(&id), &id.provider, deposits)?;
    Ok(mv5::MsgCreateBidResponse {})
}

/// `MsgCreateLease`.
pub(crate) fn create_lease(
    ctx: &mut Context<'_>,
    msg: &mv5::MsgCreateLease,
) -> Result<mv5::MsgCreateLeaseResponse, Failure> {
    let id = msg.bid_id.clone().unwrap_or_default();
    let mut bid = bid(ctx, &id)?.ok_or_else(|| errors::BID_NOT_FOUND.fail())?;
    if bid.state() != BidState::Open {
        return Err(errors::BID_NOT_OPEN.fail());
    }
    let mut order = order(ctx, &order_of(&id))?.ok_or_else(|| errors::ORDER_NOT_FOUND.fail())?;
    if order.state() != OrderState::Open {
        return Err(errors::ORDER_NOT_OPEN.fail());
    }
    let group =
        deployment::group(ctx, &group_of(&order_of(&id)))?.ok_or_else(|| errors::GROUP_NOT_FOUND.fail())?;
    if group.state() != dv4::group::State::Open {
        return Err(errors::GROUP_NOT_OPEN.fail());
    }
    let price = bid.price.clone().unwrap_or_default();
    payment::open(ctx, keys::lease_payment(&id), &id.provider, &price)?;
    let lease = mv1::Lease {
        id: Some(keys::lease_of_bid(&id)),
        state: LeaseState::Active.into(),
        price: Some(price.clone()),
        created_at: ctx.height,
        ..mv1::Lease::default()
    };
    ctx.save(keys::lease(&id), &lease)?;
    ctx.emit(event::lease_created(&id, &price));
    order.set_state(OrderState::Active);
    save_order(ctx, &order)?;
    bid.set_state(BidState::Active);
    save_bid(ctx, &bid)?;
    lose_other_bids(ctx, &order_of(&id))?;
    Ok(mv5::MsgCreateLeaseResponse {})
}

/// Marks the open bids of an order lost and refunds them — but the account hook answers an error for bid accounts, which ends the
/// loop: only the first loser is paid back (spec/chain-node.md 1). No event says so.
fn lose_other_bids(ctx: &mut Context<'_>, order: &mv1::OrderId) -> Result<(), Failure> {
    for mut lost in bids_of(ctx, order)? {
        if lost.state() != BidState::Open {
            continue;
        }
        lost.set_state(BidState::Lost);
        save_bid(ctx, &lost)?;
        match escrow::close(ctx, &keys::bid_account(&lost.id.unwrap_or_default())) {
            Ok(()) => {}
            Err(failure) if failure.is_error_value() => break,
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// `MsgWithdrawLease`. Works on a closed lease whose payment was left open (spec/chain-node.md 2.5).
pub(crate) fn withdraw_lease(
    ctx: &mut Context<'_>,
    msg: &mv5::MsgWithdrawLease,
) -> Result<mv5::MsgWithdrawLeaseResponse, Failure> {
    let id = keys::bid_of_lease(&msg.id.clone().unwrap_or_default());
    if lease(ctx, &id)?.is_none() {
        return Err(errors::UNKNOWN_LEASE.fail());
    }
    payment::withdraw(ctx, &keys::lease_payment(&id))?;
    Ok(mv5::MsgWithdrawLeaseResponse {})
}

/// `MsgCloseBid`: an open bid is withdrawn, an active one closes its lease and pauses the group.
pub(crate) fn close_bid(
    ctx: &mut Context<'_>,
    msg: &mv5::MsgCloseBid,
) -> Result<mv5::MsgCloseBidResponse, Failure> {
    let id = msg.id.clone().unwrap_or_default();
    let bid = bid(ctx, &id)?.ok_or_else(|| errors::UNKNOWN_BID.fail())?;
    let order = order(ctx, &order_of(&id))?.ok_or_else(|| errors::UNKNOWN_ORDER_FOR_BID.fail())?;
    if bid.state() == BidState::Open {
        close_bid_record(ctx, bid)?;
        return Ok(mv5::MsgCloseBidResponse {});
    }
    let lease = lease(ctx, &id)?.ok_or_else(|| errors::UNKNOWN_LEASE_FOR_BID.fail())?;
    if lease.state() != LeaseState::Active {
        return Err(errors::LEASE_NOT_ACTIVE.fail());
    }
    if bid.state() != BidState::Active {
        return Err(errors::BID_NOT_ACTIVE.fail());
    }
    let group = deployment::group(ctx, &group_of(&order_of(&id)))?
        .ok_or_else(|| deployment_errors::GROUP_NOT_FOUND.fail())?;
    deployment::pause(ctx, group)?;
    close_lease_record(ctx, lease, LeaseState::Closed, msg.reason)?;
    close_bid_record(ctx, bid)?;
    close_order(ctx, order)?;
    ignore(payment::close(ctx, &keys::lease_payment(&id)))?;
    Ok(mv5::MsgCloseBidResponse {})
}

/// `MsgCloseLease`: a new order is opened at once because the group stays open. The reason of the message is ignored.
pub(crate) fn close_lease(
    ctx: &mut Context<'_>,
    msg: &mv5::MsgCloseLease,
) -> Result<mv5::MsgCloseLeaseResponse, Failure> {
    let id = keys::bid_of_lease(&msg.id.clone().unwrap_or_default());
    let order = order(ctx, &order_of(&id))?.ok_or_else(|| errors::ORDER_NOT_FOUND.fail())?;
    if order.state() != OrderState::Active {
        return Err(errors::ORDER_CLOSED.fail());
    }
    let bid = bid(ctx, &id)?.ok_or_else(|| errors::BID_NOT_FOUND.fail())?;
    if bid.state() != BidState::Active {
        return Err(errors::BID_NOT_ACTIVE.fail());
    }
    let lease = lease(ctx, &id)?.ok_or_else(|| errors::LEASE_NOT_FOUND.fail())?;
    if lease.state() != LeaseState::Active {
        return Err(errors::ORDER_CLOSED.fail());
    }
    let owner = mv1::LeaseClosedReason::LeaseClosedOwner.into();
    close_lease_record(ctx, lease, LeaseState::Closed, owner)?;
    close_bid_record(ctx, bid)?;
    close_order(ctx, order)?;
    payment::close(ctx, &keys::lease_payment(&id))?;
    let group = deployment::group(ctx, &group_of(&order_of(&id)))?
        .ok_or_else(|| deployment_errors::GROUP_NOT_FOUND.fail())?;
    if group.state() == dv4::group::State::Open {
        open_order(ctx, &group)?;
    }
    Ok(mv5::MsgCloseLeaseResponse {})
}
