//! From what the cluster says to the phase of a workload: a function of the objects and the time.
//!
//! A pod's own phase says nothing: a crash loop, a loop of memory failures and a pod on a dead node are all `Running`. What
//! Kubernetes itself tries again (a pull, a place on a node) is starting at first, and failed when it lasts. A node that does
//! not answer is neither: nobody knows how its pods are.

mod pod;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Event, Namespace, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use virtengine_provider_core::ports::adapter::{Phase, ServiceObservation};
use virtengine_provider_core::time::Timestamp;

pub(crate) use self::words::removal;
use super::config::Config;
use super::name;
use super::render::{Goal, services_of_text};

/// How long a container that crashed over and over must run until it is believed to be well.
const STABLE: Duration = Duration::from_secs(30);

/// How long a container may be created until the events are asked why it is not there.
const CREATION: Duration = Duration::from_secs(8);

/// What the cluster says about one workload.
#[derive(Debug, Clone, Default)]
pub(crate) struct Picture {
    pub(crate) namespace: Namespace,
    pub(crate) pods: Vec<Arc<Pod>>,
    pub(crate) deployments: Vec<Arc<Deployment>>,
    pub(crate) stateful_sets: Vec<Arc<StatefulSet>>,
    pub(crate) claims: Vec<Arc<PersistentVolumeClaim>>,
    /// Warnings of its namespace, when [`wants_events`] asked for them.
    pub(crate) events: Vec<Event>,
    /// Nodes that do not answer.
    pub(crate) silent_nodes: BTreeSet<String>,
}

/// What is settled about judging.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) patience: Duration,
    /// When the workload was last told to run: patience begins anew.
    pub(crate) told: Timestamp,
    pub(crate) crash_loop_after: u32,
}

impl Rules {
    pub(crate) fn of(config: &Config, namespace: &Namespace) -> Self {
        let told = annotation(namespace, name::TOLD).and_then(|told| told.parse().ok());
        Self {
            patience: config.patience,
            told: told.map_or(Timestamp::EPOCH, Timestamp::from_millis),
            crash_loop_after: config.crash_loop_after,
        }
    }
}

/// What it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) phase: Phase,
    pub(crate) message: String,
    pub(crate) services: Vec<ServiceObservation>,
}

/// Something that is not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    weight: Weight,
    words: String,
}

/// How bad a trouble is, the lightest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// It may pass.
    Starting,
    /// It is broken.
    Failed,
    /// Nobody can tell.
    Unknown,
}

impl Trouble {
    pub(super) const fn new(weight: Weight, words: String) -> Self {
        Self { weight, words }
    }

    /// Starting at first, failed when it has lasted.
    fn lasting(since: Option<Timestamp>, rules: &Rules, now: Timestamp, words: String) -> Self {
        let lasts = since.is_some_and(|since| now.since(since.max(rules.told)) >= rules.patience);
        Self::new(if lasts { Weight::Failed } else { Weight::Starting }, words)
    }
}

/// Whether the picture lacks what only events tell.
pub(crate) fn wants_events(picture: &Picture, now: Timestamp) -> bool {
    let pending = |claim: &Arc<PersistentVolumeClaim>| {
        claim
            .status
            .as_ref()
            .is_some_and(|status| status.phase.as_deref() == Some("Pending"))
    };
    let short = |set: &Arc<StatefulSet>| {
        let made = set.status.as_ref().map_or(0, |status| status.replicas);
        made < set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0)
    };
    picture.claims.iter().any(pending)
        || picture.stateful_sets.iter().any(short)
        || picture
            .pods
            .iter()
            .any(|pod| pod::is_being_created(pod, now, CREATION))
}

