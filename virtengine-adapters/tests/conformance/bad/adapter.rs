//! The adapter in memory with one flaw.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use virtengine_adapters::memory::MemoryAdapter;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{
    Adapter, AdapterError, AdapterResult, Capabilities, Counters, ErrorKind, Inventory, LogLine, LogQuery,
    Observation, Phase, Retry,
};
use virtengine_provider_core::units::Resources;
use virtengine_provider_core::workload::WorkloadSpec;

use super::Flaw;

/// Begins the ids of objects that the bad adapter makes and does not list.
const ORPHAN: &str = "orphan-";

#[derive(Debug)]
pub(super) struct BadAdapter {
    inner: MemoryAdapter,
    flaw: Flaw,
    /// How often this adapter, which knows nothing of earlier ones, was asked to deploy each.
    deployed: Mutex<BTreeMap<WorkloadId, u32>>,
    paused: Mutex<BTreeSet<WorkloadId>>,
    busy: Mutex<BTreeSet<WorkloadId>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

fn failure(operation: &'static str, kind: ErrorKind) -> AdapterError {
    AdapterError {
        kind,
        retry: Retry::Never,
        adapter: "memory",
        operation,
        message: "no".to_owned(),
    }
}

impl BadAdapter {
    pub(super) fn new(inner: MemoryAdapter, flaw: Flaw) -> Self {
        Self {
            inner,
            flaw,
            deployed: Mutex::default(),
            paused: Mutex::default(),
            busy: Mutex::default(),
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    /// Makes something that nobody will find by asking the adapter.
    async fn make_orphan(&self, spec: &WorkloadSpec) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut orphan = spec.clone();
        orphan.id = format!("{ORPHAN}{number}").parse().unwrap();
        self.inner.deploy(&orphan).await.unwrap();
    }

    async fn is_running(&self, id: &WorkloadId) -> bool {
        self.inner
            .observe(id)
            .await
            .is_ok_and(|seen| seen.phase == Phase::Running)
    }

    fn tells_secrets(&self, error: &AdapterError) -> bool {
        match error.kind {
            ErrorKind::Unavailable => self.has(Flaw::SecretInAFailure),
            _ => self.has(Flaw::SecretInARefusal) && error.kind == ErrorKind::Exhausted,
        }
    }

    async fn deploy_with_a_flaw(&self, spec: &WorkloadSpec) -> AdapterResult<()> {
        match self.flaw {
            Flaw::StaysBusyWhenADeployIsDropped => {
                if !lock(&self.busy).insert(spec.id.clone()) {
                    return Err(failure("deploy", ErrorKind::Conflict));
                }
                tokio::task::yield_now().await;
                lock(&self.busy).remove(&spec.id);
            }
            Flaw::CreatesATwinWhenAskedOnceTooOften => {
                let times = lock(&self.deployed)[&spec.id];
                if times == 3 && self.is_running(&spec.id).await {
                    self.make_orphan(spec).await;
                }
            }
            Flaw::UndeclaredGpusHaveEffects if spec.services[0].gpus > 0 => {
                let mut without = spec.clone();
                without.services[0].gpus = 0;
                self.inner.deploy(&without).await?;
                return Err(failure("deploy", ErrorKind::Unsupported));
            }
            Flaw::AsksBeforeItThinks if spec.total().is_err() => {
                self.inner.inventory().await?;
            }
            _ => {}
        }
        let answer = self.inner.deploy(spec).await;
        match answer {
            Err(error) if self.has(Flaw::LeaksOnAFailedDeploy) && error.retry == Retry::Later => {
                if error.kind == ErrorKind::Unavailable {
                    self.make_orphan(spec).await;
                }
                Err(error)
            }
            Err(mut error) if self.tells_secrets(&error) => {
                error.message = format!("{} {:?}", error.message, spec.services[0].env);
                Err(error)
            }
            answer => answer,
        }
    }
}

#[async_trait]
impl Adapter for BadAdapter {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn inventory(&self) -> AdapterResult<Inventory> {
        let mut inventory = self.inner.inventory().await?;
        if self.has(Flaw::OwnUseIsForeign) {
            let ours = self.inner.backend().workloads();
            let ours = ours.iter().map(|spec| spec.total().unwrap());
            let ours = ours.fold(Resources::ZERO, |sum, one| sum.checked_add(&one).unwrap());
            inventory.foreign_use = inventory.foreign_use.checked_add(&ours).unwrap();
        }
        Ok(inventory)
    }

