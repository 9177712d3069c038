//! The node around the machine: mempool, block store, index, news. Still no network and no clock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{broadcast, watch};

use crate::ante::Mode;
use crate::genesis::Genesis;
use crate::home::{Home, HomeError};
use crate::machine::Machine;
use crate::machine::block::{Block, DeliveredTx, TxResult, tx_hash};
use crate::machine::mempool::{Mempool, Refused};
use crate::query::Answer;
use crate::state::failure::Failure;
use crate::state::time::BlockTime;

/// Blocks kept in memory; older ones are forgotten.
const BLOCKS_MAX: usize = 100_000;
/// Most bytes of transactions in a block.
const BLOCK_BYTES_MAX: usize = 22_020_096;
/// Blocks that a slow subscriber may lag behind before it is cut off.
const NEWS_BACKLOG: usize = 128;

/// Why no block was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlockError {
    #[error("block time {given} is not after {last}, the time of the last block")]
    NotLater { given: String, last: String },
    #[error(transparent)]
    Home(#[from] HomeError),
}

/// The node.
#[derive(Debug)]
pub(crate) struct Node {
    machine: Machine,
    mempool: Mempool,
    blocks: VecDeque<Arc<Block>>,
    index: HashMap<[u8; 32], (u64, usize)>,
    news: broadcast::Sender<Arc<Block>>,
    newest: watch::Sender<u64>,
    home: Option<Home>,
    genesis: Genesis,
}

impl Node {
    /// A node at height 0.
    pub(crate) fn new(genesis: Genesis, time: BlockTime) -> Result<Self, Failure> {
        Ok(Self {
            machine: Machine::new(&genesis, time)?,
            mempool: Mempool::default(),
            blocks: VecDeque::new(),
            index: HashMap::new(),
            news: broadcast::Sender::new(NEWS_BACKLOG),
            newest: watch::Sender::new(0),
            home: None,
            genesis,
        })
    }

    /// From now on each block is written to `home` before it is executed.
    pub(crate) fn keep_in(&mut self, home: Home) {
        self.home = Some(home);
    }

    pub(crate) const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    pub(crate) const fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(crate) const fn mempool(&self) -> &Mempool {
        &self.mempool
    }

    /// News of every block from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Block>> {
        self.news.subscribe()
    }

    /// The newest height, as it changes.
    pub(crate) fn heights(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Takes a transaction into the mempool, or says why not.
    pub(crate) fn submit(&mut self, tx: &Bytes) -> Result<TxResult, Refused> {
        self.mempool.admit(tx)?;
        let result = self.machine.check(tx, Mode::Check);
        if result.code == 0 {
            self.mempool.push(tx.clone());
        } else {
            self.mempool.forget(&tx_hash(tx));
        }
        Ok(result)
    }

    /// Makes the next block out of the mempool.
    pub(crate) fn make_block(&mut self, time: BlockTime) -> Result<Arc<Block>, BlockError> {
        if self.machine.height() > 0 && time <= self.machine.time() {
            return Err(BlockError::NotLater {
                given: time.rfc3339(),
                last: self.machine.time().rfc3339(),
            });
        }
        let waiting = self.mempool.take();
        let mut room = BLOCK_BYTES_MAX;
        let fits = waiting
            .iter()
            .take_while(|tx| {
                let fits = tx.len() <= room;
                room = room.saturating_sub(tx.len());
                fits
            })
            .count();
        let (now, later) = waiting.split_at(fits);
        if let Some(home) = &mut self.home
            && let Err(error) = home.append(self.machine.height() + 1, time, self.machine.app_hash(), now)
        {
            // Nothing was executed: the transactions go on waiting.
            waiting.into_iter().for_each(|tx| self.mempool.push(tx));
            return Err(error.into());
        }
        let block = self.execute(time, now.to_vec());
        for tx in later {
            if self.machine.check(tx, Mode::Recheck).code == 0 {
                self.mempool.push(tx.clone());
            } else {
                self.mempool.forget(&tx_hash(tx));
            }
        }
        Ok(block)
    }

    /// Executes and stores a block whose transactions are given: the next block, or one that is replayed.
    pub(crate) fn execute(&mut self, time: BlockTime, txs: Vec<Bytes>) -> Arc<Block> {
        let block = Arc::new(self.machine.block(time, txs));
        for (at, tx) in block.txs.iter().enumerate() {
            self.mempool.committed(tx.hash, tx.result.code == 0);
            self.index.insert(tx.hash, (block.height, at));
        }
        self.blocks.push_back(Arc::clone(&block));
        if self.blocks.len() > BLOCKS_MAX
            && let Some(oldest) = self.blocks.pop_front()
        {
            for tx in &oldest.txs {
                self.index.remove(&tx.hash);
            }
        }
        // No receiver is no error.
        let _receivers = self.news.send(Arc::clone(&block));
        self.newest.send_replace(block.height);
        block
    }

    /// The block at `height`.
    pub(crate) fn block(&self, height: u64) -> Option<Arc<Block>> {
        let first = self.blocks.front()?.height;
        let at = usize::try_from(height.checked_sub(first)?).ok()?;
        self.blocks.get(at).cloned()
    }

    pub(crate) fn oldest(&self) -> Option<Arc<Block>> {
        self.blocks.front().cloned()
    }

    /// All kept blocks, oldest first.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.blocks.iter()
    }

    /// A transaction in a block: height, position, transaction.
    pub(crate) fn tx(&self, hash: &[u8; 32]) -> Option<(u64, usize, DeliveredTx)> {
        let (height, at) = self.index.get(hash).copied()?;
        let block = self.block(height)?;
        block.txs.get(at).map(|tx| (height, at, tx.clone()))
    }

    pub(crate) fn query(&self, path: &str, data: &[u8], height: u64) -> Answer {
        self.machine.query(path, data, height)
    }
}
