//! An adapter of one's own, and the proof that it keeps the promises of an adapter: a workload is a directory with a record in it.
//!
//! ```text
//! cargo run -p virtengine-adapters --features conformance --example third_party
//! ```
//!
//! In a test crate one writes `virtengine_adapters::conformance!(Directories);` beside `impl Open for Directories` and gets one test
//! for each rule.

use std::fs;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use virtengine_adapters::conformance::{Fixture, FixtureResult, Object, run_each};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{
    Adapter, AdapterError, AdapterResult, Capabilities, Counters, ErrorKind, Inventory, LogLine, LogQuery,
    Observation, Phase, Retry, ServiceObservation,
};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::{GIB, Resources};
use virtengine_provider_core::workload::{Hooks, RestartPolicy, ServiceKind, ServiceSpec, WorkloadSpec};

/// What there is to give.
const CAPACITY: Resources = Resources {
    cpu_millis: 4000,
    memory_bytes: 8 * GIB,
    storage_bytes: 64 * GIB,
    gpus: 0,
};

#[derive(Debug)]
struct DirectoryAdapter {
    root: PathBuf,
    capabilities: Capabilities,
}

/// What a directory says of its workload. `used_ms` is from before `running_since`.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    spec: WorkloadSpec,
    epoch: u64,
    running_since: Option<Timestamp>,
    used_ms: u64,
}

impl Record {
    fn used_ms(&self, now: Timestamp) -> u64 {
        let running = self.running_since.map_or(0, |since| now.since(since).as_millis());
        self.used_ms
            .saturating_add(u64::try_from(running).unwrap_or(u64::MAX))
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn error(operation: &'static str, kind: ErrorKind, message: impl Into<String>) -> AdapterError {
    let retry = match kind {
        ErrorKind::Unavailable | ErrorKind::Exhausted => Retry::Later,
        _ => Retry::Never,
    };
    AdapterError {
        kind,
        retry,
        adapter: "directories",
        operation,
        message: message.into(),
    }
}

impl DirectoryAdapter {
    fn open(root: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(root)?;
        let capabilities = Capabilities {
            name: "directories".to_owned(),
            pause: false,
            persistent_storage: false,
            logs: false,
            exec: false,
            gpus: false,
            isolation: false,
        };
        Ok(Self {
            root: root.to_owned(),
            capabilities,
        })
    }

    fn load(&self, call: &'static str, id: &WorkloadId) -> AdapterResult<Option<Record>> {
        match fs::read(self.root.join(id.as_str()).join("record.json")) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|why| error(call, ErrorKind::Bug, format!("the record of {id}: {why}"))),
            Err(why) if why.kind() == NotFound => Ok(None),
            Err(why) => Err(error(
                call,
                ErrorKind::Unavailable,
                format!("the record of {id}: {why}"),
            )),
        }
    }

    fn found(&self, call: &'static str, id: &WorkloadId) -> AdapterResult<Record> {
        let missing = || error(call, ErrorKind::NotFound, format!("there is no workload {id}"));
        self.load(call, id)?.ok_or_else(missing)
    }

    /// The old record or the new one, whatever happens midway.
    fn store(&self, call: &'static str, record: &Record) -> AdapterResult<()> {
        let dir = self.root.join(record.spec.id.as_str());
        let write = || {
            fs::create_dir_all(&dir)?;
            fs::write(dir.join("record.new"), serde_json::to_vec(record)?)?;
            fs::rename(dir.join("record.new"), dir.join("record.json"))
        };
        write().map_err(|why| error(call, ErrorKind::Unavailable, format!("{}: {why}", dir.display())))
    }

    fn refuse(&self, spec: &WorkloadSpec) -> AdapterResult<()> {
        let refuse = |kind, what: &str| Err(error("deploy", kind, format!("workload {}: {what}", spec.id)));
        if spec.services.iter().any(|service| service.gpus > 0) {
            return refuse(ErrorKind::Unsupported, "there are no gpus");
        }
        let mut volumes = spec.services.iter().flat_map(|service| &service.volumes);
        if volumes.any(|volume| volume.persistent) {
            return refuse(ErrorKind::Unsupported, "nothing is kept over a stop");
        }
        match spec.total() {
            Ok(total) if total.fits_in(&CAPACITY) => Ok(()),
            Ok(_) => refuse(ErrorKind::Exhausted, "it does not fit"),
            Err(overflow) => refuse(ErrorKind::Invalid, &overflow.to_string()),
        }
    }
}

