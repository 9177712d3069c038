//! The life of one replica. No clock and no process in here: times are milliseconds since the supervisor started.
//!
//! ```text
//!            due            ready
//! Waiting ────────► Up(starting) ──► Up(ready)
//!    ▲               │ ended            │ ended
//!    └── restart ────┴──────────────────┤
//!                                       ├─ policy says no ──► Ended(completed | broken)
//! any ── stop ──► PreStop ──► Terminating ──ended──► Down
//! ```

use virtengine_provider_core::workload::{HealthCheck, RestartPolicy};

use super::super::process::Identity;
use super::super::record::{Exit, ReplicaStatus, Settings, StageWord};

/// Where a replica is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// To be started then.
    Waiting { until: u64 },
    /// Its main process lives.
    Up {
        process: Identity,
        since: u64,
        ready: bool,
    },
    /// Ended and not to be started again; `well` says whether it did what it should.
    Ended { well: bool },
    /// The hook before the end runs.
    PreStop { process: Identity, until: u64 },
    /// Asked to end.
    Terminating { process: Identity, kill_at: u64 },
    /// Taken down.
    Down,
}

/// One replica of one service.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) service: usize,
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) stage: Stage,
    pub(super) restarts: u32,
    /// Ends in a row that came before the replica was stable.
    pub(super) quick_ends: u32,
    pub(super) exit: Option<Exit>,
    /// A sentence for the tenant; empty when all is well.
    pub(super) message: String,
    /// Names this start from every other one, so that late answers are not taken for it.
    pub(super) start: u64,
    pub(super) health: Health,
    /// Whether the hook after the start is still to be waited for.
    pub(super) hook_pending: bool,
}

/// What the questions so far say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) next_at: u64,
    pub(super) asking: bool,
    successes: u32,
    failures: u32,
}

/// What has to be done after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// The replica was well and is not any more: end it, the restart policy does the rest.
    Restart,
}

impl Replica {
    pub(super) fn new(service: usize, name: &str, index: u32) -> Self {
        Self {
            service,
            name: name.to_owned(),
            index,
            stage: Stage::Waiting { until: 0 },
            restarts: 0,
            quick_ends: 0,
            exit: None,
            message: String::new(),
            start: 0,
            health: Health::default(),
            hook_pending: false,
        }
    }

    /// Takes up what an earlier supervisor knew of it.
    pub(super) fn remember(&mut self, before: &ReplicaStatus) {
        self.restarts = before.restarts;
        self.exit = before.exit;
    }

    pub(super) const fn process(&self) -> Option<&Identity> {
        match &self.stage {
            Stage::Up { process, .. }
            | Stage::PreStop { process, .. }
            | Stage::Terminating { process, .. } => Some(process),
            Stage::Waiting { .. } | Stage::Ended { .. } | Stage::Down => None,
        }
    }

