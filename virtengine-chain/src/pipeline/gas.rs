//! What a transaction may cost. Pure integers; every division rounds up.

use virtengine_provider_core::money::{Coin, Decimal, Denom, MoneyError};

use crate::config::ChainConfig;

/// Most that the limit is raised above the simulation, in percent.
const PERCENT_MAX: u32 = 500;
/// How much the limit grows after a transaction ran out of gas, in percent points.
const PERCENT_STEP: u32 = 50;

/// Gas limit and price of one gas, both of which follow what the chain says.
#[derive(Debug, Clone)]
pub(super) struct Gas {
    denom: Denom,
    price_base: Decimal,
    price_max: Decimal,
    price: Decimal,
    percent_base: u32,
    percent: u32,
}

impl Gas {
    pub(super) fn new(config: &ChainConfig) -> Self {
        Self {
            denom: config.denom.clone(),
            price_base: config.gas_price,
            price_max: config.gas_price_max,
            price: config.gas_price,
            percent_base: config.gas_adjustment_percent,
            percent: config.gas_adjustment_percent,
        }
    }

    pub(super) const fn price(&self) -> Decimal {
        self.price
    }

    /// The gas limit for a simulated use, rounded up.
    pub(super) fn limit(&self, simulated: u64) -> u64 {
        let limit = (u128::from(simulated) * u128::from(self.percent)).div_ceil(100);
        u64::try_from(limit).unwrap_or(u64::MAX)
    }

    /// The fee of a gas limit, rounded up.
    pub(super) fn fee(&self, limit: u64) -> Result<Coin, MoneyError> {
        let exact = self.price.mul_div_ceil(u128::from(limit), 1)?;
        Ok(Coin::new(self.denom.clone(), exact.ceil()))
    }

    /// The node wants more: a quarter more than now, or what it asks for, up to the configured most.
    pub(super) fn price_was_too_low(&mut self, required: Option<Decimal>) {
        let quarter_more = self.price.mul_div_ceil(5, 4).unwrap_or(self.price_max);
        let wanted = required.unwrap_or(Decimal::ZERO).max(quarter_more);
        self.price = wanted.min(self.price_max).max(self.price_base);
    }

    /// The node took the price: back towards the configured one by an eighth of the difference, so that a short peak is not
    /// paid for ever.
    pub(super) fn price_was_taken(&mut self) {
        let excess = self.price.checked_sub(self.price_base).unwrap_or(Decimal::ZERO);
        let step = excess.mul_div_ceil(1, 8).unwrap_or(Decimal::ZERO);
        self.price = self.price.checked_sub(step).unwrap_or(self.price_base);
    }

    /// A transaction ran out of gas in its block.
    pub(super) fn limit_was_too_low(&mut self) {
        self.percent = self.percent.saturating_add(PERCENT_STEP).min(PERCENT_MAX);
    }

    /// A transaction had gas enough.
    pub(super) fn limit_was_enough(&mut self) {
        self.percent = self.percent.saturating_sub(5).max(self.percent_base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gas() -> Gas {
        Gas::new(&ChainConfig::default())
    }

    #[test]
    fn limits_and_fees_round_up() {
        let gas = gas();
        assert_eq!(gas.limit(107_271), 171_634);
        assert_eq!(gas.fee(171_634).unwrap().to_string(), "4291uve");
        assert_eq!(gas.fee(1).unwrap().to_string(), "1uve");
        assert_eq!(gas.fee(0).unwrap().to_string(), "0uve");
        assert_eq!(gas.limit(u64::MAX), u64::MAX);
    }

    #[test]
    fn the_price_rises_on_refusal_within_bounds_and_falls_again() {
        let mut gas = gas();
        gas.price_was_too_low("0.1".parse().ok());
        assert_eq!(gas.price(), "0.1".parse().unwrap());
        for _ in 0..20 {
            gas.price_was_too_low(None);
        }
        assert_eq!(gas.price(), "0.25".parse().unwrap());
        for _ in 0..1000 {
            gas.price_was_taken();
        }
        assert_eq!(gas.price(), "0.025".parse().unwrap());
    }
}
