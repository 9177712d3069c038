use serde::Serialize;
use virtengine_provider_core::document::{Code, Cursor, Problems};
use virtengine_provider_core::units::{GIB, Resources};

use super::section::Section;

/// What may be sold. The totals are a ceiling; what the back ends really have is a second one, and the smaller one counts
/// (DESIGN 4.12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capacity {
    /// All cores, in thousandths; `None`: what the back ends have.
    pub total_cpu_millis: Option<u64>,
    /// All memory in bytes; `None`: what the back ends have.
    pub total_memory_bytes: Option<u64>,
    /// All storage in bytes; `None`: what the back ends have.
    pub total_storage_bytes: Option<u64>,
    /// All GPUs; `None`: what the back ends have.
    pub total_gpus: Option<u64>,
    /// What is not sold.
    pub reserved: Resources,
}

impl Capacity {
    pub(super) const KEYS: &[&str] = &[
        "total_cpu_cores",
        "total_memory_gb",
        "total_storage_gb",
        "total_gpus",
        "reserved_cpu_cores",
        "reserved_memory_gb",
        "reserved_storage_gb",
        "reserved_gpus",
    ];

    /// What may be sold when the back ends have `observed`: the smaller of it and the totals, without what is reserved.
    #[must_use]
    pub fn sellable(&self, observed: &Resources) -> Resources {
        let ceiling = Resources {
            cpu_millis: self.total_cpu_millis.unwrap_or(u64::MAX),
            memory_bytes: self.total_memory_bytes.unwrap_or(u64::MAX),
            storage_bytes: self.total_storage_bytes.unwrap_or(u64::MAX),
            gpus: self.total_gpus.unwrap_or(u64::MAX),
        };
        ceiling.min(observed).saturating_sub(&self.reserved)
    }

    pub(super) fn read(at: Option<Cursor<'_, '_>>, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "capacity", Self::KEYS, problems);
        let mut cores = |key| section.with(key, |at, problems| at.cpu_millis(problems));
        let (total_cpu_millis, reserved_cpu) = (cores("total_cpu_cores"), cores("reserved_cpu_cores"));
        let mut gib = |key| section.with(key, gib);
        let (total_memory_bytes, reserved_memory) = (gib("total_memory_gb"), gib("reserved_memory_gb"));
        let (total_storage_bytes, reserved_storage) = (gib("total_storage_gb"), gib("reserved_storage_gb"));
        let mut whole = |key| section.with(key, |at, problems| at.integer(0..=1_000_000, problems));
        let (total_gpus, reserved_gpus) = (whole("total_gpus"), whole("reserved_gpus"));
        for (key, total, reserved) in [
            ("reserved_cpu_cores", total_cpu_millis, reserved_cpu),
            ("reserved_memory_gb", total_memory_bytes, reserved_memory),
            ("reserved_storage_gb", total_storage_bytes, reserved_storage),
            ("reserved_gpus", total_gpus, reserved_gpus),
        ] {
            if let (Some(total), Some(reserved)) = (total, reserved)
                && reserved > total
            {
                section.error(Code::Conflict, key, "more is reserved than there is in total", "");
            }
        }
        Self {
            total_cpu_millis,
            total_memory_bytes,
            total_storage_bytes,
            total_gpus,
            reserved: Resources {
                cpu_millis: reserved_cpu.unwrap_or(0),
                memory_bytes: reserved_memory.unwrap_or(0),
                storage_bytes: reserved_storage.unwrap_or(0),
                gpus: reserved_gpus.unwrap_or(0),
            },
        }
    }
}

/// "GB" means GiB, as on the chain.
fn gib(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<u64> {
    let gigabytes = at.integer(0..=u64::from(u32::MAX), problems)?;
    gigabytes.checked_mul(GIB)
}
