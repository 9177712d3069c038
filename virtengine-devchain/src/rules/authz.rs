//! Acting for somebody else: `MsgExec` under a grant. Only generic grants are known.

use prost::{Message as _, Name as _};

use crate::rules::accounts;
use crate::state::address;
use crate::state::context::Context;
use crate::state::event::Event;
use crate::state::failure::{Code, Failure, other as errors, sdk};
use crate::state::keys::Key;
use crate::tx::decode::messages_of;
use crate::wire::authz::{
    GenericAuthorization, Grant, MsgExec, MsgExecResponse, MsgGrant, MsgGrantResponse, MsgRevoke,
    MsgRevokeResponse,
};

/// `MsgExec` inside `MsgExec` deeper than this is refused, to bound the work.
const NESTING_MAX: usize = 8;

const GRANTEE_IS_GRANTER: Code = Code {
    space: "authz",
    number: 7,
    text: "grantee and granter should be different",
    not_found: false,
};

fn key(granter: &str, grantee: &str, msg_type: &str) -> Vec<u8> {
    Key::table("authz")
        .address(granter)
        .address(grantee)
        .raw(msg_type.as_bytes())
        .bytes()
}

/// The stateless check of `MsgExec`.
pub(crate) fn check_exec(msg: &MsgExec) -> Result<(), Failure> {
    if msg.msgs.is_empty() {
        return Err(sdk::INVALID_REQUEST.wrap("messages cannot be empty"));
    }
    if nesting(msg, 0) > NESTING_MAX {
        return Err(sdk::INVALID_REQUEST.wrap("messages are nested too deeply"));
    }
    Ok(())
}

fn nesting(msg: &MsgExec, depth: usize) -> usize {
    if depth > NESTING_MAX {
        return depth;
    }
    msg.msgs
        .iter()
        .filter(|any| any.type_url == MsgExec::type_url())
        .filter_map(|any| MsgExec::decode(any.value.as_slice()).ok())
        .map(|inner| nesting(&inner, depth + 1))
        .max()
        .unwrap_or(depth)
}

fn authorize(ctx: &mut Context<'_>, granter: &str, grantee: &str, msg_type: &str) -> Result<(), Failure> {
    let grant: Grant = ctx.load(&key(granter, grantee, msg_type))?.ok_or_else(|| {
        errors::NO_AUTHORIZATION.wrap(format_args!(
            "failed to get grant with given granter: {granter}, grantee: {grantee} & msgType: {msg_type} "
        ))
    })?;
    match grant.expiration {
        Some(end) if end.seconds < ctx.time.seconds => Err(errors::AUTHORIZATION_EXPIRED.fail()),
        _ => Ok(()),
    }
}

/// `MsgExec`: each inner message is run for its own signer. The grantee itself needs no grant.
pub(crate) fn exec(ctx: &mut Context<'_>, msg: &MsgExec) -> Result<MsgExecResponse, Failure> {
    let mut results = Vec::new();
    for (index, inner) in messages_of(&msg.msgs)?.iter().enumerate() {
        inner.check()?;
        let granter = inner.signer();
        if granter != msg.grantee {
            authorize(ctx, &granter, &msg.grantee, &inner.type_url())?;
        }
        let outer = core::mem::take(&mut ctx.events);
        let response = inner.run(ctx);
        let made = core::mem::replace(&mut ctx.events, outer);
        let prefix = || format!("failed to execute message; message {}: ", inner.go_text());
        let response = response.map_err(|f| f.within(&prefix()))?;
        for event in made {
            ctx.emit(event.with("authz_msg_index", &index.to_string()));
        }
        results.push(response.value);
    }
    Ok(MsgExecResponse { results })
}

fn generic(grant: &Grant) -> Result<GenericAuthorization, Failure> {
    let any = grant.authorization.clone().unwrap_or_default();
    if any.type_url != GenericAuthorization::type_url() {
        return Err(sdk::NOT_SUPPORTED.wrap(format_args!("authorization type {:?}", any.type_url)));
    }
    GenericAuthorization::decode(any.value.as_slice()).map_err(|e| sdk::INVALID_REQUEST.wrap(e))
}

/// The stateless check of `MsgGrant`.
pub(crate) fn check_grant(msg: &MsgGrant) -> Result<(), Failure> {
    if msg.granter == msg.grantee {
        return Err(GRANTEE_IS_GRANTER.fail());
    }
    if address::bytes(&msg.grantee).is_none() {
        return Err(sdk::INVALID_ADDRESS.wrap("invalid grantee address: decoding bech32 failed"));
    }
    generic(&msg.grant.clone().unwrap_or_default()).map(|_| ())
}

fn event(kind: &str, granter: &str, grantee: &str, msg_type: &str) -> Event {
    Event::new(
        &format!("cosmos.authz.v1beta1.{kind}"),
        [
            ("grantee", format!("\"{grantee}\"")),
            ("granter", format!("\"{granter}\"")),
            ("msg_type_url", format!("\"{msg_type}\"")),
        ],
    )
}

/// `MsgGrant`.
pub(crate) fn grant(ctx: &mut Context<'_>, msg: &MsgGrant) -> Result<MsgGrantResponse, Failure> {
    let grant = msg.grant.clone().unwrap_or_default();
    if grant
        .expiration
        .is_some_and(|end| end.seconds <= ctx.time.seconds)
    {
        return Err(Code {
            space: "authz",
            number: 3,
            text: "expiration time of authorization should be more than current time",
            not_found: false,
        }
        .fail());
    }
    let allowed = generic(&grant)?;
    if let Some(bytes) = address::bytes(&msg.grantee) {
        accounts::ensure(ctx, &bytes)?;
    }
    ctx.save(key(&msg.granter, &msg.grantee, &allowed.msg), &grant)?;
    ctx.emit(event("EventGrant", &msg.granter, &msg.grantee, &allowed.msg));
    Ok(MsgGrantResponse {})
}

/// `MsgRevoke`.
pub(crate) fn revoke(ctx: &mut Context<'_>, msg: &MsgRevoke) -> Result<MsgRevokeResponse, Failure> {
    let key = key(&msg.granter, &msg.grantee, &msg.msg_type_url);
    if ctx.read(&key)?.is_none() {
        return Err(errors::NO_AUTHORIZATION.wrap(format_args!(
            "failed to delete grant with granter: {}, grantee: {} & msgType: {} ",
            msg.granter, msg.grantee, msg.msg_type_url
        )));
    }
    ctx.delete(key)?;
    ctx.emit(event(
        "EventRevoke",
        &msg.granter,
        &msg.grantee,
        &msg.msg_type_url,
    ));
    Ok(MsgRevokeResponse {})
}

/// The grants between two accounts, all types or one.
pub(crate) fn grants(
    ctx: &mut Context<'_>,
    granter: &str,
    grantee: &str,
    msg_type: &str,
) -> Result<Vec<Grant>, Failure> {
    if msg_type.is_empty() {
        return ctx.list(&key(granter, grantee, ""));
    }
    let found: Option<Grant> = ctx.load(&key(granter, grantee, msg_type))?;
    found.map(|g| vec![g]).ok_or_else(|| {
        errors::NO_AUTHORIZATION.wrap(format_args!("authorization not found for {msg_type} type"))
    })
}
