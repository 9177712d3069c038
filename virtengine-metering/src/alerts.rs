//! Thresholds on what a workload uses of what it has. Each alert is raised once when its threshold is crossed and cleared once
//! the load is well on the other side again, so a load that wavers around the threshold does not ring all day.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use virtengine_provider_core::money::mul_div;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

use crate::metrics::Metrics;

/// How far a load must come back before an alert is cleared, in percentage points.
pub const HYSTERESIS_PERCENT: u64 = 5;

/// When to alert, in percent. The defaults are the specification's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// CPU used of what is allocated, at or above.
    pub high_cpu_threshold: u64,
    /// Memory used of what is allocated, at or above.
    pub high_memory_threshold: u64,
    /// Storage left of what is allocated, at or below.
    pub low_storage_threshold: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            high_cpu_threshold: 90,
            high_memory_threshold: 85,
            low_storage_threshold: 10,
        }
    }
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// Much CPU is used.
    HighCpu,
    /// Much memory is used.
    HighMemory,
    /// Little storage is left.
    LowStorage,
}

/// An alert: its kind, and what was measured when it was raised or cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What about.
    pub kind: AlertKind,
    /// Used (CPU, memory) or left (storage), in percent, rounded down.
    pub percent: u64,
    /// The threshold.
    pub threshold: u64,
    /// When it was measured.
    pub at: Timestamp,
}

/// The average load between two readings, in percent of what is allocated, rounded down; `None` where nothing is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// CPU used.
    pub cpu_percent: Option<u64>,
    /// Memory used.
    pub memory_percent: Option<u64>,
    /// Storage left.
    pub storage_left_percent: Option<u64>,
    /// The time of the second reading.
    pub at: Timestamp,
}

impl Load {
    /// The load of `used` over `millis` milliseconds up to `at`. No time, no load.
    #[must_use]
    pub fn of(used: &Metrics, allocated: &Resources, millis: u64, at: Timestamp) -> Self {
        // Metrics are per second, the time is in milliseconds: × 1000; percent: × 100.
        let percent = |used: u128, allocated: u64| -> Option<u64> {
            let whole = u128::from(allocated).saturating_mul(u128::from(millis));
            let (percent, _) = mul_div(used, 100_000, whole)?;
            Some(u64::try_from(percent).unwrap_or(u64::MAX))
        };
        Self {
            cpu_percent: percent(used.cpu_milli_seconds, allocated.cpu_millis),
            memory_percent: percent(used.memory_byte_seconds, allocated.memory_bytes),
            storage_left_percent: percent(used.storage_byte_seconds, allocated.storage_bytes)
                .map(|used| 100_u64.saturating_sub(used)),
            at,
        }
    }
}

/// A change of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertChange {
    /// The threshold was crossed.
    Raised(Alert),
    /// The load is well on the good side again.
    Cleared(Alert),
}

/// Which alerts of one workload are raised.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Alerts {
    raised: BTreeSet<AlertKind>,
}

