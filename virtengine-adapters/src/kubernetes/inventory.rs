//! What the cluster has, and what others use of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::CSIStorageCapacity;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use virtengine_provider_core::ports::adapter::Inventory;
use virtengine_provider_core::units::Resources;

use super::adapter::Cluster;
use super::error::Outcome;
use super::name;
use super::quantity::{thousandths, whole};
use super::render::GPU_RESOURCE;

/// Said of storage when no class tells how much it has: an exbibyte, so that what is configured is what counts.
pub(crate) const STORAGE_UNKNOWN_BYTES: u64 = 1 << 60;

type Amounts = std::collections::BTreeMap<String, Quantity>;

/// Whether a node takes new pods.
pub(crate) fn is_open(node: &Node) -> bool {
    let closed = node
        .spec
        .as_ref()
        .and_then(|spec| spec.unschedulable)
        .unwrap_or(false);
    !closed && answers(node)
}

/// Whether a node's kubelet answers.
pub(crate) fn answers(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

impl Cluster {
    pub(super) async fn inventory(&self) -> Outcome<Inventory> {
        self.watch.when_trusted(self.config.call_timeout).await?;
        let nodes: Vec<Arc<Node>> = self
            .watch
            .nodes
            .state()
            .into_iter()
            .filter(|node| is_open(node))
            .collect();
        let names: BTreeSet<String> = nodes.iter().map(|node| node.name_any()).collect();
        let mut capacity = nodes
            .iter()
            .filter_map(|node| node.status.as_ref()?.allocatable.as_ref())
            .fold(Resources::ZERO, |sum, amounts| add(&sum, &resources(amounts)));
        capacity.storage_bytes = capacity.storage_bytes.saturating_add(self.class_storage().await?);
        // Pods that hold nothing any more are left out by the server.
        let fields = "status.phase!=Succeeded,status.phase!=Failed,spec.nodeName!=";
        let params = ListParams::default().fields(fields);
        let pods: Vec<Pod> = self
            .calls
            .pages(Api::all(self.calls.client.clone()), params)
            .await?;
        let owner = name::hash(&self.config.owner);
        let foreign = |pod: &&Pod| pod.labels().get(name::OWNER) != Some(&owner);
        let counted = |pod: &&Pod| {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
            node.is_some_and(|node| names.contains(node))
        };
        let foreign_use = pods
            .iter()
            .filter(foreign)
            .filter(counted)
            .fold(Resources::ZERO, |sum, pod| add(&sum, &requests(pod)));
        Ok(Inventory {
            capacity,
            foreign_use,
        })
    }

    /// What the offered storage classes say that they have.
    async fn class_storage(&self) -> Outcome<u64> {
        let api: Api<CSIStorageCapacity> = Api::all(self.calls.client.clone());
        let told: Vec<CSIStorageCapacity> = match self.calls.pages(api, ListParams::default()).await {
            Ok(told) => told,
            Err(failure) => {
                tracing::debug!(why = %failure.message, "storage classes do not tell what they have");
                Vec::new()
            }
        };
        let offered = &self.config.storage_classes;
        let of_ours = told
            .iter()
            .filter(|of| offered.is_empty() || offered.contains(&of.storage_class_name));
        let amounts: Vec<u64> = of_ours.filter_map(|of| whole(&of.capacity.as_ref()?.0)).collect();
        if amounts.is_empty() {
            return Ok(STORAGE_UNKNOWN_BYTES);
        }
        Ok(amounts.into_iter().fold(0, u64::saturating_add))
    }
}

fn amount(amounts: &Amounts, name: &str, read: impl Fn(&str) -> Option<u64>) -> u64 {
    amounts.get(name).and_then(|amount| read(&amount.0)).unwrap_or(0)
}

fn resources(amounts: &Amounts) -> Resources {
    Resources {
        cpu_millis: amount(amounts, "cpu", thousandths),
        memory_bytes: amount(amounts, "memory", whole),
        storage_bytes: amount(amounts, "ephemeral-storage", whole),
        gpus: amount(amounts, GPU_RESOURCE, whole),
    }
}

fn requests(pod: &Pod) -> Resources {
    let of = |container: &k8s_openapi::api::core::v1::Container| {
        let requests = container
            .resources
            .as_ref()
            .and_then(|resources| resources.requests.as_ref());
        requests.map_or(Resources::ZERO, resources)
    };
    let Some(spec) = &pod.spec else {
        return Resources::ZERO;
    };
    let running = spec
        .containers
        .iter()
        .map(of)
        .fold(Resources::ZERO, |sum, next| add(&sum, &next));
    // What prepares a pod runs before the rest, one after the other, unless it stays beside it.
    let prepares = spec.init_containers.iter().flatten();
    let (beside, before): (Vec<_>, Vec<_>) =
        prepares.partition(|c| c.restart_policy.as_deref() == Some("Always"));
    let running = beside
        .into_iter()
        .map(of)
        .fold(running, |sum, next| add(&sum, &next));
    let needed = before
        .into_iter()
        .map(of)
        .fold(running, |most, next| max(&most, &next));
    match &spec.overhead {
        Some(overhead) => add(&needed, &resources(overhead)),
        None => needed,
    }
}

fn add(a: &Resources, b: &Resources) -> Resources {
    Resources {
        cpu_millis: a.cpu_millis.saturating_add(b.cpu_millis),
        memory_bytes: a.memory_bytes.saturating_add(b.memory_bytes),
        storage_bytes: a.storage_bytes.saturating_add(b.storage_bytes),
        gpus: a.gpus.saturating_add(b.gpus),
    }
}

fn max(a: &Resources, b: &Resources) -> Resources {
    Resources {
        cpu_millis: a.cpu_millis.max(b.cpu_millis),
        memory_bytes: a.memory_bytes.max(b.memory_bytes),
        storage_bytes: a.storage_bytes.max(b.storage_bytes),
        gpus: a.gpus.max(b.gpus),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_holds_what_its_containers_ask_for_together_or_what_prepares_it() {
        let pod: Pod = serde_json::from_value(json!({ "spec": {
            "initContainers": [
                { "name": "before", "resources": { "requests": { "cpu": "2", "memory": "10Mi" } } },
                { "name": "beside", "restartPolicy": "Always", "resources": { "requests": { "cpu": "100m" } } },
            ],
            "containers": [
                { "name": "a", "resources": { "requests": { "cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "1" } } },
                { "name": "b", "resources": { "requests": { "cpu": "250m" } } },
            ],
            "overhead": { "memory": "1Mi" },
        } }))
        .unwrap();
        let held = requests(&pod);
        assert_eq!(
            (held.cpu_millis, held.memory_bytes, held.gpus),
            (2000, (1 << 30) + (1 << 20), 1)
        );
    }

    #[test]
    fn a_node_that_is_closed_or_silent_takes_nothing() {
        let node = |ready: &str, closed: bool| -> Node {
            serde_json::from_value(json!({
                "spec": { "unschedulable": closed },
                "status": { "conditions": [{ "type": "Ready", "status": ready, "lastTransitionTime": null }] },
            }))
            .unwrap()
        };
        assert!(is_open(&node("True", false)));
        assert!(!is_open(&node("True", true)));
        assert!(!is_open(&node("Unknown", false)) && answers(&node("True", true)));
    }
}
