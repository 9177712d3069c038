//! The settlement module: an order's escrow, filled by the tenant, out of which recorded usage is paid (spec/chain.md B.8).
//! Its events have an empty type and no attributes.

use crate::rules::accounts::{ESCROW_POOL, SETTLEMENT_POOL};
use crate::rules::escrow::{self, Depositor};
use crate::rules::{bank, usage};
use crate::state::address;
use crate::state::amount::{Coins, Dec, int_of};
use crate::state::context::Context;
use crate::state::event::Event;
use crate::state::failure::{Failure, settlement as errors};
use crate::state::keys;
use crate::wire::sv1;
use sha2::{Digest, Sha256};

/// The platform's share of a settlement in percent, rounded down.
const PLATFORM_PERCENT: i128 = 5;
/// The validators' share of a settlement in percent, rounded down.
const VALIDATOR_PERCENT: i128 = 1;

pub(crate) fn load(ctx: &mut Context<'_>, id: &str) -> Result<Option<sv1::EscrowAccount>, Failure> {
    ctx.load(&keys::named("settlement-escrow", id))
}

fn save(ctx: &mut Context<'_>, escrow: &sv1::EscrowAccount) -> Result<(), Failure> {
    ctx.save(keys::named("settlement-escrow", &escrow.escrow_id), escrow)
}

/// All settlement escrows.
pub(crate) fn all(ctx: &mut Context<'_>) -> Result<Vec<sv1::EscrowAccount>, Failure> {
    ctx.list(b"settlement-escrow/")
}

fn order_key(order: &str) -> Vec<u8> {
    keys::named("escrow-of-order", order)
}

/// The escrow of an order, if there is one.
pub(crate) fn find(ctx: &mut Context<'_>, order: &str) -> Result<Option<sv1::EscrowAccount>, Failure> {
    let Some(id) = ctx.read(&order_key(order))? else {
        return Ok(None);
    };
    load(ctx, &String::from_utf8_lossy(&id))
}

/// The escrow of an order.
pub(crate) fn by_order(ctx: &mut Context<'_>, order: &str) -> Result<sv1::EscrowAccount, Failure> {
    find(ctx, order)?
        .ok_or_else(|| errors::ESCROW_NOT_FOUND.wrap(format_args!("no escrow found for order {order}")))
}

/// `MsgCreateEscrow`.
pub(crate) fn create(
    ctx: &mut Context<'_>,
    msg: &sv1::MsgCreateEscrow,
) -> Result<sv1::MsgCreateEscrowResponse, Failure> {
    let order = &msg.order_id;
    if find(ctx, order)?.is_some() {
        return Err(errors::ESCROW_EXISTS.wrap(format_args!("escrow already exists for order {order}")));
    }
    let (least, most) = (ctx.rules.min_escrow_seconds, ctx.rules.max_escrow_seconds);
    if msg.expires_in < least {
        return Err(errors::INVALID_ESCROW.wrap(format_args!("expires_in must be at least {least} seconds")));
    }
    if msg.expires_in > most {
        return Err(errors::INVALID_ESCROW.wrap(format_args!("expires_in cannot exceed {most} seconds")));
    }
    let now = ctx.time.seconds;
    let number = ctx.next_number("escrow")?;
    let mut deposits = Vec::new();
    for coin in &msg.amount {
        deposits.push(Depositor {
            owner: msg.sender.clone(),
            height: ctx.height,
            denom: coin.denom.clone(),
            balance: Dec::from_whole(int_of(&coin.amount)?)?,
        });
    }
    // Same key space as deployment accounts: dseq n of the same owner collides, as on the chain.
    match escrow::open(
        ctx,
        keys::deployment_account(&msg.sender, number),
        &msg.sender,
        deposits,
    ) {
        Err(failure) if failure.is_error_value() => {
            return Err(errors::INSUFFICIENT_FUNDS.wrap(failure.log()));
        }
        other => other?,
    }
    let record = sv1::EscrowAccount {
        escrow_id: format!("escrow-{number}"),
        order_id: order.clone(),
        depositor: msg.sender.clone(),
        amount: msg.amount.clone(),
        balance: msg.amount.clone(),
        state: "pending".to_owned(),
        created_at: now,
        expires_at: now.saturating_add(i64::try_from(msg.expires_in).unwrap_or(i64::MAX)),
        block_height: ctx.height,
        ..sv1::EscrowAccount::default()
    };
    save(ctx, &record)?;
    ctx.write(order_key(order), record.escrow_id.clone().into_bytes())?;
    ctx.emit(Event::default());
    Ok(sv1::MsgCreateEscrowResponse {
        escrow_id: record.escrow_id,
        created_at: now,
    })
}

