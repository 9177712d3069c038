//! A good back end behind a bad adapter.

use std::time::Duration;

use async_trait::async_trait;
use virtengine_adapters::conformance::fixtures::MemoryFixture;
use virtengine_adapters::conformance::{
    Data, Faults, Fixture, FixtureResult, Foreign, Kill, Object, Part, Reset, Vanish,
};
use virtengine_adapters::memory::{Config, MemoryAdapter};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::Adapter;
use virtengine_provider_core::workload::WorkloadSpec;

use super::Flaw;
use super::adapter::BadAdapter;

pub(super) struct Spoiled {
    memory: MemoryFixture,
    flaw: Flaw,
}

impl Spoiled {
    pub(super) fn new(flaw: Flaw) -> Self {
        let mut config = Config::default();
        config.capabilities.gpus = flaw != Flaw::UndeclaredGpusHaveEffects;
        Self {
            memory: MemoryFixture::new(config),
            flaw,
        }
    }
}

#[async_trait]
impl Fixture for Spoiled {
    fn name(&self) -> String {
        format!("{:?}", self.flaw)
    }

    async fn adapter(&self) -> FixtureResult<Box<dyn Adapter>> {
        let inner = MemoryAdapter::attach(self.memory.backend().clone());
        Ok(Box::new(BadAdapter::new(inner, self.flaw)))
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
        self.memory.faults()
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
