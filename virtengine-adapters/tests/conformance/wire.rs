//! The back end in memory at the other end of a wire on which calls take time, get lost, are cut off and come late: what a back end
//! over a network is like. Its adapter keeps every rule; one that takes a late answer for success does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use virtengine_adapters::conformance::fixtures::MemoryFixture;
use virtengine_adapters::conformance::{
    Data, Fault, Faults, Fixture, FixtureResult, Foreign, Kill, Object, Open, Opened, Outcome, Part, Reset,
    Vanish, run_all,
};
use virtengine_adapters::memory::MemoryAdapter;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{
    Adapter, AdapterError, AdapterResult, Capabilities, Counters, ErrorKind, Inventory, LogLine, LogQuery,
    Observation, Retry,
};
use virtengine_provider_core::workload::WorkloadSpec;

/// The adapter's own limit for one call.
const LIMIT: Duration = Duration::from_millis(250);

/// Where calls go wrong.
#[derive(Debug, Default)]
struct Wire {
    calls: AtomicU64,
    /// Which call, counted from the first ever, and how.
    armed: Mutex<Option<(u64, Fault)>>,
    struck: AtomicU64,
}

impl Wire {
    /// Sends one call, in which several things happen one after the other.
    async fn send<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = AdapterResult<T>> + Send,
    ) -> AdapterResult<T> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let armed = *self.armed.lock().unwrap();
        let fault = armed.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        if fault.is_some() {
            self.struck.fetch_add(1, Ordering::SeqCst);
        }
        let fail = |kind, retry, message: &str| {
            Err(AdapterError {
                kind,
                retry,
                adapter: "memory",
                operation,
                message: message.to_owned(),
            })
        };
        // On its way there.
        tokio::task::yield_now().await;
        match fault {
            Some(Fault::Unavailable) => return fail(ErrorKind::Unavailable, Retry::Later, "503"),
            Some(Fault::Denied) => return fail(ErrorKind::Denied, Retry::Later, "403"),
            Some(Fault::RateLimited) => return fail(ErrorKind::RateLimited, Retry::Later, "429"),
            // Whether it arrived is left to chance, here to the number of the call.
            Some(Fault::Cut) if number.is_multiple_of(2) => {
                return fail(ErrorKind::Unavailable, Retry::Unknown, "the connection was cut");
            }
            _ => {}
        }
        let answer = work.await;
        if fault == Some(Fault::Delayed) {
            tokio::time::sleep(LIMIT * 2).await;
        }
        // On its way back.
        tokio::task::yield_now().await;
        match fault {
            Some(Fault::Cut) => fail(ErrorKind::Unavailable, Retry::Unknown, "the connection was cut"),
            Some(Fault::LostAnswer) => fail(ErrorKind::Unavailable, Retry::Unknown, "no answer"),
            _ => answer,
        }
    }
}

impl Faults for Wire {
    fn kinds(&self) -> &[Fault] {
        &[
            Fault::Unavailable,
            Fault::LostAnswer,
            Fault::Cut,
            Fault::Delayed,
            Fault::Denied,
            Fault::RateLimited,
        ]
    }

    fn arm(&self, k: u64, fault: Fault) {
        self.struck.store(0, Ordering::SeqCst);
        let at = self.calls.load(Ordering::SeqCst) + k;
        *self.armed.lock().unwrap() = Some((at, fault));
    }

    fn disarm(&self) -> bool {
        *self.armed.lock().unwrap() = None;
        self.struck.load(Ordering::SeqCst) > 0
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct WiredAdapter {
    inner: MemoryAdapter,
    wire: Arc<Wire>,
    is_hasty: bool,
}

impl WiredAdapter {
    async fn call<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = AdapterResult<T>> + Send,
    ) -> AdapterResult<T> {
        let answer = tokio::time::timeout(LIMIT, self.wire.send(operation, work)).await;
        answer.unwrap_or_else(|_| {
            Err(AdapterError {
                kind: ErrorKind::Unavailable,
                retry: Retry::Unknown,
                adapter: "memory",
                operation,
                message: "no answer in time".to_owned(),
            })
        })
    }
}

#[async_trait]
impl Adapter for WiredAdapter {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn inventory(&self) -> AdapterResult<Inventory> {
        self.call("inventory", self.inner.inventory()).await
    }