/// `MsgActivateEscrow`: no authorisation check at all, as on the chain.
pub(crate) fn activate(
    ctx: &mut Context<'_>,
    msg: &sv1::MsgActivateEscrow,
) -> Result<sv1::MsgActivateEscrowResponse, Failure> {
    let id = &msg.escrow_id;
    let now = ctx.time.seconds;
    let mut record =
        load(ctx, id)?.ok_or_else(|| errors::ESCROW_NOT_FOUND.wrap(format_args!("escrow {id} not found")))?;
    if now > record.expires_at {
        return Err(errors::ESCROW_EXPIRED.wrap(format_args!("escrow {id} has expired")));
    }
    if record.state != "pending" {
        return Err(
            errors::INVALID_TRANSITION.wrap(format_args!("cannot activate escrow in state {}", record.state))
        );
    }
    "active".clone_into(&mut record.state);
    record.recipient.clone_from(&msg.recipient);
    record.lease_id.clone_from(&msg.lease_id);
    record.activated_at = now;
    save(ctx, &record)?;
    ctx.emit(Event::default());
    Ok(sv1::MsgActivateEscrowResponse { activated_at: now })
}

/// `MsgRefundEscrow`: what is left goes back to the depositor.
pub(crate) fn refund(
    ctx: &mut Context<'_>,
    msg: &sv1::MsgRefundEscrow,
) -> Result<sv1::MsgRefundEscrowResponse, Failure> {
    let id = &msg.escrow_id;
    let mut record =
        load(ctx, id)?.ok_or_else(|| errors::ESCROW_NOT_FOUND.wrap(format_args!("escrow {id} not found")))?;
    if msg.sender != record.depositor && msg.sender != record.recipient {
        return Err(errors::UNAUTHORIZED.wrap("not authorized to refund escrow"));
    }
    if !matches!(record.state.as_str(), "pending" | "active") {
        return Err(
            errors::INVALID_TRANSITION.wrap(format_args!("cannot refund escrow in state {}", record.state))
        );
    }
    let left = Coins::of(&record.balance)?;
    draw(ctx, &record, &left)?;
    bank::pay_out(ctx, ESCROW_POOL, &record.depositor.clone(), &left)?;
    let now = ctx.time.seconds;
    let mut settled = Coins::of(&record.total_settled)?;
    settled.add(&left)?;
    record.total_settled = settled.list();
    record.balance = Vec::new();
    record.settlement_count = record.settlement_count.saturating_add(1);
    "refunded".clone_into(&mut record.state);
    record.closed_at = now;
    record.closure_reason.clone_from(&msg.reason);
    save(ctx, &record)?;
    ctx.emit(Event::default());
    Ok(sv1::MsgRefundEscrowResponse {
        refunded_amount: left.to_string(),
        refunded_at: now,
    })
}

/// Takes `coins` out of the x/escrow account behind a settlement escrow. The coins stay in the pool.
fn draw(ctx: &mut Context<'_>, record: &sv1::EscrowAccount, coins: &Coins) -> Result<(), Failure> {
    let number = record
        .escrow_id
        .strip_prefix("escrow-")
        .and_then(|n| n.parse().ok())
        .ok_or_else(|| Failure::Lost(format!("escrow id {:?} has no number", record.escrow_id)))?;
    let mut account = escrow::load(ctx, &keys::deployment_account(&record.depositor, number))?;
    for (denom, amount) in coins.iter() {
        account.draw(denom, Dec::from_whole(amount)?)?;
    }
    escrow::store(ctx, &account)
}

