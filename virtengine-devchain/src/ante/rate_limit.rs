//! At most 10 transactions per account and 5000 in all per height. One counter in memory serves the mempool and the blocks, as in
//! the node: a transaction that is delivered in the height in which others are checked counts against them
//! (spec/chain-node.md 2.7).

use std::collections::BTreeMap;

use crate::state::address;
use crate::state::failure::{Failure, other as errors};

const PER_ACCOUNT: u32 = 10;
const PER_BLOCK: u32 = 5000;

/// The counter.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateLimit {
    height: i64,
    total: u32,
    by_account: BTreeMap<Vec<u8>, u32>,
}

impl RateLimit {
    pub(crate) fn count(&mut self, height: i64, signers: &[Vec<u8>]) -> Result<(), Failure> {
        if height != self.height {
            *self = Self {
                height,
                ..Self::default()
            };
        }
        if self.total >= PER_BLOCK {
            return Err(errors::BLOCK_LIMITED.fail());
        }
        for signer in signers {
            if self.by_account.get(signer).copied().unwrap_or(0) >= PER_ACCOUNT {
                return Err(errors::ACCOUNT_LIMITED.wrap(format_args!(
                    "account {} has {PER_ACCOUNT} transactions in this block, limit is {PER_ACCOUNT}",
                    address::text(signer)
                )));
            }
        }
        self.total += 1;
        for signer in signers {
            *self.by_account.entry(signer.clone()).or_default() += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_transaction_waits_for_the_next_height() {
        let mut rate = RateLimit::default();
        let signers = [vec![1; 20]];
        for _ in 0..10 {
            rate.count(7, &signers).unwrap();
        }
        assert_eq!(rate.count(7, &signers).unwrap_err().code(), ("ratelimit", 1));
        assert!(rate.count(8, &signers).is_ok());
    }
}