    async fn deploy(&self, workload: &WorkloadSpec) -> AdapterResult<()> {
        if workload.total().is_err() {
            return self.inner.deploy(workload).await;
        }
        // Several calls, as everywhere: what there is, the workload, and whether it is there.
        self.call("deploy", self.inner.inventory()).await?;
        self.call("deploy", self.inner.deploy(workload)).await?;
        self.call("deploy", self.inner.observe(&workload.id))
            .await
            .map(drop)
    }

    async fn observe(&self, id: &WorkloadId) -> AdapterResult<Observation> {
        self.call("observe", self.inner.observe(id)).await
    }

    async fn pause(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.call("pause", self.inner.pause(id)).await
    }

    async fn resume(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.call("resume", self.inner.resume(id)).await
    }

    async fn stop(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.call("stop", self.inner.stop(id)).await
    }

    async fn terminate(&self, id: &WorkloadId) -> AdapterResult<()> {
        let found = self.call("terminate", self.inner.observe(id)).await;
        if self.is_hasty && found.is_err() {
            // "It is slow because it is already going."
            return Ok(());
        }
        found?;
        self.call("terminate", self.inner.terminate(id)).await
    }

    async fn usage(&self, id: &WorkloadId) -> AdapterResult<Counters> {
        self.call("usage", self.inner.usage(id)).await
    }

    async fn list(&self) -> AdapterResult<Vec<WorkloadId>> {
        self.call("list", self.inner.list()).await
    }

    async fn logs(&self, id: &WorkloadId, query: &LogQuery) -> AdapterResult<Vec<LogLine>> {
        self.call("logs", self.inner.logs(id, query)).await
    }
}

/// A back end in memory behind a wire.
#[derive(Default)]
struct Wired {
    memory: MemoryFixture,
    wire: Arc<Wire>,
    is_hasty: bool,
}

#[async_trait]
impl Open for Wired {
    type Fixture = Self;
    const SHARED: bool = false;

    async fn open() -> FixtureResult<Opened<Self>> {
        Ok(Opened::Ready(Self::default()))
    }
}

#[async_trait]
impl Fixture for Wired {
    fn name(&self) -> String {
        "memory behind a wire".to_owned()
    }

    async fn adapter(&self) -> FixtureResult<Box<dyn Adapter>> {
        Ok(Box::new(WiredAdapter {
            inner: MemoryAdapter::attach(self.memory.backend().clone()),
            wire: Arc::clone(&self.wire),
            is_hasty: self.is_hasty,
        }))
    }

    fn spec(&self, id: WorkloadId) -> WorkloadSpec {
        self.memory.spec(id)
    }

    async fn exists(&self) -> FixtureResult<Vec<Object>> {
        self.memory.exists().await
    }

    fn measurable(&self) -> Duration {
        self.memory.measurable()
    }

    async fn pass(&self, time: Duration) {
        self.memory.pass(time).await;
    }

    fn faults(&self) -> Part<'_, dyn Faults> {
        Ok(self.wire.as_ref())
    }

    fn foreign(&self) -> Part<'_, dyn Foreign> {
        self.memory.foreign()
    }

    fn data(&self) -> Part<'_, dyn Data> {
        self.memory.data()
    }

    fn kill(&self) -> Part<'_, dyn Kill> {
        self.memory.kill()
    }

    fn vanish(&self) -> Part<'_, dyn Vanish> {
        self.memory.vanish()
    }

    fn reset(&self) -> Part<'_, dyn Reset> {
        self.memory.reset()
    }
}

mod memory_behind_a_wire_keeps_every_rule {
    virtengine_adapters::conformance!(super::Wired);
}

#[tokio::test]
async fn behind_a_wire_there_is_no_rule_that_cannot_be_asked() {
    let report = run_all(&Wired::default()).await;
    assert!(
        report.rules.iter().all(|rule| rule.outcome == Outcome::Passed),
        "{report}"
    );
}

#[tokio::test]
async fn a_terminate_that_takes_trouble_for_success_is_found_whatever_the_trouble() {
    let fixture = Wired {
        is_hasty: true,
        ..Wired::default()
    };
    let report = run_all(&fixture).await;
    let expected = [
        "every_call_of_a_terminate_may_fail",
        "every_answer_of_a_terminate_may_be_lost",
        "every_call_of_a_terminate_may_be_cut_off",
        "every_call_of_a_terminate_may_be_slow",
    ];
    assert_eq!(report.broken(), expected, "{report}");
}
