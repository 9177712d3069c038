//! What time will do by itself, without looking for it. Derived from the state; never kept.

use std::collections::{BTreeMap, BTreeSet};

use virtengine_provider_core::id::{LeaseId, WorkloadId};
use virtengine_provider_core::time::Timestamp;

/// Whose deadline it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whose {
    /// A lease's.
    Lease(LeaseId),
    /// A workload's.
    Workload(WorkloadId),
}

/// The next deadline of each lease and workload that has one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Agenda {
    by_time: BTreeSet<(Timestamp, Whose)>,
    by_owner: BTreeMap<Whose, Timestamp>,
}

impl Agenda {
    /// The next deadline of somebody is `at` now.
    pub(super) fn set(&mut self, whose: &Whose, at: Option<Timestamp>) {
        if self.by_owner.get(whose).copied() == at {
            return;
        }
        if let Some(before) = self.by_owner.remove(whose) {
            self.by_time.remove(&(before, whose.clone()));
        }
        if let Some(at) = at {
            self.by_owner.insert(whose.clone(), at);
            self.by_time.insert((at, whose.clone()));
        }
    }

    /// The deadline that comes first.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Whose deadlines have come at `now`, the oldest first, at most `most`.
    pub(super) fn due(&self, now: Timestamp, most: usize) -> Vec<Whose> {
        let due = self.by_time.iter().take_while(|(at, _)| *at <= now);
        due.take(most).map(|(_, whose)| whose.clone()).collect()
    }
}
