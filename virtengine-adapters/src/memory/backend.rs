//! The handle to the back end in memory: faults, scripted events, and what really exists.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;
use virtengine_provider_core::workload::WorkloadSpec;

use super::config::{Config, Rates};
use super::fault::{Fault, Operation, Script};
use super::state::State;

/// The back end itself. Clones are handles to the same one; it outlives every adapter that is built on it.
#[derive(Clone)]
pub struct MemoryBackend {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl MemoryBackend {
    /// An empty back end that lives in the time of `clock`.
    #[must_use]
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            config,
            script: Script::default(),
            workloads: BTreeMap::new(),
            created: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            clock,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The state, metered up to the present, so that a change made through it begins now.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let now = self.now();
        // A panic elsewhere leaves a state that is still consistent: every change below is one assignment.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance(now);
        state
    }

    /// The `k`-th call from now (1 is the next one, of whatever operation) fails.
    pub fn fail_kth_call(&self, k: u64, fault: Fault) {
        self.state().script.fail_kth_call(k, fault);
    }

    /// The next `times` calls of `operation` fail.
    pub fn fail_next(&self, operation: Operation, times: usize, fault: Fault) {
        self.state().script.fail_next(operation, times, &fault);
    }

    /// Every call of `operation` fails until [`Self::clear_faults`].
    pub fn fail_always(&self, operation: Operation, fault: Fault) {
        self.state().script.fail_always(operation, fault);
    }

    /// Every call of every operation fails until [`Self::clear_faults`].
    pub fn black_out(&self, fault: Fault) {
        self.state().script.black_out(fault);
    }

    /// No call fails any more, and every workload is observable again. Crashed services stay crashed.
    pub fn clear_faults(&self) {
        let mut state = self.state();
        state.script.clear();
        for workload in state.workloads.values_mut() {
            workload.mute = false;
        }
    }

    /// While `unknown` is set, observing this workload answers [`Phase::Unknown`]. Returns whether it exists.
    ///
    /// [`Phase::Unknown`]: virtengine_provider_core::ports::adapter::Phase::Unknown
    pub fn set_unknown(&self, id: &WorkloadId, unknown: bool) -> bool {
        let mut state = self.state();
        let found = state.workloads.get_mut(id);
        found.map(|workload| workload.mute = unknown).is_some()
    }

    /// The service ends with `exit_code` and stays down until it is restored or deployed again. Returns whether it exists.
    pub fn crash(&self, id: &WorkloadId, service: &str, exit_code: i32) -> bool {
        let mut state = self.state();
        let State {
            config, workloads, ..
        } = &mut *state;
        let Some(workload) = workloads.get_mut(id) else {
            return false;
        };
        if !workload.service_names().contains(service) {
            return false;
        }
        workload.crashed.insert(service.to_owned(), exit_code);
        workload.log(config, service, 0, format!("exit code {exit_code}"));
        true
    }

    /// The crashed service is up again, with one more restart. Returns whether it was down.
    pub fn restore(&self, id: &WorkloadId, service: &str) -> bool {
        let mut state = self.state();
        let Some(workload) = state.workloads.get_mut(id) else {
            return false;
        };
        let was_down = workload.crashed.remove(service).is_some();
        if was_down {
            *workload.restarts.entry(service.to_owned()).or_default() += 1;
        }
        was_down
    }

    /// The workload vanishes without our doing. Returns whether it existed.
    pub fn vanish(&self, id: &WorkloadId) -> bool {
        self.state().workloads.remove(id).is_some()
    }

    /// The counters start again at zero, in a new epoch. Returns whether the workload exists.
    pub fn reset_counters(&self, id: &WorkloadId) -> bool {
        let mut state = self.state();
        let found = state.workloads.get_mut(id);
        found.map(|workload| workload.meter.reset()).is_some()
    }

    /// Appends a line to the log of a replica. Returns whether the workload exists.
    pub fn write_log(&self, id: &WorkloadId, service: &str, replica: u32, text: &str) -> bool {
        let mut state = self.state();
        let State {
            config, workloads, ..
        } = &mut *state;
        let found = workloads.get_mut(id);
        found
            .map(|workload| workload.log(config, service, replica, text.to_owned()))
            .is_some()
    }

    /// What there is, from now on.
    pub fn set_capacity(&self, capacity: Resources) {
        self.state().config.capacity = capacity;
    }

    /// What others use, from now on.
    pub fn set_foreign_use(&self, foreign_use: Resources) {
        self.state().config.foreign_use = foreign_use;
    }

    /// What running workloads use, from now on.
    pub fn set_rates(&self, rates: Rates) {
        self.state().config.rates = rates;
    }

    /// How long a start takes, from now on.
    pub fn set_start_delay_ms(&self, millis: u64) {
        self.state().config.start_delay_ms = millis;
    }

    /// Everything that exists, whatever the adapter would answer: for checks of leaks.
    #[must_use]
    pub fn workloads(&self) -> Vec<WorkloadSpec> {
        let state = self.state();
        state.workloads.values().map(|w| w.spec.clone()).collect()
    }

    /// Calls of all operations so far, failed ones included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().script.calls()
    }

    /// Calls of one operation so far, failed ones included.
    #[must_use]
    pub fn calls_of(&self, operation: Operation) -> u64 {
        self.state().script.calls_of(operation)
    }
}
