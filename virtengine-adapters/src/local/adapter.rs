//! The adapter: the calls, one after the other per workload. Each runs to its end on its own thread, also when the caller
//! has stopped waiting: half an operation is never left by a dropped future.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{
    Adapter, AdapterResult, Capabilities, Counters, ErrorKind, Inventory, LogLine, LogQuery, Observation,
    Retry,
};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::workload::WorkloadSpec;

use super::cgroup::{Enforcement, Group, Root};
use super::config::{CgroupMode, Config, ConfigError};
use super::control;
use super::error::{Failure, NAME, Outcome};
use super::layout::{self, WorkloadDir};
use super::record::Intent;
use super::turns::Turns;

/// Runs workloads as processes of this host. See the [module](super).
#[derive(Debug)]
pub struct LocalAdapter {
    keeper: Arc<Keeper>,
    capabilities: Capabilities,
}

/// What all calls share.
pub(crate) struct Keeper {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    /// Owner mark of everything that this state directory starts.
    pub(crate) identity: String,
    pub(crate) root: Option<Root>,
    enforcement: Enforcement,
    /// One call at a time per workload.
    pub(crate) turns: Turns,
    /// Held while ports and room are chosen and written down.
    pub(crate) planning: Mutex<()>,
    /// Workloads whose supervisor is being started: not running yet, but not broken either.
    pub(crate) starting: Mutex<BTreeSet<WorkloadId>>,
    /// Supervisors that we started, to be waited for when they end.
    pub(crate) supervisors: Mutex<Vec<Child>>,
    /// Held while we own the state directory.
    _lock: File,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("state_dir", &self.config.state_dir)
            .field("identity", &self.identity)
            .field("enforcement", &self.enforcement)
            .finish_non_exhaustive()
    }
}

impl LocalAdapter {
    /// Takes possession of the state directory, which is made when it is missing, and of everything that runs from it.
    ///
    /// # Errors
    /// Every setting that cannot be used; or that the directory cannot be used, e.g. because another process owns it.
    pub fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Self, Vec<ConfigError>> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let keeper = Keeper::open(config, clock).map_err(|problem| vec![problem])?;
        let capabilities = Capabilities {
            name: NAME.to_owned(),
            pause: true,
            persistent_storage: true,
            logs: true,
            exec: false,
            gpus: false,
            isolation: false,
        };
        Ok(Self {
            keeper: Arc::new(keeper),
            capabilities,
        })
    }

    /// What is really enforced on this host, and why the rest is not.
    #[must_use]
    pub fn enforcement(&self) -> &Enforcement {
        &self.keeper.enforcement
    }

    /// Runs `work` where it may block.
    async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Keeper) -> Outcome<T> + Send + 'static,
    ) -> AdapterResult<T> {
        let keeper = Arc::clone(&self.keeper);
        let outcome = tokio::task::spawn_blocking(move || {
            keeper.wait_for_supervisors();
            work(&keeper)
        })
        .await;
        let outcome = outcome.unwrap_or_else(|error| {
            let message = format!("the call broke off: {error}");
            Err(Failure::new(ErrorKind::Bug, Retry::Unknown, message))
        });
        outcome.map_err(|failure| failure.during(operation))
    }

    /// Runs `work` where it may block, while nobody else works on this workload.
    async fn call_in_turn<T: Send + 'static>(
        &self,
        operation: &'static str,
        id: &WorkloadId,
        work: impl FnOnce(&Keeper) -> Outcome<T> + Send + 'static,
    ) -> AdapterResult<T> {
        let turn = self.keeper.turns.take(id).await;
        // The turn goes with the work: it is not over when the caller stops waiting.
        self.call(operation, move |keeper| {
            let _turn = turn;
            work(keeper)
        })
        .await
    }
}

