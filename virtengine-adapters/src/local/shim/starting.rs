//! Bringing replicas up: start, hook, and the questions that tell whether they are well.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use virtengine_provider_core::workload::Probe;

use super::super::record::Exit;
use super::capture;
use super::probe::{self, Question};
use super::replica::{Stage, Verdict};
use super::supervisor::{About, Beside, Message, Supervisor};

/// Time between two looks whether a replica without a health check accepts connections.
const READINESS_PERIOD_MS: u64 = 100;

/// Longest answer to that.
const READINESS_PATIENCE: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Starts the main program of a replica; when that cannot be done it counts as ended.
    pub(super) fn start(&mut self, position: usize, now: u64) {
        // Nothing of an earlier life may be in the way.
        self.kill_replica(position);
        self.remember_memory_kills(position);
        let place = self.place(position);
        let started = self
            .launcher
            .start(&self.intent, place)
            .and_then(|(process, output)| {
                self.captures.retain(|capture| !capture.is_finished());
                let capture = capture::start(output, Arc::clone(&self.logs[position]))?;
                self.captures.push(capture);
                Ok(process)
            });
        let spec = self.spec_of(position);
        match started {
            Ok(process) => {
                let hook = spec.hooks.post_start.clone();
                let delay = spec
                    .health
                    .as_ref()
                    .map_or(0, |check| check.initial_delay_seconds);
                let first_check = u64::from(delay).saturating_mul(1000);
                self.replicas[position].started(process, now, first_check, hook.is_some());
                if let Some(hook) = hook {
                    self.ask(position, &hook.probe, hook.timeout_seconds, About::PostStart);
                }
            }
            Err(error) => {
                let (why, policy) = (format!("cannot be started: {error}"), spec.restart);
                let rules = &self.intent.settings;
                self.replicas[position].ended(Exit::Code(126), &why, policy, rules, now);
            }
        }
        self.must_last = true;
    }

    /// Asks a replica that is up whether it is well, when it is time to.
    pub(super) fn question(&mut self, position: usize, now: u64) {
        let replica = &self.replicas[position];
        let Stage::Up { since, ready, .. } = replica.stage else {
            return;
        };
        if replica.hook_pending || replica.health.asking || now < replica.health.next_at {
            return;
        }
        if let Some(check) = self.spec_of(position).health.clone() {
            self.replicas[position].health.asking = true;
            self.ask(position, &check.probe, check.timeout_seconds, About::Health);
        } else if !ready && now.saturating_sub(since) >= self.intent.settings.startup_grace_ms {
            let ports = self.exposed_ports(position);
            if ports.is_empty() {
                self.replicas[position].set_ready(true);
                return;
            }
            self.replicas[position].health.asking = true;
            self.send_question(
                position,
                Question::Tcp { ports },
                READINESS_PATIENCE,
                About::Readiness,
            );
        }
    }

    fn exposed_ports(&self, position: usize) -> Vec<u16> {
        let replica = &self.replicas[position];
        let index = usize::try_from(replica.index).unwrap_or(usize::MAX);
        let ports = self.intent.plans[replica.service].ports.iter();
        ports
            .filter(|port| port.external.is_some())
            .filter_map(|port| port.internal.get(index).copied())
            .collect()
    }

    /// Asks what a manifest says; a question that cannot even be asked is answered at once.
    pub(super) fn ask(&mut self, position: usize, probe: &Probe, timeout_seconds: u32, about: About) {
        let patience = Duration::from_secs(u64::from(timeout_seconds.max(1)));
        match self.prepare(position, probe, patience) {
            Ok(question) => self.send_question(position, question, patience, about),
            Err(error) => {
                let start = self.replicas[position].start;
                self.answered(position, start, about, Err(error.to_string()));
            }
        }
    }

    fn prepare(&mut self, position: usize, probe: &Probe, patience: Duration) -> io::Result<Question> {
        match probe {
            Probe::Http { path, port, .. } => Ok(Question::Http {
                path: path.clone(),
                port: self.internal_port(position, *port),
            }),
            Probe::Tcp { port } => Ok(Question::Tcp {
                ports: vec![self.internal_port(position, *port)],
            }),
            Probe::Exec { command } => {
                let place = self.place(position);
                let process = self.launcher.start_beside(&self.intent, place, command)?;
                let (sender, ended) = oneshot::channel();
                let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
                let kill_at = self.now().saturating_add(patience_ms);
                let beside = Beside {
                    ended: sender,
                    kill_at,
                };
                self.beside.insert(process.pid, beside);
                Ok(Question::Command { ended })
            }
        }
    }

    /// Where this replica listens for what the tenant calls `port`.
    fn internal_port(&self, position: usize, port: u16) -> u16 {
        let replica = &self.replicas[position];
        let index = usize::try_from(replica.index).unwrap_or(usize::MAX);
        let ports = &self.intent.plans[replica.service].ports;
        let planned = ports.iter().find(|plan| plan.port == port);
        planned
            .and_then(|plan| plan.internal.get(index).copied())
            .unwrap_or(port)
    }

    fn send_question(&self, position: usize, question: Question, patience: Duration, about: About) {
        let (inbox, start) = (self.inbox.clone(), self.replicas[position].start);
        tokio::spawn(async move {
            let answer = probe::ask(question, patience).await;
            let message = Message::Answered {
                position,
                start,
                about,
                answer,
            };
            // Fails only when the supervisor is gone.
            let _ = inbox.send(message).await;
        });
    }

    /// Takes an answer; one that belongs to an earlier life of the replica is dropped.
    pub(super) fn answered(&mut self, position: usize, start: u64, about: About, answer: Result<(), String>) {
        if self.replicas[position].start != start {
            return;
        }
        let now = self.now();
        match about {
            About::Readiness => {
                let replica = &mut self.replicas[position];
                replica.health.asking = false;
                replica.health.next_at = now.saturating_add(READINESS_PERIOD_MS);
                match answer {
                    Ok(()) => replica.set_ready(true),
                    Err(why) if replica.message.is_empty() => replica.message = why,
                    Err(_) => {}
                }
            }
            About::Health => {
                let Some(check) = self.spec_of(position).health.clone() else {
                    return;
                };
                // What is frozen cannot answer.
                let answer = if self.frozen { Ok(()) } else { answer };
                if self.replicas[position].checked(answer, &check, now) == Verdict::Restart {
                    let why = format!(
                        "it was well and then not any more; {}",
                        self.replicas[position].message
                    );
                    self.causes.insert(position, why);
                    self.kill_replica(position);
                }
            }
            About::PostStart => {
                self.replicas[position].hook_pending = false;
                if let Err(why) = answer {
                    self.causes.insert(position, format!("post_start hook: {why}"));
                    self.kill_replica(position);
                }
            }
            About::PreStop => {
                if let Stage::PreStop { until, .. } = &mut self.replicas[position].stage {
                    *until = now;
                }
            }
        }
    }
}
