//! Observes the workloads and reads their counters. A failed observation is no fact: it is logged, and nothing follows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::Adapter;

use super::desk::{DeskHandle, Stopping};
use crate::provider::Fact;

/// Back-end calls under way at once.
const CONCURRENT: usize = 16;
/// Longest that one observation may take.
const OBSERVE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often to look at what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    /// Between two observations of a workload.
    pub observe: Duration,
    /// Between two readings of its counters.
    pub count: Duration,
    /// Between two readings of the inventory.
    pub inventory: Duration,
}

/// Watches until `stop`; looks early when `at_once` says that something has changed.
pub(super) async fn run(
    adapter: Arc<dyn Adapter>,
    desk: DeskHandle,
    rhythm: Rhythm,
    at_once: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut next_inventory = Instant::now();
    let mut next_count: BTreeMap<WorkloadId, Instant> = BTreeMap::new();
    loop {
        let round = async {
            if Instant::now() >= next_inventory {
                inventory(&*adapter, &desk).await;
                next_inventory = Instant::now() + rhythm.inventory;
            }
            let watched = desk.ask(crate::provider::Provider::watched_workloads).await?;
            next_count.retain(|id, _| watched.iter().any(|(watched, _)| watched == id));
            let due: Vec<_> = watched
                .iter()
                .map(|(id, metered)| {
                    let at = next_count.entry(id.clone()).or_insert_with(Instant::now);
                    let count = *metered && Instant::now() >= *at;
                    if count {
                        *at = Instant::now() + rhythm.count;
                    }
                    (id.clone(), count)
                })
                .collect();
            stream::iter(due)
                .for_each_concurrent(CONCURRENT, |(id, count)| look(&*adapter, &desk, id, count))
                .await;
            Ok::<(), Stopping>(())
        };
        tokio::select! {
            outcome = round => if outcome.is_err() { return },
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(rhythm.observe) => {}
            () = at_once.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn inventory(adapter: &dyn Adapter, desk: &DeskHandle) {
    match tokio::time::timeout(OBSERVE_TIMEOUT, adapter.inventory()).await {
        Ok(Ok(inventory)) => tell(desk, Fact::Inventory(inventory)).await,
        Ok(Err(error)) => tracing::warn!(%error, "the inventory is not known; what was known stays"),
        Err(_) => tracing::warn!("the inventory took too long; what was known stays"),
    }
}

async fn look(adapter: &dyn Adapter, desk: &DeskHandle, id: WorkloadId, count: bool) {
    match tokio::time::timeout(OBSERVE_TIMEOUT, adapter.observe(&id)).await {
        Ok(Ok(observation)) => {
            tell(
                desk,
                Fact::Observed {
                    workload: id.clone(),
                    observation,
                },
            )
            .await;
        }
        Ok(Err(error)) => tracing::warn!(workload = %id, %error, "not observed; nothing follows from that"),
        Err(_) => tracing::warn!(workload = %id, "the observation took too long; nothing follows from that"),
    }
    if !count {
        return;
    }
    match tokio::time::timeout(OBSERVE_TIMEOUT, adapter.usage(&id)).await {
        Ok(Ok(counters)) => {
            tell(
                desk,
                Fact::Counted {
                    workload: id,
                    counters,
                },
            )
            .await;
        }
        Ok(Err(error)) => tracing::warn!(workload = %id, %error, "counters not read; the record will say so"),
        Err(_) => {
            tracing::warn!(workload = %id, "reading the counters took too long; the record will say so");
        }
    }
}

async fn tell(desk: &DeskHandle, fact: Fact) {
    if let Err(error) = desk.tell(fact).await {
        tracing::debug!(%error, "an observation was not taken");
    }
}