/// How long the process that owned the state directory before may take to let go of it.
const OWNER_PATIENCE: Duration = Duration::from_secs(2);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these mutexes guard is whole after every single change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let state_dir = &config.state_dir;
        let bad = |message: String| ConfigError {
            field: "state_dir".to_owned(),
            message: format!("{}: {message}", state_dir.display()),
        };
        layout::create_private_dir(&layout::workloads(state_dir)).map_err(|error| bad(error.to_string()))?;
        let lock =
            control::lock(&state_dir.join("lock"), OWNER_PATIENCE).map_err(|error| bad(error.to_string()))?;
        let lock = lock.ok_or_else(|| bad("is in use by another process".to_owned()))?;
        let identity = identity(&state_dir.join("identity")).map_err(|error| bad(error.to_string()))?;
        let (root, enforcement) = enforce(config.cgroup, &identity);
        if !enforcement.reason.is_empty() {
            tracing::info!(reason = %enforcement.reason, "not everything is enforced on this host");
        }
        let keeper = Self {
            clock,
            identity,
            root,
            enforcement,
            turns: Turns::default(),
            planning: Mutex::default(),
            starting: Mutex::default(),
            supervisors: Mutex::default(),
            _lock: lock,
            config,
        };
        keeper.remove_unborn();
        Ok(keeper)
    }

    /// Directories in which no intent was ever written hold nothing: the daemon died before its first word.
    fn remove_unborn(&self) {
        let Ok(entries) = fs::read_dir(layout::workloads(&self.config.state_dir)) else {
            return;
        };
        for entry in entries.flatten() {
            let dir = WorkloadDir::at(entry.path());
            if !dir.intent().exists() && !control::is_supervised(&dir) {
                let _ = layout::remove_tree(dir.path());
            }
        }
    }

    pub(crate) fn set_starting(&self, id: &WorkloadId, starting: bool) {
        let mut set = lock(&self.starting);
        if starting {
            set.insert(id.clone());
        } else {
            set.remove(id);
        }
    }

    pub(crate) fn is_starting(&self, id: &WorkloadId) -> bool {
        lock(&self.starting).contains(id)
    }

    /// Supervisors that ended are zombies until somebody waits.
    fn wait_for_supervisors(&self) {
        lock(&self.supervisors).retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    pub(crate) fn adopt(&self, supervisor: Child) {
        lock(&self.supervisors).push(supervisor);
    }

    pub(crate) fn dir(&self, id: &WorkloadId) -> WorkloadDir {
        WorkloadDir::of(&self.config.state_dir, id)
    }

    pub(crate) fn mark(&self, id: &WorkloadId) -> String {
        format!("{}/{id}", self.identity)
    }

    /// What was asked for; `None` when the workload is not there.
    pub(crate) fn intent(&self, id: &WorkloadId) -> Outcome<Option<Intent>> {
        let path = self.dir(id).intent();
        layout::load(&path).map_err(|error| Failure::io("read", &path, &error))
    }

    pub(crate) fn existing(&self, id: &WorkloadId) -> Outcome<Intent> {
        self.intent(id)?.ok_or_else(|| Failure::not_found(id))
    }

    /// The control group of a workload, as its intent says, or where it would be now.
    pub(crate) fn group(&self, id: &WorkloadId, intent: Option<&Intent>) -> Option<Group> {
        let path = match intent {
            Some(intent) => intent.cgroup.clone(),
            None => self.root.as_ref().map(|root| root.workload(id)),
        };
        path.map(|path| Group::existing(&path))
    }

    pub(crate) fn list(&self) -> Outcome<Vec<WorkloadId>> {
        let path = layout::workloads(&self.config.state_dir);
        let failed = |error: &io::Error| Failure::io("read", &path, error);
        let mut ids = Vec::new();
        for entry in fs::read_dir(&path).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            // What is not named like ours is not ours.
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let there = WorkloadDir::at(entry.path()).intent().exists();
            ids.extend(id.filter(|_| there));
        }
        ids.sort();
        Ok(ids)
    }
}

fn identity(path: &Path) -> io::Result<String> {
    if let Some(identity) = layout::load::<String>(path)? {
        return Ok(identity);
    }
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    let identity: String = random.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    layout::store(path, &identity, true)?;
    Ok(identity)
}

fn enforce(mode: CgroupMode, identity: &str) -> (Option<Root>, Enforcement) {
    let without = |reason: String| Enforcement {
        groups: false,
        cpu: false,
        memory: false,
        reason,
    };
    if mode == CgroupMode::Off {
        return (
            None,
            without("control groups are switched off (setting `cgroup`)".to_owned()),
        );
    }
    match Root::open(identity) {
        Ok(root) => {
            let missing: Vec<&str> = [("cpu", root.cpu), ("memory", root.memory)]
                .into_iter()
                .filter_map(|(name, there)| (!there).then_some(name))
                .collect();
            let reason = if missing.is_empty() {
                String::new()
            } else {
                format!(
                    "the host does not hand us the cgroup controllers: {}",
                    missing.join(", ")
                )
            };
            let enforcement = Enforcement {
                groups: true,
                cpu: root.cpu,
                memory: root.memory,
                reason,
            };
            (Some(root), enforcement)
        }
        Err(error) => (None, without(format!("control groups cannot be used: {error}"))),
    }
}

#[async_trait]
impl Adapter for LocalAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn inventory(&self) -> AdapterResult<Inventory> {
        self.call("inventory", Keeper::inventory).await
    }

    async fn deploy(&self, workload: &WorkloadSpec) -> AdapterResult<()> {
        let spec = workload.clone();
        self.call_in_turn("deploy", &workload.id, move |keeper| keeper.deploy(spec))
            .await
    }

    async fn observe(&self, id: &WorkloadId) -> AdapterResult<Observation> {
        let id = id.clone();
        self.call("observe", move |keeper| keeper.observe(&id)).await
    }

    async fn pause(&self, id: &WorkloadId) -> AdapterResult<()> {
        let of = id.clone();
        self.call_in_turn("pause", id, move |keeper| keeper.pause(&of))
            .await
    }

    async fn resume(&self, id: &WorkloadId) -> AdapterResult<()> {
        let of = id.clone();
        self.call_in_turn("resume", id, move |keeper| keeper.resume(&of))
            .await
    }

    async fn stop(&self, id: &WorkloadId) -> AdapterResult<()> {
        let of = id.clone();
        self.call_in_turn("stop", id, move |keeper| keeper.stop(&of))
            .await
    }

    async fn terminate(&self, id: &WorkloadId) -> AdapterResult<()> {
        let of = id.clone();
        self.call_in_turn("terminate", id, move |keeper| keeper.terminate(&of))
            .await
    }

    async fn usage(&self, id: &WorkloadId) -> AdapterResult<Counters> {
        let id = id.clone();
        self.call("usage", move |keeper| keeper.usage(&id)).await
    }

    async fn list(&self) -> AdapterResult<Vec<WorkloadId>> {
        self.call("list", Keeper::list).await
    }

    async fn logs(&self, id: &WorkloadId, query: &LogQuery) -> AdapterResult<Vec<LogLine>> {
        let (id, query) = (id.clone(), query.clone());
        self.call("logs", move |keeper| keeper.logs(&id, &query)).await
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(root) = &self.root {
            root.remove_if_empty();
        }
    }
}
