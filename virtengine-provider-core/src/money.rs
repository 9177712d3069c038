//! Money is integers. [`Coin`] is a whole amount of the chain's base denomination (`uve`); [`Price`] is an amount with 18
//! decimals, as the chain's `DecCoin` (spec/chain.md A.0): on the wire an integer string scaled by 10¹⁸, in JSON a decimal.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One whole unit of a [`Decimal`]: 10¹⁸.
pub const DECIMAL_ONE: u128 = 1_000_000_000_000_000_000;

/// What can go wrong with money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// A result leaves the range of 128 bits.
    #[error("an amount is too large to be represented")]
    Overflow,
    /// A result would be negative.
    #[error("an amount would be negative")]
    Negative,
    /// Two different denominations in one sum.
    #[error("cannot combine {left} and {right}")]
    DenomMismatch {
        /// The first denomination.
        left: Denom,
        /// The other one.
        right: Denom,
    },
    /// A text that is no denomination: `[a-zA-Z][a-zA-Z0-9/:._-]{2,127}`.
    #[error("{0:?} is not a denomination")]
    Denom(String),
    /// A text that is no decimal with at most 18 digits behind the point.
    #[error("{0:?} is not a decimal amount")]
    Decimal(String),
    /// A text that is no coin such as `1000uve`.
    #[error("{0:?} is not a coin such as 1000uve")]
    Coin(String),
}

/// A denomination, e.g. `uve`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Denom(String);

impl Denom {
    /// The denomination as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Denom {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"/:._-".contains(&b);
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        if starts && (3..=128).contains(&text.len()) && text.bytes().all(legal) {
            return Ok(Self(text.to_owned()));
        }
        Err(MoneyError::Denom(text.to_owned()))
    }
}

impl fmt::Display for Denom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Denom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A non-negative number with 18 decimals, held as an integer scaled by 10¹⁸ (up to about 3.4 × 10²⁰).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Decimal(u128);

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// From the scaled integer, as on the wire.
    #[must_use]
    pub const fn from_scaled(scaled: u128) -> Self {
        Self(scaled)
    }

    /// From a whole number.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] above 3.4 × 10²⁰.
    pub fn from_integer(whole: u128) -> Result<Self, MoneyError> {
        whole
            .checked_mul(DECIMAL_ONE)
            .map(Self)
            .ok_or(MoneyError::Overflow)
    }

    /// The scaled integer, as on the wire.
    #[must_use]
    pub const fn scaled(self) -> u128 {
        self.0
    }

    /// Whether this is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Sum.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyError::Overflow)
    }

    /// Difference.
    ///
    /// # Errors
    /// [`MoneyError::Negative`] when `other` is larger.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_sub(other.0).map(Self).ok_or(MoneyError::Negative)
    }

    /// `self × numerator ÷ denominator`, rounded down.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when the result leaves the range or `denominator` is zero.
    pub fn mul_div_floor(self, numerator: u128, denominator: u128) -> Result<Self, MoneyError> {
        mul_div(self.0, numerator, denominator)
            .map(|(quotient, _)| Self(quotient))
            .ok_or(MoneyError::Overflow)
    }

    /// `self × numerator ÷ denominator`, rounded up.
    ///
    /// # Errors
    /// As [`Self::mul_div_floor`].
    pub fn mul_div_ceil(self, numerator: u128, denominator: u128) -> Result<Self, MoneyError> {
        let (quotient, exact) = mul_div(self.0, numerator, denominator).ok_or(MoneyError::Overflow)?;
        if exact {
            Ok(Self(quotient))
        } else {
            quotient.checked_add(1).map(Self).ok_or(MoneyError::Overflow)
        }
    }

    /// The whole part, rounded down.
    #[must_use]
    pub const fn floor(self) -> u128 {
        self.0 / DECIMAL_ONE
    }

    /// The whole part, rounded up.
    #[must_use]
    pub const fn ceil(self) -> u128 {
        self.0.div_ceil(DECIMAL_ONE)
    }
}

/// `a × b ÷ c` without losing the upper half of the product: the quotient rounded down and whether it is exact. `None` when
/// `c` is zero or the quotient needs more than 128 bits.
#[must_use]
pub fn mul_div(a: u128, b: u128, c: u128) -> Option<(u128, bool)> {
    if let Some(product) = a.checked_mul(b) {
        return Some((product.checked_div(c)?, product.checked_rem(c)? == 0));
    }
    let (high, low) = widening_mul(a, b);
    if high >= c {
        return None;
    }
    // Long division, one bit at a time: only reached by products above 2^128.
    let (mut quotient, mut rest) = (0_u128, high);
    for bit in (0..128).rev() {
        let carry = rest >> 127;
        rest = (rest << 1) | ((low >> bit) & 1);
        quotient <<= 1;
        if carry == 1 || rest >= c {
            rest = rest.wrapping_sub(c);
            quotient |= 1;
        }
    }
    Some((quotient, rest == 0))
}

/// The 256-bit product as (upper half, lower half): pairs compare as the products do.
pub(crate) fn widening_mul(a: u128, b: u128) -> (u128, u128) {
    const HALF: u128 = (1 << 64) - 1;
    let (a1, a0, b1, b0) = (a >> 64, a & HALF, b >> 64, b & HALF);
    let low = a0.wrapping_mul(b0);
    let cross = a1.wrapping_mul(b0).wrapping_add(low >> 64);
    let middle = a0.wrapping_mul(b1).wrapping_add(cross & HALF);
    let high = a1
        .wrapping_mul(b1)
        .wrapping_add(cross >> 64)
        .wrapping_add(middle >> 64);
    (high, (middle << 64) | (low & HALF))
}

