//! What the back end in memory holds, and how it changes with time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{
    LogLine, LogQuery, Observation, Phase, ServiceObservation, WorkloadEndpoint,
};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::{Overflow, Resources};
use virtengine_provider_core::workload::WorkloadSpec;

use super::config::Config;
use super::counters::{Activity, Meter};
use super::fault::Script;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) script: Script,
    pub(crate) workloads: BTreeMap<WorkloadId, Workload>,
    /// Rises with every workload that is created, so that a workload created anew has a new epoch.
    pub(crate) created: u64,
}

impl State {
    pub(crate) fn reserved(&self) -> Result<Resources, Overflow> {
        self.workloads
            .values()
            .try_fold(Resources::ZERO, |sum, workload| sum.checked_add(&workload.given))
    }

    /// Brings every meter up to `now`.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        for workload in self.workloads.values_mut() {
            workload.advance(&self.config, now);
        }
    }
}

/// What was asked of a workload last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Desired {
    Running,
    Paused,
    Stopped,
}

#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) spec: WorkloadSpec,
    pub(crate) given: Resources,
    pub(crate) desired: Desired,
    pub(crate) ready_at: Timestamp,
    pub(crate) meter: Meter,
    metered_until: Timestamp,
    /// Services that were made to crash, with their exit codes.
    pub(crate) crashed: BTreeMap<String, i32>,
    pub(crate) restarts: BTreeMap<String, u32>,
    pub(crate) mute: bool,
    logs: BTreeMap<(String, u32), Log>,
}

#[derive(Debug, Default)]
struct Log {
    next_position: u64,
    lines: VecDeque<(u64, String)>,
}

impl Workload {
    pub(crate) fn new(spec: WorkloadSpec, given: Resources, epoch: u64, now: Timestamp) -> Self {
        Self {
            spec,
            given,
            desired: Desired::Stopped,
            ready_at: now,
            meter: Meter::of_epoch(epoch),
            metered_until: now,
            crashed: BTreeMap::new(),
            restarts: BTreeMap::new(),
            mute: false,
            logs: BTreeMap::new(),
        }
    }

    pub(crate) fn start(&mut self, config: &Config, now: Timestamp) {
        self.desired = Desired::Running;
        self.ready_at = now.plus(config.start_delay());
        self.crashed.clear();
        let names: Vec<String> = self.spec.services.iter().map(|s| s.name.clone()).collect();
        for name in names {
            self.log(config, &name, 0, "started".to_owned());
        }
    }

    pub(crate) fn advance(&mut self, config: &Config, now: Timestamp) {
        let millis = now.since(self.metered_until).as_millis();
        let activity = match self.desired {
            Desired::Running if self.crashed.is_empty() => Activity::Computing,
            _ => Activity::AtRest,
        };
        self.meter.add(&self.given, &config.rates, activity, millis);
        self.metered_until = self.metered_until.max(now);
    }

    pub(crate) fn phase(&self, now: Timestamp) -> Phase {
        match self.desired {
            _ if self.mute => Phase::Unknown,
            Desired::Paused => Phase::Paused,
            Desired::Stopped => Phase::Stopped,
            Desired::Running if !self.crashed.is_empty() => Phase::Failed,
            Desired::Running if now < self.ready_at => Phase::Starting,
            Desired::Running => Phase::Running,
        }
    }

    pub(crate) fn observe(&self, now: Timestamp) -> Observation {
        let phase = self.phase(now);
        if phase == Phase::Unknown {
            return unknown(now);
        }
        let services: Vec<ServiceObservation> = self
            .spec
            .services
            .iter()
            .map(|service| {
                let exit = self.crashed.get(&service.name);
                let up = phase == Phase::Running || (phase == Phase::Failed && exit.is_none());
                ServiceObservation {
                    name: service.name.clone(),
                    wanted: service.count,
                    ready: if up { service.count } else { 0 },
                    restarts: self.restarts.get(&service.name).copied().unwrap_or(0),
                    message: exit.map_or_else(String::new, |code| format!("ended with exit code {code}")),
                }
            })
            .collect();
        let broken = services.iter().find(|service| !service.message.is_empty());
        Observation {
            at: now,
            phase,
            message: broken.map_or_else(String::new, |s| format!("service {} {}", s.name, s.message)),
            services,
            endpoints: self.endpoints(),
        }
    }

    fn endpoints(&self) -> Vec<WorkloadEndpoint> {
        let mut endpoints = Vec::new();
        for service in &self.spec.services {
            for expose in service.exposes.iter().filter(|expose| expose.global) {
                endpoints.push(WorkloadEndpoint {
                    service: service.name.clone(),
                    port: expose.port,
                    protocol: expose.protocol,
                    host: format!("{}.memory.invalid", self.spec.id),
                    external_port: expose.external_port,
                });
            }
        }
        endpoints
    }

    pub(crate) fn log(&mut self, config: &Config, service: &str, replica: u32, text: String) {
        let log = self.logs.entry((service.to_owned(), replica)).or_default();
        log.next_position += 1;
        log.lines.push_back((log.next_position, text));
        while log.lines.len() > config.log_lines_max {
            log.lines.pop_front();
        }
    }

    pub(crate) fn read_logs(&self, query: &LogQuery) -> Vec<LogLine> {
        let wanted = |service: &String, replica: u32| {
            query.service.as_ref().is_none_or(|s| s == service) && query.replica.is_none_or(|r| r == replica)
        };
        let mut out = Vec::new();
        for ((service, replica), log) in &self.logs {
            if !wanted(service, *replica) {
                continue;
            }
            let after = query.after.unwrap_or(0);
            let mut lines: Vec<&(u64, String)> = log.lines.iter().filter(|(p, _)| *p > after).collect();
            let surplus = query.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
            lines.drain(..surplus);
            out.extend(lines.into_iter().map(|(position, text)| LogLine {
                service: service.clone(),
                replica: *replica,
                position: *position,
                text: text.clone(),
            }));
        }
        out
    }

    pub(crate) fn service_names(&self) -> BTreeSet<&str> {
        self.spec.services.iter().map(|s| s.name.as_str()).collect()
    }
}

pub(crate) fn unknown(now: Timestamp) -> Observation {
    bare(now, Phase::Unknown, "the back end did not say")
}

pub(crate) fn gone(now: Timestamp) -> Observation {
    bare(now, Phase::Gone, "")
}

fn bare(at: Timestamp, phase: Phase, message: &str) -> Observation {
    Observation {
        at,
        phase,
        message: message.to_owned(),
        services: Vec::new(),
        endpoints: Vec::new(),
    }
}