impl Alerts {
    /// The alerts that are raised now.
    pub fn raised(&self) -> impl Iterator<Item = AlertKind> + '_ {
        self.raised.iter().copied()
    }

    /// What `load` changes.
    #[must_use]
    pub fn decide(&self, thresholds: &Thresholds, load: &Load) -> Vec<AlertChange> {
        let high = |kind, percent: Option<u64>, threshold: u64| {
            let clear_below = threshold.saturating_sub(HYSTERESIS_PERCENT);
            percent.and_then(|p| self.change(kind, p, threshold, p >= threshold, p < clear_below, load.at))
        };
        let low = |kind, percent: Option<u64>, threshold: u64| {
            let clear_above = threshold.saturating_add(HYSTERESIS_PERCENT);
            percent.and_then(|p| self.change(kind, p, threshold, p <= threshold, p > clear_above, load.at))
        };
        let changes = [
            high(
                AlertKind::HighCpu,
                load.cpu_percent,
                thresholds.high_cpu_threshold,
            ),
            high(
                AlertKind::HighMemory,
                load.memory_percent,
                thresholds.high_memory_threshold,
            ),
            low(
                AlertKind::LowStorage,
                load.storage_left_percent,
                thresholds.low_storage_threshold,
            ),
        ];
        changes.into_iter().flatten().collect()
    }

    fn change(
        &self,
        kind: AlertKind,
        percent: u64,
        threshold: u64,
        bad: bool,
        good: bool,
        at: Timestamp,
    ) -> Option<AlertChange> {
        let alert = Alert {
            kind,
            percent,
            threshold,
            at,
        };
        match self.raised.contains(&kind) {
            false if bad => Some(AlertChange::Raised(alert)),
            true if good => Some(AlertChange::Cleared(alert)),
            _ => None,
        }
    }

    /// Takes a change in.
    pub fn evolve(&mut self, change: &AlertChange) {
        match change {
            AlertChange::Raised(alert) => self.raised.insert(alert.kind),
            AlertChange::Cleared(alert) => self.raised.remove(&alert.kind),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOCATED: Resources = Resources {
        cpu_millis: 2000,
        memory_bytes: 1000,
        storage_bytes: 1000,
        gpus: 0,
    };

    fn load(cpu: u64, memory: u64, storage: u64) -> Load {
        // 60 seconds at the given percentages.
        let used = Metrics {
            cpu_milli_seconds: u128::from(cpu) * 20 * 60,
            memory_byte_seconds: u128::from(memory) * 10 * 60,
            storage_byte_seconds: u128::from(storage) * 10 * 60,
            ..Metrics::ZERO
        };
        Load::of(&used, &ALLOCATED, 60_000, Timestamp::EPOCH)
    }

    fn run(loads: &[Load]) -> Vec<(usize, bool, AlertKind, u64)> {
        let (mut alerts, mut seen) = (Alerts::default(), Vec::new());
        for (step, load) in loads.iter().enumerate() {
            for change in alerts.decide(&Thresholds::default(), load) {
                alerts.evolve(&change);
                let (raised, alert) = match change {
                    AlertChange::Raised(alert) => (true, alert),
                    AlertChange::Cleared(alert) => (false, alert),
                };
                seen.push((step, raised, alert.kind, alert.percent));
            }
        }
        seen
    }

    #[test]
    fn an_alert_rings_once_per_crossing() {
        let cpu = [89, 90, 95, 88, 86, 91, 85, 84, 92].map(|cpu| load(cpu, 0, 0));
        let kind = AlertKind::HighCpu;
        assert_eq!(
            run(&cpu),
            [(1, true, kind, 90), (7, false, kind, 84), (8, true, kind, 92)]
        );
    }

    #[test]
    fn storage_alerts_by_what_is_left() {
        let storage = [89, 90, 88, 85, 84].map(|used| load(0, 0, used));
        let kind = AlertKind::LowStorage;
        assert_eq!(run(&storage), [(1, true, kind, 10), (4, false, kind, 16)]);
    }

    #[test]
    fn each_kind_has_its_own_threshold() {
        assert_eq!(
            run(&[load(90, 85, 90)])
                .into_iter()
                .map(|(_, _, kind, _)| kind)
                .collect::<Vec<_>>(),
            [AlertKind::HighCpu, AlertKind::HighMemory, AlertKind::LowStorage]
        );
        assert_eq!(run(&[load(89, 84, 89)]), []);
    }

    #[test]
    fn what_is_not_allocated_has_no_load() {
        let none = Load::of(&Metrics::ZERO, &Resources::ZERO, 60_000, Timestamp::EPOCH);
        assert_eq!((none.cpu_percent, none.storage_left_percent), (None, None));
        assert_eq!(
            Load::of(&Metrics::ZERO, &ALLOCATED, 0, Timestamp::EPOCH).memory_percent,
            None
        );
    }
}
