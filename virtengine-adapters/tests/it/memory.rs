//! The back end in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use virtengine_adapters::memory::{Config, Fault, MemoryAdapter, MemoryBackend, Operation, Rates};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{Adapter, AdapterResult, ErrorKind, LogQuery, Phase, Retry};
use virtengine_provider_core::workload::WorkloadSpec;

use crate::conformance::{Fixture, conformance};
use crate::support::{VirtualClock, web};

struct Memory {
    clock: Arc<VirtualClock>,
    backend: MemoryBackend,
    adapter: MemoryAdapter,
}

impl Memory {
    fn new(config: Config) -> Self {
        let clock = Arc::new(VirtualClock::new());
        let adapter = MemoryAdapter::new(config, clock.clone());
        Self {
            clock,
            backend: adapter.backend().clone(),
            adapter,
        }
    }

    fn slow() -> Self {
        Self::new(Config {
            start_delay_ms: 400,
            ..Config::default()
        })
    }
}

#[async_trait]
impl Fixture for Memory {
    fn adapter(&self) -> &dyn Adapter {
        &self.adapter
    }

    fn spec(&self, name: &str) -> WorkloadSpec {
        web(name)
    }

    fn restart(&mut self) {
        self.adapter = MemoryAdapter::attach(self.backend.clone());
    }

    async fn pass(&self, time: Duration) {
        self.clock.pass(time);
    }

    async fn kill_a_replica(&self, id: &WorkloadId) {
        self.backend.crash(id, "web", 137);
        self.backend.restore(id, "web");
    }

    fn really_there(&self) -> usize {
        self.backend.workloads().len()
    }
}

mod rules {
    use super::*;
    conformance!(Some(Memory::slow()));
}

#[tokio::test]
async fn a_start_takes_as_long_as_scripted() {
    let memory = Memory::slow();
    let spec = web("slow");
    memory.adapter.deploy(&spec).await.unwrap();
    assert_eq!(
        memory.adapter.observe(&spec.id).await.unwrap().phase,
        Phase::Starting
    );
    memory.clock.pass(Duration::from_millis(399));
    assert_eq!(
        memory.adapter.observe(&spec.id).await.unwrap().phase,
        Phase::Starting
    );
    memory.clock.pass(Duration::from_millis(1));
    let seen = memory.adapter.observe(&spec.id).await.unwrap();
    assert_eq!((seen.phase, seen.endpoints.len()), (Phase::Running, 1));
}

#[tokio::test]
async fn a_crashed_service_fails_the_workload_until_it_is_deployed_again() {
    let memory = Memory::new(Config::default());
    let spec = web("crash");
    memory.adapter.deploy(&spec).await.unwrap();
    assert!(memory.backend.crash(&spec.id, "web", 3));
    assert!(!memory.backend.crash(&spec.id, "nobody", 3));
    let seen = memory.adapter.observe(&spec.id).await.unwrap();
    assert_eq!(seen.phase, Phase::Failed);
    assert!(seen.message.contains("web") && seen.message.contains("exit code 3"));
    memory.adapter.deploy(&spec).await.unwrap();
    assert_eq!(
        memory.adapter.observe(&spec.id).await.unwrap().phase,
        Phase::Running
    );
}

#[tokio::test]
async fn what_the_back_end_does_not_say_is_unknown() {
    let memory = Memory::new(Config::default());
    let spec = web("mute");
    memory.adapter.deploy(&spec).await.unwrap();
    memory.backend.set_unknown(&spec.id, true);
    let seen = memory.adapter.observe(&spec.id).await.unwrap();
    assert_eq!((seen.phase, seen.services.len()), (Phase::Unknown, 0));
    memory.backend.clear_faults();
    assert_eq!(
        memory.adapter.observe(&spec.id).await.unwrap().phase,
        Phase::Running
    );
}

