//! A cluster, a tenant, and how to wait for something.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, ResourceExt};
use tokio::sync::RwLock;
use virtengine_adapters::kubernetes::{Config, KubernetesAdapter};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{Adapter, LogQuery, Observation, Phase};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::workload::{
    ExposeSpec, Hooks, Protocol, RestartPolicy, ServiceKind, ServiceSpec, VolumeSpec, WorkloadSpec,
};

/// Held by whoever needs the cluster whole; whoever breaks it holds it alone.
pub(crate) static CLUSTER: RwLock<()> = RwLock::const_new(());

#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
    }
}

/// Where the cluster is; `None` means that the test is skipped, which CI does not allow.
pub(crate) fn kubeconfig() -> Option<PathBuf> {
    let found = std::env::var_os("VE_TEST_KUBECONFIG").map(PathBuf::from);
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "VE_TEST_KUBECONFIG is not set: run peers/kubernetes/up.sh"
        );
        println!("SKIPPED: VE_TEST_KUBECONFIG is not set: run peers/kubernetes/up.sh");
    }
    found
}

/// One provider in the cluster.
pub(crate) struct Provider {
    pub(crate) adapter: KubernetesAdapter,
    pub(crate) config: Config,
    pub(crate) client: Client,
}

impl Provider {
    pub(crate) async fn connect(kubeconfig: PathBuf, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(format!("test-{}", std::process::id()));
        config.kubeconfig = Some(kubeconfig);
        "vt-".clone_into(&mut config.namespace_prefix);
        config.patience = Duration::from_secs(8);
        config.stop_grace = Duration::from_secs(2);
        config.sample_every = Duration::from_secs(5);
        config.pods_per_workload_max = 5;
        change(&mut config);
        let adapter = KubernetesAdapter::connect(config.clone(), Arc::new(SystemClock))
            .await
            .unwrap();
        let access = kube::config::Kubeconfig::read_from(config.kubeconfig.as_ref().unwrap()).unwrap();
        let access =
            kube::Config::from_custom_kubeconfig(access, &kube::config::KubeConfigOptions::default()).await;
        let client = Client::try_from(access.unwrap()).unwrap();
        Self {
            adapter,
            config,
            client,
        }
    }

    pub(crate) fn namespace(&self, id: &WorkloadId) -> String {
        format!("{}{id}", self.config.namespace_prefix)
    }

    pub(crate) async fn has_namespace(&self, id: &WorkloadId) -> bool {
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.get_opt(&self.namespace(id)).await.unwrap().is_some()
    }

    /// Waits for the phase; another end than that is told at once.
    pub(crate) async fn until(&self, id: &WorkloadId, phase: Phase) -> Observation {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let seen = self.adapter.observe(id).await.unwrap();
            if seen.phase == phase {
                return seen;
            }
            assert!(
                phase == Phase::Failed || seen.phase != Phase::Failed,
                "not {phase:?}: {seen:?}"
            );
            assert!(Instant::now() < deadline, "not {phase:?} in time: {seen:?}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    pub(crate) async fn running(&self, spec: &WorkloadSpec) -> Observation {
        self.adapter.deploy(spec).await.unwrap();
        self.until(&spec.id, Phase::Running).await
    }

    /// Everything that the services have written, when `marks` is among it.
    pub(crate) async fn log_with(&self, id: &WorkloadId, mark: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let lines = self.adapter.logs(id, &LogQuery::default()).await.unwrap();
            let text: String = lines.iter().map(|line| format!("{}\n", line.text)).collect();
            if text.contains(mark) {
                return text;
            }
            assert!(Instant::now() < deadline, "never {mark:?} in {text:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Runs a test with a provider of its own, while the cluster is whole. What an earlier run left is removed.
pub(crate) async fn with_provider<F>(change: impl FnOnce(&mut Config), test: impl FnOnce(Provider) -> F)
where
    F: Future<Output = ()>,
{
    let Some(kubeconfig) = kubeconfig() else {
        return;
    };
    let _whole = CLUSTER.read().await;
    let provider = Provider::connect(kubeconfig, change).await;
    sweep(&provider.client).await;
    test(provider).await;
}

/// Removes namespaces of test runs that are over.
async fn sweep(client: &Client) {
    let api: Api<Namespace> = Api::all(client.clone());
    let params = ListParams::default().labels("app.kubernetes.io/managed-by=virtengine");
    for namespace in api.list(&params).await.unwrap() {
        let owner = namespace
            .annotations()
            .get("virtengine.com/owner-text")
            .cloned()
            .unwrap_or_default();
        let over = owner
            .strip_prefix("test-")
            .is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists());
        if over {
            let _ = api
                .delete(&namespace.name_any(), &DeleteParams::background())
                .await;
        }
    }
}

pub(crate) fn id(name: &str) -> WorkloadId {
    format!("{name}-{}", std::process::id()).parse().unwrap()
}

pub(crate) fn workload(name: &str, services: Vec<ServiceSpec>) -> WorkloadSpec {
    WorkloadSpec {
        id: id(name),
        lease: None,
        services,
    }
}

pub(crate) fn service(name: &str, image: &str) -> ServiceSpec {
    ServiceSpec {
        name: name.to_owned(),
        image: image.to_owned(),
        kind: ServiceKind::Container,
        command: Vec::new(),
        args: Vec::new(),
        env: BTreeMap::new(),
        count: 1,
        cpu_millis: 50,
        memory_bytes: 64 << 20,
        gpus: 0,
        gpu_models: Vec::new(),
        volumes: Vec::new(),
        exposes: Vec::new(),
        restart: RestartPolicy::Always,
        health: None,
        hooks: Hooks::default(),
        credentials: None,
    }
}

pub(crate) fn shell(name: &str, script: &str) -> ServiceSpec {
    ServiceSpec {
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        ..service(name, "busybox:1.35")
    }
}

pub(crate) fn expose(port: u16, global: bool) -> ExposeSpec {
    ExposeSpec {
        port,
        external_port: port,
        protocol: Protocol::Tcp,
        global,
        to_services: Vec::new(),
        hosts: Vec::new(),
        ip: None,
    }
}

pub(crate) fn nginx(name: &str, count: u32, global: bool) -> ServiceSpec {
    ServiceSpec {
        count,
        exposes: vec![expose(80, global)],
        ..service(name, "nginx:1.22")
    }
}

pub(crate) fn volume(name: &str, class: Option<&str>) -> VolumeSpec {
    VolumeSpec {
        name: name.to_owned(),
        bytes: 16 << 20,
        mount: Some("/data".to_owned()),
        persistent: true,
        class: class.map(str::to_owned),
        read_only: false,
    }
}

/// Asks for `/` like a stranger on the network.
pub(crate) fn http_get(host: &str, port: u16) -> Option<String> {
    let address = format!("{host}:{port}").parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
