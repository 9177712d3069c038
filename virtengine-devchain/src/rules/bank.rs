//! Balances and transfers.

use crate::rules::accounts;
use crate::state::address;
use crate::state::amount::{Coins, coin};
use crate::state::context::Context;
use crate::state::event::Event;
use crate::state::failure::{Failure, sdk};
use crate::state::keys::Key;
use crate::wire::bank::{MsgSend, MsgSendResponse};

fn key(address: &[u8], denom: &str) -> Vec<u8> {
    all_of(address).raw(denom.as_bytes()).bytes()
}

fn all_of(address: &[u8]) -> Key {
    Key::table("balance")
        .raw(&[u8::try_from(address.len()).unwrap_or(255)])
        .raw(address)
}

fn number(bytes: &[u8]) -> i128 {
    core::str::from_utf8(bytes)
        .ok()
        .and_then(|t| t.parse().ok())
        .unwrap_or(0)
}

/// The balance of `address`.
pub(crate) fn balance(ctx: &mut Context<'_>, address: &[u8], denom: &str) -> Result<i128, Failure> {
    Ok(ctx.read(&key(address, denom))?.map_or(0, |b| number(&b)))
}

/// All balances of `address`, sorted by denomination.
pub(crate) fn balances(ctx: &Context<'_>, address: &[u8]) -> Coins {
    use crate::state::store::View as _;
    let prefix = all_of(address).bytes();
    let mut coins = Coins::default();
    for (key, value) in ctx.store.scan(&prefix) {
        let denom = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
        let _fits = coins.add_one(&denom, number(&value));
    }
    coins
}

/// Sets a balance: genesis only.
pub(crate) fn set(ctx: &mut Context<'_>, address: &[u8], denom: &str, amount: i128) -> Result<(), Failure> {
    if amount == 0 {
        return ctx.delete(key(address, denom));
    }
    ctx.write(key(address, denom), amount.to_string().into_bytes())
}

/// What a transfer costs on a node beyond what it costs in this store: restrictions, locks, parameters.
const TRANSFER_GAS: u64 = 6_000;

/// Moves coins and emits the four events of a transfer.
pub(crate) fn transfer(ctx: &mut Context<'_>, from: &[u8], to: &[u8], coins: &Coins) -> Result<(), Failure> {
    ctx.gas.consume(TRANSFER_GAS, "ReadFlat")?;
    let (spender, receiver) = (address::text(from), address::text(to));
    for (denom, amount) in coins.iter() {
        let have = balance(ctx, from, denom)?;
        if have < amount {
            return Err(sdk::INSUFFICIENT_FUNDS.wrap(format_args!(
                "spendable balance {have}{denom} is smaller than {amount}{denom}"
            )));
        }
        set(ctx, from, denom, have - amount)?;
    }
    ctx.emit(Event::new(
        "coin_spent",
        [("spender", spender.clone()), ("amount", coins.to_string())],
    ));
    for (denom, amount) in coins.iter() {
        let have = balance(ctx, to, denom)?;
        let sum = have
            .checked_add(amount)
            .ok_or_else(|| Failure::panic("Int overflow"))?;
        set(ctx, to, denom, sum)?;
    }
    ctx.emit(Event::new(
        "coin_received",
        [("receiver", receiver.clone()), ("amount", coins.to_string())],
    ));
    accounts::ensure(ctx, to)?;
    ctx.emit(Event::new(
        "transfer",
        [
            ("recipient", receiver),
            ("sender", spender.clone()),
            ("amount", coins.to_string()),
        ],
    ));
    ctx.emit(Event::new("message", [("sender", spender)]));
    Ok(())
}

/// Moves coins out of a module's account. Nothing to move is no event.
pub(crate) fn pay_out(ctx: &mut Context<'_>, module: &str, to: &str, coins: &Coins) -> Result<(), Failure> {
    if coins.is_empty() {
        return Ok(());
    }
    let to = address::bytes(to).ok_or_else(|| Failure::Lost("decoding bech32 failed".to_owned()))?;
    transfer(ctx, &address::of_module(module), &to, coins)
}

/// `MsgSend`.
pub(crate) fn send(ctx: &mut Context<'_>, msg: &MsgSend) -> Result<MsgSendResponse, Failure> {
    let from = address_of(&msg.from_address, "from")?;
    let to = address_of(&msg.to_address, "to")?;
    let listed = || {
        let texts: Vec<String> = msg
            .amount
            .iter()
            .map(|c| format!("{}{}", c.amount, c.denom))
            .collect();
        sdk::INVALID_COINS.wrap(texts.join(","))
    };
    if msg.amount.is_empty() || !Coins::is_valid(&msg.amount)? {
        return Err(listed());
    }
    transfer(ctx, &from, &to, &Coins::of(&msg.amount)?)?;
    Ok(MsgSendResponse {})
}

fn address_of(text: &str, what: &str) -> Result<Vec<u8>, Failure> {
    address::bytes(text).ok_or_else(|| {
        sdk::INVALID_ADDRESS.wrap(format_args!("invalid {what} address: decoding bech32 failed"))
    })
}

/// The balance of one denomination as a coin.
pub(crate) fn coin_of(
    ctx: &mut Context<'_>,
    address: &[u8],
    denom: &str,
) -> Result<crate::wire::coin::Coin, Failure> {
    Ok(coin(denom, balance(ctx, address, denom)?))
}
