//! Making a workload exist and run, in its turn: intent first, then the supervisor.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{ErrorKind, Inventory, Retry};
use virtengine_provider_core::units::{Overflow, Resources};
use virtengine_provider_core::workload::WorkloadSpec;

use super::adapter::Keeper;
use super::control::{self, NoAnswer};
use super::error::{Failure, Outcome};
use super::host;
use super::layout::{self, WorkloadDir};
use super::plan;
use super::ports::Allocator;
use super::process::{self, MARK};
use super::record::{Desired, Goal, Intent, Request, Response, Status, Usage, UsageCheckpoint};
use super::shim;

/// How long a supervisor may take until it answers for the first time.
const BIRTH_PATIENCE: Duration = Duration::from_secs(20);

impl Keeper {
    pub(crate) fn deploy(&self, mut spec: WorkloadSpec) -> Outcome<()> {
        // Nothing is pulled here, so a registry's password has no business on our disk.
        spec.services
            .iter_mut()
            .for_each(|service| service.credentials = None);
        let plans = plan::services(&self.config, &spec)?;
        let id = spec.id.clone();
        let before = self.intent(&id)?;
        let dir = self.dir(&id);
        let supervised = control::is_supervised(&dir);
        if supervised && before.as_ref().is_some_and(|before| before.spec == spec) {
            return self.set_goal(&id, Goal::Running);
        }
        if supervised {
            // A workload that is asked for anew, with its data: the old processes go first, unless it is in vain.
            self.refuse_overcommitment(&spec)?;
            self.take_down(&id, Goal::Stopped, before.as_ref())?;
        } else if before.is_some() {
            // A daemon that was killed while it deployed may have left a supervisor that is not up yet.
            self.sweep(&id, &dir, before.as_ref())?;
        }
        let intent = Intent {
            mark: self.mark(&id),
            cgroup: self.root.as_ref().map(|root| root.workload(&id)),
            epoch: before
                .as_ref()
                .map_or_else(|| self.new_epoch(), |before| before.epoch),
            settings: plan::settings(&self.config),
            plans,
            spec,
        };
        self.set_starting(&id, true);
        let outcome = self
            .record(&dir, intent, before.as_ref())
            .and_then(|intent| self.begin(&dir, &intent));
        self.set_starting(&id, false);
        outcome
    }

    fn new_epoch(&self) -> u64 {
        u64::try_from(self.clock.now().as_millis()).unwrap_or(0)
    }

    /// Makes the last choices and writes everything down. One deploy at a time: two must not take the same port or the same
    /// room.
    fn record(&self, dir: &WorkloadDir, mut intent: Intent, before: Option<&Intent>) -> Outcome<Intent> {
        let _alone = self.planning.lock().unwrap_or_else(PoisonError::into_inner);
        let id = intent.spec.id.clone();
        self.refuse_overcommitment(&intent.spec)?;
        let mut allocator = Allocator::new(self.config.ports, self.ports_of_others(&id)?);
        plan::choose_ports(&mut intent, before, &mut allocator)?;
        let written = |path: &Path, outcome: std::io::Result<()>| {
            outcome.map_err(|error| Failure::io("write", path, &error))
        };
        written(dir.path(), layout::create_private_dir(dir.path()))?;
        if before.is_none() {
            // The directory itself must outlive a power cut, or the intent in it would not.
            let parent = layout::workloads(&self.config.state_dir);
            written(&parent, File::open(&parent).and_then(|dir| dir.sync_all()))?;
            let first = UsageCheckpoint {
                usage: Usage {
                    epoch: intent.epoch,
                    ..Usage::default()
                },
                boot_id: process::boot_id().to_owned(),
                uptime_ms: process::uptime_ms(),
                ..UsageCheckpoint::default()
            };
            written(&dir.usage(), layout::store(&dir.usage(), &first, true))?;
        }
        written(&dir.intent(), layout::store(&dir.intent(), &intent, true))?;
        self.write_goal(&id, Goal::Running)?;
        Ok(intent)
    }

    fn begin(&self, dir: &WorkloadDir, intent: &Intent) -> Outcome<()> {
        let supervisor = self.spawn_supervisor(dir, &intent.mark)?;
        self.await_birth(dir, supervisor)
    }

    /// Writes the goal and makes the supervisor take it up.
    pub(crate) fn set_goal(&self, id: &WorkloadId, goal: Goal) -> Outcome<()> {
        self.write_goal(id, goal)?;
        self.apply(id).map(drop)
    }

    pub(crate) fn write_goal(&self, id: &WorkloadId, goal: Goal) -> Outcome<()> {
        let path = self.dir(id).desired();
        // An unreadable goal is replaced: what counts is what is asked for now.
        let before: Option<Desired> = layout::load(&path).unwrap_or(None);
        let desired = Desired {
            goal,
            generation: before.map_or(1, |before| before.generation.saturating_add(1)),
        };
        layout::store(&path, &desired, true).map_err(|error| Failure::io("write", &path, &error))
    }

    /// Makes the supervisor look at the goal again.
    pub(crate) fn apply(&self, id: &WorkloadId) -> Outcome<Status> {
        match control::ask(&self.dir(id), Request::Apply) {
            Ok(Response::Status(status)) => Ok(status),
            Ok(Response::Failed(why)) => Err(Failure::unavailable(format!("the supervisor of {id}: {why}"))),
            Ok(Response::Usage(_)) => Err(confused(id)),
            Err(NoAnswer::Absent) => {
                let message = format!("workload {id} has no supervisor any more; deploy it again");
                Err(Failure::unavailable(message))
            }
            Err(NoAnswer::Silent(error)) => {
                let message = format!("the supervisor of {id} does not answer: {error}");
                Err(Failure::new(ErrorKind::Unavailable, Retry::Unknown, message))
            }
        }
    }

