//! What traffic is normal for a workload: that of its newest records. The meter and the tenant's check use the same.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtengine_provider_core::fraud::NetworkNormal;

use crate::record::UsageRecord;

/// How many records make up what is normal.
const RECORDS_MAX: usize = 24;
/// With fewer records, nothing is called normal yet.
const RECORDS_MIN: usize = 3;

/// Traffic of the newest records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Traffic(VecDeque<Entry>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    #[serde(with = "crate::metrics::text")]
    bytes: u128,
    millis: u64,
}

impl Traffic {
    /// Takes a record in, after it was checked.
    pub(crate) fn push(&mut self, record: &UsageRecord) {
        self.0.push_back(Entry {
            bytes: record.metrics.network(),
            millis: record.duration_millis(),
        });
        if self.0.len() > RECORDS_MAX {
            self.0.pop_front();
        }
    }

    /// What is normal; `None` with too few records.
    pub(crate) fn normal(&self) -> Option<NetworkNormal> {
        if self.0.len() < RECORDS_MIN {
            return None;
        }
        let bytes = self
            .0
            .iter()
            .fold(0_u128, |sum, entry| sum.saturating_add(entry.bytes));
        let millis = self
            .0
            .iter()
            .fold(0_u64, |sum, entry| sum.saturating_add(entry.millis));
        Some(NetworkNormal {
            bytes,
            over: Duration::from_millis(millis),
        })
    }
}
