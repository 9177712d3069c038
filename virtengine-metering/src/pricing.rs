//! What usage costs: rates per hour (or GiB) in the chain's base denomination.

use serde::{Deserialize, Serialize};
use virtengine_provider_core::money::{DECIMAL_ONE, Decimal, Denom, MoneyError};
use virtengine_provider_core::pricing::{Denomination, Period, PriceTable, PricingError};

/// Highest rate: 10¹² base units per hour or GiB. Keeps every product inside its type.
pub const RATE_MAX: Decimal = Decimal::from_scaled(1_000_000_000_000 * DECIMAL_ONE);

/// The agreed rates, part of every record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricingInputs {
    /// The money.
    pub denom: Denom,
    /// One core for one hour.
    pub agreed_cpu_rate: Decimal,
    /// One GiB of memory for one hour.
    pub agreed_memory_rate: Decimal,
    /// One GiB of storage for one hour.
    pub agreed_storage_rate: Decimal,
    /// One GPU for one hour.
    pub agreed_gpu_rate: Decimal,
    /// One GiB of traffic, in and out together.
    pub agreed_network_rate: Decimal,
}

impl PricingInputs {
    /// Nothing costs anything: local workloads, and leases that are paid per block.
    #[must_use]
    pub const fn free(denom: Denom) -> Self {
        Self {
            denom,
            agreed_cpu_rate: Decimal::ZERO,
            agreed_memory_rate: Decimal::ZERO,
            agreed_storage_rate: Decimal::ZERO,
            agreed_gpu_rate: Decimal::ZERO,
            agreed_network_rate: Decimal::ZERO,
        }
    }

    /// The operator's price table, with its markup, in the base denomination. Rounded down to 18 decimals.
    ///
    /// # Errors
    /// [`PricingError::Currency`]; [`PricingError::TooLarge`] above [`RATE_MAX`].
    pub fn from_table(table: &PriceTable, denomination: &Denomination) -> Result<Self, PricingError> {
        let scale = currency_scale(table, denomination)?;
        let hour = u128::from(Period::Hour.millis());
        let hundred = DECIMAL_ONE.saturating_mul(100);
        let rate = |field: &'static str, price: Decimal, period: u128| -> Result<Decimal, PricingError> {
            let marked = |price: Decimal| -> Result<Decimal, MoneyError> {
                let factor = hundred
                    .checked_add(table.bid_markup_percent.scaled())
                    .ok_or(MoneyError::Overflow)?;
                price
                    .mul_div_floor(scale, 1)?
                    .mul_div_floor(factor, hundred)?
                    .mul_div_floor(hour, period)
            };
            marked(price)
                .ok()
                .filter(|rate| *rate <= RATE_MAX)
                .ok_or(PricingError::TooLarge { field })
        };
        let period = u128::from(table.per.millis());
        Ok(Self {
            denom: denomination.denom.clone(),
            agreed_cpu_rate: rate("pricing.cpu_price_per_core", table.cpu_price_per_core, period)?,
            agreed_memory_rate: rate("pricing.memory_price_per_gb", table.memory_price_per_gb, period)?,
            agreed_storage_rate: rate("pricing.storage_price_per_gb", table.storage_price_per_gb, period)?,
            agreed_gpu_rate: rate("pricing.gpu_price_per_hour", table.gpu_price_per_hour, hour)?,
            agreed_network_rate: rate("pricing.network_price_per_gb", table.network_price_per_gb, hour)?,
        })
    }

    /// Name and value of each rate, in the order in which they are signed.
    #[must_use]
    pub const fn rates(&self) -> [(&'static str, Decimal); 5] {
        [
            ("agreed_cpu_rate", self.agreed_cpu_rate),
            ("agreed_memory_rate", self.agreed_memory_rate),
            ("agreed_storage_rate", self.agreed_storage_rate),
            ("agreed_gpu_rate", self.agreed_gpu_rate),
            ("agreed_network_rate", self.agreed_network_rate),
        ]
    }
}

fn currency_scale(table: &PriceTable, denomination: &Denomination) -> Result<u128, PricingError> {
    if table.currency == denomination.denom.as_str() {
        return Ok(1);
    }
    if table.currency != denomination.display {
        return Err(PricingError::Currency {
            given: table.currency.clone(),
            display: denomination.display.clone(),
            denom: denomination.denom.clone(),
        });
    }
    10_u128
        .checked_pow(denomination.exponent.into())
        .ok_or(PricingError::TooLarge {
            field: "chain.exponent",
        })
}
