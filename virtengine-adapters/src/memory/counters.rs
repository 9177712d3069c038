//! Usage as a function of rate and time, in integers: the sum does not depend on how often it is read.

use virtengine_provider_core::ports::adapter::Counters;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

use super::config::Rates;

/// Accumulated usage in units fine enough that nothing is rounded away before it is read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meter {
    epoch: u64,
    /// Millicores × milliseconds × permille.
    cpu: u128,
    /// Bytes × milliseconds × permille.
    memory: u128,
    storage: u128,
    /// Bytes per second × milliseconds.
    network_in: u128,
    network_out: u128,
    /// GPUs × milliseconds.
    gpu: u128,
}

/// What counts during a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Everything.
    Computing,
    /// Only the data that lie there.
    AtRest,
}

impl Meter {
    pub(crate) fn of_epoch(epoch: u64) -> Self {
        Self {
            epoch,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, given: &Resources, rates: &Rates, activity: Activity, millis: u128) {
        let times = |a: u64, b: u128| u128::from(a).saturating_mul(b).saturating_mul(millis);
        let storage = times(given.storage_bytes, u128::from(rates.storage_permille));
        self.storage = self.storage.saturating_add(storage);
        if activity == Activity::AtRest {
            return;
        }
        let cpu = times(given.cpu_millis, u128::from(rates.cpu_permille));
        let memory = times(given.memory_bytes, u128::from(rates.memory_permille));
        self.cpu = self.cpu.saturating_add(cpu);
        self.memory = self.memory.saturating_add(memory);
        self.network_in = self
            .network_in
            .saturating_add(times(rates.network_in_per_second, 1));
        self.network_out = self
            .network_out
            .saturating_add(times(rates.network_out_per_second, 1));
        self.gpu = self.gpu.saturating_add(times(given.gpus, 1));
    }

    /// Starts again at zero, in a new epoch.
    pub(crate) fn reset(&mut self) {
        *self = Self {
            epoch: self.epoch + 1,
            ..Self::default()
        };
    }

    /// The counters, every division rounded down.
    pub(crate) fn read(&self, at: Timestamp) -> Counters {
        let narrow = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
        Counters {
            at,
            epoch: self.epoch,
            cpu_milli_seconds: narrow(self.cpu / 1_000_000),
            memory_byte_seconds: self.memory / 1_000_000,
            storage_byte_seconds: self.storage / 1_000_000,
            network_bytes_in: narrow(self.network_in / 1000),
            network_bytes_out: narrow(self.network_out / 1000),
            gpu_seconds: narrow(self.gpu / 1000),
        }
    }
}