    fn spawn_supervisor(&self, dir: &WorkloadDir, mark: &str) -> Outcome<Child> {
        let path = dir.shim_log();
        let log = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| Failure::io("write", &path, &error))?;
        // `problems()` has made sure that there is one.
        let program = self.config.supervisor.first().map_or("", String::as_str);
        let failed = |error: &std::io::Error| {
            Failure::unavailable(format!("cannot start the supervisor {program}: {error}"))
        };
        let stderr = log.try_clone().map_err(|error| failed(&error))?;
        Command::new(program)
            .arg0("virtengine-local-shim")
            .args(self.config.supervisor.iter().skip(1))
            .arg("run")
            .arg(dir.path())
            .env_clear()
            .envs(shim::inherited())
            .env(MARK, mark)
            .current_dir(dir.path())
            // A Ctrl-C for the daemon is not for the workloads.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(stderr)
            .spawn()
            .map_err(|error| failed(&error))
    }

    fn await_birth(&self, dir: &WorkloadDir, mut supervisor: Child) -> Outcome<()> {
        let deadline = Instant::now() + BIRTH_PATIENCE;
        let outcome = loop {
            if matches!(control::ask(dir, Request::Status), Ok(Response::Status(_))) {
                break Ok(());
            }
            if let Ok(Some(exit)) = supervisor.try_wait() {
                let said = std::fs::read_to_string(dir.shim_log()).unwrap_or_default();
                let said: String = said.chars().take(500).collect();
                let message = format!("the supervisor ended with {exit}: {}", said.trim());
                break Err(Failure::unavailable(message));
            }
            if Instant::now() > deadline {
                let message = "the supervisor does not answer; it is left to start".to_owned();
                break Err(Failure::new(ErrorKind::Unavailable, Retry::Unknown, message));
            }
            thread::sleep(Duration::from_millis(10));
        };
        self.adopt(supervisor);
        outcome
    }

    fn ports_of_others(&self, id: &WorkloadId) -> Outcome<BTreeSet<u16>> {
        let mut taken = BTreeSet::new();
        for other in self.others(id)? {
            taken.extend(plan::ports_of(&other));
        }
        Ok(taken)
    }

    fn others(&self, id: &WorkloadId) -> Outcome<Vec<Intent>> {
        let mut intents = Vec::new();
        for other in self.list()?.iter().filter(|other| *other != id) {
            // One broken record does not keep everybody else from running.
            intents.extend(self.intent(other).ok().flatten());
        }
        Ok(intents)
    }

    fn refuse_overcommitment(&self, spec: &WorkloadSpec) -> Outcome<()> {
        let too_large =
            |Overflow| Failure::invalid(format!("workload {} asks for too much to be counted", spec.id));
        let wanted = spec.total().map_err(too_large)?;
        let mut sum = wanted;
        for other in self.others(&spec.id)? {
            let mut held = other.spec.total().map_err(too_large)?;
            let desired: Option<Desired> = layout::load(&self.dir(&other.spec.id).desired()).unwrap_or(None);
            if desired.is_some_and(|desired| desired.goal == Goal::Stopped) {
                held = Resources {
                    storage_bytes: held.storage_bytes,
                    ..Resources::ZERO
                };
            }
            sum = sum.checked_add(&held).map_err(too_large)?;
        }
        let inventory = self.inventory()?;
        let room = inventory.capacity.saturating_sub(&inventory.foreign_use);
        if sum.fits_in(&room) {
            return Ok(());
        }
        let message = format!(
            "workload {} does not fit: it asks for {wanted:?}, together with the others {sum:?}; there is {room:?}",
            spec.id
        );
        Err(Failure::new(ErrorKind::Exhausted, Retry::Later, message))
    }

    pub(crate) fn inventory(&self) -> Outcome<Inventory> {
        let state_dir = &self.config.state_dir;
        let host = host::look(state_dir).map_err(|error| Failure::io("look at", state_dir, &error))?;
        let ours = self.used_by_us()?;
        Ok(Inventory {
            capacity: host.total.min(&self.config.ceiling()),
            foreign_use: host::foreign_use(&host, &ours, &self.config.ceiling()),
        })
    }

    /// Memory and storage that our workloads really hold now.
    fn used_by_us(&self) -> Outcome<Resources> {
        let owned =
            |pid: i32| process::mark(pid).is_some_and(|mark| process::is_marked_by(&mark, &self.identity));
        let memory_bytes = process::all()
            .into_iter()
            .filter(|found| found.is_alive() && owned(found.pid))
            .fold(0_u64, |sum, found| {
                sum.saturating_add(process::memory_bytes(found.pid))
            });
        let mut storage_bytes = 0_u64;
        for id in self.list()? {
            let kept: Option<UsageCheckpoint> = layout::load(&self.dir(&id).usage()).unwrap_or(None);
            storage_bytes = storage_bytes.saturating_add(kept.map_or(0, |kept| kept.storage_bytes));
        }
        Ok(Resources {
            memory_bytes,
            storage_bytes,
            ..Resources::ZERO
        })
    }
}

pub(crate) fn confused(id: &WorkloadId) -> Failure {
    let message = format!("the supervisor of {id} gave an answer to another question");
    Failure::new(ErrorKind::Bug, Retry::Unknown, message)
}
