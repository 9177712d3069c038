//! Exact amounts. [`Dec`] has 18 decimals like the chain's `LegacyDec`; whole coins are `i128`. Everything that does not fit
//! behaves like the node: the transaction panics.
//!
//! The node computes with 256 bits and more, this chain with 127. The difference shows only above 1.7 × 10²⁰ whole coins.

use std::collections::BTreeMap;

use crate::state::failure::Failure;
use crate::wire::coin::{Coin, DecCoin};

/// The base denomination (spec/chain.md B.1).
pub(crate) const DENOM: &str = "uve";

/// 10¹⁸.
const ONE: i128 = 1_000_000_000_000_000_000;

/// A decimal with 18 digits after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Dec(i128);

fn overflow() -> Failure {
    Failure::panic("Int overflow")
}

fn nil_pointer() -> Failure {
    Failure::panic("runtime error: invalid memory address or nil pointer dereference")
}

impl Dec {
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) const fn from_scaled(scaled: i128) -> Self {
        Self(scaled)
    }

    pub(crate) fn from_whole(whole: i128) -> Result<Self, Failure> {
        whole.checked_mul(ONE).map(Self).ok_or_else(overflow)
    }

    pub(crate) fn add(self, other: Self) -> Result<Self, Failure> {
        self.0.checked_add(other.0).map(Self).ok_or_else(overflow)
    }

    pub(crate) fn sub(self, other: Self) -> Result<Self, Failure> {
        self.0.checked_sub(other.0).map(Self).ok_or_else(overflow)
    }

    pub(crate) fn mul_whole(self, factor: i128) -> Result<Self, Failure> {
        self.0.checked_mul(factor).map(Self).ok_or_else(overflow)
    }

    /// The amount scaled by 10¹⁸.
    pub(crate) const fn scaled(self) -> i128 {
        self.0
    }

    /// The whole part, towards zero.
    pub(crate) const fn trunc(self) -> i128 {
        self.0 / ONE
    }

    /// The whole part as a decimal.
    pub(crate) const fn trunc_dec(self) -> Self {
        Self(self.0 / ONE * ONE)
    }

    pub(crate) const fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn is_negative(self) -> bool {
        self.0 < 0
    }

    pub(crate) const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// The wire form: an integer scaled by 10¹⁸ (spec/chain.md A.0).
    pub(crate) fn wire(self) -> String {
        self.0.to_string()
    }

    /// The JSON form: a decimal with 18 digits.
    pub(crate) fn json(self) -> String {
        let magnitude = self.0.unsigned_abs();
        let one = ONE.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        format!("{sign}{}.{:018}", magnitude / one, magnitude % one)
    }
}

/// The amount of a `DecCoin` on the wire. An empty text is Go's nil decimal: using it panics (spec/chain.md A.0).
pub(crate) fn dec_of(text: &str) -> Result<Dec, Failure> {
    if text.is_empty() {
        return Err(nil_pointer());
    }
    text.parse().map(Dec).map_err(|_| overflow())
}

/// The amount of a `Coin`. An empty text is Go's nil integer.
pub(crate) fn int_of(text: &str) -> Result<i128, Failure> {
    if text.is_empty() {
        return Err(nil_pointer());
    }
    text.parse().map_err(|_| overflow())
}

