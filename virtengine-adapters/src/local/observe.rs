//! What is seen: phase, counters, logs. Nothing here is a hope.

use std::fs::File;

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{
    Counters, LogLine, LogQuery, Observation, Phase, ServiceObservation, WorkloadEndpoint,
};
use virtengine_provider_core::workload::Protocol;

use super::adapter::Keeper;
use super::control::{self, NoAnswer};
use super::deploy::confused;
use super::error::{Failure, Outcome};
use super::layout::{self, WorkloadDir};
use super::logs;
use super::process;
use super::record::{Goal, Intent, ReplicaStatus, Request, Response, StageWord, Status, Usage};
use super::shim::Meter;

impl Keeper {
    pub(crate) fn observe(&self, id: &WorkloadId) -> Outcome<Observation> {
        let dir = self.dir(id);
        let intent = match self.intent(id) {
            Ok(Some(intent)) => intent,
            Ok(None) => return Ok(self.bare(Phase::Gone, String::new())),
            Err(failure) => return Ok(self.bare(Phase::Unknown, failure.message)),
        };
        // Asked before the supervisor: a start that ends in between is seen by the question.
        let starting = self.is_starting(id);
        let answer = control::ask(&dir, Request::Status);
        let (phase, message, replicas) = match answer {
            Ok(Response::Status(status)) => {
                let (phase, message) = judge(&status);
                (phase, message, status.replicas)
            }
            _ if starting => (Phase::Starting, String::new(), Vec::new()),
            Err(NoAnswer::Absent) => self.unsupervised(id, &dir),
            Ok(_) => return Err(confused(id)),
            Err(NoAnswer::Silent(error)) => {
                let message = format!("the supervisor does not answer: {error}");
                return Ok(self.bare(Phase::Unknown, message));
            }
        };
        Ok(Observation {
            at: self.clock.now(),
            phase,
            message,
            services: services(&intent, &replicas, phase),
            endpoints: self.endpoints(&intent),
        })
    }

    /// Without a supervisor nothing runs; whether that is right depends on what was asked for.
    fn unsupervised(&self, id: &WorkloadId, dir: &WorkloadDir) -> (Phase, String, Vec<ReplicaStatus>) {
        let last: Option<Status> = layout::load(&dir.status()).unwrap_or(None);
        let (phase, message) = match (self.goal(id), &last) {
            (Some(Goal::Stopped), _) => (Phase::Stopped, String::new()),
            (Some(Goal::Terminated), _) => (Phase::Stopping, "it is being removed".to_owned()),
            (_, None) => (Phase::Failed, "it was accepted but never started".to_owned()),
            (_, Some(last)) if last.supervisor.boot_id != process::boot_id() => (
                Phase::Failed,
                "the host was restarted; the workload does not run".to_owned(),
            ),
            (_, Some(last)) if last.finished => (
                Phase::Failed,
                "the host ended it; the workload does not run".to_owned(),
            ),
            (_, Some(_)) => {
                let message = "its supervisor was killed; the workload does not run";
                (Phase::Failed, message.to_owned())
            }
        };
        let mut replicas = last.map(|last| last.replicas).unwrap_or_default();
        for replica in &mut replicas {
            if replica.stage != StageWord::Completed {
                replica.stage = StageWord::Down;
            }
        }
        (phase, message, replicas)
    }

    fn bare(&self, phase: Phase, message: String) -> Observation {
        Observation {
            at: self.clock.now(),
            phase,
            message,
            services: Vec::new(),
            endpoints: Vec::new(),
        }
    }

    fn endpoints(&self, intent: &Intent) -> Vec<WorkloadEndpoint> {
        let host = self.config.endpoint_host.clone();
        let host = host.unwrap_or_else(|| intent.settings.bind_address.to_string());
        let mut endpoints = Vec::new();
        for (service, plan) in intent.services() {
            for port in plan.ports.iter().filter(|port| port.global) {
                endpoints.extend(port.external.map(|external_port| WorkloadEndpoint {
                    service: service.name.clone(),
                    port: port.port,
                    protocol: Protocol::Tcp,
                    host: host.clone(),
                    external_port,
                }));
            }
        }
        endpoints
    }

