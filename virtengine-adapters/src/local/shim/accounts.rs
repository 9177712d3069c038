//! Looking at what the workload uses, and ending what uses more than it has leased.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use super::super::process::{self, Stat};
use super::launch::{Launcher, storage_bytes};
use super::meter::Meter;
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
    /// Which replica a process belongs to, by number and start time; environments are read once.
    owners: BTreeMap<(i32, u64), usize>,
    /// How often the kernel had ended something for want of memory when the replica was started.
    memory_kills: BTreeMap<usize, u64>,
}

/// A walk may take this share of the time: one part in so many.
const WALK_SHARE: u32 = 20;

impl Accounts {
    pub(super) const fn new(meter: Meter) -> Self {
        Self {
            meter,
            occupied: Occupied::new(),
            next_look: 0,
            next_checkpoint: 0,
            next_walk: 0,
            walking: false,
            owners: BTreeMap::new(),
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

    /// The last look, when everything has ended; the counters reach the disk.
    pub(super) fn close(&mut self, launcher: &Launcher, replicas: &[Replica]) -> io::Result<()> {
        self.occupied = storage::measure(&launcher.dir.data());
        self.count(launcher, replicas);
        self.meter.checkpoint().map(drop)
    }

    /// Reads everything; answers the memory of each replica, by position.
    fn count(&mut self, launcher: &Launcher, replicas: &[Replica]) -> Vec<u64> {
        let family = family();
        match launcher
            .group
            .as_ref()
            .and_then(super::super::cgroup::Group::cpu_micros)
        {
            Some(reading) => self.meter.add_group_cpu(reading),
            None => self.meter.add_tree_cpu(tree_cpu_micros(&family)),
        }
        let memory = self.memory(launcher, replicas, &family);
        let in_use = memory.iter().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
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
        self.meter.add_space(in_use, stored);
        memory
    }

    fn memory(&mut self, launcher: &Launcher, replicas: &[Replica], family: &[Stat]) -> Vec<u64> {
        if let Some(group) = &launcher.group {
            let of = |replica: &Replica| {
                let counted = group.memory_bytes(&replica.name, replica.index);
                counted.unwrap_or_else(|| {
                    let pids = group.replica_processes(&replica.name, replica.index);
                    pids.into_iter().map(process::memory_bytes).sum()
                })
            };
            return replicas.iter().map(of).collect();
        }
        let mut memory = vec![0_u64; replicas.len()];
        let mut owners = BTreeMap::new();
        for stat in family.iter().filter(|stat| stat.is_alive()) {
            let key = (stat.pid, stat.started);
            let owner = self
                .owners
                .get(&key)
                .copied()
                .or_else(|| owner_of(stat, replicas));
            if let Some(owner) = owner {
                owners.insert(key, owner);
                memory[owner] = memory[owner].saturating_add(process::memory_bytes(stat.pid));
            }
        }
        self.owners = owners;
        memory
    }
}

fn owner_of(stat: &Stat, replicas: &[Replica]) -> Option<usize> {
    let mark = process::mark(stat.pid)?;
    let mut parts = mark.rsplit('/');
    let (index, service) = (parts.next()?.parse::<u32>().ok()?, parts.next()?);
    replicas
        .iter()
        .position(|replica| replica.index == index && replica.name == service)
}

fn family() -> Vec<Stat> {
    process::descendants(rustix::process::getpid().as_raw_nonzero().get())
}

/// CPU of everything below us: of the living by themselves, of the dead through those who waited for them, at last us.
fn tree_cpu_micros(family: &[Stat]) -> u64 {
    let waited =
        process::stat(rustix::process::getpid().as_raw_nonzero().get()).map_or(0, |me| me.children_ticks);
    let living = family.iter().fold(0_u64, |sum, stat| {
        sum.saturating_add(stat.own_ticks)
            .saturating_add(stat.children_ticks)
    });
    process::micros_of_ticks(waited.saturating_add(living))
}

impl Supervisor {
    /// Counts, and ends replicas that hold more memory than they have leased.
    pub(super) fn look(&mut self, now: u64) {
        let memory = self.accounts.count(&self.launcher, &self.replicas);
        self.accounts.next_look = now.saturating_add(self.intent.settings.sample_ms);
        for (position, bytes) in memory.into_iter().enumerate() {
            let leased = self.spec_of(position).memory_bytes;
            if leased > 0 && bytes > leased && self.replicas[position].process().is_some() {
                let why = format!("out of memory: it used {bytes} of {leased} bytes");
                self.causes.entry(position).or_insert(why);
                self.kill_replica(position);
            }
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
