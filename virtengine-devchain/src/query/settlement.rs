//! The settlement module.

use crate::query::{Reply, reply};
use crate::rules::{settlement, usage};
use crate::state::context::Context;
use crate::state::failure::{Failure, settlement as errors};
use crate::state::keys;
use crate::wire::sv1;

pub(super) fn answer(ctx: &mut Context<'_>, path: &str, data: &[u8]) -> Option<Reply> {
    let method = path.strip_prefix("/virtengine.settlement.v1.Query/")?;
    Some(match method {
        "Escrow" => reply(data, |q: sv1::QueryEscrowRequest| {
            let escrow = settlement::load(ctx, &q.escrow_id)?;
            let escrow = Some(escrow.ok_or_else(|| errors::ESCROW_NOT_FOUND.fail())?);
            Ok(sv1::QueryEscrowResponse { escrow })
        }),
        "EscrowsByOrder" => reply(data, |q: sv1::QueryEscrowsByOrderRequest| {
            let escrows = settlement::find(ctx, &q.order_id)?.into_iter().collect();
            Ok(sv1::QueryEscrowsByOrderResponse { escrows })
        }),
        "EscrowsByState" => reply(data, |q: sv1::QueryEscrowsByStateRequest| {
            let mut escrows = settlement::all(ctx)?;
            escrows.retain(|e| e.state == q.state);
            Ok(sv1::QueryEscrowsByStateResponse { escrows })
        }),
        "Settlement" => reply(data, |q: sv1::QuerySettlementRequest| {
            let found = ctx.load(&keys::named("settlement", &q.settlement_id))?;
            let settlement = Some(found.ok_or_else(|| errors::SETTLEMENT_NOT_FOUND.fail())?);
            Ok(sv1::QuerySettlementResponse { settlement })
        }),
        "SettlementsByOrder" => reply(data, |q: sv1::QuerySettlementsByOrderRequest| {
            let settlements = settlement::settlements_of(ctx, &q.order_id)?;
            Ok(sv1::QuerySettlementsByOrderResponse { settlements })
        }),
        "UsageRecord" => reply(data, |q: sv1::QueryUsageRecordRequest| {
            let record = usage::load(ctx, &q.usage_id)?;
            let usage_record = Some(record.ok_or_else(|| errors::USAGE_NOT_FOUND.fail())?);
            Ok(sv1::QueryUsageRecordResponse { usage_record })
        }),
        "UsageRecordsByOrder" => reply(data, |q: sv1::QueryUsageRecordsByOrderRequest| {
            let usage_records = usage::of_order(ctx, &q.order_id)?;
            Ok(sv1::QueryUsageRecordsByOrderResponse { usage_records })
        }),
        "UsageSummary" => reply(data, |q: sv1::QueryUsageSummaryRequest| {
            let summary = Some(usage::summary(ctx, &q)?);
            Ok(sv1::QueryUsageSummaryResponse { summary })
        }),
        "Payout" => reply(data, |q: sv1::QueryPayoutRequest| {
            let found = ctx.load(&keys::named("payout", &q.payout_id))?;
            let payout = Some(found.ok_or_else(|| errors::PAYOUT_NOT_FOUND.fail())?);
            Ok(sv1::QueryPayoutResponse { payout })
        }),
        "PayoutsByProvider" => reply(data, |q: sv1::QueryPayoutsByProviderRequest| {
            let mut payouts: Vec<sv1::PayoutRecord> = ctx.list(b"payout/")?;
            payouts.retain(|p| p.provider == q.provider);
            Ok(sv1::QueryPayoutsByProviderResponse { payouts })
        }),
        "Params" => reply(data, |_: sv1::QueryParamsRequest| params(ctx)),
        _ => return None,
    })
}

/// The parameters: those that the rules use from the genesis, the others as measured (spec/chain-recordings 007).
#[allow(clippy::unnecessary_wraps, reason = "has the signature of a handler")]
fn params(ctx: &Context<'_>) -> Result<sv1::QueryParamsResponse, Failure> {
    Ok(sv1::QueryParamsResponse {
        params: Some(sv1::Params {
            platform_fee_rate: "0.05".to_owned(),
            validator_fee_rate: "0.01".to_owned(),
            min_escrow_duration: ctx.rules.min_escrow_seconds,
            max_escrow_duration: ctx.rules.max_escrow_seconds,
            settlement_period: u64::try_from(ctx.rules.settlement_period).unwrap_or(0),
            reward_claim_expiry: 2_592_000,
            min_settlement_amount: "1000".to_owned(),
            usage_grace_period: 86_400,
            staking_reward_epoch_length: 100,
            verification_reward_amount: "100".to_owned(),
            payout_holdback_rate: "0.0".to_owned(),
            max_payout_retries: 3,
            dispute_window_duration: 604_800,
            ..sv1::Params::default()
        }),
    })
}
