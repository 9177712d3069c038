//! Paying somebody else's fees. Only basic allowances are known.

use prost::{Message as _, Name as _};

use crate::rules::accounts;
use crate::state::address;
use crate::state::amount::Coins;
use crate::state::context::Context;
use crate::state::event::Event;
use crate::state::failure::{Failure, other as errors, sdk};
use crate::state::keys::Key;
use crate::wire::feegrant::{
    BasicAllowance, Grant, MsgGrantAllowance, MsgGrantAllowanceResponse, MsgRevokeAllowance,
    MsgRevokeAllowanceResponse,
};

fn key(granter: &str, grantee: &str) -> Vec<u8> {
    Key::table("feegrant").address(granter).address(grantee).bytes()
}

/// The allowance, if there is one.
pub(crate) fn find(ctx: &mut Context<'_>, granter: &str, grantee: &str) -> Result<Option<Grant>, Failure> {
    ctx.load(&key(granter, grantee))
}

fn basic(any: Option<&prost_types::Any>) -> Result<BasicAllowance, Failure> {
    let any = any.cloned().unwrap_or_default();
    if any.type_url != BasicAllowance::type_url() {
        return Err(sdk::NOT_SUPPORTED.wrap(format_args!("allowance type {:?}", any.type_url)));
    }
    BasicAllowance::decode(any.value.as_slice()).map_err(|e| sdk::INVALID_REQUEST.wrap(e))
}

/// The stateless check of `MsgGrantAllowance`.
pub(crate) fn check_grant(msg: &MsgGrantAllowance) -> Result<(), Failure> {
    if msg.granter == msg.grantee {
        return Err(sdk::INVALID_ADDRESS.wrap("cannot self-grant fee authorization"));
    }
    if address::bytes(&msg.grantee).is_none() {
        return Err(sdk::INVALID_ADDRESS.wrap("invalid grantee address: decoding bech32 failed"));
    }
    let allowance = basic(msg.allowance.as_ref())?;
    if !Coins::is_valid(&allowance.spend_limit)? {
        return Err(sdk::INVALID_COINS.wrap("send amount is invalid"));
    }
    Ok(())
}

fn event(kind: &str, granter: &str, grantee: &str) -> Event {
    Event::new(
        kind,
        [("granter", granter.to_owned()), ("grantee", grantee.to_owned())],
    )
}

/// `MsgGrantAllowance`.
pub(crate) fn grant(
    ctx: &mut Context<'_>,
    msg: &MsgGrantAllowance,
) -> Result<MsgGrantAllowanceResponse, Failure> {
    if find(ctx, &msg.granter, &msg.grantee)?.is_some() {
        return Err(sdk::INVALID_REQUEST.wrap("fee allowance already exists"));
    }
    if let Some(bytes) = address::bytes(&msg.grantee) {
        accounts::ensure(ctx, &bytes)?;
    }
    ctx.save(
        key(&msg.granter, &msg.grantee),
        &Grant {
            granter: msg.granter.clone(),
            grantee: msg.grantee.clone(),
            allowance: msg.allowance.clone(),
        },
    )?;
    ctx.emit(event("set_feegrant", &msg.granter, &msg.grantee));
    Ok(MsgGrantAllowanceResponse {})
}

/// `MsgRevokeAllowance`.
pub(crate) fn revoke(
    ctx: &mut Context<'_>,
    msg: &MsgRevokeAllowance,
) -> Result<MsgRevokeAllowanceResponse, Failure> {
    if find(ctx, &msg.granter, &msg.grantee)?.is_none() {
        return Err(sdk::NOT_FOUND.wrap("fee-grant not found"));
    }
    ctx.delete(key(&msg.granter, &msg.grantee))?;
    ctx.emit(event("revoke_feegrant", &msg.granter, &msg.grantee));
    Ok(MsgRevokeAllowanceResponse {})
}

/// Charges a fee to the allowance.
pub(crate) fn charge(
    ctx: &mut Context<'_>,
    granter: &str,
    grantee: &str,
    fee: &Coins,
) -> Result<(), Failure> {
    let mut grant = find(ctx, granter, grantee)?.ok_or_else(|| sdk::NOT_FOUND.wrap("fee-grant not found"))?;
    let mut allowance = basic(grant.allowance.as_ref())?;
    if allowance
        .expiration
        .is_some_and(|end| end.seconds < ctx.time.seconds)
    {
        return Err(errors::FEE_LIMIT_EXPIRED.wrap("basic allowance"));
    }
    if !allowance.spend_limit.is_empty() {
        let limit = Coins::of(&allowance.spend_limit)?;
        let left = limit
            .minus(fee)
            .map_err(|_| errors::FEE_LIMIT_EXCEEDED.wrap("basic allowance"))?;
        allowance.spend_limit = left.list();
    }
    grant.allowance = Some(prost_types::Any {
        type_url: BasicAllowance::type_url(),
        value: allowance.encode_to_vec(),
    });
    ctx.emit(event("use_feegrant", granter, grantee));
    ctx.save(key(granter, grantee), &grant)?;
    ctx.emit(event("update_feegrant", granter, grantee));
    Ok(())
}
