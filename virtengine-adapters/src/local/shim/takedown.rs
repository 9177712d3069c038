//! Freezing and taking down.

use std::io;

use rustix::process::{Pid, Signal, kill_process_group};

use super::super::process::{self, Stat};
use super::replica::Stage;
use super::supervisor::{About, Supervisor};

impl Supervisor {
    /// One step towards nothing running: hook, request to end, and after the grace the end.
    pub(super) fn take_down(&mut self, now: u64) {
        if self.frozen {
            // What is frozen cannot shut down gracefully.
            self.thaw(now);
        }
        for position in 0..self.replicas.len() {
            match self.replicas[position].stage.clone() {
                Stage::Up { process, .. } => {
                    let hook = self.spec_of(position).hooks.pre_stop.clone();
                    let seconds = hook.as_ref().map_or(0, |hook| hook.timeout_seconds.max(1));
                    self.replicas[position].stage = Stage::PreStop {
                        process,
                        until: now.saturating_add(u64::from(seconds).saturating_mul(1000)),
                    };
                    if let Some(hook) = hook {
                        self.ask(position, &hook.probe, hook.timeout_seconds, About::PreStop);
                    }
                }
                Stage::Waiting { .. } | Stage::Ended { .. } => self.replicas[position].stage = Stage::Down,
                Stage::PreStop { .. } | Stage::Terminating { .. } | Stage::Down => {}
            }
        }
        self.end_overdue(now);
        if self.replicas.iter().all(|replica| replica.stage == Stage::Down) && self.end_rest() {
            self.finished = true;
        }
    }

    /// Ends what has had its time: hooks, replicas that were asked to end, commands beside them.
    pub(super) fn end_overdue(&mut self, now: u64) {
        for position in 0..self.replicas.len() {
            match self.replicas[position].stage.clone() {
                Stage::PreStop { process, until } if until <= now => {
                    if let Some(pid) = Pid::from_raw(process.pid) {
                        // Before it leads a group it is one process; both refusals mean that it has ended by itself.
                        if kill_process_group(pid, Signal::TERM).is_err() {
                            let _ = process::signal(&process, Signal::TERM);
                        }
                    }
                    self.replicas[position].stage = Stage::Terminating {
                        process,
                        kill_at: now.saturating_add(self.intent.settings.stop_grace_ms),
                    };
                }
                Stage::Terminating { kill_at, .. } if kill_at <= now => self.kill_replica(position),
                _ => {}
            }
        }
        let overdue: Vec<i32> = self
            .beside
            .iter()
            .filter(|(_, b)| b.kill_at <= now)
            .map(|(pid, _)| *pid)
            .collect();
        if overdue.is_empty() {
            return;
        }
        for stat in below_us() {
            if overdue.contains(&stat.pid) || overdue.contains(&stat.session) {
                kill(&stat);
            }
        }
    }

    /// Kills everything that belongs to a replica. Its end is seen when it is waited for.
    pub(super) fn kill_replica(&self, position: usize) {
        let replica = &self.replicas[position];
        if let Some(group) = &self.launcher.group {
            group.kill_replica(&replica.name, replica.index);
        }
        let mark = format!("{}/{}/{}", self.intent.mark, replica.name, replica.index);
        let main = replica.process().map(|process| process.pid);
        for stat in below_us() {
            let ours = Some(stat.pid) == main
                || Some(stat.session) == main
                || self.accounts.owners.of(&stat) == Some(position)
                || process::mark(stat.pid).is_some_and(|found| found == mark);
            if ours {
                kill(&stat);
            }
        }
    }

    /// Kills what is the workload's and no replica's: together they hold more memory than was leased.
    pub(super) fn kill_unclaimed(&self) {
        let unclaimed =
            |stat: &Stat| self.accounts.owners.of(stat).is_none() && !self.beside.contains_key(&stat.pid);
        below_us().iter().filter(|stat| unclaimed(stat)).for_each(kill);
    }

    /// Kills everything below us and in our group; says whether nothing is left.
    fn end_rest(&self) -> bool {
        let mut left = below_us();
        if let Some(group) = &self.launcher.group {
            left.extend(
                group
                    .processes()
                    .into_iter()
                    .filter_map(process::stat)
                    .filter(Stat::is_alive),
            );
            group.kill();
        }
        left.iter().for_each(kill);
        left.is_empty()
    }

    /// One step towards everything being frozen.
    pub(super) fn freeze(&mut self) {
        if self.frozen {
            return;
        }
        self.frozen = match &self.launcher.group {
            Some(group) => group.freeze(true).is_ok() && group.is_frozen(),
            None => {
                // A process that was just about to fork is caught with its child at the next tick.
                let running: Vec<Stat> = below_us().into_iter().filter(|stat| !stat.is_stopped()).collect();
                for stat in &running {
                    let _ = process::signal(&stat.identity(), Signal::STOP);
                }
                running.is_empty()
            }
        };
        self.must_last |= self.frozen;
    }

    /// Everything goes on.
    pub(super) fn thaw(&mut self, now: u64) {
        let thawed: io::Result<()> = match &self.launcher.group {
            Some(group) => group.freeze(false),
            None => below_us()
                .iter()
                .try_for_each(|stat| process::signal(&stat.identity(), Signal::CONT)),
        };
        if let Err(error) = thawed {
            self.complain(format!("cannot resume: {error}"));
            return;
        }
        self.frozen = false;
        for replica in &mut self.replicas {
            replica.health.next_at = replica.health.next_at.max(now);
        }
        self.must_last = true;
    }
}

fn below_us() -> Vec<Stat> {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    process::descendants(me)
        .into_iter()
        .filter(Stat::is_alive)
        .collect()
}

fn kill(stat: &Stat) {
    // Refused only when it is not ours any more.
    let _ = process::signal(&stat.identity(), Signal::KILL);
}