/// `MsgSettleOrder`.
pub(crate) fn settle_order(
    ctx: &mut Context<'_>,
    msg: &sv1::MsgSettleOrder,
) -> Result<sv1::MsgSettleOrderResponse, Failure> {
    let escrow = by_order(ctx, &msg.order_id)?;
    if msg.sender != escrow.depositor && msg.sender != escrow.recipient {
        return Err(errors::UNAUTHORIZED.wrap("not authorized to settle order"));
    }
    let settled = settle(ctx, escrow, &msg.usage_record_ids, msg.is_final)?;
    let text = |list: &[crate::wire::coin::Coin]| Coins::of(list).map(|c| c.to_string());
    Ok(sv1::MsgSettleOrderResponse {
        settlement_id: settled.settlement_id,
        total_amount: text(&settled.total_amount)?,
        provider_share: text(&settled.provider_share)?,
        platform_fee: text(&settled.platform_fee)?,
        settled_at: settled.settled_at,
    })
}

/// The records to settle: the named ones, or every unsettled one in the order's list — with its duplicates.
fn records(
    ctx: &mut Context<'_>,
    escrow: &sv1::EscrowAccount,
    ids: &[String],
) -> Result<Vec<sv1::UsageRecord>, Failure> {
    if ids.is_empty() {
        let mut all = usage::of_order(ctx, &escrow.order_id)?;
        all.retain(|u| !u.settled);
        return Ok(all);
    }
    let mut out = Vec::new();
    for id in ids {
        let record = usage::load(ctx, id)?
            .ok_or_else(|| errors::USAGE_NOT_FOUND.wrap(format_args!("usage record {id} not found")))?;
        if record.settled {
            return Err(errors::ALREADY_SETTLED.wrap(format_args!("usage record {id} already settled")));
        }
        if record.order_id != escrow.order_id {
            return Err(
                errors::INVALID_USAGE.wrap(format_args!("usage record {id} belongs to different order"))
            );
        }
        out.push(record);
    }
    Ok(out)
}

/// How much is settled: what the records cost, capped at the balance; a final settlement takes the whole balance.
fn total_of(records: &[sv1::UsageRecord], balance: &Coins, is_final: bool) -> Result<Coins, Failure> {
    let mut total = Coins::default();
    for record in records {
        total.add(&Coins::of(&record.total_cost)?)?;
    }
    if total.is_empty() && !is_final {
        return Err(errors::INVALID_SETTLEMENT.wrap("no usage to settle"));
    }
    let total = if is_final {
        balance.clone()
    } else {
        total.min(balance)
    };
    if total.is_empty() {
        return Err(errors::INVALID_SETTLEMENT.wrap("no funds available for settlement"));
    }
    Ok(total)
}

fn settle(
    ctx: &mut Context<'_>,
    mut escrow: sv1::EscrowAccount,
    ids: &[String],
    is_final: bool,
) -> Result<sv1::SettlementRecord, Failure> {
    let now = ctx.time.seconds;
    let order = &escrow.order_id;
    if escrow.state != "active" {
        return Err(errors::ESCROW_NOT_ACTIVE.wrap(format_args!("escrow for order {order} is not active")));
    }
    if now > escrow.expires_at {
        return Err(errors::ESCROW_EXPIRED.wrap(format_args!("escrow for order {order} has expired")));
    }
    let mut records = records(ctx, &escrow, ids)?;
    let balance = Coins::of(&escrow.balance)?;
    let total = total_of(&records, &balance, is_final)?;
    let (platform, validator) = (
        total.percent(PLATFORM_PERCENT)?,
        total.percent(VALIDATOR_PERCENT)?,
    );
    let share = total.minus(&platform)?.minus(&validator)?;

    draw(ctx, &escrow, &total)?;
    bank::transfer(
        ctx,
        &address::of_module(ESCROW_POOL),
        &address::of_module(SETTLEMENT_POOL),
        &total,
    )?;
    let number = ctx.next_number("settle")?;
    let settlement = sv1::SettlementRecord {
        settlement_id: format!("settle-{now}-{number}"),
        total_amount: total.list(),
        provider_share: share.list(),
        platform_fee: platform.list(),
        validator_fee: validator.list(),
        ..settlement_of(ctx, &escrow, &records, is_final)
    };
    ctx.save(keys::named("settlement", &settlement.settlement_id), &settlement)?;
    for record in &mut records {
        record.settled = true;
        record.settlement_id.clone_from(&settlement.settlement_id);
        usage::save(ctx, record)?;
    }
    let left = balance.minus(&total)?;
    let mut settled = Coins::of(&escrow.total_settled)?;
    settled.add(&total)?;
    escrow.balance = left.list();
    escrow.total_settled = settled.list();
    escrow.settlement_count = escrow.settlement_count.saturating_add(1);
    if is_final && left.is_empty() {
        "released".clone_into(&mut escrow.state);
        escrow.closed_at = now;
        "final settlement".clone_into(&mut escrow.closure_reason);
    }
    save(ctx, &escrow)?;
    bank::pay_out(ctx, SETTLEMENT_POOL, &escrow.recipient.clone(), &share)?;
    save_payout(ctx, &escrow, &settlement)?;
    // Payout, rewards, order settled: three events that say nothing.
    for _ in 0..3 {
        ctx.emit(Event::default());
    }
    Ok(settlement)
}

