//! Usage records. Their signatures are never checked and their periods may overlap (spec/chain.md B.8).

use crate::rules::settlement::by_order;
use crate::state::amount::{Coins, dec_of, is_denom};
use crate::state::context::Context;
use crate::state::event::Event;
use crate::state::failure::{Failure, settlement as errors};
use crate::state::keys;
use crate::wire::sv1;

fn list_key(order: &str) -> Vec<u8> {
    keys::named("usage-of-order", order)
}

pub(crate) fn load(ctx: &mut Context<'_>, id: &str) -> Result<Option<sv1::UsageRecord>, Failure> {
    ctx.load(&keys::named("usage", id))
}

/// Stores a record. Each save appends its id to the order's list: a record that was acknowledged or settled is listed twice, and
/// "settle all" charges an acknowledged record twice (spec/chain-node.md 2.4).
pub(crate) fn save(ctx: &mut Context<'_>, record: &sv1::UsageRecord) -> Result<(), Failure> {
    ctx.save(keys::named("usage", &record.usage_id), record)?;
    let key = list_key(&record.order_id);
    let mut list = ctx.read(&key)?.map(|b| b.to_vec()).unwrap_or_default();
    list.extend(record.usage_id.as_bytes());
    list.push(b'\n');
    ctx.write(key, list)
}

/// The records of an order as the chain lists them: once per save.
pub(crate) fn of_order(ctx: &mut Context<'_>, order: &str) -> Result<Vec<sv1::UsageRecord>, Failure> {
    let list = ctx.read(&list_key(order))?.unwrap_or_default();
    let mut out = Vec::new();
    for id in String::from_utf8_lossy(&list).lines() {
        out.extend(load(ctx, id)?);
    }
    Ok(out)
}

/// `unit_price × units` in whole coins, rounded down. A denomination that is none panics, as in the node.
fn cost(msg: &sv1::MsgRecordUsage) -> Result<Coins, Failure> {
    let price = msg.unit_price.clone().unwrap_or_default();
    let total = dec_of(&price.amount)?.mul_whole(i128::from(msg.usage_units))?;
    if !is_denom(&price.denom) {
        return Err(Failure::panic(format!("invalid denom: {}", price.denom)));
    }
    if total.trunc() < 0 {
        return Err(Failure::panic(format!("negative coin amount: {}", total.trunc())));
    }
    Ok(Coins::one(&price.denom, total.trunc()))
}

/// `MsgRecordUsage`.
pub(crate) fn record(
    ctx: &mut Context<'_>,
    msg: &sv1::MsgRecordUsage,
) -> Result<sv1::MsgRecordUsageResponse, Failure> {
    let escrow = by_order(ctx, &msg.order_id)?;
    if escrow.recipient != msg.sender {
        return Err(errors::UNAUTHORIZED.wrap("only the provider can record usage"));
    }
    let cost = cost(msg)?;
    if escrow.state != "active" {
        return Err(
            errors::ESCROW_NOT_ACTIVE.wrap(format_args!("escrow for order {} is not active", msg.order_id))
        );
    }
    let now = ctx.time.seconds;
    let number = ctx.next_number("usage")?;
    let record = sv1::UsageRecord {
        usage_id: format!("usage-{now}-{number}"),
        order_id: msg.order_id.clone(),
        lease_id: msg.lease_id.clone(),
        provider: msg.sender.clone(),
        customer: escrow.depositor,
        usage_units: msg.usage_units,
        usage_type: msg.usage_type.clone(),
        period_start: msg.period_start,
        period_end: msg.period_end,
        unit_price: msg.unit_price.clone(),
        total_cost: cost.list(),
        provider_signature: msg.signature.clone(),
        submitted_at: now,
        block_height: ctx.height,
        ..sv1::UsageRecord::default()
    };
    save(ctx, &record)?;
    ctx.emit(Event::default());
    Ok(sv1::MsgRecordUsageResponse {
        usage_id: record.usage_id,
        total_cost: cost.to_string(),
        recorded_at: now,
    })
}

/// `MsgAcknowledgeUsage`.
pub(crate) fn acknowledge(
    ctx: &mut Context<'_>,
    msg: &sv1::MsgAcknowledgeUsage,
) -> Result<sv1::MsgAcknowledgeUsageResponse, Failure> {
    let id = &msg.usage_id;
    let mut record = load(ctx, id)?
        .ok_or_else(|| errors::USAGE_NOT_FOUND.wrap(format_args!("usage record {id} not found")))?;
    if record.customer != msg.sender {
        return Err(errors::UNAUTHORIZED.wrap("only the customer can acknowledge usage"));
    }
    if record.settled {
        return Err(errors::ALREADY_SETTLED.wrap(format_args!("usage record {id} already settled")));
    }
    record.customer_acknowledged = true;
    record.customer_signature.clone_from(&msg.signature);
    save(ctx, &record)?;
    Ok(sv1::MsgAcknowledgeUsageResponse {
        acknowledged_at: ctx.time.seconds,
    })
}

/// Totals of the records that fit `request`, each record once.
pub(crate) fn summary(
    ctx: &mut Context<'_>,
    request: &sv1::QueryUsageSummaryRequest,
) -> Result<sv1::UsageSummary, Failure> {
    let mut out = sv1::UsageSummary {
        provider: request.provider.clone(),
        order_id: request.order_id.clone(),
        period_start: request.period_start,
        period_end: request.period_end,
        generated_at: ctx.time.seconds,
        block_height: ctx.height,
        ..sv1::UsageSummary::default()
    };
    let mut total = Coins::default();
    let mut by_type = std::collections::BTreeMap::<String, (u64, Coins)>::new();
    for record in ctx.list::<sv1::UsageRecord>(b"usage/")? {
        let fits = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
        if !fits(&request.order_id, &record.order_id) || !fits(&request.provider, &record.provider) {
            continue;
        }
        if out.usage_record_ids.is_empty() || record.period_start < out.period_start {
            out.period_start = record.period_start;
        }
        out.period_end = out.period_end.max(record.period_end);
        out.total_usage_units = out.total_usage_units.wrapping_add(record.usage_units);
        let cost = Coins::of(&record.total_cost)?;
        total.add(&cost)?;
        let entry = by_type.entry(record.usage_type).or_default();
        entry.0 = entry.0.wrapping_add(record.usage_units);
        entry.1.add(&cost)?;
        out.usage_record_ids.push(record.usage_id);
    }
    out.total_cost = total.list();
    out.by_usage_type = by_type
        .into_iter()
        .map(|(usage_type, (usage_units, cost))| sv1::UsageTypeSummary {
            usage_type,
            usage_units,
            total_cost: cost.list(),
        })
        .collect();
    Ok(out)
}
