//! The gas meter. Prices of store access are those of the SDK; what this chain does not store is charged as a constant, so that
//! totals come near the measured ones (spec/chain-node.md 3).

use crate::state::failure::Failure;

/// Flat price of a read.
pub(crate) const READ_FLAT: u64 = 1000;
/// Price of each byte read, key included.
pub(crate) const READ_BYTE: u64 = 3;
/// Flat price of a write.
pub(crate) const WRITE_FLAT: u64 = 2000;
/// Price of each byte written, key included.
pub(crate) const WRITE_BYTE: u64 = 30;
/// Price of a deletion.
pub(crate) const DELETE: u64 = 1000;
/// Price of each step of an iteration.
pub(crate) const ITERATE: u64 = 30;

/// What an operation may use and has used.
#[derive(Debug, Clone)]
pub(crate) struct GasMeter {
    limit: Option<u64>,
    used: u64,
}

impl GasMeter {
    pub(crate) const fn limited(limit: u64) -> Self {
        Self {
            limit: Some(limit),
            used: 0,
        }
    }

    /// A meter that counts and never refuses: queries, simulation, end of block.
    pub(crate) const fn unlimited() -> Self {
        Self { limit: None, used: 0 }
    }

    pub(crate) const fn used(&self) -> u64 {
        self.used
    }

    pub(crate) fn consume(&mut self, amount: u64, location: &'static str) -> Result<(), Failure> {
        self.used = self.used.saturating_add(amount);
        match self.limit {
            Some(wanted) if self.used > wanted => Err(Failure::OutOfGas {
                location,
                wanted,
                used: self.used,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_itself_may_be_used() {
        let mut meter = GasMeter::limited(10);
        assert!(meter.consume(10, "a").is_ok());
        let refused = meter.consume(1, "WriteFlat").unwrap_err();
        assert_eq!(
            refused.log(),
            "out of gas in location: WriteFlat; gasWanted: 10, gasUsed: 11: out of gas"
        );
    }
}