/// Judges the picture.
pub(crate) fn judge(picture: &Picture, rules: &Rules, now: Timestamp) -> Judgement {
    let services: BTreeMap<String, u32> = annotation(&picture.namespace, name::SERVICES)
        .map(services_of_text)
        .unwrap_or_default();
    let goal = annotation(&picture.namespace, name::GOAL).and_then(Goal::of_word);
    let judged: Vec<Judged> = services
        .iter()
        .map(|(service, wanted)| {
            Case {
                picture,
                rules,
                now,
                service,
                wanted: *wanted,
            }
            .judge()
        })
        .collect();
    let (phase, message) = if picture.namespace.metadata.deletion_timestamp.is_some() {
        (Phase::Stopping, removal(&picture.namespace))
    } else {
        match goal {
            Some(Goal::Running) => running(&judged),
            Some(Goal::Paused) => resting(picture, Phase::Paused),
            Some(Goal::Stopped) => resting(picture, Phase::Stopped),
            None => (
                Phase::Unknown,
                "its namespace does not say what is wanted of it".to_owned(),
            ),
        }
    };
    Judgement {
        phase,
        message,
        services: judged.into_iter().map(|judged| judged.seen).collect(),
    }
}

fn annotation<'a>(object: &'a impl ResourceExt, key: &str) -> Option<&'a str> {
    object.annotations().get(key).map(String::as_str)
}

fn running(judged: &[Judged]) -> (Phase, String) {
    let troubled = judged.iter().filter_map(|judged| {
        let trouble = judged.trouble.as_ref()?;
        Some((
            trouble.weight,
            format!("service {}: {}", judged.seen.name, trouble.words),
        ))
    });
    // The first of the heaviest.
    let worst = troubled.fold(None, |worst: Option<(Weight, String)>, next| match worst {
        Some(worst) if worst.0 >= next.0 => Some(worst),
        Some(_) | None => Some(next),
    });
    match worst {
        None if judged.is_empty() => (Phase::Unknown, "its namespace names no service".to_owned()),
        None => (Phase::Running, String::new()),
        Some((Weight::Starting, words)) => (Phase::Starting, words),
        Some((Weight::Failed, words)) => (Phase::Failed, words),
        Some((Weight::Unknown, words)) => (Phase::Unknown, words),
    }
}

/// No compute: nothing is wanted any more, and nothing is there.
fn resting(picture: &Picture, phase: Phase) -> (Phase, String) {
    let wanted = |spec: Option<i32>| spec.unwrap_or(1) > 0;
    let deployments = picture
        .deployments
        .iter()
        .map(|d| d.spec.as_ref().and_then(|spec| spec.replicas));
    let sets = picture
        .stateful_sets
        .iter()
        .map(|s| s.spec.as_ref().and_then(|spec| spec.replicas));
    let pods = picture.pods.iter().filter(|pod| !pod::has_ended(pod)).count();
    if pods > 0 {
        return (
            Phase::Stopping,
            format!("{pods} of its replicas have not ended yet"),
        );
    }
    if deployments.chain(sets).any(wanted) {
        return (Phase::Stopping, "its replicas are being ended".to_owned());
    }
    (phase, String::new())
}

struct Judged {
    seen: ServiceObservation,
    trouble: Option<Trouble>,
}

/// One service of a picture.
struct Case<'a> {
    picture: &'a Picture,
    rules: &'a Rules,
    now: Timestamp,
    service: &'a str,
    wanted: u32,
}