#[async_trait]
impl Adapter for DirectoryAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn inventory(&self) -> AdapterResult<Inventory> {
        Ok(Inventory {
            capacity: CAPACITY,
            foreign_use: Resources::ZERO,
        })
    }

    async fn deploy(&self, spec: &WorkloadSpec) -> AdapterResult<()> {
        self.refuse(spec)?;
        let now = now();
        let mut record = self.load("deploy", &spec.id)?.unwrap_or_else(|| Record {
            spec: spec.clone(),
            epoch: u64::try_from(now.as_millis()).unwrap_or(0),
            running_since: None,
            used_ms: 0,
        });
        record.spec = spec.clone();
        record.running_since.get_or_insert(now);
        self.store("deploy", &record)
    }

    async fn observe(&self, id: &WorkloadId) -> AdapterResult<Observation> {
        let record = self.load("observe", id)?;
        let phase = match &record {
            None => Phase::Gone,
            Some(record) if record.running_since.is_some() => Phase::Running,
            Some(_) => Phase::Stopped,
        };
        let services = record.iter().flat_map(|record| &record.spec.services);
        let services = services.map(|service| ServiceObservation {
            name: service.name.clone(),
            wanted: service.count,
            ready: if phase == Phase::Running { service.count } else { 0 },
            restarts: 0,
            message: String::new(),
        });
        let services = services.collect();
        Ok(Observation {
            at: now(),
            phase,
            message: String::new(),
            services,
            endpoints: Vec::new(),
        })
    }

    async fn pause(&self, _: &WorkloadId) -> AdapterResult<()> {
        Err(error("pause", ErrorKind::Unsupported, "nothing can be paused"))
    }

    async fn resume(&self, _: &WorkloadId) -> AdapterResult<()> {
        Err(error("resume", ErrorKind::Unsupported, "nothing can be paused"))
    }

    async fn stop(&self, id: &WorkloadId) -> AdapterResult<()> {
        let mut record = self.found("stop", id)?;
        record.used_ms = record.used_ms(now());
        record.running_since = None;
        self.store("stop", &record)
    }

    async fn terminate(&self, id: &WorkloadId) -> AdapterResult<()> {
        match fs::remove_dir_all(self.root.join(id.as_str())) {
            Err(why) if why.kind() != NotFound => Err(error(
                "terminate",
                ErrorKind::Unavailable,
                format!("the directory of {id}: {why}"),
            )),
            _ => Ok(()),
        }
    }

    async fn usage(&self, id: &WorkloadId) -> AdapterResult<Counters> {
        let (record, at) = (self.found("usage", id)?, now());
        let cpu_milli_seconds = record.used_ms(at);
        Ok(Counters {
            at,
            epoch: record.epoch,
            cpu_milli_seconds,
            ..Counters::default()
        })
    }

    async fn list(&self) -> AdapterResult<Vec<WorkloadId>> {
        let entries = fs::read_dir(&self.root).map_err(|why| {
            error(
                "list",
                ErrorKind::Unavailable,
                format!("{}: {why}", self.root.display()),
            )
        })?;
        let names = entries.flatten().map(|entry| entry.file_name());
        Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    async fn logs(&self, _: &WorkloadId, _: &LogQuery) -> AdapterResult<Vec<LogLine>> {
        Err(error("logs", ErrorKind::Unsupported, "nothing is logged"))
    }
}

/// How the kit reaches the back end.
struct Directories {
    root: PathBuf,
}

#[async_trait]
impl Fixture for Directories {
    fn name(&self) -> String {
        "directories".to_owned()
    }

    async fn adapter(&self) -> FixtureResult<Box<dyn Adapter>> {
        Ok(Box::new(DirectoryAdapter::open(&self.root)?))
    }

    fn spec(&self, id: WorkloadId) -> WorkloadSpec {
        let service = ServiceSpec {
            name: "main".to_owned(),
            image: "none".to_owned(),
            kind: ServiceKind::Container,
            command: Vec::new(),
            args: Vec::new(),
            env: std::collections::BTreeMap::new(),
            count: 1,
            cpu_millis: 100,
            memory_bytes: GIB,
            gpus: 0,
            gpu_models: Vec::new(),
            volumes: Vec::new(),
            exposes: Vec::new(),
            restart: RestartPolicy::Always,
            health: None,
            hooks: Hooks::default(),
            credentials: None,
        };
        WorkloadSpec {
            id,
            lease: None,
            services: vec![service],
        }
    }

    async fn exists(&self) -> FixtureResult<Vec<Object>> {
        let entries = fs::read_dir(&self.root)?.collect::<Result<Vec<_>, _>>()?;
        let words = |name: std::ffi::OsString| format!("directory {}", name.to_string_lossy());
        Ok(entries
            .into_iter()
            .map(|entry| Object::new(words(entry.file_name()), ""))
            .collect())
    }

    fn measurable(&self) -> std::time::Duration {
        std::time::Duration::from_millis(100)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let root = std::env::temp_dir().join(format!("virtengine-third-party-{}", std::process::id()));
    let fixture = Directories { root: root.clone() };
    let report = run_each(&fixture, |rule| println!("{rule}")).await;
    println!("{}", report.summary());
    let removed = fs::remove_dir_all(&root);
    match (report.is_passed(), removed) {
        (true, Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
