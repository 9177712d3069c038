//! Quantities of computing resources. Integers only; every sum and product is checked.

use serde::{Deserialize, Serialize};

/// A sum or product left the range of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a quantity is too large to be represented")]
pub struct Overflow;

/// Bytes in one GiB. "GB" in the operator's configuration means this, as on the chain.
pub const GIB: u64 = 1 << 30;

/// An amount of each resource that we sell. The zero value is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Thousandths of a CPU core.
    pub cpu_millis: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Storage in bytes, ephemeral and persistent together.
    pub storage_bytes: u64,
    /// Whole GPUs.
    pub gpus: u64,
}

impl Resources {
    /// Nothing.
    pub const ZERO: Self = Self {
        cpu_millis: 0,
        memory_bytes: 0,
        storage_bytes: 0,
        gpus: 0,
    };

    /// Sum, resource by resource.
    ///
    /// # Errors
    /// [`Overflow`] when one of them leaves `u64`.
    pub fn checked_add(&self, other: &Self) -> Result<Self, Overflow> {
        self.zip(other, u64::checked_add)
    }

    /// Difference, resource by resource.
    ///
    /// # Errors
    /// [`Overflow`] when one of them would be negative.
    pub fn checked_sub(&self, other: &Self) -> Result<Self, Overflow> {
        self.zip(other, u64::checked_sub)
    }

    /// Difference that stops at zero, resource by resource.
    #[must_use]
    pub const fn saturating_sub(&self, other: &Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_sub(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            storage_bytes: self.storage_bytes.saturating_sub(other.storage_bytes),
            gpus: self.gpus.saturating_sub(other.gpus),
        }
    }

    /// `count` times this.
    ///
    /// # Errors
    /// [`Overflow`] when one of them leaves `u64`.
    pub fn checked_mul(&self, count: u64) -> Result<Self, Overflow> {
        self.zip(
            &Self {
                cpu_millis: count,
                memory_bytes: count,
                storage_bytes: count,
                gpus: count,
            },
            u64::checked_mul,
        )
    }

    /// The smaller of the two, resource by resource.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.min(other.cpu_millis),
            memory_bytes: self.memory_bytes.min(other.memory_bytes),
            storage_bytes: self.storage_bytes.min(other.storage_bytes),
            gpus: self.gpus.min(other.gpus),
        }
    }

    /// Whether every resource of this is at most that of `room`.
    #[must_use]
    pub const fn fits_in(&self, room: &Self) -> bool {
        self.cpu_millis <= room.cpu_millis
            && self.memory_bytes <= room.memory_bytes
            && self.storage_bytes <= room.storage_bytes
            && self.gpus <= room.gpus
    }

    fn zip(&self, other: &Self, op: impl Fn(u64, u64) -> Option<u64>) -> Result<Self, Overflow> {
        Ok(Self {
            cpu_millis: op(self.cpu_millis, other.cpu_millis).ok_or(Overflow)?,
            memory_bytes: op(self.memory_bytes, other.memory_bytes).ok_or(Overflow)?,
            storage_bytes: op(self.storage_bytes, other.storage_bytes).ok_or(Overflow)?,
            gpus: op(self.gpus, other.gpus).ok_or(Overflow)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_never_wrap() {
        let one = Resources {
            cpu_millis: 1,
            ..Resources::ZERO
        };
        let most = Resources {
            cpu_millis: u64::MAX,
            ..Resources::ZERO
        };
        assert_eq!(most.checked_add(&one), Err(Overflow));
        assert_eq!(one.checked_sub(&most), Err(Overflow));
        assert_eq!(most.checked_mul(2), Err(Overflow));
        assert_eq!(one.saturating_sub(&most), Resources::ZERO);
    }
}
