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
use crate::provider::{Fact, Provider};

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

/// A workload that is there.
struct Watched {
    id: WorkloadId,
    /// Whether its counters are read.
    metered: bool,
    /// Whether something is being done to it.
    under_way: bool,
}

/// Watches until `stop`; when `at_once` says that something has changed, looks early at those that something is done to. All
/// the others are looked at in their own time: many that change must not make many times many looks.
pub(super) async fn run(
    adapter: Arc<dyn Adapter>,
    desk: DeskHandle,
    rhythm: Rhythm,
    at_once: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut next_inventory = Instant::now();
    let mut next_all = Instant::now();
    let mut next_count: BTreeMap<WorkloadId, Instant> = BTreeMap::new();
    loop {
        let round = async {
            if Instant::now() >= next_inventory {
                inventory(&*adapter, &desk).await;
                next_inventory = Instant::now() + rhythm.inventory;
            }
            let all = Instant::now() >= next_all;
            if all {
                next_all = Instant::now() + rhythm.observe;
            }
            let watched = desk.ask(watched).await?;
            let due = due(&watched, all, rhythm.count, &mut next_count);
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
            () = tokio::time::sleep_until(next_all.into()) => {}
            () = at_once.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

fn watched(provider: &Provider) -> Vec<Watched> {
    let there = provider.watched_workloads().into_iter();
    there
        .map(|(id, metered)| Watched {
            under_way: provider
                .workloads()
                .get(&id)
                .is_some_and(|tenancy| tenancy.machine.errand().is_some()),
            id,
            metered,
        })
        .collect()
}

/// Who is looked at in this round, and whose counters are read.
fn due(
    watched: &[Watched],
    all: bool,
    every: Duration,
    next_count: &mut BTreeMap<WorkloadId, Instant>,
) -> Vec<(WorkloadId, bool)> {
    let now = Instant::now();
    let mut known = std::mem::take(next_count);
    let mut due = Vec::new();
    for workload in watched {
        let mut at = known.remove(&workload.id).unwrap_or(now);
        let count = workload.metered && now >= at;
        if count {
            at = now + every;
        }
        next_count.insert(workload.id.clone(), at);
        if all || workload.under_way || count {
            due.push((workload.id.clone(), count));
        }
    }
    due
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
