//! The price of resources.

use serde::{Deserialize, Serialize};

use super::rate::{Linear, PricingError, Rate};
use crate::money::{Decimal, mul_div};
use crate::units::Resources;

/// What resources cost per block, part by part, in the base denomination.
///
/// [`Self::price`] is rounded up once. The parts are rounded up one by one, for reading: they may add up to a few 10⁻¹⁸ more
/// than the cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Quote {
    /// CPU, before the markup.
    pub cpu: Decimal,
    /// Memory, before the markup.
    pub memory: Decimal,
    /// Storage, before the markup.
    pub storage: Decimal,
    /// GPUs, before the markup.
    pub gpu: Decimal,
    /// All of them, before the markup.
    pub cost: Decimal,
    /// All of them, after the markup.
    pub marked_up: Decimal,
    /// The least that a bid asks.
    pub floor: Decimal,
    /// The price: the larger of the two.
    pub price: Decimal,
}

impl Quote {
    /// Whether the least price counts instead of the computed one.
    #[must_use]
    pub fn is_floored(&self) -> bool {
        self.marked_up < self.floor
    }
}

/// The numerator of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part(pub(super) u128);

impl Rate {
    /// The price of `resources` per block: markup included, never below the floor, rounded up to 10⁻¹⁸.
    ///
    /// # Errors
    /// [`PricingError::Overflow`] when the chain could not represent the price.
    pub fn price(&self, resources: &Resources) -> Result<Decimal, PricingError> {
        let price = self.prices.of(resources).ok_or(PricingError::Overflow)?;
        Ok(price.max(self.floor))
    }

    /// The price of `resources` per block with what it is made of. [`Quote::price`] equals [`Self::price`].
    ///
    /// # Errors
    /// As [`Self::price`].
    pub fn quote(&self, resources: &Resources) -> Result<Quote, PricingError> {
        let only = |cpu: bool, memory: bool, storage: bool, gpu: bool| Resources {
            cpu_millis: if cpu { resources.cpu_millis } else { 0 },
            memory_bytes: if memory { resources.memory_bytes } else { 0 },
            storage_bytes: if storage { resources.storage_bytes } else { 0 },
            gpus: if gpu { resources.gpus } else { 0 },
        };
        let cost = |resources: Resources| self.costs.of(&resources).ok_or(PricingError::Overflow);
        let marked_up = self.prices.of(resources).ok_or(PricingError::Overflow)?;
        Ok(Quote {
            cpu: cost(only(true, false, false, false))?,
            memory: cost(only(false, true, false, false))?,
            storage: cost(only(false, false, true, false))?,
            gpu: cost(only(false, false, false, true))?,
            cost: cost(*resources)?,
            marked_up,
            floor: self.floor,
            price: marked_up.max(self.floor),
        })
    }
}

impl Linear {
    /// The sum for `resources`, rounded up.
    fn of(&self, resources: &Resources) -> Option<Decimal> {
        let [cpu, memory, storage, gpu] = self.parts;
        let terms = [
            (cpu.0, u128::from(resources.cpu_millis)),
            (memory.0, u128::from(resources.memory_bytes)),
            (storage.0, u128::from(resources.storage_bytes)),
            (gpu.0, u128::from(resources.gpus)),
        ];
        let mut sum = Some(0_u128);
        for (part, quantity) in terms {
            sum = sum.and_then(|sum| sum.checked_add(part.checked_mul(quantity)?));
        }
        let scaled = match sum {
            Some(sum) => div_ceil(sum, self.denominator),
            None => self.wide(terms),
        }?;
        Some(Decimal::from_scaled(scaled))
    }

    /// The same for sums beyond 128 bits: quotients and remainders are added up separately, so nothing is rounded twice.
    #[cold]
    fn wide(&self, terms: [(u128, u128); 4]) -> Option<u128> {
        let (mut whole, mut rest) = (0_u128, 0_u128);
        for (part, quantity) in terms {
            let (quotient, _) = mul_div(part, quantity, self.denominator)?;
            whole = whole.checked_add(quotient)?;
            // The remainder is below 2^124, so its lowest 128 bits are all of it.
            let remainder = part
                .wrapping_mul(quantity)
                .wrapping_sub(quotient.wrapping_mul(self.denominator));
            rest = rest.checked_add(remainder)?;
        }
        whole.checked_add(div_ceil(rest, self.denominator)?)
    }
}

/// Rounded up. Quotients of numbers below 2⁶⁴ use the machine's own division.
fn div_ceil(over: u128, under: u128) -> Option<u128> {
    if let (Ok(over), Ok(under)) = (u64::try_from(over), u64::try_from(under)) {
        return (under != 0).then(|| u128::from(over.div_ceil(under)));
    }
    let quotient = over.checked_div(under)?;
    // One multiplication instead of a second division.
    if quotient.wrapping_mul(under) == over {
        Some(quotient)
    } else {
        quotient.checked_add(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_wide_sum_equals_the_narrow_one(
            parts in [0..1_u128 << 60, 0..1_u128 << 60, 0..1_u128 << 60, 0..1_u128 << 60],
            denominator in 1..1_u128 << 124,
            quantities in [0..1_u64 << 63, 0..1_u64 << 63, 0..1_u64 << 63, 0..1_u64 << 63],
        ) {
            let linear = Linear { parts: parts.map(Part), denominator };
            let mut terms = [(0, 0); 4];
            for (term, (part, quantity)) in terms.iter_mut().zip(parts.into_iter().zip(quantities)) {
                *term = (part, u128::from(quantity));
            }
            let narrow: u128 = terms.iter().map(|(part, quantity)| part * quantity).sum();
            prop_assert_eq!(linear.wide(terms), Some(narrow.div_ceil(denominator)));
        }
    }
}
