//! What a workload used: counters that only rise, across restarts of replicas, of the supervisor and of the host.
//!
//! A number that somebody was told is on the disk before he is told it. What was counted after the last checkpoint and never
//! told is lost in a crash: the tenant pays less, never twice.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::super::cgroup::GroupCpu;
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
    slot: PathBuf,
    /// Whether the slot holds counters.
    slot_filled: bool,
    kept: UsageCheckpoint,
    traffic: Arc<Traffic>,
    started: Instant,
    counted_ms: u128,
    memory_bytes: u64,
}

/// What the control group says about CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupSight {
    /// The workload has none.
    None,
    /// It has one that cannot be read now.
    Unreadable,
    /// What it used.
    Read(GroupCpu),
}

impl Meter {
    /// Goes on from the counters on disk. When they are lost or unreadable, a new epoch begins.
    pub(crate) fn open(dir: &WorkloadDir) -> io::Result<Self> {
        let (path, slot) = (dir.usage(), dir.usage_slot());
        let file: Option<UsageCheckpoint> = readable(layout::load(&path))?;
        let in_slot: Option<UsageCheckpoint> = readable(layout::load(&slot))?;
        if !slot.exists() {
            // Without it the counters wait for room like everything else.
            let _ = layout::make_slot(&slot);
        }
        let slot_filled = in_slot.is_some();
        let newest = file.into_iter().chain(in_slot).max_by_key(|kept| kept.number);
        let mut kept = newest.unwrap_or_else(fresh);
        count_gap(&mut kept);
        if kept.boot_id != process::boot_id() {
            // Groups do not outlive the host; their numbers are given again.
            (kept.cgroup_cpu_micros, kept.cgroup_id, kept.beside_cgroup_micros) = (None, None, 0);
        }
        let traffic = Traffic {
            received: AtomicU64::new(kept.usage.network_in),
            sent: AtomicU64::new(kept.usage.network_out),
        };
        Ok(Self {
            path,
            slot,
            slot_filled,
            kept,
            traffic: Arc::new(traffic),
            started: Instant::now(),
            counted_ms: 0,
            memory_bytes: 0,
        })
    }

    /// Where the proxies count.
    pub(crate) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    /// Counts CPU. `by_process` is what the processes below this supervisor used since the last call: it counts as long as there
    /// is no group that can be read. The group's next reading includes it, so there it is taken off again.
    pub(crate) fn add_cpu(&mut self, group: GroupSight, by_process: u64) {
        let kept = &mut self.kept;
        let used = match group {
            GroupSight::None => by_process,
            GroupSight::Unreadable => {
                kept.beside_cgroup_micros = kept.beside_cgroup_micros.saturating_add(by_process);
                by_process
            }
            GroupSight::Read(now) => {
                let is_same = kept.cgroup_id.is_none_or(|id| id == now.group);
                let before = kept.cgroup_cpu_micros.filter(|_| is_same).unwrap_or(0);
                let grown = match now.micros.checked_sub(before) {
                    Some(_) if kept.cgroup_cpu_unknown => 0,
                    Some(grown) => grown,
                    // A reading below the last one is of a group that was made anew.
                    None => now.micros,
                };
                let counted = if is_same { kept.beside_cgroup_micros } else { 0 };
                (kept.cgroup_cpu_micros, kept.cgroup_id) = (Some(now.micros), Some(now.group));
                (kept.beside_cgroup_micros, kept.cgroup_cpu_unknown) = (0, false);
                grown.saturating_sub(counted)
            }
        };
        kept.usage.cpu_micros = kept.usage.cpu_micros.saturating_add(used);
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

    /// The counters, after they have reached the disk; also a full one.
    pub(crate) fn checkpoint(&mut self) -> io::Result<Usage> {
        self.kept.usage.network_in = self.traffic.received.load(Ordering::Relaxed);
        self.kept.usage.network_out = self.traffic.sent.load(Ordering::Relaxed);
        self.kept.uptime_ms = process::uptime_ms();
        process::boot_id().clone_into(&mut self.kept.boot_id);
        self.kept.number = self.kept.number.saturating_add(1);
        match layout::store(&self.path, &self.kept, true) {
            Ok(()) if self.slot_filled => {
                // What is older must not be found should the file be lost one day.
                self.slot_filled = layout::fill_slot::<UsageCheckpoint>(&self.slot, None).is_err();
            }
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                layout::fill_slot(&self.slot, Some(&self.kept)).map_err(|_| error)?;
                self.slot_filled = true;
            }
            Err(error) => return Err(error),
        }
        Ok(self.kept.usage)
    }
}

