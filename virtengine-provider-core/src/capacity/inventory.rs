//! Configured against observed: which bound counts, and which difference nobody has explained.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::ports::adapter::Inventory;
use crate::units::Resources;

/// One of the resources that are sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// CPU, in thousandths of a core.
    Cpu,
    /// Memory, in bytes.
    Memory,
    /// Storage, in bytes.
    Storage,
    /// Whole GPUs.
    Gpu,
}

impl ResourceKind {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Storage, Self::Gpu];

    /// How much of this resource is in `resources`, in the unit named at the variant.
    #[must_use]
    pub const fn of(self, resources: &Resources) -> u64 {
        match self {
            Self::Cpu => resources.cpu_millis,
            Self::Memory => resources.memory_bytes,
            Self::Storage => resources.storage_bytes,
            Self::Gpu => resources.gpus,
        }
    }

    /// The unit in which this resource is counted, for messages.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Cpu => "millicores",
            Self::Memory | Self::Storage => "bytes",
            Self::Gpu => "GPUs",
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Storage => "storage",
            Self::Gpu => "gpu",
        })
    }
}

/// Why there is less than configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Others use it: the back end says so.
    ForeignUse,
    /// Nobody says why. This is the one to alert on.
    Unexplained,
}

/// The back ends have less of a resource than the operator configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Difference {
    /// Of which resource.
    pub resource: ResourceKind,
    /// What the operator configured.
    pub configured: u64,
    /// What is there for us.
    pub observed: u64,
    /// Why.
    pub cause: Cause,
}

impl Difference {
    /// Whether an operator has to look at it.
    #[must_use]
    pub const fn is_alert(&self) -> bool {
        matches!(self.cause, Cause::Unexplained)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.resource.unit();
        write!(
            f,
            "{}: {} {unit} configured but {} {unit} observed",
            self.resource, self.configured, self.observed
        )?;
        f.write_str(match self.cause {
            Cause::ForeignUse => ", the rest is used by others",
            Cause::Unexplained => {
                ", unexplained: correct the configured capacity or look for what the back end lost"
            }
        })
    }
}

/// What the back ends have for us: their capacity less what others use of it.
pub(super) const fn usable(observed: &Inventory) -> Resources {
    observed.capacity.saturating_sub(&observed.foreign_use)
}

/// Where the back ends have less than `ceiling`, with the cause. More than configured is no difference: the configuration is
/// a ceiling on purpose.
#[must_use]
pub fn differences(ceiling: &Resources, observed: &Inventory) -> Vec<Difference> {
    let usable = usable(observed);
    ResourceKind::ALL
        .into_iter()
        .filter(|kind| kind.of(&usable) < kind.of(ceiling))
        .map(|resource| Difference {
            resource,
            configured: resource.of(ceiling),
            observed: resource.of(&usable),
            cause: if resource.of(&observed.capacity) >= resource.of(ceiling) {
                Cause::ForeignUse
            } else {
                Cause::Unexplained
            },
        })
        .collect()
}
