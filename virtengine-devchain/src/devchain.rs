//! The chain as a thing to start, watch, disturb and stop.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::faults::Faults;
use crate::genesis::{Genesis, GenesisError};
use crate::home::{Home, HomeError};
use crate::node::{BlockError, Node};
use crate::rpc::server::{self, Endpoint as Served, SharedNode, lock};
use crate::state::time::BlockTime;

/// The shortest time between blocks.
pub const BLOCK_TIME_MIN: Duration = Duration::from_millis(50);
/// How much later each block is in manual mode, unless told otherwise.
pub const MANUAL_STEP: Duration = Duration::from_secs(1);

/// When blocks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// One block per period, with the time of the clock. At least [`BLOCK_TIME_MIN`].
    Every(Duration),
    /// Only when told: [`Devchain::advance`] and its kin decide height and time.
    Manual,
}

/// How to start a chain.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The first state; `None`: the default, or the one stored in `home`.
    pub genesis: Option<Genesis>,
    /// When blocks are made.
    pub pace: Pace,
    /// Where the RPC listens. Loopback, any free port by default.
    pub listen: SocketAddr,
    /// A directory that keeps the chain across restarts.
    pub home: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            genesis: None,
            pace: Pace::Every(Duration::from_millis(100)),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            home: None,
        }
    }
}

impl Config {
    /// A chain that makes a block only when told.
    #[must_use]
    pub fn manual() -> Self {
        Self {
            pace: Pace::Manual,
            ..Self::default()
        }
    }

    /// A chain with one block per `period`.
    #[must_use]
    pub fn every(period: Duration) -> Self {
        Self {
            pace: Pace::Every(period),
            ..Self::default()
        }
    }

    /// With this first state.
    #[must_use]
    pub fn genesis(mut self, genesis: Genesis) -> Self {
        self.genesis = Some(genesis);
        self
    }

    /// Listening here.
    #[must_use]
    pub const fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Kept in this directory.
    #[must_use]
    pub fn home(mut self, dir: impl Into<PathBuf>) -> Self {
        self.home = Some(dir.into());
        self
    }
}

/// Why a chain does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The genesis is unusable.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The genesis passed its check and could not be written into the state.
    #[error("genesis state: {0}")]
    State(String),
    /// The directory is unusable.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The period is too short.
    #[error("block time {0:?} is shorter than the least, {BLOCK_TIME_MIN:?}")]
    Pace(Duration),
}

/// Why no block was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdvanceError {
    /// The time is not after that of the last block.
    #[error("{0}")]
    Time(String),
    /// The block could not be written down.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl From<BlockError> for AdvanceError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Home(home) => Self::Home(home),
            other @ BlockError::NotLater { .. } => Self::Time(other.to_string()),
        }
    }
}

/// One RPC listener of a chain, with its own faults. Dropping it closes the listener.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    faults: Faults,
    task: JoinHandle<()>,
}

impl Endpoint {
    async fn open(node: &SharedNode, listen: SocketAddr) -> Result<Self, StartError> {
        let failed = |source| StartError::Listen {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let faults = Faults::default();
        let served = Served::new(Arc::clone(node), faults.clone(), address);
        Ok(Self {
            address,
            faults,
            task: tokio::spawn(server::serve(listener, served)),
        })
    }

    /// The base URL, e.g. `http://127.0.0.1:26657`.
    #[must_use]
    pub fn rpc_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The WebSocket URL.
    #[must_use]
    pub fn websocket_url(&self) -> String {
        format!("ws://{}/websocket", self.address)
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The faults of this endpoint.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // WebSockets outlive their listener's task; this ends them.
        self.faults.down(true);
        self.task.abort();
    }
}

/// A running chain. Dropping it stops it.
#[derive(Debug)]
pub struct Devchain {
    node: SharedNode,
    endpoint: Endpoint,
    heights: watch::Receiver<u64>,
    paused: watch::Sender<bool>,
    producer: Option<JoinHandle<()>>,
    pace: Pace,
}

/// The clock, to nanoseconds.
fn now() -> BlockTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    BlockTime::default().plus(since)
}