/// What was half written, or is not there, is nothing.
fn readable<T>(loaded: io::Result<Option<T>>) -> io::Result<Option<T>> {
    match loaded {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            Ok(None)
        }
        other => other,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Nothing counted, in an epoch that was never there before.
fn fresh() -> UsageCheckpoint {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UsageCheckpoint {
        usage: Usage {
            epoch: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            ..Usage::default()
        },
        cgroup_cpu_unknown: true,
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

    /// A meter of a workload that was just deployed.
    fn deployed(dir: &WorkloadDir) -> Meter {
        let first = UsageCheckpoint {
            boot_id: process::boot_id().to_owned(),
            uptime_ms: process::uptime_ms(),
            ..UsageCheckpoint::default()
        };
        layout::store(&dir.usage(), &first, true).unwrap();
        Meter::open(dir).unwrap()
    }

    fn read(group: u64, micros: u64) -> GroupSight {
        GroupSight::Read(GroupCpu { group, micros })
    }

    fn counted(meter: &mut Meter) -> u64 {
        meter.checkpoint().unwrap().cpu_micros
    }

    #[test]
    fn counters_go_on_where_they_were_left() {
        let (_keep, dir) = dir();
        let mut meter = deployed(&dir);
        meter.add_cpu(GroupSight::None, 500);
        meter.traffic().received.fetch_add(7, Ordering::Relaxed);
        let before = meter.checkpoint().unwrap();
        let mut again = Meter::open(&dir).unwrap();
        again.add_cpu(GroupSight::None, 30);
        let after = again.checkpoint().unwrap();
        assert_eq!((before.cpu_micros, after.cpu_micros), (500, 530));
        assert_eq!((before.epoch, after.network_in), (after.epoch, 7));
    }

    #[test]
    fn a_group_made_anew_counts_from_zero_and_never_lowers_the_counter() {
        let (_keep, dir) = dir();
        let mut meter = deployed(&dir);
        for (group, micros) in [(1, 100), (1, 150), (1, 20), (2, 90)] {
            meter.add_cpu(read(group, micros), 0);
        }
        assert_eq!(counted(&mut meter), 150 + 20 + 90);
    }

    #[test]
    fn a_group_that_cannot_be_read_for_a_while_loses_and_doubles_nothing() {
        let (_keep, dir) = dir();
        let mut meter = deployed(&dir);
        // What the processes say is always there: it counts only while the group says nothing.
        meter.add_cpu(read(1, 1000), 990);
        meter.add_cpu(GroupSight::Unreadable, 300);
        assert_eq!(
            counted(&mut meter),
            1300,
            "nothing is lost, and nothing from before is counted again"
        );
        // The supervisor is replaced while it lasts.
        let mut meter = Meter::open(&dir).unwrap();
        meter.add_cpu(GroupSight::Unreadable, 200);
        assert_eq!(counted(&mut meter), 1500);
        meter.add_cpu(read(1, 1550), 40);
        assert_eq!(counted(&mut meter), 1550, "the group knows best");
        meter.add_cpu(GroupSight::Unreadable, 70);
        // The processes said more than the group: never a step back.
        meter.add_cpu(read(1, 1600), 0);
        assert_eq!(counted(&mut meter), 1620);
        meter.add_cpu(read(1, 1700), 95);
        assert_eq!(counted(&mut meter), 1720);
    }

    #[test]
    fn control_groups_switched_off_and_on_again_lose_and_double_nothing() {
        let (_keep, dir) = dir();
        let mut meter = deployed(&dir);
        meter.add_cpu(read(1, 1000), 0);
        counted(&mut meter);
        let mut meter = Meter::open(&dir).unwrap();
        meter.add_cpu(GroupSight::None, 5000);
        assert_eq!(counted(&mut meter), 6000);
        let mut meter = Meter::open(&dir).unwrap();
        meter.add_cpu(read(1, 1100), 0);
        assert_eq!(
            counted(&mut meter),
            6100,
            "the same group, which saw nothing meanwhile"
        );
        let mut meter = Meter::open(&dir).unwrap();
        meter.add_cpu(read(2, 2000), 0);
        assert_eq!(counted(&mut meter), 8100, "another group");
    }

    #[test]
    fn a_group_after_a_restart_of_the_host_counts_from_zero() {
        let (_keep, dir) = dir();
        let mut meter = deployed(&dir);
        meter.add_cpu(read(7, 40), 0);
        counted(&mut meter);
        let text = std::fs::read_to_string(dir.usage()).unwrap();
        std::fs::write(dir.usage(), text.replace(process::boot_id(), "an earlier boot")).unwrap();
        let mut meter = Meter::open(&dir).unwrap();
        meter.add_cpu(read(7, 90), 0);
        assert_eq!(counted(&mut meter), 40 + 90);
    }

    #[test]
    fn a_new_epoch_does_not_count_again_what_an_earlier_one_told() {
        let (_keep, dir) = dir();
        let mut meter = deployed(&dir);
        meter.add_cpu(read(1, 1000), 0);
        counted(&mut meter);
        std::fs::write(dir.usage(), "{ torn").unwrap();
        // Somebody asks while nobody supervises.
        counted(&mut Meter::open(&dir).unwrap());
        let mut meter = Meter::open(&dir).unwrap();
        meter.add_cpu(read(1, 1100), 0);
        assert_eq!(counted(&mut meter), 0);
        meter.add_cpu(read(1, 1130), 0);
        assert_eq!(counted(&mut meter), 30);
    }

    /// Every further write of the counters finds no room.
    fn fill_disk(dir: &WorkloadDir) -> PathBuf {
        let fresh = dir.usage().with_extension("new");
        std::os::unix::fs::symlink("/dev/full", &fresh).unwrap();
        fresh
    }

    #[test]
    fn counters_are_kept_on_a_full_disk_and_never_step_back() {
        let (_keep, dir) = dir();
        let mut meter = deployed(&dir);
        meter.add_cpu(GroupSight::None, 100);
        counted(&mut meter);
        let full = fill_disk(&dir);
        meter.add_cpu(GroupSight::None, 20);
        assert_eq!(counted(&mut meter), 120);
        let mut meter = Meter::open(&dir).unwrap();
        meter.add_cpu(GroupSight::None, 3);
        assert_eq!(
            counted(&mut meter),
            123,
            "what was told while the disk was full is known"
        );
        std::fs::remove_file(full).unwrap();
        meter.add_cpu(GroupSight::None, 5);
        assert_eq!(counted(&mut meter), 128);
        let epoch = meter.checkpoint().unwrap().epoch;
        assert_eq!(counted(&mut Meter::open(&dir).unwrap()), 128);
        // The slot is blank again: lost counters are lost, not older ones found.
        std::fs::write(dir.usage(), "{ torn").unwrap();
        let lost = Meter::open(&dir).unwrap().checkpoint().unwrap();
        assert!(lost.cpu_micros == 0 && lost.epoch != epoch);
    }

    #[test]
    fn counters_half_written_on_a_full_disk_are_the_ones_before() {
        let (_keep, dir) = dir();
        let mut meter = deployed(&dir);
        meter.add_cpu(GroupSight::None, 100);
        counted(&mut meter);
        std::fs::write(dir.usage_slot(), "{\"usage\":{\"epoch\":1,").unwrap();
        assert_eq!(counted(&mut Meter::open(&dir).unwrap()), 100);
    }

    #[test]
    fn without_a_slot_a_full_disk_is_said() {
        let (_keep, dir) = dir();
        let mut meter = deployed(&dir);
        std::fs::remove_file(dir.usage_slot()).unwrap();
        fill_disk(&dir);
        assert_eq!(meter.checkpoint().unwrap_err().kind(), io::ErrorKind::StorageFull);
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
