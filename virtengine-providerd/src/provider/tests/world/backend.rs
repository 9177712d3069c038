//! A back end: workloads with phases and counters.

use std::collections::BTreeMap;

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{
    AdapterError, Counters, ErrorKind, Observation, Phase, Retry,
};
use virtengine_provider_core::time::Timestamp;

use super::chance::{Chance, Faults};
use crate::provider::Operation;

/// What runs.
#[derive(Debug, Default)]
pub(in super::super) struct Backend {
    pub(in super::super) machines: BTreeMap<WorkloadId, Machine>,
    /// Of every workload: what it ever counted, and in how many epochs.
    clocks: BTreeMap<WorkloadId, u64>,
}

#[derive(Debug)]
pub(in super::super) struct Machine {
    pub(in super::super) phase: Phase,
    ready_at: Timestamp,
    counted_to: Timestamp,
    counters: Counters,
}

pub(in super::super) fn error(kind: ErrorKind, retry: Retry) -> AdapterError {
    AdapterError {
        kind,
        retry,
        adapter: "model",
        operation: "call",
        message: format!("{kind:?}"),
    }
}

impl Backend {
    /// Carries out a call. Some fail; of some that fail the effect is there all the same.
    pub(in super::super) fn call(
        &mut self,
        id: &WorkloadId,
        operation: &Operation,
        faults: &Faults,
        chance: &mut Chance,
        now: Timestamp,
    ) -> Result<(), AdapterError> {
        if !chance.hits(faults.call) {
            return self.carry_out(id, operation, chance, now);
        }
        match chance.below(8) {
            0 => Err(error(ErrorKind::Invalid, Retry::Never)),
            1..4 => Err(error(ErrorKind::Exhausted, Retry::Later)),
            4..6 => Err(error(ErrorKind::Unavailable, Retry::Unknown)),
            _ => {
                let _ = self.carry_out(id, operation, chance, now);
                Err(error(ErrorKind::Unavailable, Retry::Unknown))
            }
        }
    }

    fn carry_out(
        &mut self,
        id: &WorkloadId,
        operation: &Operation,
        chance: &mut Chance,
        now: Timestamp,
    ) -> Result<(), AdapterError> {
        self.advance(id, now);
        if let Operation::Deploy { .. } = operation {
            self.deploy(id, chance, now);
            return Ok(());
        }
        if matches!(operation, Operation::Terminate) {
            self.machines.remove(id);
            return Ok(());
        }
        let machine = self.machines.get_mut(id);
        let Some(machine) = machine else {
            return match operation {
                Operation::Stop => Ok(()),
                _ => Err(error(ErrorKind::NotFound, Retry::Never)),
            };
        };
        machine.phase = match operation {
            Operation::Pause => Phase::Paused,
            Operation::Resume => Phase::Running,
            _ => Phase::Stopped,
        };
        Ok(())
    }

    fn deploy(&mut self, id: &WorkloadId, chance: &mut Chance, now: Timestamp) {
        let ready_at = now.plus(std::time::Duration::from_secs(1 + chance.below(20)));
        if let Some(machine) = self.machines.get_mut(id) {
            if machine.phase != Phase::Running {
                (machine.phase, machine.ready_at) = (Phase::Starting, ready_at);
            }
            return;
        }
        let epoch = self.clocks.entry(id.clone()).or_default();
        *epoch += 1;
        let counters = Counters {
            epoch: *epoch,
            ..Counters::default()
        };
        self.machines.insert(
            id.clone(),
            Machine {
                phase: Phase::Starting,
                ready_at,
                counted_to: now,
                counters,
            },
        );
    }

    fn advance(&mut self, id: &WorkloadId, now: Timestamp) {
        let Some(machine) = self.machines.get_mut(id) else {
            return;
        };
        if machine.phase == Phase::Starting && machine.ready_at <= now {
            machine.phase = Phase::Running;
        }
        let seconds = now.since(machine.counted_to).as_secs();
        if machine.phase == Phase::Running {
            machine.counters.cpu_milli_seconds += seconds * 500;
            machine.counters.memory_byte_seconds += u128::from(seconds) << 29;
            machine.counters.network_bytes_in += seconds * 1000;
        }
        machine.counters.storage_byte_seconds += u128::from(seconds) << 30;
        machine.counted_to = machine.counted_to.plus(std::time::Duration::from_secs(seconds));
    }

    pub(in super::super) fn observe(
        &mut self,
        id: &WorkloadId,
        faults: &Faults,
        chance: &mut Chance,
        now: Timestamp,
    ) -> Observation {
        self.advance(id, now);
        let broken = chance.hits(faults.breaks);
        if let Some(machine) = self.machines.get_mut(id)
            && broken
            && machine.phase == Phase::Running
        {
            machine.phase = Phase::Failed;
        }
        let mut phase = self.machines.get(id).map_or(Phase::Gone, |machine| machine.phase);
        if chance.hits(faults.blind) {
            phase = Phase::Unknown;
        }
        Observation {
            at: now,
            phase,
            message: String::new(),
            services: Vec::new(),
            endpoints: Vec::new(),
        }
    }

    /// `None` when there is nothing that could be counted.
    pub(in super::super) fn usage(&mut self, id: &WorkloadId, now: Timestamp) -> Option<Counters> {
        self.advance(id, now);
        let machine = self.machines.get(id)?;
        Some(Counters {
            at: now,
            ..machine.counters
        })
    }
}