    pub(super) const fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Up { ready: true, .. })
    }

    pub(super) const fn is_due(&self, now: u64) -> bool {
        matches!(self.stage, Stage::Waiting { until } if until <= now)
    }

    pub(super) fn started(&mut self, process: Identity, now: u64, first_check: u64, hook: bool) {
        self.stage = Stage::Up {
            process,
            since: now,
            ready: false,
        };
        self.start += 1;
        self.hook_pending = hook;
        self.health = Health {
            next_at: now.saturating_add(first_check),
            ..Health::default()
        };
    }

    /// The main process ended (or could not be started).
    pub(super) fn ended(&mut self, exit: Exit, why: &str, policy: RestartPolicy, rules: &Settings, now: u64) {
        self.exit = Some(exit);
        let lived = match &self.stage {
            Stage::Up { since, .. } => now.saturating_sub(*since),
            Stage::PreStop { .. } | Stage::Terminating { .. } => {
                self.stage = Stage::Down;
                return;
            }
            Stage::Waiting { .. } | Stage::Ended { .. } | Stage::Down => 0,
        };
        let well = exit == Exit::Code(0);
        let said = if why.is_empty() {
            String::new()
        } else {
            format!(": {why}")
        };
        let again = match policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => !well,
            RestartPolicy::Never => false,
        };
        if !again {
            self.stage = Stage::Ended { well };
            self.message = format!("ended with {exit}{said}");
            return;
        }
        let stable = lived >= rules.stable_after_ms;
        self.quick_ends = if stable {
            1
        } else {
            self.quick_ends.saturating_add(1)
        };
        self.restarts = self.restarts.saturating_add(1);
        let doublings = self.quick_ends.saturating_sub(1).min(20);
        let delay = rules
            .restart_delay_ms
            .saturating_mul(1 << doublings)
            .min(rules.restart_delay_ms_max);
        self.stage = Stage::Waiting {
            until: now.saturating_add(delay),
        };
        let times = self.quick_ends;
        self.message = if self.is_crash_loop(rules) {
            format!("ended {times} times in a row, last with {exit}{said}")
        } else {
            format!("ended with {exit}{said}; it is started again")
        };
    }

    /// Gives up for good, because of something that a restart would not change.
    pub(super) fn give_up(&mut self, message: String) {
        self.stage = Stage::Ended { well: false };
        self.message = message;
    }

    /// Everything that gave up or waits is started again at once: the workload was deployed again.
    pub(super) fn try_again(&mut self, now: u64) {
        match self.stage {
            Stage::Waiting { .. } | Stage::Ended { .. } | Stage::Down => {
                self.stage = Stage::Waiting { until: now };
                self.quick_ends = 0;
                self.message.clear();
            }
            Stage::Up { .. } | Stage::PreStop { .. } | Stage::Terminating { .. } => {}
        }
    }

    /// Ends are so frequent that the tenant must know.
    pub(super) const fn is_crash_loop(&self, rules: &Settings) -> bool {
        self.quick_ends >= rules.crash_loop_after
    }

    /// It has been up for a while: earlier ends are forgiven.
    pub(super) fn forgive(&mut self, rules: &Settings, now: u64) {
        if let Stage::Up { since, .. } = &self.stage
            && now.saturating_sub(*since) >= rules.stable_after_ms
        {
            self.quick_ends = 0;
        }
    }

    pub(super) fn set_ready(&mut self, value: bool) {
        if let Stage::Up { ready, .. } = &mut self.stage {
            *ready = value;
        }
        if value {
            self.message.clear();
        }
    }

    /// An answer to a health check.
    pub(super) fn checked(&mut self, answer: Result<(), String>, check: &HealthCheck, now: u64) -> Verdict {
        self.health.asking = false;
        let period = u64::from(check.period_seconds.max(1)).saturating_mul(1000);
        self.health.next_at = now.saturating_add(period);
        match answer {
            Ok(()) => {
                self.health.failures = 0;
                self.health.successes = self.health.successes.saturating_add(1);
                if self.health.successes >= check.success_threshold.max(1) && !self.is_ready() {
                    self.set_ready(true);
                }
                Verdict::Fine
            }
            Err(why) => {
                self.health.successes = 0;
                self.health.failures = self.health.failures.saturating_add(1);
                let was_ready = self.is_ready();
                if was_ready && self.health.failures < check.failure_threshold.max(1) {
                    return Verdict::Fine;
                }
                self.set_ready(false);
                self.message = format!("health check: {why}");
                if was_ready {
                    Verdict::Restart
                } else {
                    Verdict::Fine
                }
            }
        }
    }

    pub(super) fn status(&self, rules: &Settings) -> ReplicaStatus {
        let stage = match self.stage {
            Stage::Up { ready: true, .. } => StageWord::Ready,
            Stage::Waiting { .. } | Stage::Up { .. } if self.is_crash_loop(rules) => StageWord::CrashLoop,
            Stage::Waiting { .. } | Stage::Up { .. } => StageWord::Starting,
            Stage::Ended { well: true } => StageWord::Completed,
            Stage::Ended { well: false } => StageWord::Broken,
            Stage::PreStop { .. } | Stage::Terminating { .. } => StageWord::Stopping,
            Stage::Down => StageWord::Down,
        };
        ReplicaStatus {
            service: self.name.clone(),
            replica: self.index,
            stage,
            process: self.process().cloned(),
            restarts: self.restarts,
            exit: self.exit,
            message: self.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use virtengine_provider_core::workload::Probe;

    use super::*;

    fn rules() -> Settings {
        Settings {
            shim_args: Vec::new(),
            bind_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            stop_grace_ms: 0,
            startup_grace_ms: 0,
            restart_delay_ms: 100,
            restart_delay_ms_max: 500,
            stable_after_ms: 10_000,
            crash_loop_after: 3,
            log_bytes_max: 0,
            open_files_max: 0,
            processes_max: 0,
            sample_ms: 0,
            checkpoint_ms: 0,
        }
    }

    fn process() -> Identity {
        Identity {
            pid: 1,
            started: 1,
            boot_id: String::new(),
        }
    }

    fn up() -> Replica {
        let mut replica = Replica::new(0, "web", 0);
        replica.started(process(), 0, 0, false);
        replica
    }

    fn end(replica: &mut Replica, code: i32, policy: RestartPolicy, now: u64) {
        replica.ended(Exit::Code(code), "", policy, &rules(), now);
    }

    #[test]
    fn restarts_wait_longer_each_time_and_start_anew_after_a_long_life() {
        let mut replica = up();
        let mut waits = Vec::new();
        for _ in 0..5 {
            end(&mut replica, 1, RestartPolicy::Always, 1000);
            let Stage::Waiting { until } = replica.stage else {
                panic!("not waiting");
            };
            waits.push(until - 1000);
            replica.started(process(), 1000, 0, false);
        }
        assert_eq!(waits, [100, 200, 400, 500, 500]);
        assert_eq!(replica.status(&rules()).stage, StageWord::CrashLoop);
        end(&mut replica, 1, RestartPolicy::Always, 20_000);
        assert_eq!(replica.stage, Stage::Waiting { until: 20_100 });
        assert_eq!(
            (replica.restarts, replica.status(&rules()).stage),
            (6, StageWord::Starting)
        );
    }

    #[test]
    fn the_policy_decides_what_an_end_means() {
        let check = |policy, code, expected| {
            let mut replica = up();
            end(&mut replica, code, policy, 5);
            assert_eq!(replica.status(&rules()).stage, expected, "{policy:?} {code}");
        };
        check(RestartPolicy::Always, 0, StageWord::Starting);
        check(RestartPolicy::OnFailure, 0, StageWord::Completed);
        check(RestartPolicy::OnFailure, 1, StageWord::Starting);
        check(RestartPolicy::Never, 0, StageWord::Completed);
        check(RestartPolicy::Never, 1, StageWord::Broken);
    }

    #[test]
    fn an_end_that_was_asked_for_is_not_a_failure() {
        let mut replica = up();
        replica.stage = Stage::Terminating {
            process: process(),
            kill_at: 9,
        };
        end(&mut replica, 143, RestartPolicy::Always, 5);
        assert_eq!((&replica.stage, replica.restarts), (&Stage::Down, 0));
    }

    #[test]
    fn health_needs_its_thresholds() {
        let check = HealthCheck {
            probe: Probe::Tcp { port: 1 },
            initial_delay_seconds: 0,
            period_seconds: 1,
            timeout_seconds: 1,
            failure_threshold: 2,
            success_threshold: 2,
        };
        let mut replica = up();
        let sick = || Err("sick".to_owned());
        assert_eq!(replica.checked(sick(), &check, 0), Verdict::Fine);
        assert_eq!(replica.checked(Ok(()), &check, 0), Verdict::Fine);
        assert!(!replica.is_ready());
        replica.checked(Ok(()), &check, 0);
        assert!(replica.is_ready() && replica.message.is_empty());
        assert_eq!(replica.checked(sick(), &check, 0), Verdict::Fine);
        assert!(replica.is_ready());
        assert_eq!(replica.checked(sick(), &check, 0), Verdict::Restart);
        assert!(!replica.is_ready() && replica.message.contains("sick"));
    }
}
