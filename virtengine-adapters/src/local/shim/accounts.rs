//! Looking at what the workload uses, and ending what uses more than it has leased.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::process::{self, Stat};
use super::family::{Evidence, FamilyCpu, Owners};
use super::launch::{Launcher, storage_bytes};
use super::meter::{GroupSight, Meter};
use super::replica::{Replica, Stage};
use super::storage::{self, Occupied};
use super::supervisor::{Message, Supervisor};

/// The meter, and when to look next.
#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) meter: Meter,
    occupied: Occupied,
    next_look: u64,
    next_checkpoint: u64,
    next_walk: u64,
    walking: bool,
    pub(super) owners: Owners,
    family_cpu: FamilyCpu,
    /// How often the kernel had ended something for want of memory when the replica was started.
    memory_kills: BTreeMap<usize, u64>,
}

/// A walk may take this share of the time: one part in so many.
const WALK_SHARE: u32 = 20;

impl Accounts {
    pub(super) fn new(meter: Meter) -> Self {
        Self {
            meter,
            occupied: Occupied::new(),
            next_look: 0,
            next_checkpoint: 0,
            next_walk: 0,
            walking: false,
            owners: Owners::default(),
            family_cpu: FamilyCpu::default(),
            memory_kills: BTreeMap::new(),
        }
    }

    pub(super) const fn is_due(&self, now: u64) -> bool {
        now >= self.next_look
    }

    /// Takes the result of a walk. A large tree is walked less often.
    pub(super) fn measured(&mut self, occupied: Occupied, took: Duration, now: u64) {
        let pause = u64::try_from(took.saturating_mul(WALK_SHARE).as_millis()).unwrap_or(u64::MAX);
        self.walking = false;
        self.next_walk = now.saturating_add(pause);
        self.occupied = occupied;
    }

    /// The last look, when everything has ended.
    pub(super) fn close(&mut self, launcher: &Launcher, mark: &str, replicas: &[Replica]) {
        self.occupied = storage::measure(&launcher.dir.data());
        self.count(launcher, mark, replicas);
    }

    /// What the control group used until now, before anything is started.
    pub(super) fn open(&mut self, launcher: &Launcher) {
        self.meter.add_cpu(group_cpu(launcher), 0);
    }

    /// Reads everything.
    fn count(&mut self, launcher: &Launcher, mark: &str, replicas: &[Replica]) -> Held {
        let waited = process::stat(my_pid()).map_or(0, |me| me.children_ticks);
        let family = process::descendants(my_pid());
        let grown = self.family_cpu.grown(&family, waited, process::stat);
        self.meter
            .add_cpu(group_cpu(launcher), process::micros_of_ticks(grown));
        let held = self.memory(launcher, mark, replicas, &family);
        let stored = self
            .occupied
            .values()
            .fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        // Before the first walk: what lay there when the last supervisor left.
        let stored = if self.occupied.is_empty() {
            self.meter.storage_bytes()
        } else {
            stored
        };
        self.meter.add_space(held.total(), stored);
        held
    }

    /// Memory of everything in the control groups and of everything below us, each process once.
    fn memory(&mut self, launcher: &Launcher, mark: &str, replicas: &[Replica], family: &[Stat]) -> Held {
        let mut held = Held {
            by_replica: vec![0; replicas.len()],
            unclaimed: 0,
        };
        let mut grouped: BTreeMap<i32, usize> = BTreeMap::new();
        // What the kernel counts for a group is not looked at again process by process.
        let mut counted: BTreeSet<i32> = BTreeSet::new();
        if let Some(group) = &launcher.group {
            for (position, replica) in replicas.iter().enumerate() {
                let pids = group.replica_processes(&replica.name, replica.index);
                grouped.extend(pids.iter().map(|pid| (*pid, position)));
                if let Some(bytes) = group.memory_bytes(&replica.name, replica.index) {
                    held.by_replica[position] = bytes;
                    counted.extend(pids);
                }
            }
        }
        let evidence = Evidence {
            grouped: &grouped,
            mark: &process::mark,
            workload: mark,
        };
        self.owners.look(family, replicas, &evidence);
        let below_us: BTreeSet<i32> = family.iter().map(|stat| stat.pid).collect();
        let others = grouped.iter().filter(|(pid, _)| !below_us.contains(*pid));
        let all = family
            .iter()
            .filter(|stat| stat.is_alive())
            .map(|stat| (stat.pid, self.owners.of(stat)))
            .chain(others.map(|(pid, position)| (*pid, Some(*position))));
        for (pid, owner) in all.filter(|(pid, _)| !counted.contains(pid)) {
            let place = match owner {
                Some(position) => &mut held.by_replica[position],
                None => &mut held.unclaimed,
            };
            *place = place.saturating_add(process::memory_bytes(pid));
        }
        held
    }
}