/// What a settlement says about its records.
fn settlement_of(
    ctx: &Context<'_>,
    escrow: &sv1::EscrowAccount,
    records: &[sv1::UsageRecord],
    is_final: bool,
) -> sv1::SettlementRecord {
    sv1::SettlementRecord {
        escrow_id: escrow.escrow_id.clone(),
        order_id: escrow.order_id.clone(),
        lease_id: escrow.lease_id.clone(),
        provider: escrow.recipient.clone(),
        customer: escrow.depositor.clone(),
        settled_at: ctx.time.seconds,
        usage_record_ids: records.iter().map(|u| u.usage_id.clone()).collect(),
        total_usage_units: records
            .iter()
            .fold(0, |sum: u64, u| sum.wrapping_add(u.usage_units)),
        period_start: records.iter().map(|u| u.period_start).min().unwrap_or(0),
        period_end: records.iter().map(|u| u.period_end).max().unwrap_or(0).max(0),
        block_height: ctx.height,
        settlement_type: if is_final { "final" } else { "usage_based" }.to_owned(),
        is_final,
        ..sv1::SettlementRecord::default()
    }
}

fn save_payout(
    ctx: &mut Context<'_>,
    escrow: &sv1::EscrowAccount,
    settlement: &sv1::SettlementRecord,
) -> Result<(), Failure> {
    let now = ctx.time.seconds;
    let invoice = hex::encode(&Sha256::digest(settlement.settlement_id.as_bytes())[..16]);
    let number = ctx.next_number("payout")?;
    let id = format!("payout-{now}-{number}");
    let payout = sv1::PayoutRecord {
        idempotency_key: format!("payout-{invoice}-{}", settlement.settlement_id),
        invoice_id: invoice,
        settlement_id: settlement.settlement_id.clone(),
        escrow_id: escrow.escrow_id.clone(),
        order_id: escrow.order_id.clone(),
        lease_id: escrow.lease_id.clone(),
        provider: escrow.recipient.clone(),
        customer: escrow.depositor.clone(),
        gross_amount: settlement.total_amount.clone(),
        platform_fee: settlement.platform_fee.clone(),
        validator_fee: settlement.validator_fee.clone(),
        net_amount: settlement.provider_share.clone(),
        state: "completed".to_owned(),
        execution_attempts: 1,
        last_attempt_at: now,
        created_at: now,
        processed_at: now,
        completed_at: now,
        block_height: ctx.height,
        tx_hash: format!("payout-{id}-{}", ctx.height),
        payout_id: id.clone(),
        ..sv1::PayoutRecord::default()
    };
    ctx.save(keys::named("payout", &id), &payout)
}

/// All settlements of an order.
pub(crate) fn settlements_of(
    ctx: &mut Context<'_>,
    order: &str,
) -> Result<Vec<sv1::SettlementRecord>, Failure> {
    let mut all = ctx.list::<sv1::SettlementRecord>(b"settlement/")?;
    all.retain(|s| s.order_id == order);
    Ok(all)
}

/// The end of a block: active escrows whose last settlement is a period ago are settled.
pub(crate) fn end_block(ctx: &mut Context<'_>) -> Result<(), Failure> {
    let (period, now) = (ctx.rules.settlement_period, ctx.time.seconds);
    for escrow in all(ctx)? {
        if escrow.state != "active" {
            continue;
        }
        let mut last = escrow.activated_at;
        if now.saturating_sub(last) < period {
            continue;
        }
        for settlement in settlements_of(ctx, &escrow.order_id)? {
            last = last.max(settlement.settled_at);
        }
        if now.saturating_sub(last) >= period {
            let _nothing_to_settle = ctx.atomically(|ctx| settle(ctx, escrow, &[], false));
        }
    }
    Ok(())
}
