//! What resources cost: from the operator's prices per hour to the chain's price per block.
//!
//! The operator writes prices in the display currency per core, GiB or GPU and period ([`PriceTable`]). The chain streams a
//! price per *block*. [`PriceTable::compile`] turns one into the other as an exact fraction, once; [`Rate::price`] then prices
//! an order with four multiplications and one division. There is one rounding, up, at the very end:
//!
//! ```text
//!             Σ price(resource) × quantity   10^exponent × block time
//!   max(min,  ──────────────────────────── × ──────────────────────── × (1 + markup))
//!                         unit                        period
//! ```
//!
//! Example: 0.001 VIRT per core and hour with blocks of 6 s is 0.001 × 10⁶ uve × 6 s ÷ 3600 s = 1.666…7 uve per core and block.

mod quote;
mod rate;

pub use quote::Quote;
pub use rate::{BlockTime, Denomination, Period, PriceTable, PricingError, Rate};

#[cfg(test)]
mod tests;