/// Memory in bytes at one moment.
#[derive(Debug)]
struct Held {
    /// Same positions as the replicas.
    by_replica: Vec<u64>,
    /// Held by processes that are ours, but nobody can say which replica's.
    unclaimed: u64,
}

impl Held {
    fn total(&self) -> u64 {
        let by_replica = self.by_replica.iter();
        by_replica.fold(self.unclaimed, |sum, bytes| sum.saturating_add(*bytes))
    }
}

fn my_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

fn group_cpu(launcher: &Launcher) -> GroupSight {
    launcher.group.as_ref().map_or(GroupSight::None, |group| {
        group.cpu().map_or(GroupSight::Unreadable, GroupSight::Read)
    })
}

impl Supervisor {
    /// Counts, and ends replicas that hold more memory than they have leased.
    pub(super) fn look(&mut self, now: u64) {
        let held = self
            .accounts
            .count(&self.launcher, &self.intent.mark, &self.replicas);
        self.accounts.next_look = now.saturating_add(self.intent.settings.sample_ms);
        let total = held.total();
        let mut leased_total = Some(0_u64);
        for (position, bytes) in held.by_replica.into_iter().enumerate() {
            let leased = self.spec_of(position).memory_bytes;
            // A service without a bound bounds nothing.
            leased_total = leased_total
                .filter(|_| leased > 0)
                .and_then(|sum| sum.checked_add(leased));
            if leased > 0 && bytes > leased && self.replicas[position].process().is_some() {
                let why = format!("out of memory: it used {bytes} of {leased} bytes");
                self.causes.entry(position).or_insert(why);
                self.kill_replica(position);
            }
        }
        if held.unclaimed > 0 && leased_total.is_some_and(|leased| total > leased) {
            self.kill_unclaimed();
        }
        if now >= self.accounts.next_checkpoint {
            self.accounts.next_checkpoint = now.saturating_add(self.intent.settings.checkpoint_ms);
            if let Err(error) = self.accounts.meter.checkpoint() {
                self.complain(format!("cannot keep the counters: {error}"));
            }
        }
    }

    /// Begins a walk through the data, when it is time to.
    pub(super) fn walk_data(&mut self, now: u64) {
        if self.accounts.walking || now < self.accounts.next_walk {
            return;
        }
        self.accounts.walking = true;
        let (data, inbox) = (self.dir.data(), self.inbox.clone());
        tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let occupied = storage::measure(&data);
            let took = began.elapsed();
            // Fails only when the supervisor is gone.
            let _ = inbox.blocking_send(Message::Measured { occupied, took });
        });
    }

    /// Ends replicas that keep more than they have leased: a host with a full disk serves nobody.
    pub(super) fn end_hoarders(&mut self) {
        for position in 0..self.replicas.len() {
            let leased = storage_bytes(self.spec_of(position));
            let replica = &self.replicas[position];
            let key = (replica.name.clone(), replica.index);
            let kept = self.accounts.occupied.get(&key).copied().unwrap_or(0);
            if leased == 0 || kept <= leased || !matches!(replica.stage, Stage::Up { .. }) {
                continue;
            }
            self.kill_replica(position);
            let message =
                format!("ended because it kept {kept} bytes and has leased {leased} bytes of storage");
            self.replicas[position].give_up(message);
            self.must_last = true;
        }
    }

    pub(super) fn remember_memory_kills(&mut self, position: usize) {
        let kills = self.memory_kills(position);
        self.accounts.memory_kills.insert(position, kills);
    }

    /// The kernel's own word that a replica ended for want of memory.
    pub(super) fn killed_for_memory(&self, position: usize) -> Option<String> {
        let before = self.accounts.memory_kills.get(&position).copied().unwrap_or(0);
        let leased = self.spec_of(position).memory_bytes;
        (self.memory_kills(position) > before).then(|| format!("out of memory: it has leased {leased} bytes"))
    }

    fn memory_kills(&self, position: usize) -> u64 {
        let replica = &self.replicas[position];
        let group = self.launcher.group.as_ref();
        group.map_or(0, |group| group.memory_kills(&replica.name, replica.index))
    }
}
