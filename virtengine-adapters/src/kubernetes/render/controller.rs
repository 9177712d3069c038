//! What keeps the replicas of a service running.

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment, StatefulSet,
    StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use virtengine_provider_core::workload::{ServiceSpec, VolumeSpec};

use super::container::template;
use super::{Facts, Scope, count, signed};
use crate::kubernetes::name;

fn metadata(scope: &Scope<'_>, service: &ServiceSpec, facts: &Facts) -> ObjectMeta {
    let mut meta = scope.service_meta(&name::controller(&service.name), service);
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(name::REPLICAS.to_owned(), service.count.to_string());
    annotations.insert(name::TOLD.to_owned(), facts.at.as_millis().to_string());
    meta
}

fn selector(scope: &Scope<'_>, service: &ServiceSpec) -> LabelSelector {
    LabelSelector {
        match_labels: Some(scope.selector(&service.name)),
        ..LabelSelector::default()
    }
}

pub(super) fn deployment(scope: &Scope<'_>, service: &ServiceSpec, facts: &Facts) -> Deployment {
    let patience = i32::try_from(scope.config.patience.as_secs()).unwrap_or(i32::MAX);
    Deployment {
        metadata: metadata(scope, service, facts),
        spec: Some(DeploymentSpec {
            progress_deadline_seconds: Some(patience.max(30).saturating_mul(2)),
            replicas: Some(signed(service.count)),
            revision_history_limit: Some(1),
            selector: selector(scope, service),
            // Only what was bought is there: an old pod goes before a new one comes.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(0)),
                    max_unavailable: Some(IntOrString::Int(1)),
                }),
            }),
            template: template(scope, service, facts.environments.get(&service.name)),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

pub(super) fn stateful_set(scope: &Scope<'_>, service: &ServiceSpec, facts: &Facts) -> StatefulSet {
    let keep = || Some("Retain".to_owned());
    StatefulSet {
        metadata: metadata(scope, service, facts),
        spec: Some(StatefulSetSpec {
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: keep(),
                when_scaled: keep(),
            }),
            pod_management_policy: Some("Parallel".to_owned()),
            replicas: Some(signed(service.count)),
            revision_history_limit: Some(1),
            selector: selector(scope, service),
            service_name: Some(service.name.clone()),
            template: template(scope, service, facts.environments.get(&service.name)),
            volume_claim_templates: Some(
                service
                    .volumes
                    .iter()
                    .filter(|volume| volume.persistent)
                    .map(|volume| claim(scope, service, volume))
                    .collect(),
            ),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

fn claim(scope: &Scope<'_>, service: &ServiceSpec, volume: &VolumeSpec) -> PersistentVolumeClaim {
    let mut metadata = scope.service_meta(&volume.name, service);
    metadata.namespace = None;
    let class = volume
        .class
        .clone()
        .or_else(|| scope.config.storage_class_default.clone());
    PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), count(volume.bytes))].into()),
                limits: None,
            }),
            storage_class_name: class,
            volume_mode: Some("Filesystem".to_owned()),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}