impl Case<'_> {
    fn judge(&self) -> Judged {
        let pods: Vec<&Arc<Pod>> = self.of(&self.picture.pods);
        let seen: Vec<pod::Seen> = pods
            .iter()
            .map(|pod| pod::look(pod, self.rules, self.now))
            .collect();
        let answers = |pod: &Pod| {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            node.is_none_or(|node| !self.picture.silent_nodes.contains(node))
        };
        let living = || {
            pods.iter()
                .zip(&seen)
                .filter(|(pod, _)| pod.metadata.deletion_timestamp.is_none())
        };
        let ready = living().filter(|(pod, seen)| seen.ready && answers(pod)).count();
        let ready = u32::try_from(ready).unwrap_or(u32::MAX);
        let silent = living().find(|(pod, _)| !answers(pod));
        let trouble = if ready >= self.wanted {
            self.rollout()
        } else if let Some((pod, _)) = silent {
            let node = pod
                .spec
                .as_ref()
                .and_then(|spec| spec.node_name.clone())
                .unwrap_or_default();
            Some(Trouble::new(
                Weight::Unknown,
                format!("the node {node} of one of its replicas does not answer"),
            ))
        } else {
            Some(self.shortage(living().filter_map(|(_, seen)| seen.trouble.as_ref())))
        };
        let observation = ServiceObservation {
            name: self.service.to_owned(),
            wanted: self.wanted,
            ready,
            restarts: seen.iter().fold(0, |sum, seen| sum.saturating_add(seen.restarts)),
            message: trouble
                .as_ref()
                .map(|trouble| trouble.words.clone())
                .unwrap_or_default(),
        };
        Judged {
            seen: observation,
            trouble,
        }
    }

    fn of<'a, K: ResourceExt>(&self, all: &'a [Arc<K>]) -> Vec<&'a Arc<K>> {
        let mine = |object: &&Arc<K>| {
            object
                .labels()
                .get(name::SERVICE)
                .is_some_and(|of| of == self.service)
        };
        all.iter().filter(mine).collect()
    }

    /// Enough are ready; but are they what was asked for last?
    fn rollout(&self) -> Option<Trouble> {
        let deployment = self.of(&self.picture.deployments).into_iter().any(|object| {
            let status = object.status.as_ref();
            let observed = status.and_then(|status| status.observed_generation);
            let updated = status.and_then(|status| status.updated_replicas).unwrap_or(0);
            observed != object.metadata.generation || u32::try_from(updated).unwrap_or(0) < self.wanted
        });
        let set = self.of(&self.picture.stateful_sets).into_iter().any(|object| {
            let status = object.status.as_ref();
            let observed = status.and_then(|status| status.observed_generation);
            let revisions = status.map(|status| (&status.current_revision, &status.update_revision));
            observed != object.metadata.generation || revisions.is_none_or(|(now, next)| now != next)
        });
        (deployment || set)
            .then(|| Trouble::new(Weight::Starting, "its new version is being rolled out".to_owned()))
    }

    /// Why fewer are ready than wanted. The heaviest trouble of a pod is the nearest cause, unless a volume is behind it.
    fn shortage<'t>(&self, of_pods: impl Iterator<Item = &'t Trouble>) -> Trouble {
        let worst = of_pods.max_by_key(|trouble| trouble.weight).cloned();
        let deeper = self.volume_trouble().or_else(|| self.mount_trouble());
        let gated = worst
            .as_ref()
            .is_none_or(|worst| words::may_hide_a_cause(&worst.words));
        if let Some(deeper) = deeper.filter(|_| gated) {
            return deeper;
        }
        self.refusal()
            .filter(|_| {
                worst
                    .as_ref()
                    .is_none_or(|worst| worst.weight == Weight::Starting)
            })
            .or(worst)
            .or_else(|| self.deadline())
            .unwrap_or_else(|| self.not_there())
    }

    fn not_there(&self) -> Trouble {
        let controlled = !self.of(&self.picture.deployments).is_empty()
            || !self.of(&self.picture.stateful_sets).is_empty();
        let words = if controlled {
            "its replicas are being started"
        } else {
            "it is being set up"
        };
        Trouble::new(Weight::Starting, words.to_owned())
    }

    /// The cluster refuses to make a pod.
    fn refusal(&self) -> Option<Trouble> {
        let conditions = |object: &&Arc<Deployment>| {
            let conditions = object
                .status
                .as_ref()
                .and_then(|status| status.conditions.clone());
            conditions.unwrap_or_default()
        };
        let failure = self
            .of(&self.picture.deployments)
            .iter()
            .flat_map(conditions)
            .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True");
        if let Some(failure) = failure {
            let words = words::refusal(failure.message.as_deref().unwrap_or_default());
            return Some(Trouble::lasting(
                moment(failure.last_transition_time.as_ref()),
                self.rules,
                self.now,
                words,
            ));
        }
        let sets = self.of(&self.picture.stateful_sets);
        let event = self.latest_event(|event| {
            let of = &event.involved_object;
            event.reason.as_deref() == Some("FailedCreate")
                && of.kind.as_deref() == Some("StatefulSet")
                && sets
                    .iter()
                    .any(|set| of.name.as_deref() == Some(set.name_any().as_str()))
        })?;
        let words = words::refusal(event.message.as_deref().unwrap_or_default());
        let since = moment(
            event
                .first_timestamp
                .as_ref()
                .or(event.metadata.creation_timestamp.as_ref()),
        );
        Some(Trouble::lasting(since, self.rules, self.now, words))
    }

    /// A claim for which no volume is made.
    fn volume_trouble(&self) -> Option<Trouble> {
        let claims = self.of(&self.picture.claims);
        let waiting = claims.into_iter().find_map(|claim| {
            let lost = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost");
            if lost {
                return Some((claim, "the data of its volume are lost".to_owned()));
            }
            let event = self.latest_event(|event| {
                event.reason.as_deref() == Some("ProvisioningFailed")
                    && event.involved_object.name.as_deref() == Some(claim.name_any().as_str())
            })?;
            let pending = claim
                .status
                .as_ref()
                .is_some_and(|status| status.phase.as_deref() == Some("Pending"));
            pending.then(|| (claim, words::volume(event.message.as_deref().unwrap_or_default())))
        });
        let (claim, words) = waiting?;
        let since = moment(claim.metadata.creation_timestamp.as_ref());
        Some(Trouble::lasting(since, self.rules, self.now, words))
    }

    /// What only an event tells about a pod that is being created.
    fn mount_trouble(&self) -> Option<Trouble> {
        let pods: BTreeSet<String> = self
            .of(&self.picture.pods)
            .into_iter()
            .filter(|pod| pod::is_being_created(pod, self.now, CREATION))
            .map(|pod| pod.name_any())
            .collect();
        let event = self.latest_event(|event| {
            let reason = event.reason.as_deref().unwrap_or_default();
            let about = event.involved_object.name.as_ref();
            ["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"].contains(&reason)
                && about.is_some_and(|name| pods.contains(name))
        })?;
        let words = format!(
            "it cannot be started: {}",
            words::tidy(event.message.as_deref().unwrap_or_default())
        );
        let since = moment(
            event
                .first_timestamp
                .as_ref()
                .or(event.metadata.creation_timestamp.as_ref()),
        );
        Some(Trouble::lasting(since, self.rules, self.now, words))
    }

    fn latest_event(&self, fits: impl Fn(&Event) -> bool) -> Option<&Event> {
        let of_this = |event: &&Event| fits(event);
        self.picture.events.iter().filter(of_this).max_by_key(|event| {
            event
                .last_timestamp
                .as_ref()
                .or(event.metadata.creation_timestamp.as_ref())
                .map(|t| t.0)
        })
    }

    fn deadline(&self) -> Option<Trouble> {
        let over = self.of(&self.picture.deployments).into_iter().any(|object| {
            let conditions = object
                .status
                .as_ref()
                .and_then(|status| status.conditions.as_ref());
            conditions.into_iter().flatten().any(|condition| {
                condition.type_ == "Progressing"
                    && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
            })
        });
        over.then(|| {
            Trouble::new(
                Weight::Failed,
                "its replicas did not become ready in time".to_owned(),
            )
        })
    }
}

pub(super) fn moment(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| Timestamp::from_millis(time.0.as_millisecond()))
}

#[cfg(test)]
mod tests;
