//! The pods of a service.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Probe as KubeProbe;
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvFromSource, ExecAction,
    HTTPGetAction, Lifecycle, LifecycleHandler, LocalObjectReference, NodeAffinity, NodeSelector,
    NodeSelectorRequirement, NodeSelectorTerm, PodSecurityContext, PodSpec, PodTemplateSpec,
    ResourceRequirements, SeccompProfile, SecretEnvSource, SecurityContext, TCPSocketAction, Toleration,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use virtengine_provider_core::workload::{HealthCheck, Probe, Protocol, ServiceSpec, VolumeSpec};

use super::secret::{ENVIRONMENT, PULL};
use super::{ACCOUNT, GPU_RESOURCE, IN_MEMORY, Scope, count, ephemeral_bytes, millis, signed};
use crate::kubernetes::name;

/// What a program that starts as root and drops its rights needs, and no more.
const CAPABILITIES: [&str; 8] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETUID",
];

/// Longest time that a replica gets to end, in seconds, whatever its hook asks for.
const GRACE_SECONDS_MAX: i64 = 120;

/// Label, taint and tolerance of nodes that do not answer.
const SILENT: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// How long a pod stays bound to a node that does not answer, in seconds. What Kubernetes takes by default.
const SILENT_SECONDS: i64 = 300;

pub(super) fn template(
    scope: &Scope<'_>,
    service: &ServiceSpec,
    environment: Option<&String>,
) -> PodTemplateSpec {
    let meta = scope.service_meta("", service);
    let mut labels = meta.labels.unwrap_or_default();
    if service.gpus > 0 {
        labels.insert(name::GPUS.to_owned(), service.gpus.to_string());
    }
    let mut annotations = meta.annotations.unwrap_or_default();
    if let Some(version) = environment {
        annotations.insert(name::ENVIRONMENT.to_owned(), version.clone());
    }
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(scope, service)),
    }
}

fn pod(scope: &Scope<'_>, service: &ServiceSpec) -> PodSpec {
    let config = scope.config;
    let pulls = service.credentials.is_some().then(|| LocalObjectReference {
        name: name::part(PULL, &service.name),
    });
    let tolerations = SILENT.map(|key| Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        toleration_seconds: Some(SILENT_SECONDS),
        ..Toleration::default()
    });
    PodSpec {
        affinity: affinity(scope, service),
        automount_service_account_token: Some(false),
        containers: vec![container(scope, service)],
        enable_service_links: Some(false),
        image_pull_secrets: pulls.map(|pull| vec![pull]),
        restart_policy: Some("Always".to_owned()),
        runtime_class_name: config.runtime_class.clone(),
        security_context: Some(PodSecurityContext {
            run_as_non_root: config.run_as_non_root.then_some(true),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        service_account_name: Some(ACCOUNT.to_owned()),
        termination_grace_period_seconds: Some(grace(scope, service)),
        tolerations: Some(tolerations.to_vec()),
        volumes: scratch(service),
        ..PodSpec::default()
    }
}

fn grace(scope: &Scope<'_>, service: &ServiceSpec) -> i64 {
    let hook = service
        .hooks
        .pre_stop
        .as_ref()
        .map_or(0, |hook| i64::from(hook.timeout_seconds));
    let own = i64::try_from(scope.config.stop_grace.as_secs()).unwrap_or(GRACE_SECONDS_MAX);
    own.saturating_add(hook).min(GRACE_SECONDS_MAX)
}

/// Nodes whose GPUs are of a model that was asked for.
fn affinity(scope: &Scope<'_>, service: &ServiceSpec) -> Option<Affinity> {
    let model = |wish: &String| {
        let words: Vec<&str> = wish.split('/').collect();
        let at = words.iter().position(|word| *word == "model")?;
        words.get(at + 1).map(|model| (*model).to_owned())
    };
    let models: Vec<String> = service
        .gpu_models
        .iter()
        .filter_map(model)
        .filter(|model| model != "*")
        .collect();
    if service.gpus == 0 || models.is_empty() {
        return None;
    }
    let wanted = NodeSelectorTerm {
        match_expressions: Some(vec![NodeSelectorRequirement {
            key: scope.config.gpu_model_label.clone(),
            operator: "In".to_owned(),
            values: Some(models),
        }]),
        match_fields: None,
    };
    Some(Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: vec![wanted],
            }),
            ..NodeAffinity::default()
        }),
        ..Affinity::default()
    })
}

fn container(scope: &Scope<'_>, service: &ServiceSpec) -> Container {
    let pull = if scope.config.always_pull {
        "Always"
    } else {
        "IfNotPresent"
    };
    let env = (!service.env.is_empty()).then(|| EnvFromSource {
        secret_ref: Some(SecretEnvSource {
            name: name::part(ENVIRONMENT, &service.name),
            optional: Some(false),
        }),
        ..EnvFromSource::default()
    });
    let some = |words: &[String]| (!words.is_empty()).then(|| literal(words));
    Container {
        name: "service".to_owned(),
        image: Some(service.image.clone()),
        image_pull_policy: Some(pull.to_owned()),
        command: some(&service.command),
        args: some(&service.args),
        env_from: env.map(|env| vec![env]),
        ports: ports(service),
        resources: Some(resources(service)),
        lifecycle: lifecycle(service),
        readiness_probe: service.health.as_ref().map(readiness),
        liveness_probe: service.health.as_ref().map(liveness),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
                drop: Some(vec!["ALL".to_owned()]),
            }),
            privileged: Some(false),
            ..SecurityContext::default()
        }),
        // The end of the log tells more than an exit status.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: mounts(service),
        ..Container::default()
    }
}