    pub(crate) fn usage(&self, id: &WorkloadId) -> Outcome<Counters> {
        self.existing(id)?;
        let dir = self.dir(id);
        // Not in turn: a workload that takes its time to end is still counted meanwhile.
        let usage = match control::ask(&dir, Request::Usage) {
            Ok(Response::Usage(usage)) => usage,
            // The supervisor is just leaving, or nobody is there: then the disk says it, when nobody else works on it.
            Ok(Response::Status(_)) | Err(NoAnswer::Absent) => {
                let _turn = self.turns.take_blocking(id);
                self.count_alone(id, &dir)?
            }
            Ok(Response::Failed(why)) => {
                return Err(Failure::unavailable(format!("the supervisor of {id}: {why}")));
            }
            Err(NoAnswer::Silent(error)) => {
                let message = format!("the supervisor of {id} does not answer: {error}");
                return Err(Failure::unavailable(message));
            }
        };
        Ok(Counters {
            at: self.clock.now(),
            epoch: usage.epoch,
            cpu_milli_seconds: usage.cpu_micros / 1000,
            memory_byte_seconds: usage.memory_byte_millis / 1000,
            storage_byte_seconds: usage.storage_byte_millis / 1000,
            network_bytes_in: usage.network_in,
            network_bytes_out: usage.network_out,
            gpu_seconds: 0,
        })
    }

    /// Nothing runs, but data lie there: count them in the supervisor's stead.
    fn count_alone(&self, id: &WorkloadId, dir: &WorkloadDir) -> Outcome<Usage> {
        self.existing(id)?;
        let path = dir.usage();
        let failed = |error: &std::io::Error| Failure::io("count in", &path, error);
        let place: Option<File> = control::stand_in(dir).map_err(|error| failed(&error))?;
        if place.is_none() {
            return Err(Failure::unavailable(format!(
                "the supervisor of {id} is just starting"
            )));
        }
        let mut meter = Meter::open(dir).map_err(|error| failed(&error))?;
        meter.checkpoint().map_err(|error| failed(&error))
    }

    pub(crate) fn logs(&self, id: &WorkloadId, query: &LogQuery) -> Outcome<Vec<LogLine>> {
        let intent = self.existing(id)?;
        let dir = self.dir(id);
        let mut lines = Vec::new();
        for service in &intent.spec.services {
            if query
                .service
                .as_ref()
                .is_some_and(|wanted| *wanted != service.name)
            {
                continue;
            }
            for replica in
                (0..service.count).filter(|replica| query.replica.is_none_or(|wanted| wanted == *replica))
            {
                let path = dir.replica_logs(&service.name, replica);
                let found = logs::read(&path, query.after.unwrap_or(0), query.tail)
                    .map_err(|error| Failure::io("read", &path, &error))?;
                lines.extend(found.into_iter().map(|(position, text)| LogLine {
                    service: service.name.clone(),
                    replica,
                    position,
                    text,
                }));
            }
        }
        Ok(lines)
    }
}

/// The phase of the whole, and a sentence when it is not well.
fn judge(status: &Status) -> (Phase, String) {
    let all = |stages: &[StageWord]| status.replicas.iter().all(|r| stages.contains(&r.stage));
    let first = |stages: &[StageWord]| status.replicas.iter().find(|r| stages.contains(&r.stage));
    match status.desired.goal {
        Goal::Stopped | Goal::Terminated => return (Phase::Stopping, String::new()),
        Goal::Paused if status.frozen => return (Phase::Paused, String::new()),
        Goal::Running | Goal::Paused => {}
    }
    if let Some(broken) = first(&[StageWord::Broken]).or_else(|| first(&[StageWord::CrashLoop])) {
        return (Phase::Failed, sentence(broken));
    }
    if let Some(problem) = status.problems.first() {
        return (Phase::Starting, problem.clone());
    }
    if all(&[StageWord::Completed]) {
        let message = status.replicas.first().map(sentence).unwrap_or_default();
        return (Phase::Stopped, message);
    }
    if all(&[StageWord::Ready, StageWord::Completed]) {
        return (Phase::Running, String::new());
    }
    let troubled = status
        .replicas
        .iter()
        .find(|r| r.stage == StageWord::Starting && !r.message.is_empty());
    (Phase::Starting, troubled.map(sentence).unwrap_or_default())
}

fn sentence(replica: &ReplicaStatus) -> String {
    format!(
        "service {} (replica {}): {}",
        replica.service, replica.replica, replica.message
    )
}

fn services(intent: &Intent, replicas: &[ReplicaStatus], phase: Phase) -> Vec<ServiceObservation> {
    let of = |name: &str| {
        let mine: Vec<&ReplicaStatus> = replicas
            .iter()
            .filter(|replica| replica.service == name)
            .collect();
        mine
    };
    intent
        .spec
        .services
        .iter()
        .map(|service| {
            let mine = of(&service.name);
            // What is frozen serves nobody.
            let ready = mine
                .iter()
                .filter(|r| r.stage == StageWord::Ready && phase != Phase::Paused)
                .count();
            let message = mine
                .iter()
                .map(|r| r.message.as_str())
                .find(|message| !message.is_empty());
            ServiceObservation {
                name: service.name.clone(),
                wanted: service.count,
                ready: u32::try_from(ready).unwrap_or(u32::MAX),
                restarts: mine.iter().fold(0, |sum, r| sum.saturating_add(r.restarts)),
                message: message.unwrap_or_default().to_owned(),
            }
        })
        .collect()
}