impl Devchain {
    /// Starts a chain: replays what its directory holds, makes the first block, listens.
    ///
    /// # Errors
    /// [`StartError`] says what is unusable: genesis, directory, address or block time.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        if let Pace::Every(period) = config.pace
            && period < BLOCK_TIME_MIN
        {
            return Err(StartError::Pace(period));
        }
        if let Some(genesis) = &config.genesis {
            genesis.check()?;
        }
        let mut node = open_node(&config)?;
        if node.machine().height() == 0 {
            let time = node.genesis().time.unwrap_or_else(now);
            node.make_block(time).map_err(|error| match error {
                BlockError::Home(home) => StartError::Home(home),
                other @ BlockError::NotLater { .. } => StartError::State(other.to_string()),
            })?;
        }
        let heights = node.heights();
        let node: SharedNode = Arc::new(Mutex::new(node));
        let endpoint = Endpoint::open(&node, config.listen).await?;
        let paused = watch::Sender::new(false);
        let producer = match config.pace {
            Pace::Every(period) => Some(tokio::spawn(produce(
                Arc::clone(&node),
                period,
                paused.subscribe(),
            ))),
            Pace::Manual => None,
        };
        Ok(Self {
            node,
            endpoint,
            heights,
            paused,
            producer,
            pace: config.pace,
        })
    }

    /// The base URL of the RPC, e.g. `http://127.0.0.1:26657`.
    #[must_use]
    pub fn rpc_url(&self) -> String {
        self.endpoint.rpc_url()
    }

    /// The WebSocket URL.
    #[must_use]
    pub fn websocket_url(&self) -> String {
        self.endpoint.websocket_url()
    }

    /// The faults of the first endpoint.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        self.endpoint.faults()
    }

    /// Opens another listener on the same chain, with its own faults.
    ///
    /// # Errors
    /// [`StartError::Listen`] when no port is free.
    pub async fn extra_endpoint(&self) -> Result<Endpoint, StartError> {
        Endpoint::open(&self.node, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// The newest height.
    #[must_use]
    pub fn height(&self) -> u64 {
        lock(&self.node).machine().height()
    }

    /// The time of the newest block.
    #[must_use]
    pub fn time(&self) -> BlockTime {
        lock(&self.node).machine().time()
    }

    /// The application hash after the newest block, in hex: equal for equal genesis, block times and transactions.
    #[must_use]
    pub fn app_hash(&self) -> String {
        hex::encode_upper(lock(&self.node).machine().app_hash())
    }

    /// How many transactions wait for a block.
    #[must_use]
    pub fn waiting(&self) -> usize {
        lock(&self.node).mempool().len()
    }

    /// Waits until the chain is at `height` or above. In manual mode somebody else must advance it.
    pub async fn wait_height(&self, height: u64) {
        let mut heights = self.heights.clone();
        // The sender lives in the node, which lives as long as `self`.
        let _reached = heights.wait_for(|newest| *newest >= height).await;
    }

    /// Waits for the next block and answers its height; in manual mode makes it.
    ///
    /// # Errors
    /// As [`Devchain::advance`], in manual mode only.
    pub async fn next_block(&self) -> Result<u64, AdvanceError> {
        if self.pace == Pace::Manual {
            return self.advance();
        }
        let next = self.height() + 1;
        self.wait_height(next).await;
        Ok(next)
    }

    /// Makes one block, [`MANUAL_STEP`] later than the last, and answers its height.
    ///
    /// # Errors
    /// When the block cannot be written to the home directory.
    pub fn advance(&self) -> Result<u64, AdvanceError> {
        self.advance_by(MANUAL_STEP)
    }

    /// Makes one block, `by` later than the last, and answers its height.
    ///
    /// # Errors
    /// When `by` is zero or the block cannot be written to the home directory.
    pub fn advance_by(&self, by: Duration) -> Result<u64, AdvanceError> {
        let mut node = lock(&self.node);
        let time = node.machine().time().plus(by);
        Ok(node.make_block(time)?.height)
    }

    /// Makes one block at `time` and answers its height.
    ///
    /// # Errors
    /// When `time` is not after the last block or the block cannot be written to the home directory.
    pub fn advance_to(&self, time: BlockTime) -> Result<u64, AdvanceError> {
        Ok(lock(&self.node).make_block(time)?.height)
    }

    /// Makes `count` blocks, [`MANUAL_STEP`] apart, and answers the height of the last.
    ///
    /// # Errors
    /// As [`Devchain::advance`].
    pub fn advance_blocks(&self, count: u64) -> Result<u64, AdvanceError> {
        for _ in 0..count {
            self.advance()?;
        }
        Ok(self.height())
    }

    /// Stops making blocks by the clock (`true`) or goes on (`false`). The RPC goes on answering.
    pub fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    /// Stops the chain and closes its listeners. What its home directory holds can be started again.
    pub async fn stop(mut self) {
        if let Some(producer) = self.producer.take() {
            producer.abort();
            let _aborted = producer.await;
        }
        self.endpoint.task.abort();
        let _aborted = (&mut self.endpoint.task).await;
    }
}

impl Drop for Devchain {
    fn drop(&mut self) {
        if let Some(producer) = &self.producer {
            producer.abort();
        }
    }
}

fn open_node(config: &Config) -> Result<Node, StartError> {
    let new = |genesis: Genesis| {
        let time = genesis.time.unwrap_or_else(now);
        Node::new(genesis, time).map_err(|failure| StartError::State(failure.log()))
    };
    let Some(dir) = &config.home else {
        return new(config.genesis.clone().unwrap_or_default());
    };
    let (home, genesis, blocks) = Home::open(dir, config.genesis.clone())?;
    let mut node = new(genesis)?;
    for block in blocks {
        let before = hex::encode(node.machine().app_hash());
        if before != block.app_hash {
            let what = format!(
                "replay gives application hash {before}, stored is {}",
                block.app_hash
            );
            return Err(home.differs(&block, what).into());
        }
        node.execute(block.time, block.txs);
    }
    node.keep_in(home);
    Ok(node)
}

/// Makes a block per period. A block that cannot be written down is tried again in the next period.
async fn produce(node: SharedNode, period: Duration, mut paused: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if paused.wait_for(|paused| !*paused).await.is_err() {
            return;
        }
        let mut node = lock(&node);
        // The clock may stand or go back; block time may not.
        let time = now().max(node.machine().time().plus(Duration::from_nanos(1)));
        if let Err(error) = node.make_block(time) {
            tracing::error!(%error, "no block was made");
        }
    }
}
