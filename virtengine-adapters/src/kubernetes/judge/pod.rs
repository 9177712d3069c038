//! One pod.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use virtengine_provider_core::time::Timestamp;

use super::{Rules, STABLE, Trouble, Weight, moment, words};

/// What a pod says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) ready: bool,
    pub(super) restarts: u32,
    pub(super) trouble: Option<Trouble>,
}

/// Exit status of a program that was killed.
const KILLED: i32 = 137;

pub(super) fn look(pod: &Pod, rules: &Rules, now: Timestamp) -> Seen {
    let status = pod.status.as_ref();
    let containers = || {
        status
            .and_then(|status| status.container_statuses.as_ref())
            .into_iter()
            .flatten()
    };
    let restarts = containers().fold(0_u32, |sum, container| sum.saturating_add(restarts(container)));
    let ready_condition = status.is_some_and(|status| holds(status, "Ready"));
    let trouble = trouble(pod, rules, now);
    Seen {
        ready: ready_condition && trouble.is_none(),
        restarts,
        trouble,
    }
}

/// Whether it uses nothing any more.
pub(super) fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether its containers are being created for longer than usual.
pub(super) fn is_being_created(pod: &Pod, now: Timestamp, usual: Duration) -> bool {
    let Some(status) = &pod.status else {
        return false;
    };
    let reason = |container: &ContainerStatus| {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        waiting.and_then(|waiting| waiting.reason.clone())
    };
    let creating = status
        .container_statuses
        .iter()
        .flatten()
        .any(|container| reason(container).as_deref() == Some("ContainerCreating"));
    let since = moment(status.start_time.as_ref());
    creating && since.is_some_and(|since| now.since(since) >= usual)
}

fn holds(status: &PodStatus, condition: &str) -> bool {
    let conditions = status.conditions.iter().flatten();
    conditions
        .into_iter()
        .any(|found| found.type_ == condition && found.status == "True")
}

fn restarts(container: &ContainerStatus) -> u32 {
    u32::try_from(container.restart_count).unwrap_or(0)
}

fn trouble(pod: &Pod, rules: &Rules, now: Timestamp) -> Option<Trouble> {
    let born = moment(pod.metadata.creation_timestamp.as_ref());
    let Some(status) = &pod.status else {
        return Some(Trouble::lasting(
            born,
            rules,
            now,
            "it is being created".to_owned(),
        ));
    };
    if has_ended(pod) {
        return Some(ended(status, rules, now, born));
    }
    let unplaced = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(unplaced) = unplaced {
        let words = words::unschedulable(unplaced.message.as_deref().unwrap_or_default());
        return Some(Trouble::lasting(
            moment(unplaced.last_transition_time.as_ref()),
            rules,
            now,
            words,
        ));
    }
    let first = status.init_container_statuses.iter().flatten();
    let containers = first.chain(status.container_statuses.iter().flatten());
    let view = View { rules, now, born };
    if let Some(found) = containers
        .filter_map(|container| view.container(container))
        .max_by_key(|t| t.weight)
    {
        return Some(found);
    }
    if holds(status, "Ready") {
        return None;
    }
    if status
        .container_statuses
        .iter()
        .flatten()
        .any(|c| c.state.as_ref().is_some_and(|s| s.running.is_some()))
    {
        let changed = status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == "Ready");
        let since = changed.and_then(|condition| moment(condition.last_transition_time.as_ref()));
        let words = "it runs but does not pass its health check".to_owned();
        return Some(Trouble::lasting(later(since, delay(pod)), rules, now, words));
    }
    Some(Trouble::lasting(
        born,
        rules,
        now,
        "it is being created".to_owned(),
    ))
}

/// What a health check waits before its first question.
fn delay(pod: &Pod) -> Duration {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let delays = containers.filter_map(|container| container.readiness_probe.as_ref()?.initial_delay_seconds);
    Duration::from_secs(
        delays
            .max()
            .and_then(|delay| u64::try_from(delay).ok())
            .unwrap_or(0),
    )
}

fn later(since: Option<Timestamp>, by: Duration) -> Option<Timestamp> {
    since.map(|since| since.plus(by))
}

