//! Workloads, clocks and patience.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{Adapter, Observation, Phase};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::workload::{
    ExposeSpec, Hooks, Protocol, RestartPolicy, ServiceKind, ServiceSpec, WorkloadSpec,
};

/// Longer than anything here may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_millis(since.as_millis().try_into().unwrap())
    }
}

#[derive(Debug)]
pub(crate) struct VirtualClock(AtomicI64);

impl VirtualClock {
    pub(crate) const fn new() -> Self {
        Self(AtomicI64::new(1_700_000_000_000))
    }

    pub(crate) fn pass(&self, time: Duration) {
        let millis: i64 = time.as_millis().try_into().unwrap();
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

pub(crate) fn service(name: &str, image: &str) -> ServiceSpec {
    ServiceSpec {
        name: name.to_owned(),
        image: image.to_owned(),
        kind: ServiceKind::Container,
        command: Vec::new(),
        args: Vec::new(),
        env: std::collections::BTreeMap::new(),
        count: 1,
        cpu_millis: 100,
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

pub(crate) fn exposed(port: u16) -> ExposeSpec {
    ExposeSpec {
        port,
        external_port: port,
        protocol: Protocol::Tcp,
        global: true,
        to_services: Vec::new(),
        hosts: Vec::new(),
        ip: None,
    }
}

/// The demo service, reachable.
pub(crate) fn web(name: &str) -> WorkloadSpec {
    let mut web = service("web", virtengine_adapters::local::DEMO_IMAGE);
    web.exposes = vec![exposed(80)];
    workload(name, vec![web])
}

pub(crate) fn workload(name: &str, services: Vec<ServiceSpec>) -> WorkloadSpec {
    WorkloadSpec {
        id: WorkloadId::local(name.as_bytes()),
        lease: None,
        services,
    }
}

/// Observes until `done`, and fails with what was seen last.
pub(crate) async fn observe_until(
    adapter: &dyn Adapter,
    id: &WorkloadId,
    done: impl Fn(&Observation) -> bool,
) -> Observation {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = adapter.observe(id).await.unwrap();
        if done(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "still {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn phase(adapter: &dyn Adapter, id: &WorkloadId, phase: Phase) -> Observation {
    observe_until(adapter, id, |seen| seen.phase == phase).await
}
