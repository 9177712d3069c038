//! Gas price and fee.

use crate::rules::accounts::{self, FEE_COLLECTOR};
use crate::rules::{bank, feegrant};
use crate::state::address;
use crate::state::amount::{Coins, Dec};
use crate::state::context::Context;
use crate::state::event::Event;
use crate::state::failure::{Code, Failure, sdk};
use crate::tx::Tx;

/// What the node spends on parameters and balances around the fee, beyond what this chain stores.
const FEE_GAS: u64 = 4_400;

/// The mempool's check of the price of gas. Its error is not a registered one: the client sees `undefined`, 1
/// (spec/chain-node.md 2.1).
pub(crate) fn check_gas_price(tx: &Tx, (least, denom): &(Dec, String)) -> Result<(), Failure> {
    let fee = tx.fee();
    if least.is_zero() || fee.gas_limit == 0 {
        return Ok(());
    }
    let paid = Coins::of(&fee.amount)?;
    let mut got = Vec::new();
    let mut enough = false;
    for (d, amount) in paid.iter() {
        let price = per_gas(amount, fee.gas_limit)?;
        enough |= d == denom && price >= *least;
        got.push(format!("{}{d}", price.json()));
    }
    if enough {
        return Ok(());
    }
    Err(Failure::Lost(format!(
        "insufficient fee: min gas prices {}{denom}, got {}",
        least.json(),
        got.join(",")
    )))
}

/// `amount / gas` with 18 digits, half to even like the node's decimals.
fn per_gas(amount: i128, gas: u64) -> Result<Dec, Failure> {
    let scaled = Dec::from_whole(amount)?.scaled();
    let gas = i128::from(gas);
    let (quotient, rest) = (scaled / gas, scaled % gas);
    let up = match (rest * 2).cmp(&gas) {
        core::cmp::Ordering::Greater => true,
        core::cmp::Ordering::Equal => quotient % 2 == 1,
        core::cmp::Ordering::Less => false,
    };
    Ok(Dec::from_scaled(quotient + i128::from(up)))
}

/// Takes the fee from the payer or from the granter's allowance.
pub(crate) fn deduct(ctx: &mut Context<'_>, tx: &Tx) -> Result<(), Failure> {
    ctx.gas.consume(FEE_GAS, "ReadFlat")?;
    let fee = tx.fee();
    let coins = Coins::of(&fee.amount)?;
    let payer = tx.fee_payer();
    let mut from = payer.clone();
    if !fee.granter.is_empty() {
        let granter = address::bytes(&fee.granter).ok_or_else(|| {
            sdk::INVALID_ADDRESS.wrap("invalid fee granter address: decoding bech32 failed")
        })?;
        if granter != payer {
            feegrant::charge(ctx, &fee.granter, &address::text(&payer), &coins).map_err(|f| {
                f.within(&format!(
                    "{} does not allow to pay fees for {}: ",
                    address::as_json_text(&granter),
                    address::as_json_text(&payer)
                ))
            })?;
        }
        from = granter;
    }
    if accounts::load(ctx, &from)?.is_none() {
        return Err(sdk::UNKNOWN_ADDRESS.wrap(format_args!(
            "fee payer address: {} does not exist",
            address::as_json_text(&from)
        )));
    }
    if !coins.is_empty() {
        bank::transfer(ctx, &from, &address::of_module(FEE_COLLECTOR), &coins).map_err(wrapped)?;
    }
    ctx.emit(Event::new(
        "tx",
        [("fee", coins.to_string()), ("fee_payer", address::text(&from))],
    ));
    Ok(())
}

/// The node wraps the bank's error once more in the same code.
fn wrapped(failure: Failure) -> Failure {
    match failure {
        Failure::Refused {
            code:
                Code {
                    space: "sdk",
                    number: 5,
                    ..
                },
            log,
        } => sdk::INSUFFICIENT_FUNDS.wrap(log),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_shown_as_in_the_recordings() {
        assert_eq!(per_gas(1, 40_000).unwrap().json(), "0.000025000000000000");
        assert_eq!(per_gas(2, 3).unwrap().json(), "0.666666666666666667");
    }
}
