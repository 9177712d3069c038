//! How the back end in memory behaves when no fault is scripted.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtengine_provider_core::ports::adapter::Capabilities;
use virtengine_provider_core::units::{GIB, Resources};

/// Behaviour of the back end in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What there is. Default: 64 cores, 256 GiB of memory, 2 TiB of storage, 8 GPUs.
    pub capacity: Resources,
    /// What others use of it. Default: nothing.
    pub foreign_use: Resources,
    /// From the acceptance of a deploy until every service is ready, in milliseconds. Default: 0.
    pub start_delay_ms: u64,
    /// What running workloads use. Default: half of the CPU, all memory and storage, no traffic.
    pub rates: Rates,
    /// What the back end can do; what is not declared is refused. Default: everything.
    pub capabilities: Capabilities,
    /// Log lines kept per replica; older ones are dropped. Default: 1000.
    pub log_lines_max: usize,
}

impl Config {
    pub(crate) const fn start_delay(&self) -> Duration {
        Duration::from_millis(self.start_delay_ms)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            capacity: Resources {
                cpu_millis: 64_000,
                memory_bytes: 256 * GIB,
                storage_bytes: 2048 * GIB,
                gpus: 8,
            },
            foreign_use: Resources::ZERO,
            start_delay_ms: 0,
            rates: Rates::default(),
            capabilities: Capabilities {
                name: "memory".to_owned(),
                pause: true,
                persistent_storage: true,
                logs: true,
                exec: false,
                gpus: true,
                isolation: true,
            },
            log_lines_max: 1000,
        }
    }
}

/// What a running workload uses, as a share of what it was given or as a rate. Storage counts for as long as the data exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Thousandths of the CPU that was given; above 1000 is more than was given.
    pub cpu_permille: u32,
    /// Thousandths of the memory that was given.
    pub memory_permille: u32,
    /// Thousandths of the storage that was given.
    pub storage_permille: u32,
    /// Bytes received per second by the whole workload.
    pub network_in_per_second: u64,
    /// Bytes sent per second by the whole workload.
    pub network_out_per_second: u64,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            cpu_permille: 500,
            memory_permille: 1000,
            storage_permille: 1000,
            network_in_per_second: 0,
            network_out_per_second: 0,
        }
    }
}
