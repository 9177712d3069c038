//! Pausing, stopping and removing. Each returns when it has been seen to be so.

use std::thread;
use std::time::{Duration, Instant};

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{ErrorKind, Retry};

use super::adapter::Keeper;
use super::control;
use super::error::{Failure, Outcome};
use super::layout::{self, WorkloadDir};
use super::process::Identity;
use super::record::{Desired, Goal, Intent, Status};
use super::sweep::Owned;

/// How long everything may take to freeze or thaw.
const FREEZE_PATIENCE: Duration = Duration::from_secs(10);

/// What a supervisor gets on top of the workload's own hooks and grace, until it is ended itself.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(10);

impl Keeper {
    pub(crate) fn pause(&self, id: &WorkloadId) -> Outcome<()> {
        self.in_turn(id, || {
            self.refuse_unless_up(id)?;
            self.reach(id, Goal::Paused, |status| status.frozen)
        })
    }

    pub(crate) fn resume(&self, id: &WorkloadId) -> Outcome<()> {
        self.in_turn(id, || {
            self.refuse_unless_up(id)?;
            self.reach(id, Goal::Running, |status| !status.frozen)
        })
    }

    fn refuse_unless_up(&self, id: &WorkloadId) -> Outcome<()> {
        self.existing(id)?;
        if control::is_supervised(&self.dir(id)) {
            return Ok(());
        }
        Err(Failure::conflict(format!("workload {id} is not running")))
    }

    /// Sets the goal, unless it is set, and waits until the supervisor says that it is so.
    fn reach(&self, id: &WorkloadId, goal: Goal, reached: impl Fn(&Status) -> bool) -> Outcome<()> {
        if self.goal(id) != Some(goal) {
            self.write_goal(id, goal)?;
        }
        let deadline = Instant::now() + FREEZE_PATIENCE;
        while !reached(&self.apply(id)?) {
            if Instant::now() > deadline {
                let message = format!("workload {id} did not change in time");
                return Err(Failure::new(ErrorKind::Unavailable, Retry::Unknown, message));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    pub(crate) fn goal(&self, id: &WorkloadId) -> Option<Goal> {
        let desired: Option<Desired> = layout::load(&self.dir(id).desired()).unwrap_or(None);
        desired.map(|desired| desired.goal)
    }

    pub(crate) fn stop(&self, id: &WorkloadId) -> Outcome<()> {
        self.in_turn(id, || {
            let intent = self.existing(id)?;
            self.take_down(id, Goal::Stopped, Some(&intent))
        })
    }

    pub(crate) fn terminate(&self, id: &WorkloadId) -> Outcome<()> {
        self.in_turn(id, || {
            let dir = self.dir(id);
            // A record that cannot be read must not keep the workload alive: its mark follows from its name.
            let intent = self.intent(id).unwrap_or(None);
            if dir.path().exists() {
                self.take_down(id, Goal::Terminated, intent.as_ref())?;
            } else {
                self.sweep(id, &dir, None)?;
            }
            if let Some(group) = self.group(id, intent.as_ref()) {
                group.remove().map_err(|error| {
                    Failure::unavailable(format!("the control group of {id} cannot be removed: {error}"))
                })?;
            }
            remove(&dir)
        })
    }

    /// Ends everything that runs of the workload, gracefully if its supervisor is there to do it, and checks.
    pub(crate) fn take_down(&self, id: &WorkloadId, goal: Goal, intent: Option<&Intent>) -> Outcome<()> {
        self.write_goal(id, goal)?;
        let dir = self.dir(id);
        let patience = intent.map_or(Duration::ZERO, time_to_leave);
        if control::is_supervised(&dir) && self.apply(id).is_ok() {
            let deadline = Instant::now() + patience;
            while control::is_supervised(&dir) && Instant::now() < deadline {
                thread::sleep(POLL);
            }
        }
        self.sweep(id, &dir, intent)
    }

    /// Ends whatever is left, the supervisor included.
    pub(crate) fn sweep(&self, id: &WorkloadId, dir: &WorkloadDir, intent: Option<&Intent>) -> Outcome<()> {
        let status: Option<Status> = layout::load(&dir.status()).unwrap_or(None);
        let replicas = status.map(|status| status.replicas).unwrap_or_default();
        let leaders: Vec<Identity> = replicas.into_iter().filter_map(|r| r.process).collect();
        let group = self.group(id, intent);
        let owned = Owned {
            mark: &self.mark(id),
            group: group.as_ref(),
            leaders: &leaders,
            supervisor: true,
        };
        owned
            .end()
            .map_err(|error| Failure::unavailable(format!("workload {id}: {error}")))
    }
}

/// The longest that hooks and grace may take, and some time to tidy up.
fn time_to_leave(intent: &Intent) -> Duration {
    let hooks = intent
        .spec
        .services
        .iter()
        .filter_map(|service| service.hooks.pre_stop.as_ref());
    let longest = hooks.map(|hook| hook.timeout_seconds.max(1)).max().unwrap_or(0);
    Duration::from_secs(u64::from(longest))
        .saturating_add(Duration::from_millis(intent.settings.stop_grace_ms))
        .saturating_add(LEAVE_PATIENCE)
}

/// Removes everything that is kept, the record of what was asked for last: until then the workload is listed.
fn remove(dir: &WorkloadDir) -> Outcome<()> {
    let failed = |error: std::io::Error| Failure::io("remove", dir.path(), &error);
    let intent = dir.intent();
    if let Ok(entries) = std::fs::read_dir(dir.path()) {
        for entry in entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| *path != intent)
        {
            if std::fs::symlink_metadata(&entry).is_ok_and(|meta| meta.is_dir()) {
                layout::remove_tree(&entry).map_err(failed)?;
            } else {
                std::fs::remove_file(&entry).map_err(failed)?;
            }
        }
    }
    layout::remove_tree(dir.path()).map_err(failed)
}