/// A pod that is over. Its controller makes another one.
fn ended(status: &PodStatus, rules: &Rules, now: Timestamp, born: Option<Timestamp>) -> Trouble {
    let message = words::tidy(status.message.as_deref().unwrap_or_default());
    let words = match status.reason.as_deref() {
        Some("Evicted") => format!("a replica was put out of its node: {message}"),
        Some(reason) => format!("a replica was ended ({reason}): {message}"),
        None => {
            let last = status
                .container_statuses
                .iter()
                .flatten()
                .find_map(|container| container.state.as_ref()?.terminated.as_ref());
            last.map_or_else(|| "a replica was ended".to_owned(), how_it_ended)
        }
    };
    Trouble::lasting(born, rules, now, words)
}

fn how_it_ended(end: &ContainerStateTerminated) -> String {
    let said = words::tidy(end.message.as_deref().unwrap_or_default());
    let said = if said.is_empty() {
        said
    } else {
        format!(": {said}")
    };
    match (end.reason.as_deref(), end.exit_code) {
        (Some("OOMKilled"), _) => "it was killed because it used more memory than it has".to_owned(),
        (Some("StartError" | "ContainerCannotRun"), _) => format!("its program cannot be started{said}"),
        (Some("Completed"), _) | (None, 0) => {
            format!("its program ended by itself, with exit status 0{said}")
        }
        (_, KILLED) => format!("it was killed (exit status {KILLED}){said}"),
        (_, code) => format!("its program ended with exit status {code}{said}"),
    }
}

struct View<'a> {
    rules: &'a Rules,
    now: Timestamp,
    born: Option<Timestamp>,
}

impl View<'_> {
    fn container(&self, container: &ContainerStatus) -> Option<Trouble> {
        let state = container.state.as_ref()?;
        let last = container
            .last_state
            .as_ref()
            .and_then(|last| last.terminated.as_ref());
        if let Some(end) = &state.terminated {
            return self.after(end, restarts(container));
        }
        if let Some(waiting) = &state.waiting {
            let message = waiting.message.as_deref().unwrap_or_default();
            return self.waiting(
                container,
                waiting.reason.as_deref().unwrap_or_default(),
                message,
                last,
            );
        }
        // It runs. One that fell over and over is believed only after a while.
        let started = state
            .running
            .as_ref()
            .and_then(|running| moment(running.started_at.as_ref()));
        let young = started.is_none_or(|started| self.now.since(started) < STABLE);
        let end = last.filter(|_| young && restarts(container) >= self.rules.crash_loop_after)?;
        self.after(end, restarts(container))
    }

    fn waiting(
        &self,
        container: &ContainerStatus,
        reason: &str,
        message: &str,
        last: Option<&ContainerStateTerminated>,
    ) -> Option<Trouble> {
        let image = &container.image;
        match reason {
            "InvalidImageName" | "ErrImageNeverPull" => {
                Some(Trouble::new(Weight::Failed, words::image(reason, image, message)))
            }
            "ErrImagePull"
            | "ImagePullBackOff"
            | "RegistryUnavailable"
            | "ImageInspectError"
            | "SignatureValidationFailed" => Some(self.lasting(words::image(reason, image, message))),
            "" | "ContainerCreating" | "PodInitializing" => None,
            _ => Some(match last {
                Some(end) => self.after(end, restarts(container))?,
                None => self.lasting(format!("it cannot be started: {}", words::tidy(message))),
            }),
        }
    }

    fn lasting(&self, words: String) -> Trouble {
        Trouble::lasting(self.born, self.rules, self.now, words)
    }

    /// A container that ended, and how often it was started again.
    fn after(&self, end: &ContainerStateTerminated, restarts: u32) -> Option<Trouble> {
        let words = how_it_ended(end);
        // It would not start the next time either.
        let hopeless = matches!(end.reason.as_deref(), Some("StartError" | "ContainerCannotRun"));
        if hopeless || restarts >= self.rules.crash_loop_after {
            let times = restarts.saturating_add(1);
            let often = if restarts == 0 {
                String::new()
            } else {
                format!(" (started {times} times)")
            };
            return Some(Trouble::new(Weight::Failed, format!("{words}{often}")));
        }
        Some(Trouble::new(
            Weight::Starting,
            format!("{words}; it is started again"),
        ))
    }
}
