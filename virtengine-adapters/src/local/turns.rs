//! One call at a time per workload, in the order in which they were made.
//!
//! A call takes its place before it goes to a thread of its own, and gives it up when its work is done. So a call whose caller has
//! stopped waiting is over before the next one begins: what was deployed by a forgotten call is there for the terminate that follows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as FairMutex, OwnedMutexGuard};
use virtengine_provider_core::id::WorkloadId;

/// Held while a call works on a workload.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// The turns of all workloads on which somebody works or waits.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<BTreeMap<WorkloadId, Arc<FairMutex<()>>>>);

impl Turns {
    /// Waits for the turn; the first to ask is the first to get it.
    pub(crate) async fn take(&self, id: &WorkloadId) -> Turn {
        self.of(id).lock_owned().await
    }

    /// The same on a thread that may block.
    pub(crate) fn take_blocking(&self, id: &WorkloadId) -> Turn {
        self.of(id).blocking_lock_owned()
    }

    fn of(&self, id: &WorkloadId) -> Arc<FairMutex<()>> {
        // The map is whole after every single change.
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Clones are only made here, so nobody can have come to a turn of which only ours is left.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(id.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_come_in_the_order_in_which_they_were_asked_for_and_are_forgotten() {
        let (turns, id) = (Turns::default(), WorkloadId::local(b"one"));
        let first = turns.take(&id).await;
        let (mut second, mut third) = (Box::pin(turns.take(&id)), Box::pin(turns.take(&id)));
        assert!(futures_are_pending(&mut second, &mut third).await);
        drop(first);
        let second = second.await;
        assert!(futures_are_pending(&mut third, &mut Box::pin(std::future::pending::<Turn>())).await);
        drop(second);
        drop(third.await);
        drop(turns.take(&WorkloadId::local(b"other")).await);
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }

    async fn futures_are_pending(
        one: &mut (impl Future<Output = Turn> + Unpin),
        other: &mut (impl Future<Output = Turn> + Unpin),
    ) -> bool {
        tokio::select! {
            biased;
            _ = one => false,
            _ = other => false,
            () = std::future::ready(()) => true,
        }
    }
}
