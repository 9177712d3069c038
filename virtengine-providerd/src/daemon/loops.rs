//! The loops of the daemon, one per port; one that ends by itself ends the daemon.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use virtengine_chain::Follower;
use virtengine_provider_core::id::Height;
use virtengine_provider_core::ports::chain::ChainQuery;

use super::build::{CHAIN_WAIT, Shared};
use super::carry::{self, Hands};
use super::compile::Pace;
use super::desk::Desk;
use super::watch::{self, Rhythm};
use super::wiring::TxSenderDebug;
use super::{compare, follow, health, settle};
use crate::provider::Provider;

/// How long what is under way may take when the daemon stops.
pub(super) const DRAIN: Duration = Duration::from_secs(20);

/// Says it when a part of the daemon ends though nobody stopped it, also by a panic: a daemon without one of its parts looks
/// alive and is not.
#[derive(Debug)]
struct Watched {
    part: &'static str,
    stop: CancellationToken,
    fallen: CancellationToken,
}

impl Watched {
    async fn run(self, part: impl Future<Output = ()>) {
        part.await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            tracing::error!(
                part = self.part,
                "a part of the daemon has ended by itself; the daemon stops"
            );
            self.fallen.cancel();
        }
    }
}

/// Everything that runs until the daemon stops.
#[derive(Debug)]
pub(super) struct Loops {
    tracker: TaskTracker,
    stop: CancellationToken,
    desk: JoinHandle<()>,
    stop_desk: CancellationToken,
    fallen: CancellationToken,
}

impl Loops {
    /// The desk works; nobody tells it anything yet. `fallen` fires when a part ends by itself.
    pub(super) fn begin(desk: Desk, fallen: CancellationToken) -> Self {
        let stop_desk = CancellationToken::new();
        let watched = Watched {
            part: "desk",
            stop: stop_desk.clone(),
            fallen: fallen.clone(),
        };
        Self {
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            desk: tokio::spawn(watched.run(desk.run(stop_desk.clone()))),
            stop_desk,
            fallen,
        }
    }

    /// Runs a part that goes on until the daemon stops.
    fn run(&self, part: &'static str, run: impl Future<Output = ()> + Send + 'static) {
        let watched = Watched {
            part,
            stop: self.stop.clone(),
            fallen: self.fallen.clone(),
        };
        self.tracker.spawn(watched.run(run));
    }

    /// Runs something that may end before the daemon does.
    pub(super) fn run_for_a_while(&self, run: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(run);
    }

    /// Fires when the daemon stops.
    pub(super) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Follows the chain, compares, watches, settles, and carries out.
    pub(super) async fn start(
        &self,
        shared: &Arc<Shared>,
        sender: Arc<dyn TxSenderDebug>,
        pace: &Pace,
    ) -> anyhow::Result<()> {
        let desk = || shared.desk.clone();
        let query: Arc<dyn ChainQuery> = Arc::new(shared.chain.clone());
        let at_once = Arc::new(Notify::new());
        let from = follow_from(shared).await?;
        let follower = Follower::new(shared.chain.clone(), from);
        let (provider, notify) = (shared.provider.clone(), Arc::clone(&at_once));
        let following = follow::run(
            follower,
            Arc::clone(&query),
            desk(),
            provider,
            notify,
            self.stop(),
        );
        self.run("follow", following);
        let (provider, interval) = (
            shared.provider.clone(),
            shared.config.bid_engine.order_poll_interval,
        );
        let comparing = compare::run(query, desk(), provider, interval, at_once, self.stop());
        self.run("compare", comparing);
        let rhythm = Rhythm {
            observe: pace.observe,
            count: pace.count,
            inventory: pace.inventory,
        };
        let look = Arc::new(Notify::new());
        let (adapter, notify) = (Arc::clone(&shared.adapter), Arc::clone(&look));
        self.run("watch", watch::run(adapter, desk(), rhythm, notify, self.stop()));
        let interval = pace.settle.unwrap_or(shared.config.settlement.submit_interval);
        self.run("settle", settle::run(Arc::clone(shared), interval, self.stop()));
        self.run(
            "health",
            health::run(Arc::clone(shared), pace.health, self.stop()),
        );
        let hands = Hands {
            desk: desk(),
            outbox: Arc::clone(&shared.outbox),
            adapter: Arc::clone(&shared.adapter),
            sender: (!shared.dry_run).then_some(sender),
            identity: Arc::clone(&shared.keys.identity),
            clock: Arc::clone(&shared.clock),
            tx_poll: pace.tx_poll,
            look,
            turn: tokio::sync::Mutex::default(),
        };
        self.run("carry", carry::run(Arc::new(hands), self.stop()));
        Ok(())
    }

    /// Ends the loops, then the desk that they talk to.
    pub(super) async fn end(self) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(DRAIN, self.tracker.wait()).await.is_err() {
            tracing::warn!("some loops did not end in time; their effects are finished by the next start");
        }
        self.stop_desk.cancel();
        if self.desk.await.is_err() {
            tracing::error!("the desk ended badly; the journal has everything that was decided");
        }
    }
}

/// Behind the last block that was worked through; a new journal begins at the chain's head, and the comparison finds what is
/// older.
async fn follow_from(shared: &Shared) -> anyhow::Result<Height> {
    let height = shared.desk.ask(Provider::height).await?;
    if height.0 > 0 {
        return Ok(height.plus(1));
    }
    match tokio::time::timeout(CHAIN_WAIT, shared.chain.head()).await {
        Ok(Ok(head)) => Ok(head.height),
        Ok(Err(_)) | Err(_) => Ok(height.plus(1)),
    }
}
