//! Chance that can be had again: everything follows from one number.

/// A small generator (splitmix64).
#[derive(Debug)]
pub(in super::super) struct Chance(u64);

impl Chance {
    pub(in super::super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(in super::super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 ≤ result < `below`.
    pub(in super::super) const fn below(&mut self, below: u64) -> u64 {
        self.next() % below
    }

    /// True `per_mille` times in a thousand.
    pub(in super::super) const fn hits(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }
}

/// How often what goes wrong, in thousandths.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Faults {
    /// A block is never read.
    pub block_lost: u64,
    /// A fact comes twice.
    pub twice: u64,
    /// A comparison or observation comes late.
    pub late: u64,
    /// A transaction is refused while it is signed.
    pub refused: u64,
    /// A transaction stays in the mempool for several blocks.
    pub slow_tx: u64,
    /// A transaction gets lost after it was sent.
    pub tx_lost: u64,
    /// An adapter call fails.
    pub call: u64,
    /// An observation says nothing.
    pub blind: u64,
    /// A workload breaks by itself, each time that it is looked at.
    pub breaks: u64,
    /// The daemon dies between two facts.
    pub crash: u64,
    /// A tenant sends a wrong manifest, or none.
    pub tenant: u64,
}

impl Faults {
    /// Some of everything.
    pub(in super::super) const fn all() -> Self {
        Self {
            block_lost: 150,
            twice: 50,
            late: 200,
            refused: 100,
            slow_tx: 300,
            tx_lost: 100,
            call: 250,
            blind: 100,
            breaks: 10,
            crash: 15,
            tenant: 250,
        }
    }
}
