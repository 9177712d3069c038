//! What a workload used: counters that only rise, across restarts of replicas, of the supervisor and of the host.
//!
//! A number that somebody was told is on the disk before he is told it. What was counted after the last checkpoint and never
//! told is lost in a crash: the tenant pays less, never twice.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::super::layout::{self, WorkloadDir};
use super::super::process;
use super::super::record::{Usage, UsageCheckpoint};

/// Bytes that went through the proxies, since the counting of this epoch began.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

/// Counts, and keeps what was counted.
#[derive(Debug)]
pub(crate) struct Meter {
    path: PathBuf,
    kept: UsageCheckpoint,
    traffic: Arc<Traffic>,
    started: Instant,
    counted_ms: u128,
    memory_bytes: u64,
    /// CPU of everything below this supervisor, as read last; for hosts without control groups.
    tree_cpu_micros: u64,
}

impl Meter {
    /// Goes on from the counters on disk. When they are lost or unreadable, a new epoch begins.
    pub(crate) fn open(dir: &WorkloadDir) -> io::Result<Self> {
        let path = dir.usage();
        let mut kept = match layout::load::<UsageCheckpoint>(&path) {
            Ok(Some(kept)) => kept,
            Ok(None) => fresh(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => fresh(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => fresh(),
            Err(error) => return Err(error),
        };
        count_gap(&mut kept);
        let traffic = Traffic {
            received: AtomicU64::new(kept.usage.network_in),
            sent: AtomicU64::new(kept.usage.network_out),
        };
        Ok(Self {
            path,
            kept,
            traffic: Arc::new(traffic),
            started: Instant::now(),
            counted_ms: 0,
            memory_bytes: 0,
            tree_cpu_micros: 0,
        })
    }

    /// Where the proxies count.
    pub(crate) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    /// Takes a reading of the control group's CPU time.
    pub(crate) fn add_group_cpu(&mut self, reading: u64) {
        let before = self.kept.cgroup_cpu_micros.filter(|before| *before <= reading);
        // A smaller reading is a group that was made anew: it counted from zero.
        let delta = reading.saturating_sub(before.unwrap_or(0));
        self.kept.cgroup_cpu_micros = Some(reading);
        self.kept.usage.cpu_micros = self.kept.usage.cpu_micros.saturating_add(delta);
    }

    /// Takes a reading of the CPU time of everything below this supervisor, dead ones included.
    pub(crate) fn add_tree_cpu(&mut self, reading: u64) {
        // A child that ends between two reads of its family is missed for a moment: never step back.
        let delta = reading.saturating_sub(self.tree_cpu_micros);
        self.tree_cpu_micros = self.tree_cpu_micros.max(reading);
        self.kept.usage.cpu_micros = self.kept.usage.cpu_micros.saturating_add(delta);
    }

    /// Counts memory and storage over the time since the last call, halfway between what was and what is.
    pub(crate) fn add_space(&mut self, memory_bytes: u64, storage_bytes: u64) {
        let now_ms = self.started.elapsed().as_millis();
        let span = now_ms.saturating_sub(self.counted_ms);
        self.counted_ms = now_ms;
        let area =
            |before: u64, after: u64| (u128::from(before) + u128::from(after)).saturating_mul(span) / 2;
        let usage = &mut self.kept.usage;
        let memory = area(self.memory_bytes, memory_bytes);
        let storage = area(self.kept.storage_bytes, storage_bytes);
        usage.memory_byte_millis = usage.memory_byte_millis.saturating_add(memory);
        usage.storage_byte_millis = usage.storage_byte_millis.saturating_add(storage);
        self.memory_bytes = memory_bytes;
        self.kept.storage_bytes = storage_bytes;
    }

    /// Bytes that lay there at the last look.
    pub(crate) const fn storage_bytes(&self) -> u64 {
        self.kept.storage_bytes
    }

    /// The counters, after they have reached the disk.
    pub(crate) fn checkpoint(&mut self) -> io::Result<Usage> {
        self.kept.usage.network_in = self.traffic.received.load(Ordering::Relaxed);
        self.kept.usage.network_out = self.traffic.sent.load(Ordering::Relaxed);
        self.kept.uptime_ms = process::uptime_ms();
        process::boot_id().clone_into(&mut self.kept.boot_id);
        layout::store(&self.path, &self.kept, true)?;
        Ok(self.kept.usage)
    }
}

/// Nothing counted, in an epoch that was never there before.
fn fresh() -> UsageCheckpoint {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UsageCheckpoint {
        usage: Usage {
            epoch: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            ..Usage::default()
        },
        ..UsageCheckpoint::default()
    }
}

/// Data kept lying while nobody supervised. Across a reboot nobody knows for how long, so that time is not counted.
fn count_gap(kept: &mut UsageCheckpoint) {
    if kept.boot_id != process::boot_id() {
        return;
    }
    let gap = process::uptime_ms().saturating_sub(kept.uptime_ms);
    let lain = u128::from(kept.storage_bytes).saturating_mul(u128::from(gap));
    kept.usage.storage_byte_millis = kept.usage.storage_byte_millis.saturating_add(lain);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> (tempfile::TempDir, WorkloadDir) {
        let dir = tempfile::tempdir().unwrap();
        let at = WorkloadDir::at(dir.path().to_owned());
        (dir, at)
    }

    #[test]
    fn counters_go_on_where_they_were_left() {
        let (_keep, dir) = dir();
        let mut meter = Meter::open(&dir).unwrap();
        meter.add_tree_cpu(500);
        meter.traffic().received.fetch_add(7, Ordering::Relaxed);
        let before = meter.checkpoint().unwrap();
        let mut again = Meter::open(&dir).unwrap();
        again.add_tree_cpu(30);
        let after = again.checkpoint().unwrap();
        assert_eq!((before.cpu_micros, after.cpu_micros), (500, 530));
        assert_eq!((before.epoch, after.network_in), (after.epoch, 7));
    }

    #[test]
    fn a_group_made_anew_and_a_reading_that_steps_back_never_lower_the_counter() {
        let (_keep, dir) = dir();
        let mut meter = Meter::open(&dir).unwrap();
        for reading in [100, 150, 20] {
            meter.add_group_cpu(reading);
        }
        assert_eq!(meter.checkpoint().unwrap().cpu_micros, 170);
        for reading in [1000, 900, 1100] {
            meter.add_tree_cpu(reading);
        }
        assert_eq!(meter.checkpoint().unwrap().cpu_micros, 170 + 1100);
    }

    #[test]
    fn lost_counters_begin_a_new_epoch() {
        let (_keep, dir) = dir();
        let first = Meter::open(&dir).unwrap().checkpoint().unwrap().epoch;
        std::fs::write(dir.usage(), "{ torn").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let second = Meter::open(&dir).unwrap().checkpoint().unwrap().epoch;
        assert!(second > first);
    }

    #[test]
    fn another_boot_is_not_counted() {
        let mut kept = UsageCheckpoint {
            storage_bytes: 1000,
            boot_id: "another".to_owned(),
            ..UsageCheckpoint::default()
        };
        count_gap(&mut kept);
        assert_eq!(kept.usage.storage_byte_millis, 0);
        process::boot_id().clone_into(&mut kept.boot_id);
        kept.uptime_ms = process::uptime_ms().saturating_sub(5000);
        count_gap(&mut kept);
        assert!(kept.usage.storage_byte_millis >= 5_000_000);
    }
}
