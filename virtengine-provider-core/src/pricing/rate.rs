//! Prices as the operator writes them, and the rate that they compile to.

use alloc::string::String;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::quote::Part;
use crate::money::{DECIMAL_ONE, Decimal, Denom};
use crate::units::GIB;

/// Why prices cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PricingError {
    /// The prices are in a currency that the chain does not have.
    #[error("pricing.currency is {given:?}, but the chain has {display:?} and {denom}")]
    Currency {
        /// What was configured.
        given: String,
        /// The display currency of the chain.
        display: String,
        /// The base denomination of the chain.
        denom: Denom,
    },
    /// A price is so large, or has so many digits, that it cannot be computed exactly.
    #[error("{field} is too large to be computed exactly")]
    TooLarge {
        /// Which setting.
        field: &'static str,
    },
    /// The amount for these resources leaves the range of the chain's prices.
    #[error("the price of these resources is too large to be represented")]
    Overflow,
}

/// The money of the chain: what it counts in, and what people write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denomination {
    /// What the chain counts in (`chain.denom`), e.g. `uve`.
    pub denom: Denom,
    /// What people write (`chain.display`), e.g. `VIRT`.
    pub display: String,
    /// One display unit is 10 to this power of the base denomination (`chain.exponent`), e.g. 6.
    pub exponent: u8,
}

/// What the prices of a [`PriceTable`] are per.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// 3600 seconds.
    #[default]
    Hour,
    /// 30 days of 24 hours, whatever the calendar says.
    Month,
}

impl Period {
    /// Its length in milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Month => 2_592_000_000,
        }
    }
}

/// The average time between two blocks: 1 ms to one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct BlockTime(u64);

impl BlockTime {
    /// `None` outside of 1 ms to one day.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Option<Self> {
        if millis == 0 || millis > 86_400_000 {
            return None;
        }
        Some(Self(millis))
    }

    /// In milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

impl From<BlockTime> for u64 {
    fn from(time: BlockTime) -> Self {
        time.0
    }
}

impl TryFrom<u64> for BlockTime {
    type Error = &'static str;
    fn try_from(millis: u64) -> Result<Self, Self::Error> {
        Self::from_millis(millis).ok_or("the block time must be 1 ms to one day")
    }
}

impl TryFrom<Duration> for BlockTime {
    type Error = &'static str;
    fn try_from(time: Duration) -> Result<Self, Self::Error> {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX).try_into()
    }
}

/// The operator's prices (`pricing` in the configuration), in [`Self::currency`]. "GB" is a GiB here as on the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTable {
    /// One core for one [`Self::per`].
    pub cpu_price_per_core: Decimal,
    /// One GiB of memory for one [`Self::per`].
    pub memory_price_per_gb: Decimal,
    /// One GiB of storage for one [`Self::per`].
    pub storage_price_per_gb: Decimal,
    /// One GPU for one hour: its name says so, whatever [`Self::per`] says.
    pub gpu_price_per_hour: Decimal,
    /// One GiB of traffic. Orders do not state their traffic, so this is no part of a bid; it prices usage records.
    #[serde(default)]
    pub network_price_per_gb: Decimal,
    /// The least that a bid asks, for one [`Self::per`], after the markup.
    #[serde(default)]
    pub min_bid_price: Decimal,
    /// Added to the sum of the prices, in percent.
    #[serde(default)]
    pub bid_markup_percent: Decimal,
    /// The display currency of the chain, or its base denomination.
    pub currency: String,
    /// What the prices are per.
    #[serde(default)]
    pub per: Period,
}

