//! A state directory of its own per test; whatever a test starts ends with it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};
use virtengine_adapters::local::{CgroupMode, Config, ImageCommand, LocalAdapter};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{Adapter, LogQuery, Phase, WorkloadEndpoint};
use virtengine_provider_core::workload::{ServiceSpec, WorkloadSpec};

use crate::conformance::Fixture;
use crate::support::{self, SystemClock};

pub(crate) struct Local {
    pub(crate) config: Config,
    adapter: Option<LocalAdapter>,
    dir: tempfile::TempDir,
}

/// The supervisor's program of this crate.
const SHIM: &str = env!("CARGO_BIN_EXE_virtengine-local-shim");

pub(crate) fn config(state_dir: &Path, cgroup: CgroupMode) -> Config {
    let mut config = Config {
        supervisor: vec![SHIM.to_owned(), "local-shim".to_owned()],
        tenant_commands: true,
        stop_grace_ms: 1500,
        startup_grace_ms: 50,
        restart_delay_ms: 50,
        restart_delay_ms_max: 200,
        sample_ms: 100,
        checkpoint_ms: 500,
        cgroup,
        ..Config::new(state_dir)
    };
    config.images.push(image("sh", &["sh"]));
    config
        .images
        .push(image("demo-idle", &["{self}", "demo-service", "--idle"]));
    config
}

pub(crate) fn image(name: &str, command: &[&str]) -> ImageCommand {
    ImageCommand {
        image: name.to_owned(),
        command: command.iter().map(|&word| word.to_owned()).collect(),
        args: Vec::new(),
        env: std::collections::BTreeMap::new(),
    }
}

/// A service that runs a shell script.
pub(crate) fn script(name: &str, text: &str) -> ServiceSpec {
    let mut service = support::service(name, "sh");
    service.args = vec!["-c".to_owned(), text.to_owned()];
    service
}

impl Local {
    pub(crate) fn new(cgroup: CgroupMode) -> Self {
        Self::with(cgroup, |_| {})
    }

    pub(crate) fn with(cgroup: CgroupMode, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(&dir.path().join("state"), cgroup);
        change(&mut config);
        let adapter = LocalAdapter::open(config.clone(), Arc::new(SystemClock)).unwrap();
        if cgroup == CgroupMode::Auto {
            super::groups::check(&adapter);
        }
        Self {
            config,
            adapter: Some(adapter),
            dir,
        }
    }

    pub(crate) fn local(&self) -> &LocalAdapter {
        self.adapter.as_ref().unwrap()
    }

    /// A directory beside the state directory.
    pub(crate) fn outside(&self) -> &Path {
        self.dir.path()
    }

    /// Lets go of the state directory.
    pub(crate) fn close(&mut self) {
        self.adapter = None;
    }

    pub(crate) fn open(&mut self) {
        self.adapter = Some(LocalAdapter::open(self.config.clone(), Arc::new(SystemClock)).unwrap());
    }

    pub(crate) fn workload_dir(&self, id: &WorkloadId) -> PathBuf {
        self.config.state_dir.join("workloads").join(id.as_str())
    }

    /// Numbers of everything that carries our mark: the supervisors and what they started.
    pub(crate) fn processes(&self) -> Vec<i32> {
        processes_marked(&self.mark())
    }

    fn mark(&self) -> String {
        let identity = fs::read_to_string(self.config.state_dir.join("identity")).unwrap_or_default();
        let identity = identity.trim_matches('"');
        assert_eq!(identity.len(), 16, "the mark must not match everybody");
        format!("VE_OWNER_MARK={identity}/")
    }

    /// The number of the supervisor of a workload.
    pub(crate) fn supervisor(&self, id: &WorkloadId) -> i32 {
        let mark = format!("{}{id}\0", self.mark());
        let found: Vec<i32> = processes_marked(&mark);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0]
    }

    /// The number of the main process of the first replica, as the supervisor recorded it.
    pub(crate) fn main_process(&self, id: &WorkloadId) -> Option<i32> {
        let status = fs::read_to_string(self.workload_dir(id).join("status.json")).ok()?;
        let status: serde_json::Value = serde_json::from_str(&status).ok()?;
        status["replicas"][0]["process"]["pid"].as_i64()?.try_into().ok()
    }

    pub(crate) async fn deploy(&self, spec: &WorkloadSpec) {
        self.local().deploy(spec).await.unwrap();
    }

    pub(crate) async fn running(&self, spec: &WorkloadSpec) -> Vec<WorkloadEndpoint> {
        self.deploy(spec).await;
        support::phase(self.local(), &spec.id, Phase::Running)
            .await
            .endpoints
    }

    pub(crate) async fn log(&self, id: &WorkloadId) -> Vec<String> {
        let lines = self.local().logs(id, &LogQuery::default()).await.unwrap();
        lines.into_iter().map(|line| line.text).collect()
    }

    pub(crate) async fn end(&self, id: &WorkloadId) {
        self.local().terminate(id).await.unwrap();
        assert_eq!(self.processes(), Vec::<i32>::new());
        assert_eq!(self.local().list().await.unwrap(), []);
        assert!(!self.workload_dir(id).exists());
    }
}

fn processes_marked(mark: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let ours = environment
            .windows(mark.len())
            .any(|window| window == mark.as_bytes());
        if ours && is_alive(pid) {
            found.push(pid);
        }
    }
    found
}

pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub(crate) fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Everything that the endpoint answers.
pub(crate) fn get(endpoint: &WorkloadEndpoint, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((endpoint.host.as_str(), endpoint.external_port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(request(path).as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

pub(crate) fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")
}

#[async_trait]
impl Fixture for Local {
    fn adapter(&self) -> &dyn Adapter {
        self.local()
    }

    fn spec(&self, name: &str) -> WorkloadSpec {
        support::web(name)
    }

    fn restart(&mut self) {
        self.close();
        self.open();
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn kill_a_replica(&self, id: &WorkloadId) {
        let pid = loop {
            if let Some(pid) = self.main_process(id).filter(|pid| is_alive(*pid)) {
                break pid;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        kill(pid, Signal::KILL);
    }

    fn really_there(&self) -> usize {
        self.processes().len()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // A test that failed half-way: end what carries our own mark, the supervisors first.
        self.adapter = None;
        for _ in 0..100 {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for pid in left {
                if let Some(pid) = Pid::from_raw(pid) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        remove_groups(&self.mark());
    }
}

/// Groups that a failed test left; they hold no process any more.
fn remove_groups(mark: &str) {
    let identity = mark.trim_start_matches("VE_OWNER_MARK=").trim_end_matches('/');
    for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
        remove_empty(&Path::new(root).join(format!("virtengine-{identity}")));
    }
}

fn remove_empty(group: &Path) {
    let Ok(entries) = fs::read_dir(group) else {
        return;
    };
    for entry in entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
    {
        remove_empty(&entry.path());
    }
    let _ = fs::remove_dir(group);
}
