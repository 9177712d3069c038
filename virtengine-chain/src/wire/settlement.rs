//! Settlement escrows and usage records.

use virtengine_provider_core::market::SettlementEscrow;
use virtengine_provider_core::ports::chain::UsageOnChain;

use super::{WireError, address, coins};
use crate::proto::virtengine::settlement::v1 as wire;

/// A settlement escrow.
///
/// # Errors
/// A field that is out of range.
pub fn escrow(escrow: &wire::EscrowAccount) -> Result<SettlementEscrow, WireError> {
    let recipient = match escrow.recipient.as_str() {
        "" => None,
        text => Some(address("recipient", text)?),
    };
    Ok(SettlementEscrow {
        id: escrow.escrow_id.clone(),
        order_id: escrow.order_id.clone(),
        lease_id: escrow.lease_id.clone(),
        recipient,
        state: escrow.state.clone(),
        balance: coins("balance", &escrow.balance)?,
        expires_at: escrow.expires_at,
    })
}

/// A usage record.
///
/// # Errors
/// A field that is out of range.
pub fn usage(record: &wire::UsageRecord) -> Result<UsageOnChain, WireError> {
    Ok(UsageOnChain {
        id: record.usage_id.clone(),
        usage_type: record.usage_type.clone(),
        usage_units: record.usage_units,
        period_start: record.period_start,
        period_end: record.period_end,
        total_cost: coins("total_cost", &record.total_cost)?,
        settled: record.settled,
        signature: record.provider_signature.clone(),
    })
}
