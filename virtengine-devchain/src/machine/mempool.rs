//! The transactions that wait for a block, and the cache of hashes that refuses a second copy (spec/chain-node.md 2.7).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::machine::block::tx_hash;

/// Most waiting transactions.
pub(crate) const TXS_MAX: usize = 5000;
/// Most bytes of waiting transactions.
pub(crate) const BYTES_MAX: usize = 64 << 20;
/// Longest transaction.
pub(crate) const TX_BYTES_MAX: usize = 1 << 20;
/// Hashes remembered after their transaction left.
const CACHE_MAX: usize = 10_000;

/// Waiting transactions.
#[derive(Debug, Default)]
pub(crate) struct Mempool {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    cache: BTreeMap<[u8; 32], ()>,
    cache_order: VecDeque<[u8; 32]>,
}

/// Why a transaction does not even get looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("tx already exists in cache")]
    Cached,
    #[error("Tx too large. Max size is {TX_BYTES_MAX}, but got {0}")]
    TooLarge(usize),
    #[error(
        "mempool is full: number of txs {txs} (max: {TXS_MAX}), total txs bytes {bytes} (max: {BYTES_MAX})"
    )]
    Full { txs: usize, bytes: usize },
}

impl Mempool {
    /// Remembers the hash of an incoming transaction.
    pub(crate) fn admit(&mut self, tx: &Bytes) -> Result<(), Refused> {
        if tx.len() > TX_BYTES_MAX {
            return Err(Refused::TooLarge(tx.len()));
        }
        if self.waiting.len() >= TXS_MAX || self.bytes.saturating_add(tx.len()) > BYTES_MAX {
            return Err(Refused::Full {
                txs: self.waiting.len(),
                bytes: self.bytes,
            });
        }
        self.remember(tx_hash(tx)).then_some(()).ok_or(Refused::Cached)
    }

    fn remember(&mut self, hash: [u8; 32]) -> bool {
        if self.cache.insert(hash, ()).is_some() {
            return false;
        }
        self.cache_order.push_back(hash);
        if self.cache_order.len() > CACHE_MAX
            && let Some(oldest) = self.cache_order.pop_front()
        {
            self.cache.remove(&oldest);
        }
        true
    }

    /// Forgets a hash: the transaction was refused and may come again.
    pub(crate) fn forget(&mut self, hash: &[u8; 32]) {
        if self.cache.remove(hash).is_some() {
            self.cache_order.retain(|h| h != hash);
        }
    }

    /// Keeps an accepted transaction.
    pub(crate) fn push(&mut self, tx: Bytes) {
        self.bytes += tx.len();
        self.waiting.push_back(tx);
    }

    /// Everything that waits, in order of arrival; the pool is empty afterwards.
    pub(crate) fn take(&mut self) -> Vec<Bytes> {
        self.bytes = 0;
        self.waiting.drain(..).collect()
    }

    /// A committed transaction stays in the cache if it succeeded and leaves it if it failed.
    pub(crate) fn committed(&mut self, hash: [u8; 32], succeeded: bool) {
        if succeeded {
            self.remember(hash);
        } else {
            self.forget(&hash);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.waiting.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_copy_is_refused_until_the_first_fails() {
        let mut pool = Mempool::default();
        let tx = Bytes::from_static(b"tx");
        pool.admit(&tx).unwrap();
        assert_eq!(pool.admit(&tx), Err(Refused::Cached));
        pool.committed(tx_hash(&tx), false);
        assert!(pool.admit(&tx).is_ok());
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut pool = Mempool::default();
        for i in 0..CACHE_MAX + 10 {
            pool.admit(&Bytes::from(i.to_string())).unwrap();
        }
        assert_eq!(pool.cache.len(), CACHE_MAX);
        assert_eq!(pool.cache_order.len(), CACHE_MAX);
    }
}