/// Whether `text` is an integer as the node's decoder accepts it (empty included).
pub(crate) fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    text.is_empty()
        || (!digits.is_empty() && digits.len() <= 96 && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether `denom` is a legal denomination.
pub(crate) fn is_denom(denom: &str) -> bool {
    denom.parse::<virtengine_provider_core::money::Denom>().is_ok()
}

/// A `Coin` of `amount`.
pub(crate) fn coin(denom: &str, amount: i128) -> Coin {
    Coin {
        denom: denom.to_owned(),
        amount: amount.to_string(),
    }
}

/// A `DecCoin` of `amount`.
pub(crate) fn dec_coin(denom: &str, amount: Dec) -> DecCoin {
    DecCoin {
        denom: denom.to_owned(),
        amount: amount.wire(),
    }
}

/// A set of coins without zero entries, sorted by denomination.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Coins(BTreeMap<String, i128>);

impl Coins {
    pub(crate) fn one(denom: &str, amount: i128) -> Self {
        let mut coins = Self::default();
        if amount != 0 {
            coins.0.insert(denom.to_owned(), amount);
        }
        coins
    }

    /// The coins of a list that is already known to be valid.
    pub(crate) fn of(list: &[Coin]) -> Result<Self, Failure> {
        let mut coins = Self::default();
        for item in list {
            coins.add_one(&item.denom, int_of(&item.amount)?)?;
        }
        Ok(coins)
    }

    /// Go's `Coins.IsValid`: sorted, no duplicate, legal denominations, all positive. An empty list is valid.
    pub(crate) fn is_valid(list: &[Coin]) -> Result<bool, Failure> {
        let mut last: Option<&str> = None;
        for item in list {
            let positive = int_of(&item.amount)? > 0;
            if !positive || !is_denom(&item.denom) || last.is_some_and(|l| l >= item.denom.as_str()) {
                return Ok(false);
            }
            last = Some(&item.denom);
        }
        Ok(true)
    }

    pub(crate) fn add_one(&mut self, denom: &str, amount: i128) -> Result<(), Failure> {
        let sum = self.amount(denom).checked_add(amount).ok_or_else(overflow)?;
        if sum == 0 {
            self.0.remove(denom);
        } else {
            self.0.insert(denom.to_owned(), sum);
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<(), Failure> {
        for (denom, amount) in &other.0 {
            self.add_one(denom, *amount)?;
        }
        Ok(())
    }

    /// `self - other`; a negative result panics as in Go.
    pub(crate) fn minus(&self, other: &Self) -> Result<Self, Failure> {
        let mut left = self.clone();
        for (denom, amount) in &other.0 {
            left.add_one(denom, amount.checked_neg().ok_or_else(overflow)?)?;
        }
        if left.0.values().any(|a| *a < 0) {
            return Err(Failure::panic("negative coin amount"));
        }
        Ok(left)
    }

    /// The smaller amount of each denomination that is in both.
    pub(crate) fn min(&self, other: &Self) -> Self {
        let mut out = Self::default();
        for (denom, amount) in &self.0 {
            let least = (*amount).min(other.amount(denom));
            if least != 0 {
                out.0.insert(denom.clone(), least);
            }
        }
        out
    }

    /// `percent` of each amount, rounded down.
    pub(crate) fn percent(&self, percent: i128) -> Result<Self, Failure> {
        let mut out = Self::default();
        for (denom, amount) in &self.0 {
            out.add_one(denom, amount.checked_mul(percent).ok_or_else(overflow)? / 100)?;
        }
        Ok(out)
    }

    pub(crate) fn amount(&self, denom: &str) -> i128 {
        self.0.get(denom).copied().unwrap_or(0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, i128)> {
        self.0.iter().map(|(d, a)| (d.as_str(), *a))
    }

    pub(crate) fn list(&self) -> Vec<Coin> {
        self.iter().map(|(d, a)| coin(d, a)).collect()
    }
}

impl core::fmt::Display for Coins {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (i, (denom, amount)) in self.iter().enumerate() {
            write!(f, "{}{amount}{denom}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_show_eighteen_digits() {
        assert_eq!(Dec::from_whole(1).unwrap().json(), "1.000000000000000000");
        assert_eq!(Dec::from_scaled(-5).json(), "-0.000000000000000005");
    }

    #[test]
    fn an_empty_amount_is_a_nil_pointer() {
        assert!(matches!(dec_of(""), Err(Failure::Panic(text)) if text.contains("nil pointer")));
    }
}
