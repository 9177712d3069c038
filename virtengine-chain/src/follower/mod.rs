//! Follows the chain block by block: every height once, in order, whatever happens to connections.
//!
//! Blocks are read by height (`block` and `block_results`), several at once while catching up. The WebSocket only says "there
//! is a new one"; when it is silent, polling finds out as well. Where the cursor stands is the caller's business: it stores the
//! height of each block with what it made of it, and starts a new follower behind it.

mod wake;

use std::fmt;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt as _, StreamExt as _};
use virtengine_provider_core::id::Height;
use virtengine_provider_core::market::MarketEvent;
use virtengine_provider_core::ports::chain::{Block, ChainError};

use self::wake::Wake;
use crate::client::ChainClient;
use crate::event::{AbciEvent, market_event};
use crate::rpc::{self, BlockResults, Failures, Rpc, RpcError};

/// Blocks that are fetched at once while catching up.
const PARALLEL: u64 = 8;
/// How far a mere announcement may move the head: more is checked by asking.
const ANNOUNCED_AHEAD_MAX: u64 = 10;
/// First and longest pause after an error.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_LONGEST: Duration = Duration::from_secs(10);
/// How long a block is asked for that some endpoint may still have, in request timeouts: a minute with the default of 10 s. To give it
/// up costs a comparison of everything; to wait for ever for an endpoint that does not come back would cost more.
const GAP_TIMEOUTS: u32 = 6;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowerEvent {
    /// The next block.
    Block(Block),
    /// Blocks that no endpoint has any more, or none of those that could be asked for a minute: what happened in them must be
    /// found out by comparing states.
    Gap {
        /// The first one.
        from: Height,
        /// The last one.
        to: Height,
    },
}

/// Why a block could not be fetched.
#[derive(Debug)]
enum FetchError {
    /// Those that were asked do not have it any more.
    Pruned {
        /// From where on one of them has blocks.
        lowest: Option<Height>,
        /// Somebody else may have it, and why it could not be asked.
        elsewhere: Option<ChainError>,
    },
    /// No endpoint has it yet.
    NotYet,
    Other(ChainError),
}

/// Reads blocks in order.
pub struct Follower {
    client: ChainClient,
    /// The next height to hand out.
    next: Height,
    /// The next height to fetch.
    fetch: Height,
    head: Height,
    fetching: FuturesOrdered<BoxFuture<'static, Result<Block, FetchError>>>,
    wake: Option<Wake>,
    failures: u32,
    not_before: Option<Instant>,
    /// Since when the next block has been pruned where it was asked for.
    pruned_since: Option<Instant>,
    /// Whether the head has been asked for.
    knows_head: bool,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("next", &self.next)
            .field("head", &self.head)
            .field("fetching", &self.fetching.len())
            .finish_non_exhaustive()
    }
}

impl Follower {
    /// Begins with the block at `from`; the first block of a chain is 1.
    #[must_use]
    pub fn new(client: ChainClient, from: Height) -> Self {
        let from = from.max(Height(1));
        Self {
            client,
            next: from,
            fetch: from,
            head: Height(0),
            fetching: FuturesOrdered::new(),
            wake: None,
            failures: 0,
            not_before: None,
            pruned_since: None,
            knows_head: false,
        }
    }

    /// The height that is handed out next.
    #[must_use]
    pub const fn next_height(&self) -> Height {
        self.next
    }

    /// How many blocks the chain is ahead, as far as is known.
    #[must_use]
    pub const fn lag_blocks(&self) -> u64 {
        self.head.plus(1).0.saturating_sub(self.next.0)
    }

    /// Waits for the next block. Dropping the future loses nothing; after an error, call again: the pause is made here.
    ///
    /// # Errors
    /// [`ChainError`] when no endpoint can help at present, or the chain is not the one that the cursor is from.
    pub async fn next(&mut self) -> Result<FollowerEvent, ChainError> {
        if let Some(until) = self.not_before {
            tokio::time::sleep_until(until.into()).await;
            self.not_before = None;
        }
        loop {
            self.fill();
            let Some(fetched) = self.fetching.next().await else {
                self.wait_for_head().await.map_err(|error| self.failed(error))?;
                continue;
            };
            match fetched {
                Ok(block) => {
                    self.failures = 0;
                    self.pruned_since = None;
                    self.next = self.next.plus(1);
                    return Ok(FollowerEvent::Block(block));
                }
                Err(FetchError::NotYet) => {
                    // The announcement was ahead of the endpoint that was asked.
                    self.begin_at(self.next);
                    self.head = Height(self.next.0.saturating_sub(1));
                }
                Err(FetchError::Pruned { lowest, elsewhere }) => {
                    let since = *self.pruned_since.get_or_insert_with(Instant::now);
                    let patience = self.client.config().request_timeout.saturating_mul(GAP_TIMEOUTS);
                    match elsewhere.filter(|_| since.elapsed() < patience) {
                        None => return Ok(self.gap(lowest)),
                        Some(error) => {
                            self.begin_at(self.next);
                            return Err(self.failed(error));
                        }
                    }
                }
                Err(FetchError::Other(error)) => {
                    self.begin_at(self.next);
                    return Err(self.failed(error));
                }
            }
        }
    }

    fn fill(&mut self) {
        while self.fetch <= self.head && self.fetch < self.next.plus(PARALLEL) {
            let fetch = fetch(self.client.clone(), self.fetch, self.head);
            self.fetching.push_back(fetch.boxed());
            self.fetch = self.fetch.plus(1);
        }
    }