#[tokio::test]
async fn faults_hit_the_calls_they_were_meant_for() {
    let memory = Memory::new(Config::default());
    let (adapter, backend) = (&memory.adapter, &memory.backend);
    backend.fail_kth_call(2, Fault::unavailable());
    backend.fail_next(Operation::List, 1, Fault::of_kind(ErrorKind::RateLimited));
    assert!(adapter.inventory().await.is_ok());
    assert_eq!(
        adapter.inventory().await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
    let limited = adapter.list().await.unwrap_err();
    assert_eq!(
        (limited.kind, limited.retry, limited.operation),
        (ErrorKind::RateLimited, Retry::Later, "list")
    );
    assert!(adapter.list().await.is_ok());
    backend.fail_always(Operation::Inventory, Fault::of_kind(ErrorKind::Denied));
    backend.black_out(Fault::unavailable());
    assert_eq!(adapter.inventory().await.unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(adapter.list().await.unwrap_err().kind, ErrorKind::Unavailable);
    backend.clear_faults();
    assert!(adapter.list().await.is_ok() && adapter.inventory().await.is_ok());
    assert_eq!((backend.calls(), backend.calls_of(Operation::List)), (8, 4));
}

#[tokio::test]
async fn a_lost_answer_took_effect_all_the_same() {
    let memory = Memory::new(Config::default());
    let spec = web("lost");
    memory
        .backend
        .fail_next(Operation::Deploy, 1, Fault::lost_answer());
    let lost = memory.adapter.deploy(&spec).await.unwrap_err();
    assert_eq!(lost.retry, Retry::Unknown);
    assert_eq!(memory.adapter.list().await.unwrap(), [spec.id]);
}

/// One life of a workload, each step until it works.
async fn live(adapter: &MemoryAdapter, spec: &WorkloadSpec) {
    async fn insist<T, F: Future<Output = AdapterResult<T>>>(step: impl Fn() -> F) {
        for _ in 0..3 {
            if step().await.is_ok() {
                return;
            }
        }
        panic!("one fault is over after one call");
    }
    let id = &spec.id;
    insist(|| adapter.inventory()).await;
    insist(|| adapter.deploy(spec)).await;
    insist(|| adapter.observe(id)).await;
    insist(|| adapter.pause(id)).await;
    insist(|| adapter.resume(id)).await;
    insist(|| adapter.usage(id)).await;
    insist(|| adapter.stop(id)).await;
    insist(|| adapter.deploy(spec)).await;
    let query = LogQuery::default();
    insist(|| adapter.logs(id, &query)).await;
    insist(|| adapter.list()).await;
    insist(|| adapter.terminate(id)).await;
}

#[tokio::test]
async fn whichever_call_fails_nothing_is_left_in_the_end() {
    for fault in [
        Fault::unavailable(),
        Fault::lost_answer(),
        Fault::of_kind(ErrorKind::RateLimited),
    ] {
        for k in 1..=11 {
            let memory = Memory::new(Config::default());
            memory.backend.fail_kth_call(k, fault.clone());
            live(&memory.adapter, &web("k")).await;
            assert_eq!(memory.backend.calls(), 12, "call {k} was not repeated");
            assert!(memory.backend.workloads().is_empty());
        }
    }
}

#[tokio::test]
async fn undeclared_pause_and_logs_are_refused() {
    let mut config = Config::default();
    config.capabilities.pause = false;
    config.capabilities.logs = false;
    config.capabilities.gpus = false;
    let memory = Memory::new(config);
    let mut spec = web("less");
    memory.adapter.deploy(&spec).await.unwrap();
    let calls = memory.backend.calls();
    let refused = [
        memory.adapter.pause(&spec.id).await.unwrap_err(),
        memory.adapter.resume(&spec.id).await.unwrap_err(),
        memory
            .adapter
            .logs(&spec.id, &LogQuery::default())
            .await
            .unwrap_err(),
        {
            spec.services[0].gpus = 1;
            memory.adapter.deploy(&spec).await.unwrap_err()
        },
    ];
    assert!(refused.iter().all(|error| error.kind == ErrorKind::Unsupported));
    assert_eq!(memory.backend.calls(), calls, "the back end never heard of it");
}

#[tokio::test]
async fn counters_follow_rates_and_time_exactly() {
    let memory = Memory::new(Config {
        rates: Rates {
            cpu_permille: 250,
            memory_permille: 500,
            storage_permille: 1000,
            network_in_per_second: 7,
            network_out_per_second: 11,
        },
        ..Config::default()
    });
    let mut spec = web("rates");
    spec.services[0].cpu_millis = 2000;
    spec.services[0].memory_bytes = 1000;
    spec.services[0].gpus = 2;
    memory.adapter.deploy(&spec).await.unwrap();
    memory.clock.pass(Duration::from_secs(10));
    let used = memory.adapter.usage(&spec.id).await.unwrap();
    assert_eq!((used.cpu_milli_seconds, used.memory_byte_seconds), (5_000, 5_000));
    assert_eq!(
        (used.network_bytes_in, used.network_bytes_out, used.gpu_seconds),
        (70, 110, 20)
    );
    memory.adapter.pause(&spec.id).await.unwrap();
    memory.clock.pass(Duration::from_secs(10));
    let paused = memory.adapter.usage(&spec.id).await.unwrap();
    assert_eq!((paused.cpu_milli_seconds, paused.gpu_seconds), (5_000, 20));
    memory.backend.reset_counters(&spec.id);
    let reset = memory.adapter.usage(&spec.id).await.unwrap();
    assert!(reset.epoch > used.epoch && reset.cpu_milli_seconds == 0);
}

proptest! {
    #[test]
    fn usage_does_not_depend_on_how_often_it_is_read(spans in prop::collection::vec(1_u64..5_000, 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (often, once) = (Memory::new(Config::default()), Memory::new(Config::default()));
            let mut spec = web("same");
            spec.services[0].cpu_millis = 333;
            often.adapter.deploy(&spec).await.unwrap();
            once.adapter.deploy(&spec).await.unwrap();
            for span in spans {
                let span = Duration::from_millis(span);
                often.clock.pass(span);
                once.clock.pass(span);
                often.adapter.usage(&spec.id).await.unwrap();
            }
            let (a, b) = (often.adapter.usage(&spec.id).await, once.adapter.usage(&spec.id).await);
            assert_eq!(a.unwrap(), b.unwrap());
        });
    }
}

#[tokio::test]
async fn the_adapter_never_gives_more_than_there_is() {
    let memory = Memory::new(Config::default());
    let spec = |name: &str, cores: u64| {
        let mut spec = web(name);
        spec.services[0].cpu_millis = cores * 1000;
        spec
    };
    memory.adapter.deploy(&spec("a", 40)).await.unwrap();
    assert_eq!(
        memory.adapter.deploy(&spec("b", 25)).await.unwrap_err().kind,
        ErrorKind::Exhausted
    );
    // The same workload in another size frees what it held.
    memory.adapter.deploy(&spec("a", 64)).await.unwrap();
    memory.adapter.deploy(&spec("a", 1)).await.unwrap();
    memory.adapter.deploy(&spec("b", 63)).await.unwrap();
    let mut less = memory.adapter.inventory().await.unwrap().capacity;
    less.cpu_millis = 10_000;
    memory.backend.set_foreign_use(less);
    assert_eq!(
        memory.adapter.deploy(&spec("c", 1)).await.unwrap_err().kind,
        ErrorKind::Exhausted
    );
    assert!(memory.backend.vanish(&spec("a", 1).id));
    assert_eq!(
        memory.adapter.observe(&spec("a", 1).id).await.unwrap().phase,
        Phase::Gone
    );
}
