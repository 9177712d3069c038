//! Which sequence the next transaction takes. Pure.
//!
//! The node checks a transaction against its own view: the committed sequence plus what of ours is in its mempool. We know
//! more (what we signed) and less (what others sent with our key, what a mempool has lost). Two rules settle every difference:
//! what has landed is never reused, and the node's "expected N" wins unless the difference is just our own transactions that
//! it has not seen yet.

use std::collections::BTreeMap;

use virtengine_provider_core::id::{Height, TxHash};
use virtengine_provider_core::ports::chain::SignedTx;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    hash: TxHash,
    timeout_height: Height,
    /// It may be in a mempool.
    sent: bool,
}

/// Sequences of one account.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    /// The next one, as far as we know.
    next: Option<u64>,
    /// Everything below has landed.
    landed_below: u64,
    pending: BTreeMap<u64, Pending>,
    /// Transactions of whose sequence a node says that another one has it.
    overtaken: BTreeMap<TxHash, Overtaken>,
}

/// A transaction whose place another one has taken: in a mempool, where it may be lost again, or in a block, where it is for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overtaken {
    timeout_height: Height,
    /// A block in whose state the sequence was used.
    pub(super) used_at: Option<Height>,
}

impl Sequences {
    /// Whether a transaction can be signed without asking for the account first.
    pub(super) const fn is_known(&self) -> bool {
        self.next.is_some()
    }

    /// The chain has `sequence` as the next one in its newest block.
    pub(super) fn committed(&mut self, sequence: u64) {
        self.landed_below = self.landed_below.max(sequence);
        self.pending.retain(|used, _| *used >= sequence);
        if self.next.is_none() {
            let above = self
                .pending
                .keys()
                .next_back()
                .map_or(0, |last| last.saturating_add(1));
            self.next = Some(self.landed_below.max(above));
        }
    }

    /// What the next transaction is signed with.
    pub(super) fn to_sign(&self) -> u64 {
        self.next.unwrap_or(0).max(self.landed_below)
    }

    /// What a simulation needs now: the node knows nothing of what has been signed but not sent.
    pub(super) fn to_simulate(&self) -> u64 {
        let unsent = self.pending.iter().find(|(_, pending)| !pending.sent);
        unsent.map_or_else(|| self.to_sign(), |(sequence, _)| (*sequence).min(self.to_sign()))
    }

    /// A node expects `expected`.
    pub(super) fn node_expects(&mut self, expected: u64) {
        if !self.lacks_only_ours(expected, self.to_sign(), |_| true) {
            self.next = Some(expected);
        }
    }

    /// Whether a node that expects `expected` would expect `sequence` if it had seen those that we have signed and `count`.
    fn lacks_only_ours(&self, expected: u64, sequence: u64, count: impl Fn(&Pending) -> bool) -> bool {
        expected < sequence
            && (expected.max(self.landed_below)..sequence)
                .all(|before| self.pending.get(&before).is_some_and(&count))
    }

    /// A transaction has been signed.
    pub(super) fn signed(&mut self, sequence: u64, hash: TxHash, timeout_height: Height) {
        let pending = Pending {
            hash,
            timeout_height,
            sent: false,
        };
        self.pending.insert(sequence, pending);
        self.next = Some(sequence.saturating_add(1));
    }

    /// Whether this very transaction may have reached a mempool. One that we did not sign in this life may have.
    pub(super) fn may_have_been_sent(&self, sequence: u64, hash: &TxHash) -> bool {
        self.pending
            .get(&sequence)
            .is_none_or(|pending| pending.hash != *hash || pending.sent)
    }

    /// A transaction may be in a mempool from now on.
    pub(super) fn sent(&mut self, sequence: u64, hash: TxHash, timeout_height: Height) {
        let pending = Pending {
            hash,
            timeout_height,
            sent: true,
        };
        self.pending.insert(sequence, pending);
        if self.next.is_some_and(|next| next <= sequence) {
            self.next = Some(sequence.saturating_add(1));
        }
    }

    /// A node refused a transaction that nobody else has: its sequence is free again. Unless the node only lacks sent ones of ours
    /// that come before: then it is the turn of those, and both are sent again. To give its sequence to another transaction
    /// would set two on one place.
    pub(super) fn refused(&mut self, sequence: u64, hash: &TxHash, expected: Option<u64>) {
        let is_early = |expected| self.lacks_only_ours(expected, sequence, |pending| pending.sent);
        if expected.is_some_and(is_early) {
            return;
        }
        self.forget(sequence, hash);
        // Without a word of the node, the next signature asks for the account.
        self.next = expected;
    }