    fn begin_at(&mut self, height: Height) {
        self.fetching = FuturesOrdered::new();
        self.next = height;
        self.fetch = height;
    }

    fn gap(&mut self, lowest: Option<Height>) -> FollowerEvent {
        let from = self.next;
        self.pruned_since = None;
        // An endpoint that has the block but not its results does not say from where on it has them.
        let resume = lowest
            .filter(|lowest| *lowest > from)
            .unwrap_or_else(|| from.plus(1));
        self.begin_at(resume);
        FollowerEvent::Gap {
            from,
            to: Height(resume.0.saturating_sub(1)),
        }
    }

    fn failed(&mut self, error: ChainError) -> ChainError {
        let factor = 1_u32.checked_shl(self.failures.min(10)).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + PAUSE_FIRST.saturating_mul(factor).min(PAUSE_LONGEST));
        error
    }

    /// Returns when the head may have moved to `next` or beyond.
    async fn wait_for_head(&mut self) -> Result<(), ChainError> {
        let config = self.client.config();
        if self.knows_head {
            let announced = match (&mut self.wake, config.websocket) {
                (Some(wake), true) => wake.wait(config.poll_interval).await,
                (None, true) => {
                    self.wake = Some(Wake::spawn(&self.client));
                    tokio::time::sleep(config.poll_interval.min(Duration::from_millis(200))).await;
                    None
                }
                (_, false) => {
                    tokio::time::sleep(config.poll_interval).await;
                    None
                }
            };
            if let Some(height) = announced
                && height >= self.next
                && height <= self.head.plus(ANNOUNCED_AHEAD_MAX)
            {
                self.head = height;
                return Ok(());
            }
        }
        let head = self.client.newest().await?;
        if head.height.plus(config.lag_blocks_max).plus(1) < self.next {
            return Err(ChainError::WrongChain(format!(
                "the chain is at height {}, but block {} was to be next: was it reset?",
                head.height, self.next
            )));
        }
        self.head = self.head.max(head.height);
        self.knows_head = true;
        Ok(())
    }
}

async fn fetch(client: ChainClient, height: Height, head: Height) -> Result<Block, FetchError> {
    let chain_id = &client.config().chain_id;
    let both = |rpc: Rpc| async move {
        let block = rpc.block(height).await?;
        if block.chain_id != *chain_id {
            return Err(RpcError::Endpoint(format!(
                "{}: a block of chain {:?}",
                rpc.url(),
                block.chain_id
            )));
        }
        let results = rpc.block_results(height).await?;
        if results.txs_results.len() != block.txs.len() {
            let words = format!("{}: {} transactions at {height}", rpc.url(), block.txs.len());
            return Err(RpcError::Endpoint(format!(
                "{words}, but {} results",
                results.txs_results.len()
            )));
        }
        Ok((block, results))
    };
    match client.pool().call_each(both).await {
        Ok((block, results)) => Ok(assemble(block, &results)),
        Err(Failures::Nobody(error)) => Err(FetchError::Other(error)),
        Err(Failures::All {
            earlier,
            last,
            unasked,
        }) => Err(missing(height, head, earlier, last, unasked)),
    }
}

/// What it means that none of those that were asked gave the block.
fn missing(
    height: Height,
    head: Height,
    mut errors: Vec<RpcError>,
    last: RpcError,
    unasked: usize,
) -> FetchError {
    errors.push(last.clone());
    // A node stores a block before its results.
    let is_early = |error: &RpcError| {
        error.is_above_head() || (error.is_pruned() && error.lowest().is_none() && height.plus(1) >= head)
    };
    if errors.iter().any(is_early) {
        return FetchError::NotYet;
    }
    // Nobody who has a block says that it has none below a height that is lower, or that is not there yet.
    let is_pruned = |error: &RpcError| {
        error.is_pruned()
            && error
                .lowest()
                .is_none_or(|lowest| lowest > height && lowest <= head)
    };
    let Some(other) = errors.iter().find(|error| !is_pruned(error)).cloned() else {
        let elsewhere = (unasked > 0).then(|| {
            ChainError::Unreachable(format!(
                "{last}; {unasked} other endpoints may have block {height}, but cannot be asked"
            ))
        });
        return FetchError::Pruned {
            lowest: lowest_of(errors.iter().filter(|error| is_pruned(error))),
            elsewhere,
        };
    };
    if errors.iter().any(is_pruned) {
        return FetchError::Pruned {
            lowest: lowest_of(errors.iter().filter(|error| is_pruned(error))),
            elsewhere: Some(other.into()),
        };
    }
    FetchError::Other(last.into())
}

/// From where on one of them has blocks. `None` if one has the block without its results: it may have those of the next one.
fn lowest_of<'a>(pruned: impl Iterator<Item = &'a RpcError>) -> Option<Height> {
    let heights: Option<Vec<Height>> = pruned.map(RpcError::lowest).collect();
    heights?.into_iter().min()
}

fn assemble(block: rpc::Block, results: &BlockResults) -> Block {
    let of_txs = results
        .txs_results
        .iter()
        .filter(|result| result.code == 0)
        .flat_map(|result| &result.events);
    let events = of_txs.chain(&results.finalize_block_events);
    Block {
        height: block.height,
        time: block.time,
        events: events.filter_map(|event| readable(block.height, event)).collect(),
        txs: block.txs,
    }
}

/// Events are hints: one that cannot be read is left to the comparison of states.
fn readable(height: Height, event: &AbciEvent) -> Option<MarketEvent> {
    market_event(event).unwrap_or_else(|error| {
        tracing::warn!(%height, %error, "an event of the market is left out");
        None
    })
}
