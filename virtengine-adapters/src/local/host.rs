//! What this host has, and what others use of it.

use std::fs;
use std::io;
use std::path::Path;

use virtengine_provider_core::units::Resources;

/// The host as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Host {
    /// Everything there is, for us or others. CPUs are those that this process may use. No GPUs are looked for.
    pub(crate) total: Resources,
    /// What is taken, by us or others. CPU is not counted: what others burn now is not held from us.
    pub(crate) used: Resources,
}

/// Looks at the host; storage is that of the file system that holds `state_dir`.
pub(crate) fn look(state_dir: &Path) -> io::Result<Host> {
    let cpus = std::thread::available_parallelism()?.get();
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib = |name: &str| {
        super::process::kib_field(&memory, name)
            .ok_or_else(|| io::Error::other(format!("/proc/meminfo has no {name}")))
    };
    let (memory_total, memory_free) = (kib("MemTotal:")? * 1024, kib("MemAvailable:")? * 1024);
    let disk = rustix::fs::statvfs(state_dir)?;
    // `f_bavail` is what we may write; the blocks reserved for root count as taken.
    let disk_total = disk.f_blocks.saturating_mul(disk.f_frsize);
    let disk_free = disk.f_bavail.saturating_mul(disk.f_frsize);
    Ok(Host {
        total: Resources {
            cpu_millis: u64::try_from(cpus).unwrap_or(u64::MAX).saturating_mul(1000),
            memory_bytes: memory_total,
            storage_bytes: disk_total,
            gpus: 0,
        },
        used: Resources {
            cpu_millis: 0,
            memory_bytes: memory_total.saturating_sub(memory_free),
            storage_bytes: disk_total.saturating_sub(disk_free),
            gpus: 0,
        },
    })
}

/// The part of what others use that reaches into our ceiling: a ceiling below what is free is not made smaller by others.
pub(crate) fn foreign_use(host: &Host, ours: &Resources, ceiling: &Resources) -> Resources {
    let foreign = host.used.saturating_sub(ours);
    let capacity = host.total.min(ceiling);
    let usable = host.total.saturating_sub(&foreign).min(&capacity);
    capacity.saturating_sub(&usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: u64) -> Resources {
        Resources {
            memory_bytes: bytes,
            ..Resources::ZERO
        }
    }

    #[test]
    fn others_only_count_where_they_reach_into_the_ceiling() {
        let host = Host {
            total: memory(100),
            used: memory(60),
        };
        let check = |ours, ceiling, expected| {
            assert_eq!(
                foreign_use(&host, &memory(ours), &memory(ceiling)),
                memory(expected)
            );
        };
        check(0, 30, 0);
        check(0, 50, 10);
        check(0, u64::MAX, 60);
        check(60, u64::MAX, 0);
    }

    #[test]
    fn this_host_has_something() {
        let host = look(Path::new("/")).unwrap();
        assert!(host.total.cpu_millis >= 1000 && host.total.memory_bytes > host.used.memory_bytes);
    }
}
