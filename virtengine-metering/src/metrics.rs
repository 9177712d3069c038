//! The six figures of a usage record, and one reading of a workload's counters.

use serde::{Deserialize, Serialize};
use virtengine_provider_core::fraud::UsageMetrics;
use virtengine_provider_core::ports::adapter::Counters;
use virtengine_provider_core::time::Timestamp;

/// What was used. In JSON each figure is a text: a JSON number does not hold 128 bits everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Core-milliseconds: 1000 is one core for one second.
    #[serde(with = "text")]
    pub cpu_milli_seconds: u128,
    /// Byte-seconds of memory.
    #[serde(with = "text")]
    pub memory_byte_seconds: u128,
    /// Byte-seconds of storage.
    #[serde(with = "text")]
    pub storage_byte_seconds: u128,
    /// Bytes received from outside.
    #[serde(with = "text")]
    pub network_bytes_in: u128,
    /// Bytes sent outside.
    #[serde(with = "text")]
    pub network_bytes_out: u128,
    /// GPU-seconds.
    #[serde(with = "text")]
    pub gpu_seconds: u128,
}

/// Names of the six metrics, in the order of [`Metrics::to_array`].
pub const METRIC_NAMES: [&str; 6] = [
    "cpu_milli_seconds",
    "memory_byte_seconds",
    "storage_byte_seconds",
    "network_bytes_in",
    "network_bytes_out",
    "gpu_seconds",
];

/// Most of each metric in one record, in the order of [`Metrics::to_array`]. Beyond (eleven million cores for a day) a counter
/// is broken; below, everything that follows from a record fits its type.
pub const METRIC_MAX: [u128; 6] = [
    999_999_999_999_999_999,
    999_999_999_999_999_999_999,
    999_999_999_999_999_999_999,
    499_999_999_999_999_999,
    499_999_999_999_999_999,
    999_999_999_999_999_999,
];

impl Metrics {
    /// Nothing.
    pub const ZERO: Self = Self {
        cpu_milli_seconds: 0,
        memory_byte_seconds: 0,
        storage_byte_seconds: 0,
        network_bytes_in: 0,
        network_bytes_out: 0,
        gpu_seconds: 0,
    };

    /// The figures in the order of their declaration.
    #[must_use]
    pub const fn to_array(&self) -> [u128; 6] {
        [
            self.cpu_milli_seconds,
            self.memory_byte_seconds,
            self.storage_byte_seconds,
            self.network_bytes_in,
            self.network_bytes_out,
            self.gpu_seconds,
        ]
    }

    /// The opposite of [`Self::to_array`].
    #[must_use]
    pub const fn from_array(values: [u128; 6]) -> Self {
        let [cpu, memory, storage, network_in, network_out, gpu] = values;
        Self {
            cpu_milli_seconds: cpu,
            memory_byte_seconds: memory,
            storage_byte_seconds: storage,
            network_bytes_in: network_in,
            network_bytes_out: network_out,
            gpu_seconds: gpu,
        }
    }

    /// Combines two, figure by figure; `None` when `op` has no answer for one of them.
    pub(crate) fn zip(&self, other: &Self, op: impl Fn(u128, u128) -> Option<u128>) -> Option<Self> {
        let mut values = self.to_array();
        for (value, other) in values.iter_mut().zip(other.to_array()) {
            *value = op(*value, other)?;
        }
        Some(Self::from_array(values))
    }

    /// Sum; `None` when a figure leaves 128 bits.
    #[must_use]
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        self.zip(other, u128::checked_add)
    }

    /// Difference; `None` when a figure would be negative.
    #[must_use]
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        self.zip(other, u128::checked_sub)
    }

    /// Whether nothing was used.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// Bytes in and out together.
    #[must_use]
    pub const fn network(&self) -> u128 {
        self.network_bytes_in.saturating_add(self.network_bytes_out)
    }

    /// Whether every figure is at most [`METRIC_MAX`].
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        self.to_array()
            .iter()
            .zip(METRIC_MAX)
            .all(|(value, max)| *value <= max)
    }
}

impl From<&Metrics> for UsageMetrics {
    fn from(metrics: &Metrics) -> Self {
        let signed = |value: u128| i128::try_from(value).unwrap_or(i128::MAX);
        Self {
            cpu_milli_seconds: signed(metrics.cpu_milli_seconds),
            memory_byte_seconds: signed(metrics.memory_byte_seconds),
            storage_byte_seconds: signed(metrics.storage_byte_seconds),
            network_bytes_in: signed(metrics.network_bytes_in),
            network_bytes_out: signed(metrics.network_bytes_out),
            gpu_seconds: signed(metrics.gpu_seconds),
        }
    }
}

/// One reading of the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// When.
    pub at: Timestamp,
    /// Changes whenever the back end started counting again.
    pub epoch: u64,
    /// What was counted since the epoch began.
    pub counted: Metrics,
}

impl From<&Counters> for Reading {
    fn from(counters: &Counters) -> Self {
        Self {
            at: counters.at,
            epoch: counters.epoch,
            counted: Metrics {
                cpu_milli_seconds: counters.cpu_milli_seconds.into(),
                memory_byte_seconds: counters.memory_byte_seconds,
                storage_byte_seconds: counters.storage_byte_seconds,
                network_bytes_in: counters.network_bytes_in.into(),
                network_bytes_out: counters.network_bytes_out.into(),
                gpu_seconds: counters.gpu_seconds.into(),
            },
        }
    }
}

/// Integers as text.
pub(crate) mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