/// Kubernetes would replace `$(NAME)`; the tenant's words are taken as they are.
fn literal(words: &[String]) -> Vec<String> {
    words.iter().map(|word| word.replace('$', "$$")).collect()
}

fn ports(service: &ServiceSpec) -> Option<Vec<ContainerPort>> {
    let unique: BTreeMap<(u16, &str), ()> = service
        .exposes
        .iter()
        .map(|expose| ((expose.port, protocol(expose.protocol)), ()))
        .collect();
    let ports: Vec<ContainerPort> = unique
        .into_keys()
        .map(|(port, protocol)| ContainerPort {
            container_port: i32::from(port),
            protocol: Some(protocol.to_owned()),
            ..ContainerPort::default()
        })
        .collect();
    (!ports.is_empty()).then_some(ports)
}

pub(super) const fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}

/// What is paid for is reserved and is the limit.
fn resources(service: &ServiceSpec) -> ResourceRequirements {
    let mut amounts = BTreeMap::from([
        ("cpu".to_owned(), millis(service.cpu_millis)),
        ("memory".to_owned(), count(service.memory_bytes)),
        ("ephemeral-storage".to_owned(), count(ephemeral_bytes(service))),
    ]);
    if service.gpus > 0 {
        amounts.insert(GPU_RESOURCE.to_owned(), count(service.gpus));
    }
    ResourceRequirements {
        limits: Some(amounts.clone()),
        requests: Some(amounts),
        ..ResourceRequirements::default()
    }
}

fn lifecycle(service: &ServiceSpec) -> Option<Lifecycle> {
    let handler = |probe: &Probe| LifecycleHandler {
        exec: exec(probe),
        http_get: http(probe),
        ..LifecycleHandler::default()
    };
    let hooks = &service.hooks;
    (hooks.post_start.is_some() || hooks.pre_stop.is_some()).then(|| Lifecycle {
        post_start: hooks.post_start.as_ref().map(|hook| handler(&hook.probe)),
        pre_stop: hooks.pre_stop.as_ref().map(|hook| handler(&hook.probe)),
        ..Lifecycle::default()
    })
}

fn exec(probe: &Probe) -> Option<ExecAction> {
    let Probe::Exec { command } = probe else {
        return None;
    };
    Some(ExecAction {
        command: Some(command.clone()),
    })
}

fn http(probe: &Probe) -> Option<HTTPGetAction> {
    let Probe::Http { path, port, https } = probe else {
        return None;
    };
    Some(HTTPGetAction {
        path: Some(path.clone()),
        port: IntOrString::Int(i32::from(*port)),
        scheme: Some(if *https { "HTTPS" } else { "HTTP" }.to_owned()),
        ..HTTPGetAction::default()
    })
}

fn readiness(check: &HealthCheck) -> KubeProbe {
    let tcp = match &check.probe {
        Probe::Tcp { port } => Some(TCPSocketAction {
            port: IntOrString::Int(i32::from(*port)),
            host: None,
        }),
        Probe::Exec { .. } | Probe::Http { .. } => None,
    };
    KubeProbe {
        exec: exec(&check.probe),
        http_get: http(&check.probe),
        tcp_socket: tcp,
        initial_delay_seconds: Some(signed(check.initial_delay_seconds)),
        period_seconds: Some(signed(check.period_seconds.max(1))),
        timeout_seconds: Some(signed(check.timeout_seconds.max(1))),
        failure_threshold: Some(signed(check.failure_threshold.max(1))),
        success_threshold: Some(signed(check.success_threshold.max(1))),
        ..KubeProbe::default()
    }
}

/// The same question; one good answer is enough to go on living.
fn liveness(check: &HealthCheck) -> KubeProbe {
    KubeProbe {
        success_threshold: Some(1),
        ..readiness(check)
    }
}

fn is_scratch(volume: &VolumeSpec) -> bool {
    !volume.persistent && volume.mount.is_some()
}

fn scratch(service: &ServiceSpec) -> Option<Vec<Volume>> {
    let volumes: Vec<Volume> = service
        .volumes
        .iter()
        .filter(|volume| is_scratch(volume))
        .map(|volume| {
            let in_memory = volume.class.as_deref() == Some(IN_MEMORY);
            Volume {
                name: volume.name.clone(),
                empty_dir: Some(EmptyDirVolumeSource {
                    medium: in_memory.then(|| "Memory".to_owned()),
                    size_limit: (volume.bytes > 0).then(|| Quantity(volume.bytes.to_string())),
                }),
                ..Volume::default()
            }
        })
        .collect();
    (!volumes.is_empty()).then_some(volumes)
}

fn mounts(service: &ServiceSpec) -> Option<Vec<VolumeMount>> {
    let mount = |volume: &VolumeSpec| {
        Some(VolumeMount {
            name: volume.name.clone(),
            mount_path: volume.mount.clone()?,
            read_only: volume.read_only.then_some(true),
            ..VolumeMount::default()
        })
    };
    let mounts: Vec<VolumeMount> = service.volumes.iter().filter_map(mount).collect();
    (!mounts.is_empty()).then_some(mounts)
}
