//! Amounts (spec/chain.md A.0): `Coin.amount` is an integer text, `DecCoin.amount` an integer text scaled by 10¹⁸.

use virtengine_provider_core::money::{Coin, Decimal, Price};

use super::{WireError, required};
use crate::proto::cosmos::base::v1beta1 as wire;
use crate::proto::virtengine::base::deposit::v1::{Deposit, Source};

/// Digits only: `u128::from_str` would also take a leading `+`.
fn integer(field: &'static str, text: &str) -> Result<u128, WireError> {
    let bad = || WireError::field(field, text, "a non-negative integer of at most 128 bits");
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    text.parse().map_err(|_| bad())
}

/// A whole amount.
///
/// # Errors
/// Absent, no denomination, or no integer of 128 bits.
pub fn coin(field: &'static str, coin: Option<&wire::Coin>) -> Result<Coin, WireError> {
    let coin = required(field, coin)?;
    Ok(Coin::new(
        coin.denom
            .parse()
            .map_err(|_| WireError::field(field, &coin.denom, "a denomination"))?,
        integer(field, &coin.amount)?,
    ))
}

/// Several whole amounts.
///
/// # Errors
/// As [`coin`].
pub fn coins(field: &'static str, list: &[wire::Coin]) -> Result<Vec<Coin>, WireError> {
    list.iter().map(|each| coin(field, Some(each))).collect()
}

/// An amount with 18 decimals.
///
/// # Errors
/// Absent, no denomination, or no integer of 128 bits.
pub fn price(field: &'static str, price: Option<&wire::DecCoin>) -> Result<Price, WireError> {
    let price = required(field, price)?;
    Ok(Price::new(
        price
            .denom
            .parse()
            .map_err(|_| WireError::field(field, &price.denom, "a denomination"))?,
        Decimal::from_scaled(integer(field, &price.amount)?),
    ))
}

/// The amount of a deposit that the depositor's balance pays.
///
/// # Errors
/// Any other source, or as [`coin`].
pub fn deposit(deposit: Option<&Deposit>) -> Result<Coin, WireError> {
    let deposit = required("deposit", deposit)?;
    if deposit.sources != [i32::from(Source::Balance)] {
        return Err(WireError::Unsupported(
            "a deposit from another source than the balance",
        ));
    }
    coin("deposit.amount", deposit.amount.as_ref())
}

/// To the wire.
#[must_use]
pub fn coin_to_wire(coin: &Coin) -> wire::Coin {
    wire::Coin {
        denom: coin.denom.to_string(),
        amount: coin.amount.to_string(),
    }
}

/// To the wire.
#[must_use]
pub fn price_to_wire(price: &Price) -> wire::DecCoin {
    wire::DecCoin {
        denom: price.denom.to_string(),
        amount: price.amount.scaled().to_string(),
    }
}

/// A deposit from the balance.
#[must_use]
pub fn deposit_to_wire(amount: &Coin) -> Deposit {
    Deposit {
        amount: Some(coin_to_wire(amount)),
        sources: vec![i32::from(Source::Balance)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_digits_are_amounts() {
        for text in [
            "",
            "+1",
            "-1",
            " 1",
            "1.0",
            "1e3",
            "340282366920938463463374607431768211456",
        ] {
            let amount = wire::Coin {
                denom: "uve".to_owned(),
                amount: text.to_owned(),
            };
            assert!(coin("amount", Some(&amount)).is_err(), "{text:?}");
        }
        assert_eq!(coin("amount", None), Err(WireError::Missing("amount")));
    }
}