impl FromStr for Decimal {
    type Err = MoneyError;
    /// Digits with at most one point and at most 18 digits behind it; no sign, no exponent.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let bad = || MoneyError::Decimal(text.to_owned());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || (fraction.is_empty() && text.contains('.')) || fraction.len() > 18 {
            return Err(bad());
        }
        if !digits(whole) || !digits(fraction) {
            return Err(bad());
        }
        let whole = whole.parse::<u128>().map_err(|_| MoneyError::Overflow)?;
        let mut scaled = if fraction.is_empty() {
            0
        } else {
            fraction.parse::<u128>().map_err(|_| bad())?
        };
        for _ in fraction.len()..18 {
            scaled = scaled.checked_mul(10).ok_or(MoneyError::Overflow)?;
        }
        Self::from_integer(whole)?.checked_add(Self(scaled))
    }
}

impl fmt::Display for Decimal {
    /// Shortest exact decimal: `0.5`, `30`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / DECIMAL_ONE, self.0 % DECIMAL_ONE);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let digits = alloc::format!("{fraction:018}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A whole amount of one denomination. Text form: `1000uve`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Coin {
    /// Which money.
    pub denom: Denom,
    /// How much, in units of the denomination.
    #[serde(with = "integer_text")]
    pub amount: u128,
}

impl Coin {
    /// `amount` of `denom`.
    #[must_use]
    pub const fn new(denom: Denom, amount: u128) -> Self {
        Self { denom, amount }
    }

    /// Sum of two coins of one denomination.
    ///
    /// # Errors
    /// [`MoneyError::DenomMismatch`], [`MoneyError::Overflow`].
    pub fn checked_add(&self, other: &Self) -> Result<Self, MoneyError> {
        same(&self.denom, &other.denom)?;
        let amount = self
            .amount
            .checked_add(other.amount)
            .ok_or(MoneyError::Overflow)?;
        Ok(Self {
            denom: self.denom.clone(),
            amount,
        })
    }

    /// Difference of two coins of one denomination.
    ///
    /// # Errors
    /// [`MoneyError::DenomMismatch`], [`MoneyError::Negative`].
    pub fn checked_sub(&self, other: &Self) -> Result<Self, MoneyError> {
        same(&self.denom, &other.denom)?;
        let amount = self
            .amount
            .checked_sub(other.amount)
            .ok_or(MoneyError::Negative)?;
        Ok(Self {
            denom: self.denom.clone(),
            amount,
        })
    }
}

fn same(left: &Denom, right: &Denom) -> Result<(), MoneyError> {
    if left == right {
        return Ok(());
    }
    Err(MoneyError::DenomMismatch {
        left: left.clone(),
        right: right.clone(),
    })
}

impl FromStr for Coin {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let bad = || MoneyError::Coin(text.to_owned());
        let end = text.bytes().position(|b| !b.is_ascii_digit()).ok_or_else(bad)?;
        let (amount, denom) = text.split_at_checked(end).ok_or_else(bad)?;
        Ok(Self {
            amount: amount.parse().map_err(|_| bad())?,
            denom: denom.parse()?,
        })
    }
}

impl fmt::Display for Coin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.amount, self.denom)
    }
}

/// An 18-decimal amount of one denomination, e.g. what a lease costs per block (`DecCoin`). Text form: `0.5uve`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Price {
    /// Which money.
    pub denom: Denom,
    /// How much.
    pub amount: Decimal,
}

impl Price {
    /// `amount` of `denom`.
    #[must_use]
    pub const fn new(denom: Denom, amount: Decimal) -> Self {
        Self { denom, amount }
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.amount, self.denom)
    }
}

/// Amounts travel as text in JSON: a JSON number cannot hold 128 bits everywhere.
mod integer_text {
    use alloc::string::String;

    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(amount: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_read_and_print_exactly() {
        for (text, scaled) in [
            ("1", DECIMAL_ONE),
            ("0.0005", 500_000_000_000_000),
            ("0.000000000000000001", 1),
        ] {
            let decimal: Decimal = text.parse().unwrap();
            assert_eq!((decimal.scaled(), decimal.to_string().as_str()), (scaled, text));
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1.0000000000000000001",
            "1,5",
            " 1",
        ] {
            assert!(text.parse::<Decimal>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn coins_of_two_denominations_do_not_add() {
        let (a, b): (Coin, Coin) = ("1uve".parse().unwrap(), "1uakt".parse().unwrap());
        assert!(matches!(a.checked_add(&b), Err(MoneyError::DenomMismatch { .. })));
    }

    proptest! {
        #[test]
        fn mul_div_agrees_with_division_of_the_wide_product(a: u128, b: u128, c in 1..=u128::MAX) {
            if let Some((quotient, exact)) = mul_div(a, b, c) {
                // quotient * c <= a * b < (quotient + 1) * c, compared as 256-bit pairs.
                let product = widening_mul(a, b);
                let below = widening_mul(quotient, c);
                prop_assert!(below <= product);
                prop_assert_eq!(exact, below == product);
                if let Some(next) = quotient.checked_add(1) {
                    prop_assert!(widening_mul(next, c) > product);
                }
            } else {
                prop_assert!(widening_mul(a, b).0 >= c);
            }
        }

        #[test]
        fn decimal_text_survives(scaled: u128) {
            let decimal = Decimal::from_scaled(scaled);
            prop_assert_eq!(decimal.to_string().parse::<Decimal>().unwrap(), decimal);
        }
    }
}