    /// A transaction is in a block, so its sequence is used.
    pub(super) fn landed(&mut self, sequence: u64, hash: &TxHash) {
        self.forget(sequence, hash);
        self.landed_below = self.landed_below.max(sequence.saturating_add(1));
    }

    /// A transaction can no longer land.
    pub(super) fn forget(&mut self, sequence: u64, hash: &TxHash) {
        self.overtaken.remove(hash);
        if self
            .pending
            .get(&sequence)
            .is_some_and(|pending| pending.hash == *hash)
        {
            self.pending.remove(&sequence);
        }
    }

    /// A node that was sent this transaction expects `expected`: if that is a later sequence, another transaction has its place, or
    /// it has landed itself.
    pub(super) fn node_expects_after(&mut self, tx: &SignedTx, expected: Option<u64>) {
        if expected.is_some_and(|expected| expected > tx.sequence) {
            let timeout_height = tx.timeout_height;
            self.overtaken.entry(tx.hash).or_insert(Overtaken {
                timeout_height,
                used_at: None,
            });
        }
    }

    /// What is known of the transaction's place, if a node says that it is taken.
    pub(super) fn overtaken(&self, hash: &TxHash) -> Option<Overtaken> {
        self.overtaken.get(hash).cloned()
    }

    /// The transaction's sequence is used in the state of the block at `height`.
    pub(super) fn used_at(&mut self, hash: &TxHash, height: Height) {
        if let Some(overtaken) = self.overtaken.get_mut(hash) {
            overtaken.used_at.get_or_insert(height);
        }
    }

    /// Forgets what can no longer land.
    pub(super) fn expire(&mut self, head: Height) {
        self.pending.retain(|_, pending| pending.timeout_height >= head);
        self.overtaken
            .retain(|_, overtaken| overtaken.timeout_height >= head);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(tag: u8) -> TxHash {
        TxHash([tag; 32])
    }

    fn at(sequence: u64) -> Sequences {
        let mut sequences = Sequences::default();
        sequences.committed(sequence);
        sequences
    }

    #[test]
    fn signed_transactions_line_up() {
        let mut ours = at(7);
        ours.signed(7, hash(1), Height(100));
        assert_eq!((ours.to_sign(), ours.to_simulate()), (8, 7));
        ours.sent(7, hash(1), Height(100));
        assert_eq!((ours.to_sign(), ours.to_simulate()), (8, 8));
    }

    #[test]
    fn a_node_that_has_not_seen_our_last_one_does_not_set_us_back() {
        let mut ours = at(7);
        ours.signed(7, hash(1), Height(100));
        ours.sent(7, hash(1), Height(100));
        ours.node_expects(7);
        assert_eq!(ours.to_sign(), 8);
        ours.landed(7, &hash(1));
        ours.node_expects(7);
        assert_eq!(ours.to_sign(), 8);
    }

    #[test]
    fn a_sequence_is_not_given_away_while_one_before_it_is_on_its_way() {
        let mut ours = at(5);
        ours.signed(5, hash(1), Height(100));
        ours.sent(5, hash(1), Height(100));
        ours.signed(6, hash(2), Height(100));
        // A node that has lost, or not yet seen, the first.
        ours.refused(6, &hash(2), Some(5));
        assert_eq!(ours.to_sign(), 7);
        // The first can land no more: there is nothing to wait for.
        ours.forget(5, &hash(1));
        ours.refused(6, &hash(2), Some(5));
        assert_eq!(ours.to_sign(), 5);
    }

    #[test]
    fn somebody_else_sent_with_our_key() {
        let mut ours = at(7);
        ours.node_expects(9);
        assert_eq!(ours.to_sign(), 9);
    }

    #[test]
    fn a_transaction_that_can_no_longer_land_frees_its_sequence() {
        let mut ours = at(7);
        ours.signed(7, hash(1), Height(100));
        ours.sent(7, hash(1), Height(100));
        ours.expire(Height(101));
        ours.node_expects(7);
        assert_eq!(ours.to_sign(), 7);
    }

    #[test]
    fn an_abandoned_signature_costs_one_round() {
        let mut ours = at(7);
        ours.signed(7, hash(1), Height(100));
        // Never sent; the next one is signed with 8 and refused.
        ours.signed(8, hash(2), Height(100));
        ours.refused(8, &hash(2), Some(7));
        assert_eq!(ours.to_sign(), 7);
    }

    #[test]
    fn only_a_transaction_that_was_never_sent_is_certainly_nowhere() {
        let mut ours = at(7);
        assert!(ours.may_have_been_sent(3, &hash(9)));
        ours.signed(7, hash(1), Height(100));
        assert!(!ours.may_have_been_sent(7, &hash(1)));
        ours.sent(7, hash(1), Height(100));
        assert!(ours.may_have_been_sent(7, &hash(1)));
    }
}