    async fn deploy(&self, workload: &WorkloadSpec) -> AdapterResult<()> {
        *lock(&self.deployed).entry(workload.id.clone()).or_default() += 1;
        lock(&self.paused).remove(&workload.id);
        self.deploy_with_a_flaw(workload).await
    }

    async fn observe(&self, id: &WorkloadId) -> AdapterResult<Observation> {
        let answer = self.inner.observe(id).await;
        if self.has(Flaw::SilenceIsGone) && answer.is_err() {
            return self.inner.observe(&"nobody".parse().unwrap()).await;
        }
        let mut seen = answer?;
        if self.has(Flaw::SaysRunningWhenItIsNot) && seen.phase == Phase::Failed {
            seen.phase = Phase::Running;
            seen.services
                .iter_mut()
                .for_each(|service| service.ready = service.wanted);
        }
        if lock(&self.paused).contains(id) {
            seen.phase = Phase::Paused;
        }
        Ok(seen)
    }

    async fn pause(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.inner.pause(id).await?;
        if self.has(Flaw::APausedWorkloadRunsOn) {
            self.inner.resume(id).await?;
            lock(&self.paused).insert(id.clone());
        }
        Ok(())
    }

    async fn resume(&self, id: &WorkloadId) -> AdapterResult<()> {
        lock(&self.paused).remove(id);
        self.inner.resume(id).await
    }

    async fn stop(&self, id: &WorkloadId) -> AdapterResult<()> {
        lock(&self.paused).remove(id);
        self.inner.stop(id).await?;
        let specs = self.inner.backend().workloads();
        if self.has(Flaw::AStopLosesData)
            && let Some(spec) = specs.iter().find(|spec| spec.id == *id)
        {
            self.inner.terminate(id).await?;
            self.inner.deploy(spec).await?;
            self.inner.stop(id).await?;
        }
        Ok(())
    }

    async fn terminate(&self, id: &WorkloadId) -> AdapterResult<()> {
        lock(&self.paused).remove(id);
        if self.has(Flaw::TouchesForeignObjects) {
            self.inner.backend().set_foreign_use(Resources::ZERO);
        }
        let is_there = self.inner.backend().workloads().iter().any(|spec| spec.id == *id);
        if self.has(Flaw::TerminatingTheUnknownFails) && !is_there {
            return Err(failure("terminate", ErrorKind::NotFound));
        }
        match self.inner.terminate(id).await {
            Err(error) if self.has(Flaw::AFailedTerminateIsSuccess) && error.retry == Retry::Later => Ok(()),
            answer => answer,
        }
    }

    async fn usage(&self, id: &WorkloadId) -> AdapterResult<Counters> {
        let mut counters = self.inner.usage(id).await?;
        if self.has(Flaw::OneEpochForEver) {
            counters.epoch = 1;
        }
        let is_known = lock(&self.deployed).contains_key(id);
        if self.has(Flaw::UsageGoesBackwardsAfterARestart) && !is_known {
            counters.cpu_milli_seconds /= 2;
        }
        Ok(counters)
    }

    async fn list(&self) -> AdapterResult<Vec<WorkloadId>> {
        let answer = self.inner.list().await;
        if self.has(Flaw::AFailedListIsEmpty) && answer.is_err() {
            return Ok(Vec::new());
        }
        let mut ids = answer?;
        ids.retain(|id| !id.as_str().starts_with(ORPHAN));
        if self.has(Flaw::ForgetsAfterARestart) {
            ids.retain(|id| lock(&self.deployed).contains_key(id));
        }
        if self.has(Flaw::ListsTwice) {
            ids.extend(ids.clone());
        }
        Ok(ids)
    }

    async fn logs(&self, id: &WorkloadId, query: &LogQuery) -> AdapterResult<Vec<LogLine>> {
        let mut query = query.clone();
        assert!(
            !self.has(Flaw::PanicsOnATail) || query.tail != Some(1),
            "a tail of 1"
        );
        if self.has(Flaw::LogsRepeatALine) {
            query.after = query.after.map(|after| after.saturating_sub(1));
        }
        let answer = self.inner.logs(id, &query).await;
        if self.has(Flaw::DeniedIsCalledUnavailable) {
            return answer.map_err(|mut error| {
                if error.kind == ErrorKind::Denied {
                    error.kind = ErrorKind::Unavailable;
                }
                error
            });
        }
        answer
    }
}
