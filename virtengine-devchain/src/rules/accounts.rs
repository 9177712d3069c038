//! Accounts: number, sequence, public key.

use crate::state::address;
use crate::state::context::Context;
use crate::state::failure::Failure;
use crate::state::keys::Key;
use crate::wire::auth::BaseAccount;

/// Where transaction fees go.
pub(crate) const FEE_COLLECTOR: &str = "fee_collector";
/// Where deposits are held.
pub(crate) const ESCROW_POOL: &str = "escrow";
/// Where settlements pass through and their fees stay.
pub(crate) const SETTLEMENT_POOL: &str = "settlement";
/// Where the take fee goes.
pub(crate) const TAKE_POOL: &str = "distribution";
/// Module accounts in the order of their account numbers.
pub(crate) const MODULES: [&str; 4] = [FEE_COLLECTOR, ESCROW_POOL, SETTLEMENT_POOL, TAKE_POOL];

fn key(address: &[u8]) -> Vec<u8> {
    Key::table("auth").raw(address).bytes()
}

pub(crate) fn load(ctx: &mut Context<'_>, address: &[u8]) -> Result<Option<BaseAccount>, Failure> {
    ctx.load(&key(address))
}

pub(crate) fn save(ctx: &mut Context<'_>, address: &[u8], account: &BaseAccount) -> Result<(), Failure> {
    ctx.save(key(address), account)
}

/// Makes the account of `address` if there is none.
pub(crate) fn ensure(ctx: &mut Context<'_>, address: &[u8]) -> Result<(), Failure> {
    if load(ctx, address)?.is_some() {
        return Ok(());
    }
    let number = ctx.next_number("account")?;
    let account = BaseAccount {
        address: address::text(address),
        account_number: number.saturating_sub(1),
        ..BaseAccount::default()
    };
    save(ctx, address, &account)
}
