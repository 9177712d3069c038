//! Pausing, stopping and removing, each in its turn. Each returns when it has been seen to be so.

use std::thread;
use std::time::{Duration, Instant};

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{ErrorKind, Retry};

use super::adapter::Keeper;
use super::control;
use super::error::{Failure, Outcome};
use super::layout::{self, WorkloadDir};
use super::record::{Desired, Goal, Intent, Request, Status};
use super::sweep::Owned;

/// How long everything may take to freeze or thaw.
const FREEZE_PATIENCE: Duration = Duration::from_secs(10);

/// What a supervisor gets on top of the workload's own hooks and grace, until it is ended itself.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(10);

impl Keeper {
    pub(crate) fn pause(&self, id: &WorkloadId) -> Outcome<()> {
        self.refuse_unless_up(id)?;
        self.reach(id, Goal::Paused, |status| status.frozen)
    }

    pub(crate) fn resume(&self, id: &WorkloadId) -> Outcome<()> {
        self.refuse_unless_up(id)?;
        self.reach(id, Goal::Running, |status| !status.frozen)
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
        let intent = self.existing(id)?;
        self.take_down(id, Goal::Stopped, Some(&intent))
    }

    pub(crate) fn terminate(&self, id: &WorkloadId) -> Outcome<()> {
        let dir = self.dir(id);
        // A record that cannot be read must not keep the workload alive: its mark follows from its name.
        let intent = self.intent(id).unwrap_or(None);
        if dir.path().exists() {
            // That the goal could not be written does not matter when everything can be removed, and what keeps it from
            // being removed is said below.
            let _ = self.bring_down(id, Goal::Terminated, intent.as_ref())?;
        } else {
            self.sweep(id, &dir, None)?;
        }
        if let Some(group) = self.group(id, intent.as_ref()) {
            group.remove().map_err(|error| {
                Failure::unavailable(format!("the control group of {id} cannot be removed: {error}"))
            })?;
        }
        remove(&dir)
    }

    /// Ends everything that runs of the workload. The error may be that the goal could not be written down, e.g. on a full disk:
    /// nothing runs then either, but the same must be asked for again.
    pub(crate) fn take_down(&self, id: &WorkloadId, goal: Goal, intent: Option<&Intent>) -> Outcome<()> {
        self.bring_down(id, goal, intent)?
    }

    /// Ends everything that runs of the workload, gracefully if its supervisor is there to do it, and checks. Answers whether the
    /// goal was written down.
    fn bring_down(&self, id: &WorkloadId, goal: Goal, intent: Option<&Intent>) -> Outcome<Outcome<()>> {
        let written = self.write_goal(id, goal);
        let dir = self.dir(id);
        let patience = intent.map_or(Duration::ZERO, time_to_leave);
        let heard = control::is_supervised(&dir)
            && match &written {
                Ok(()) => self.apply(id).is_ok(),
                // A supervisor that lives can be told without a disk.
                Err(_) => self.is_answering(&dir) && self.owned(id, &dir, intent).dismiss(),
            };
        if heard {
            let deadline = Instant::now() + patience;
            while control::is_supervised(&dir) && Instant::now() < deadline {
                thread::sleep(POLL);
            }
        }
        self.sweep(id, &dir, intent)?;
        Ok(written)
    }

    fn is_answering(&self, dir: &WorkloadDir) -> bool {
        control::ask(dir, Request::Status).is_ok()
    }

    /// Ends whatever is left, the supervisor included.
    pub(crate) fn sweep(&self, id: &WorkloadId, dir: &WorkloadDir, intent: Option<&Intent>) -> Outcome<()> {
        self.owned(id, dir, intent)
            .end()
            .map_err(|error| Failure::unavailable(format!("workload {id}: {error}")))
    }

    /// By what everything that belongs to the workload is recognised.
    fn owned(&self, id: &WorkloadId, dir: &WorkloadDir, intent: Option<&Intent>) -> Owned {
        let status: Option<Status> = layout::load(&dir.status()).unwrap_or(None);
        Owned::new(self.mark(id), self.group(id, intent), status.as_ref(), true)
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

/// Removes everything that is kept, the record of what was asked for last: until then the workload is listed. What cannot be
/// removed does not keep the rest.
fn remove(dir: &WorkloadDir) -> Outcome<()> {
    let intent = dir.intent();
    let mut outcome = Ok(());
    if let Ok(entries) = std::fs::read_dir(dir.path()) {
        let paths = entries.flatten().map(|entry| entry.path());
        for path in paths.filter(|path| *path != intent) {
            let removed = layout::remove(&path);
            outcome = outcome.and(removed);
        }
    }
    outcome
        .and_then(|()| layout::remove_tree(dir.path()))
        .map_err(|error| Failure::io("remove", dir.path(), &error))
}
