//! The objects of a workload, as functions of what is wanted: no call, no clock.

mod container;
mod controller;
mod guard;
mod network;
mod policy;
mod secret;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{LimitRange, Namespace, ResourceQuota, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::workload::{ServiceSpec, WorkloadSpec};

use super::config::{Config, Network};
use super::name;

pub(crate) use self::network::PUBLIC;
pub(crate) use self::secret::secrets;

/// Storage class of volumes in memory.
pub(crate) const IN_MEMORY: &str = "ram";

/// Name of the service account of every pod: it may do nothing, and its token is not mounted.
const ACCOUNT: &str = "workload";

/// Name of the resource that a node's GPUs are.
pub(crate) const GPU_RESOURCE: &str = "nvidia.com/gpu";

/// Root file system and logs of a replica that asks for no scratch space, in bytes.
const EPHEMERAL_BYTES_MIN: u64 = 256 << 20;

/// What is wanted of a workload as a whole, as its namespace says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Running,
    Paused,
    Stopped,
}

impl Goal {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        [Self::Running, Self::Paused, Self::Stopped]
            .into_iter()
            .find(|goal| goal.word() == word)
    }
}

/// What a rendering needs to know beside the workload.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Addresses of nodes, which workloads may not reach.
    pub(crate) nodes: Vec<Network>,
    /// For each service with an environment the version of the secret that holds it: a new one means new pods.
    pub(crate) environments: BTreeMap<String, String>,
    /// When it is told to run.
    pub(crate) at: Timestamp,
}

/// Everything of a workload but its namespace and secrets, in the order in which it is made: what guards comes first.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    pub(crate) quota: ResourceQuota,
    pub(crate) limits: LimitRange,
    pub(crate) account: ServiceAccount,
    pub(crate) policies: Vec<NetworkPolicy>,
    pub(crate) services: Vec<Service>,
    pub(crate) ingresses: Vec<Ingress>,
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) stateful_sets: Vec<StatefulSet>,
}

/// Renders the workload.
pub(crate) fn objects(config: &Config, spec: &WorkloadSpec, facts: &Facts) -> Objects {
    let scope = Scope { config, spec };
    let (stateful, stateless): (Vec<_>, Vec<_>) =
        spec.services.iter().partition(|service| is_stateful(service));
    Objects {
        quota: guard::quota(&scope),
        limits: guard::limits(&scope),
        account: guard::account(&scope),
        policies: policy::policies(&scope, &facts.nodes),
        services: network::services(&scope),
        ingresses: network::ingresses(&scope),
        deployments: stateless
            .into_iter()
            .map(|service| controller::deployment(&scope, service, facts))
            .collect(),
        stateful_sets: stateful
            .into_iter()
            .map(|service| controller::stateful_set(&scope, service, facts))
            .collect(),
    }
}

/// The namespace of a workload that shall run.
pub(crate) fn namespace(config: &Config, spec: &WorkloadSpec, at: Timestamp) -> Namespace {
    let scope = Scope { config, spec };
    let mut metadata = scope.meta(&name::namespace(config, &spec.id));
    metadata.namespace = None;
    let labels = metadata.labels.get_or_insert_default();
    // Whatever a pod asked for, the API refuses what would leave its container.
    labels.insert(
        "pod-security.kubernetes.io/enforce".to_owned(),
        "baseline".to_owned(),
    );
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(name::GOAL.to_owned(), Goal::Running.word().to_owned());
    annotations.insert(name::TOLD.to_owned(), at.as_millis().to_string());
    annotations.insert(name::SERVICES.to_owned(), services_text(spec));
    Namespace {
        metadata,
        ..Namespace::default()
    }
}

fn services_text(spec: &WorkloadSpec) -> String {
    let words: Vec<String> = spec
        .services
        .iter()
        .map(|s| format!("{}={}", s.name, s.count))
        .collect();
    words.join(",")
}

/// Reads what [`namespace`] wrote.
pub(crate) fn services_of_text(text: &str) -> BTreeMap<String, u32> {
    let pair = |word: &str| {
        let (name, count) = word.split_once('=')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.split(',').filter_map(pair).collect()
}

/// Whether a service keeps data.
fn is_stateful(service: &ServiceSpec) -> bool {
    service.volumes.iter().any(|volume| volume.persistent)
}

/// What every object of a workload is rendered from.
struct Scope<'a> {
    config: &'a Config,
    spec: &'a WorkloadSpec,
}

impl Scope<'_> {
    fn meta(&self, object: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(object.to_owned()),
            namespace: Some(name::namespace(self.config, &self.spec.id)),
            labels: Some(name::labels(self.config, self.spec)),
            annotations: Some(name::annotations(self.config, self.spec)),
            ..ObjectMeta::default()
        }
    }

    fn service_meta(&self, object: &str, service: &ServiceSpec) -> ObjectMeta {
        let mut meta = self.meta(object);
        let labels = meta.labels.get_or_insert_default();
        labels.insert(name::SERVICE.to_owned(), service.name.clone());
        meta
    }

    /// Selects the pods of a service. Never changes: a controller's selector cannot.
    fn selector(&self, service: &str) -> BTreeMap<String, String> {
        BTreeMap::from([
            (name::WORKLOAD.to_owned(), self.spec.id.to_string()),
            (name::SERVICE.to_owned(), service.to_owned()),
        ])
    }
}

/// Scratch space of a replica, in bytes: root file system, logs and volumes that are not kept.
fn ephemeral_bytes(service: &ServiceSpec) -> u64 {
    let scratch = service
        .volumes
        .iter()
        .filter(|volume| !volume.persistent && volume.class.as_deref() != Some(IN_MEMORY));
    let asked = scratch.fold(0_u64, |sum, volume| sum.saturating_add(volume.bytes));
    asked.max(EPHEMERAL_BYTES_MIN)
}

fn millis(value: u64) -> Quantity {
    Quantity(format!("{value}m"))
}

fn count(value: u64) -> Quantity {
    Quantity(value.to_string())
}

fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
