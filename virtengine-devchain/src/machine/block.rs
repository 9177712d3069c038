//! Blocks and what came of their transactions.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::state::event::Event;
use crate::state::time::BlockTime;

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TxResult {
    pub(crate) code: u32,
    pub(crate) codespace: String,
    pub(crate) log: String,
    pub(crate) data: Vec<u8>,
    pub(crate) gas_wanted: u64,
    pub(crate) gas_used: u64,
    pub(crate) events: Vec<Event>,
}

/// A transaction in a block.
#[derive(Debug, Clone)]
pub(crate) struct DeliveredTx {
    pub(crate) bytes: Bytes,
    pub(crate) hash: [u8; 32],
    pub(crate) result: TxResult,
}

/// A block with its results.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) height: u64,
    pub(crate) time: BlockTime,
    pub(crate) txs: Vec<DeliveredTx>,
    pub(crate) events: Vec<Event>,
    /// The hash of the block before.
    pub(crate) last_hash: [u8; 32],
    pub(crate) hash: [u8; 32],
    /// The application hash before this block, which is what its header carries.
    pub(crate) app_hash_before: [u8; 32],
    /// The application hash after this block.
    pub(crate) app_hash: [u8; 32],
    pub(crate) data_hash: [u8; 32],
}

/// The hash of a transaction.
pub(crate) fn tx_hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The hash of nothing, which the node shows for an empty list.
pub(crate) fn empty_hash() -> [u8; 32] {
    Sha256::digest(b"").into()
}

/// The Merkle root that a header carries for its transactions (RFC 6962 over their hashes).
pub(crate) fn data_hash(hashes: &[[u8; 32]]) -> [u8; 32] {
    match hashes {
        [] => empty_hash(),
        [leaf] => {
            let mut hash = Sha256::new();
            hash.update([0]);
            hash.update(leaf);
            hash.finalize().into()
        }
        many => {
            let split = many.len().next_power_of_two() / 2;
            let (left, right) = many.split_at(split);
            let mut hash = Sha256::new();
            hash.update([1]);
            hash.update(data_hash(left));
            hash.update(data_hash(right));
            hash.finalize().into()
        }
    }
}

/// The hash of a block. It binds everything that the header shows but is not CometBFT's: nothing here verifies headers.
pub(crate) fn block_hash(chain_id: &str, height: u64, time: BlockTime, parts: [&[u8; 32]; 3]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(chain_id.as_bytes());
    hash.update(height.to_be_bytes());
    hash.update(time.seconds.to_be_bytes());
    hash.update(time.nanos.to_be_bytes());
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_hash_is_that_of_the_recorded_block() {
        let tx = hex::decode(crate::tx::decode::BID_TX).unwrap();
        assert_eq!(
            hex::encode_upper(data_hash(&[tx_hash(&tx)])),
            "97EFE85EA6E887FA45A3F9DD2283ED52FD4542AA870D41BEC5985B46583B7621"
        );
    }
}
