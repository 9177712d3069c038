//! The identity-score and second-factor gates. Only top-level messages are looked at: `MsgExec` carries its inner messages past
//! both (spec/chain.md B.2, spec/chain-node.md 1).

use crate::state::context::Context;
use crate::state::failure::{Failure, other as errors, sdk};
use crate::state::keys;
use crate::tx::Tx;
use crate::tx::message::Msg;

/// The score that a withdrawal needs.
const WITHDRAWAL_SCORE: u32 = 50;

/// The score of an address; 0 without a record.
pub(crate) fn score(ctx: &mut Context<'_>, address: &str) -> Result<u32, Failure> {
    let stored = ctx.read(&keys::named("veid", address))?;
    Ok(stored
        .and_then(|b| b.as_ref().try_into().ok().map(u32::from_be_bytes))
        .unwrap_or(0))
}

pub(crate) fn check(ctx: &mut Context<'_>, tx: &Tx) -> Result<(), Failure> {
    for message in &tx.messages {
        if matches!(message, Msg::WithdrawLease(_)) && score(ctx, &message.signer())? < WITHDRAWAL_SCORE {
            return Err(sdk::UNAUTHORIZED.wrap(
                "VEID tier unverified below required basic for Medium withdrawal (1,000-10,000 VE) requires single strong factor",
            ));
        }
    }
    if !ctx.rules.mfa {
        return Ok(());
    }
    for message in &tx.messages {
        let (kind, factors) = match message {
            Msg::CreateDeployment(_) => ("high_value_order", "veid+fido2"),
            Msg::WithdrawLease(_) => ("medium_withdrawal", "fido2 or totp"),
            _ => continue,
        };
        return Err(errors::MFA_REQUIRED.wrap(format_args!(
            "MFA required for {kind}. Required factors: {factors}"
        )));
    }
    Ok(())
}
