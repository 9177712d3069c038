//! What bounds a namespace.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    LimitRange, LimitRangeItem, LimitRangeSpec, ResourceQuota, ResourceQuotaSpec, ServiceAccount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{ACCOUNT, GPU_RESOURCE, Scope, count, ephemeral_bytes, millis};

/// Exactly what the workload asks for: a rollout makes room before it makes pods.
pub(super) fn quota(scope: &Scope<'_>) -> ResourceQuota {
    let services = &scope.spec.services;
    let sum = |each: &dyn Fn(&virtengine_provider_core::workload::ServiceSpec) -> u64| {
        services.iter().fold(0_u64, |sum, service| {
            sum.saturating_add(each(service).saturating_mul(u64::from(service.count)))
        })
    };
    let cpu = millis(sum(&|service| service.cpu_millis));
    let memory = count(sum(&|service| service.memory_bytes));
    let ephemeral = count(sum(&ephemeral_bytes));
    let persistent = |service: &virtengine_provider_core::workload::ServiceSpec| {
        let kept = service.volumes.iter().filter(|volume| volume.persistent);
        kept.fold(0_u64, |sum, volume| sum.saturating_add(volume.bytes))
    };
    let hard: BTreeMap<String, Quantity> = [
        ("pods", count(sum(&|_| 1))),
        ("requests.cpu", cpu.clone()),
        ("limits.cpu", cpu),
        ("requests.memory", memory.clone()),
        ("limits.memory", memory),
        ("requests.ephemeral-storage", ephemeral.clone()),
        ("limits.ephemeral-storage", ephemeral),
        ("requests.storage", count(sum(&persistent))),
    ]
    .into_iter()
    .map(|(name, quantity)| (name.to_owned(), quantity))
    .chain([(
        format!("requests.{GPU_RESOURCE}"),
        count(sum(&|service| service.gpus)),
    )])
    .collect();
    ResourceQuota {
        metadata: scope.meta("workload"),
        spec: Some(ResourceQuotaSpec {
            hard: Some(hard),
            ..ResourceQuotaSpec::default()
        }),
        ..ResourceQuota::default()
    }
}

/// A quota on requests refuses every container that names none: this names some.
pub(super) fn limits(scope: &Scope<'_>) -> LimitRange {
    let defaults = BTreeMap::from([
        ("cpu".to_owned(), millis(50)),
        ("memory".to_owned(), Quantity("64Mi".to_owned())),
        ("ephemeral-storage".to_owned(), Quantity("64Mi".to_owned())),
    ]);
    LimitRange {
        metadata: scope.meta("workload"),
        spec: Some(LimitRangeSpec {
            limits: vec![LimitRangeItem {
                type_: "Container".to_owned(),
                default: Some(defaults.clone()),
                default_request: Some(defaults),
                ..LimitRangeItem::default()
            }],
        }),
    }
}

/// The identity of the pods, which may do nothing.
pub(super) fn account(scope: &Scope<'_>) -> ServiceAccount {
    ServiceAccount {
        metadata: scope.meta(ACCOUNT),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
