//! The checks that need no state. They run before everything else, so a failure costs no fee and no sequence number
//! (spec/chain-node.md 2.7).

use crate::rules::{escrow, group_limits};
use crate::state::address;
use crate::state::amount::{Coins, dec_of};
use crate::state::failure::{Failure, deployment as deployment_errors, market as errors, sdk, settlement};
use crate::state::keys;
use crate::wire::{coin, dv1, dv4, mv1, mv5, sv1};

pub(crate) fn deployment_id(owner: &str, dseq: u64) -> Result<(), Failure> {
    if address::bytes(owner).is_none() {
        return Err(deployment_errors::INVALID_ID.lose("invalid owner address"));
    }
    if dseq == 0 {
        return Err(sdk::INVALID_SEQUENCE.wrap("DeploymentID: Invalid Deployment Sequence"));
    }
    Ok(())
}

fn hash(hash: &[u8]) -> Result<(), Failure> {
    match hash.len() {
        0 => Err(deployment_errors::EMPTY_HASH.fail()),
        32 => Ok(()),
        _ => Err(deployment_errors::INVALID_HASH.fail()),
    }
}

/// A bid or lease id.
pub(crate) fn bid_id(id: &mv1::BidId) -> Result<(), Failure> {
    deployment_id(&id.owner, id.dseq)?;
    if id.gseq == 0 || id.oseq == 0 {
        return Err(errors::INVALID_BID.lose("gseq or oseq is zero"));
    }
    if address::bytes(&id.provider).is_none() {
        return Err(errors::INVALID_BID.lose("invalid provider address"));
    }
    if id.owner == id.provider {
        return Err(sdk::CONFLICT.wrap("BidID: self-bid"));
    }
    if id.bseq != 0 {
        return Err(sdk::CONFLICT.wrap("BidID: invalid bseq"));
    }
    Ok(())
}

/// A lease id.
pub(crate) fn lease_id(id: Option<&mv1::LeaseId>) -> Result<(), Failure> {
    bid_id(&keys::bid_of_lease(&id.cloned().unwrap_or_default()))
}

pub(crate) fn create_bid(msg: &mv5::MsgCreateBid) -> Result<(), Failure> {
    bid_id(&msg.id.clone().unwrap_or_default())?;
    escrow::check_deposit(&msg.deposit.clone().unwrap_or_default())?;
    let coin::DecCoin { amount, .. } = msg.price.clone().unwrap_or_default();
    if dec_of(&amount)?.is_zero() {
        return Err(errors::BID_ZERO_PRICE.fail());
    }
    Ok(())
}

pub(crate) fn close_bid(msg: &mv5::MsgCloseBid) -> Result<(), Failure> {
    bid_id(&msg.id.clone().unwrap_or_default())?;
    if !(10_000..=19_999).contains(&msg.reason) {
        return Err(
            errors::INVALID_CLOSE_REASON.wrap(format_args!("value \"{}\" range 10000..19999", msg.reason))
        );
    }
    Ok(())
}

pub(crate) fn create_deployment(msg: &dv4::MsgCreateDeployment) -> Result<(), Failure> {
    let dv1::DeploymentId { owner, dseq } = msg.id.clone().unwrap_or_default();
    deployment_id(&owner, dseq)?;
    let deposit = msg.deposit.clone().unwrap_or_default();
    escrow::check_deposit(&deposit)?;
    let Some(first) = msg.groups.first() else {
        return Err(deployment_errors::INVALID_GROUPS.fail());
    };
    hash(&msg.hash)?;
    group_limits::check(&msg.groups)?;
    let (denom, _) = group_limits::group_price(first)?;
    let offered = deposit.amount.unwrap_or_default().denom;
    if denom != offered {
        return Err(deployment_errors::INVALID_DEPOSIT
            .wrap(format_args!("Mismatched denominations ({offered} != {denom})")));
    }
    Ok(())
}

pub(crate) fn update_deployment(msg: &dv4::MsgUpdateDeployment) -> Result<(), Failure> {
    let dv1::DeploymentId { owner, dseq } = msg.id.clone().unwrap_or_default();
    deployment_id(&owner, dseq)?;
    hash(&msg.hash)
}

fn sender(address_text: &str) -> Result<(), Failure> {
    address::bytes(address_text)
        .map(|_| ())
        .ok_or_else(|| settlement::BASIC_ADDRESS.wrap("invalid sender address"))
}

fn filled(text: &str, code: crate::state::failure::Code, name: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return Err(code.wrap(format_args!("{name} cannot be empty")));
    }
    Ok(())
}

pub(crate) fn create_escrow(msg: &sv1::MsgCreateEscrow) -> Result<(), Failure> {
    sender(&msg.sender)?;
    filled(&msg.order_id, settlement::BASIC_ESCROW, "order_id")?;
    if msg.amount.is_empty() || !Coins::is_valid(&msg.amount)? {
        return Err(settlement::BASIC_AMOUNT.wrap("amount must be valid and non-zero"));
    }
    if msg.expires_in == 0 {
        return Err(settlement::BASIC_ESCROW.wrap("expires_in must be greater than zero"));
    }
    Ok(())
}

pub(crate) fn activate_escrow(msg: &sv1::MsgActivateEscrow) -> Result<(), Failure> {
    sender(&msg.sender)?;
    filled(&msg.escrow_id, settlement::BASIC_ESCROW, "escrow_id")?;
    filled(&msg.lease_id, settlement::BASIC_ESCROW, "lease_id")?;
    address::bytes(&msg.recipient)
        .map(|_| ())
        .ok_or_else(|| settlement::BASIC_ADDRESS.wrap("invalid recipient address"))
}

pub(crate) fn settle_order(msg: &sv1::MsgSettleOrder) -> Result<(), Failure> {
    sender(&msg.sender)?;
    filled(&msg.order_id, settlement::BASIC_SETTLEMENT, "order_id")
}

pub(crate) fn refund_escrow(msg: &sv1::MsgRefundEscrow) -> Result<(), Failure> {
    sender(&msg.sender)?;
    filled(&msg.escrow_id, settlement::BASIC_ESCROW, "escrow_id")
}

pub(crate) fn acknowledge_usage(msg: &sv1::MsgAcknowledgeUsage) -> Result<(), Failure> {
    sender(&msg.sender)?;
    filled(&msg.usage_id, settlement::BASIC_USAGE, "usage_id")?;
    if msg.signature.is_empty() {
        return Err(settlement::BASIC_SIGNATURE.wrap("signature cannot be empty"));
    }
    Ok(())
}

pub(crate) fn record_usage(msg: &sv1::MsgRecordUsage) -> Result<(), Failure> {
    sender(&msg.sender)?;
    filled(&msg.order_id, settlement::BASIC_USAGE, "order_id")?;
    filled(&msg.lease_id, settlement::BASIC_USAGE, "lease_id")?;
    if msg.usage_units == 0 {
        return Err(settlement::BASIC_USAGE.wrap("usage_units must be greater than zero"));
    }
    filled(&msg.usage_type, settlement::BASIC_USAGE, "usage_type")?;
    if msg.period_end <= msg.period_start {
        return Err(settlement::BASIC_USAGE.wrap("period_end must be after period_start"));
    }
    if msg.signature.is_empty() {
        return Err(settlement::BASIC_SIGNATURE.wrap("signature cannot be empty"));
    }
    Ok(())
}
