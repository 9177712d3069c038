//! The adapter on the back end in memory.

use std::sync::Arc;

use async_trait::async_trait;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{
    Adapter, AdapterError, AdapterResult, Capabilities, Counters, ErrorKind, Inventory, LogLine, LogQuery,
    Observation, Retry,
};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::{Overflow, Resources};
use virtengine_provider_core::workload::WorkloadSpec;

use super::backend::MemoryBackend;
use super::config::Config;
use super::error::{error, not_found, unsupported};
use super::fault::Operation;
use super::state::{Desired, State, Workload, gone};

/// Runs workloads in memory. See the [module](super).
#[derive(Debug)]
pub struct MemoryAdapter {
    backend: MemoryBackend,
    capabilities: Capabilities,
}

impl MemoryAdapter {
    /// An adapter on a new, empty back end.
    #[must_use]
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Self {
        Self::attach(MemoryBackend::new(config, clock))
    }

    /// An adapter on a back end that already exists, as after a restart of the daemon.
    #[must_use]
    pub fn attach(backend: MemoryBackend) -> Self {
        let capabilities = backend.state().config.capabilities.clone();
        Self {
            backend,
            capabilities,
        }
    }

    /// The back end behind this adapter.
    #[must_use]
    pub const fn backend(&self) -> &MemoryBackend {
        &self.backend
    }

    /// Counts the call, lets the scripted fault happen, and runs `work` on a state that has reached the present.
    fn call<T>(
        &self,
        operation: Operation,
        work: impl FnOnce(&mut State, Timestamp) -> AdapterResult<T>,
    ) -> AdapterResult<T> {
        let now = self.backend.now();
        let mut state = self.backend.state();
        let fault = state.script.on_call(operation);
        if let Some(fault) = &fault
            && !fault.takes_effect
        {
            return Err(fault.clone().into_error(operation));
        }
        let answer = work(&mut state, now);
        drop(state);
        match (answer, fault) {
            (Ok(_), Some(fault)) => Err(fault.into_error(operation)),
            (answer, _) => answer,
        }
    }

    fn refuse_unsupported(&self, workload: &WorkloadSpec) -> AdapterResult<()> {
        let wants_gpus = workload.services.iter().any(|service| service.gpus > 0);
        if wants_gpus && !self.capabilities.gpus {
            return Err(unsupported(Operation::Deploy, "gpus"));
        }
        let persistent = |service: &virtengine_provider_core::workload::ServiceSpec| {
            service.volumes.iter().any(|volume| volume.persistent)
        };
        if workload.services.iter().any(persistent) && !self.capabilities.persistent_storage {
            return Err(unsupported(Operation::Deploy, "persistent storage"));
        }
        Ok(())
    }
}

fn overflow(_: Overflow) -> AdapterError {
    let message = "the resources of the workload are too large to be added".to_owned();
    error(Operation::Deploy, ErrorKind::Invalid, Retry::Never, message)
}

fn deploy(state: &mut State, spec: &WorkloadSpec, given: Resources, now: Timestamp) -> AdapterResult<()> {
    let config = state.config.clone();
    let held = state.workloads.get(&spec.id).map(|workload| workload.given);
    let others = state.reserved().map_err(overflow)?;
    let others = others.saturating_sub(&held.unwrap_or(Resources::ZERO));
    let free = config.capacity.saturating_sub(&config.foreign_use);
    if !others.checked_add(&given).map_err(overflow)?.fits_in(&free) {
        let message = format!("workload {} does not fit: it asks for {given:?}", spec.id);
        return Err(error(
            Operation::Deploy,
            ErrorKind::Exhausted,
            Retry::Later,
            message,
        ));
    }
    if held.is_none() {
        state.created += 1;
    }
    let epoch = state.created;
    let workload = state
        .workloads
        .entry(spec.id.clone())
        .or_insert_with(|| Workload::new(spec.clone(), given, epoch, now));
    let changed = workload.spec != *spec;
    workload.spec = spec.clone();
    workload.given = given;
    match workload.desired {
        Desired::Running if !changed && workload.crashed.is_empty() => {}
        Desired::Paused if !changed => workload.desired = Desired::Running,
        Desired::Running | Desired::Paused | Desired::Stopped => workload.start(&config, now),
    }
    Ok(())
}

/// Moves a workload between running and paused; a stopped one is neither.
fn switch(state: &mut State, id: &WorkloadId, operation: Operation, to: Desired) -> AdapterResult<()> {
    let workload = find(state, id, operation)?;
    if workload.desired == Desired::Stopped {
        let message = format!("workload {id} is stopped");
        return Err(error(operation, ErrorKind::Conflict, Retry::Never, message));
    }
    workload.desired = to;
    Ok(())
}

fn find<'s>(state: &'s mut State, id: &WorkloadId, operation: Operation) -> AdapterResult<&'s mut Workload> {
    state
        .workloads
        .get_mut(id)
        .ok_or_else(|| not_found(operation, id))
}

#[async_trait]
impl Adapter for MemoryAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn inventory(&self) -> AdapterResult<Inventory> {
        self.call(Operation::Inventory, |state, _| {
            Ok(Inventory {
                capacity: state.config.capacity,
                foreign_use: state.config.foreign_use,
            })
        })
    }

    async fn deploy(&self, workload: &WorkloadSpec) -> AdapterResult<()> {
        self.refuse_unsupported(workload)?;
        let given = workload.total().map_err(overflow)?;
        self.call(Operation::Deploy, |state, now| {
            deploy(state, workload, given, now)
        })
    }

    async fn observe(&self, id: &WorkloadId) -> AdapterResult<Observation> {
        self.call(Operation::Observe, |state, now| {
            let workload = state.workloads.get(id);
            Ok(workload.map_or_else(|| gone(now), |workload| workload.observe(now)))
        })
    }

    async fn pause(&self, id: &WorkloadId) -> AdapterResult<()> {
        if !self.capabilities.pause {
            return Err(unsupported(Operation::Pause, "pausing"));
        }
        self.call(Operation::Pause, |state, _| {
            switch(state, id, Operation::Pause, Desired::Paused)
        })
    }

    async fn resume(&self, id: &WorkloadId) -> AdapterResult<()> {
        if !self.capabilities.pause {
            return Err(unsupported(Operation::Resume, "resuming"));
        }
        self.call(Operation::Resume, |state, _| {
            switch(state, id, Operation::Resume, Desired::Running)
        })
    }

    async fn stop(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.call(Operation::Stop, |state, _| {
            find(state, id, Operation::Stop)?.desired = Desired::Stopped;
            Ok(())
        })
    }

    async fn terminate(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.call(Operation::Terminate, |state, _| {
            state.workloads.remove(id);
            Ok(())
        })
    }

    async fn usage(&self, id: &WorkloadId) -> AdapterResult<Counters> {
        self.call(Operation::Usage, |state, now| {
            Ok(find(state, id, Operation::Usage)?.meter.read(now))
        })
    }

    async fn list(&self) -> AdapterResult<Vec<WorkloadId>> {
        self.call(Operation::List, |state, _| {
            Ok(state.workloads.keys().cloned().collect())
        })
    }

    async fn logs(&self, id: &WorkloadId, query: &LogQuery) -> AdapterResult<Vec<LogLine>> {
        if !self.capabilities.logs {
            return Err(unsupported(Operation::Logs, "logs"));
        }
        self.call(Operation::Logs, |state, _| {
            Ok(find(state, id, Operation::Logs)?.read_logs(query))
        })
    }
}