impl PriceTable {
    /// Precomputes the price per block of one unit of each resource.
    ///
    /// # Errors
    /// [`PricingError::Currency`]; [`PricingError::TooLarge`] for prices that no chain of 18 decimals could pay.
    pub fn compile(&self, denomination: &Denomination, block_time: BlockTime) -> Result<Rate, PricingError> {
        let scale = self.scale(denomination)?;
        let period = u128::from(self.per.millis());
        let block = u128::from(block_time.as_millis());
        let price = |field, price: Decimal, unit: u128, period: u128| -> Result<Fraction, PricingError> {
            Fraction::new(price.scaled(), unit)
                .and_then(|f| f.times(scale, 1))
                .and_then(|f| f.times(block, period))
                .ok_or(PricingError::TooLarge { field })
        };
        let gib = u128::from(GIB);
        let hour = u128::from(Period::Hour.millis());
        let costs = [
            price(
                "pricing.cpu_price_per_core",
                self.cpu_price_per_core,
                1000,
                period,
            )?,
            price(
                "pricing.memory_price_per_gb",
                self.memory_price_per_gb,
                gib,
                period,
            )?,
            price(
                "pricing.storage_price_per_gb",
                self.storage_price_per_gb,
                gib,
                period,
            )?,
            price("pricing.gpu_price_per_hour", self.gpu_price_per_hour, 1, hour)?,
        ];
        let floor = price("pricing.min_bid_price", self.min_bid_price, 1, period)?;
        // 1 + percent ÷ 100, both scaled by 10¹⁸.
        let hundred = DECIMAL_ONE.saturating_mul(100);
        let too_much = PricingError::TooLarge {
            field: "pricing.bid_markup_percent",
        };
        let markup = hundred
            .checked_add(self.bid_markup_percent.scaled())
            .and_then(|factor| Fraction::new(factor, hundred))
            .ok_or_else(|| too_much.clone())?;
        let marked = costs.map(|cost| cost.times(markup.over, markup.under));
        let [Some(cpu), Some(memory), Some(storage), Some(gpu)] = marked else {
            return Err(too_much);
        };
        Ok(Rate {
            denom: denomination.denom.clone(),
            costs: Linear::new(costs).ok_or(PricingError::TooLarge { field: "pricing" })?,
            prices: Linear::new([cpu, memory, storage, gpu]).ok_or(too_much)?,
            floor: floor
                .ceil()
                .ok_or(PricingError::TooLarge {
                    field: "pricing.min_bid_price",
                })
                .map(Decimal::from_scaled)?,
        })
    }

    /// How many base units one unit of the prices' currency is.
    fn scale(&self, denomination: &Denomination) -> Result<u128, PricingError> {
        if self.currency == denomination.denom.as_str() {
            return Ok(1);
        }
        if self.currency != denomination.display {
            return Err(PricingError::Currency {
                given: self.currency.clone(),
                display: denomination.display.clone(),
                denom: denomination.denom.clone(),
            });
        }
        10_u128
            .checked_pow(u32::from(denomination.exponent))
            .ok_or(PricingError::TooLarge {
                field: "chain.exponent",
            })
    }
}

/// Prices per block, ready to be multiplied with quantities. Made by [`PriceTable::compile`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    pub(super) denom: Denom,
    /// Without markup.
    pub(super) costs: Linear,
    /// With markup.
    pub(super) prices: Linear,
    /// The least price per block.
    pub(super) floor: Decimal,
}

impl Rate {
    /// The money that the prices are in.
    #[must_use]
    pub const fn denom(&self) -> &Denom {
        &self.denom
    }

    /// The least price per block.
    #[must_use]
    pub const fn floor(&self) -> Decimal {
        self.floor
    }
}

/// A non-negative number as an exact fraction in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fraction {
    over: u128,
    under: u128,
}

impl Fraction {
    /// `None` when `under` is zero.
    fn new(over: u128, under: u128) -> Option<Self> {
        let divisor = gcd(over, under);
        Some(Self {
            over: over.checked_div(divisor)?,
            under: under.checked_div(divisor).filter(|under| *under != 0)?,
        })
    }

    /// This × `over` ÷ `under`; `None` when that needs more than 128 bits.
    fn times(self, over: u128, under: u128) -> Option<Self> {
        // Reduced crosswise first, so that the products are as small as they can be.
        let left = Self::new(self.over, under)?;
        let right = Self::new(over, self.under)?;
        Some(Self {
            over: left.over.checked_mul(right.over)?,
            under: left.under.checked_mul(right.under)?,
        })
    }

    /// Rounded up.
    const fn ceil(self) -> Option<u128> {
        match self.over.checked_rem(self.under) {
            Some(0) => self.over.checked_div(self.under),
            Some(_) => match self.over.checked_div(self.under) {
                Some(quotient) => quotient.checked_add(1),
                None => None,
            },
            None => None,
        }
    }
}

/// Largest common denominator that [`Linear`] accepts: four remainders below it must add up within 128 bits.
const DENOMINATOR_MAX: u128 = 1 << 124;

/// `(a·cpu + b·memory + c·storage + d·gpus) ÷ denominator`: four prices on one denominator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Linear {
    pub(super) parts: [Part; 4],
    pub(super) denominator: u128,
}

impl Linear {
    fn new(prices: [Fraction; 4]) -> Option<Self> {
        let mut denominator = 1_u128;
        for price in &prices {
            let shared = gcd(denominator, price.under);
            denominator = denominator
                .checked_div(shared)?
                .checked_mul(price.under)
                .filter(|common| *common <= DENOMINATOR_MAX)?;
        }
        let part = |price: Fraction| {
            denominator
                .checked_div(price.under)
                .and_then(|factor| price.over.checked_mul(factor))
                .map(Part)
        };
        let [cpu, memory, storage, gpu] = prices.map(part);
        Some(Self {
            parts: [cpu?, memory?, storage?, gpu?],
            denominator,
        })
    }
}

/// Greatest common divisor; of 0 and `n` it is `n`.
fn gcd(mut a: u128, mut b: u128) -> u128 {
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}
