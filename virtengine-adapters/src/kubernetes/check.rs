//! Whether a workload can run in the cluster: every refusal comes before the first call.

use std::collections::BTreeSet;

use virtengine_provider_core::workload::RestartPolicy;
use virtengine_provider_core::workload::{
    Probe, Protocol, ServiceKind, ServiceSpec, VolumeSpec, WorkloadSpec,
};

use super::config::Config;
use super::error::{Failure, Outcome};
use super::name;
use super::render::{IN_MEMORY, PUBLIC};

/// Most GPUs, volumes or ports of one replica.
const ITEMS_MAX: usize = 64;

/// Longest text of one environment variable, argument or command, in bytes; together they must fit in a request.
const TEXTS_BYTES_MAX: usize = 512 * 1024;

/// Refuses what cannot be.
pub(crate) fn workload(config: &Config, spec: &WorkloadSpec) -> Outcome<()> {
    if spec.services.is_empty() {
        return Err(Failure::invalid(format!("workload {} has no service", spec.id)));
    }
    let mut names = BTreeSet::new();
    let mut replicas = 0_u64;
    let publics: BTreeSet<String> = spec
        .services
        .iter()
        .map(|s| name::part(PUBLIC, &s.name))
        .collect();
    for service in &spec.services {
        if !name::is_label(&service.name) || publics.contains(&service.name) || !names.insert(&service.name) {
            let message = format!(
                "service name {:?} is not a DNS label of its own that begins with a letter",
                service.name
            );
            return Err(Failure::invalid(message));
        }
        replicas = replicas.saturating_add(u64::from(service.count));
    }
    let most = config.pods_per_workload_max;
    if replicas > u64::from(most) {
        let message = format!(
            "workload {} has {replicas} replicas; at most {most} run here",
            spec.id
        );
        return Err(Failure::invalid(message));
    }
    spec.total()
        .map_err(|_| Failure::invalid(format!("workload {} asks for too much to be counted", spec.id)))?;
    spec.services.iter().try_for_each(|service| {
        offered(config, service)?;
        sizes(config, service)?;
        texts(service)?;
        volumes(config, service)?;
        exposes(config, service)
    })
}

fn bad<T>(service: &ServiceSpec, what: &str) -> Outcome<T> {
    Err(Failure::invalid(format!("service {}: {what}", service.name)))
}

fn offered(config: &Config, service: &ServiceSpec) -> Outcome<()> {
    let refuse = |what: &str| Err(Failure::unsupported(&service.name, what));
    if service.kind == ServiceKind::Vm {
        return refuse("a virtual machine");
    }
    // What controls replicas here keeps them running, whatever their exit status.
    if service.restart != RestartPolicy::Always {
        return refuse("a restart policy other than always");
    }
    if service.gpus > 0 && !config.gpus {
        return refuse("a gpu");
    }
    if service.exposes.iter().any(|expose| expose.ip.is_some()) {
        return refuse("a leased address");
    }
    let vendors = service
        .gpu_models
        .iter()
        .filter_map(|model| model.strip_prefix("vendor/"));
    for vendor in vendors.filter_map(|rest| rest.split('/').next()) {
        if vendor != "nvidia" {
            return refuse(&format!("a gpu of {vendor}"));
        }
    }
    let hooks = [&service.hooks.post_start, &service.hooks.pre_stop];
    if hooks
        .into_iter()
        .flatten()
        .any(|hook| matches!(hook.probe, Probe::Tcp { .. }))
    {
        return refuse("a hook that only connects");
    }
    let filtered = config.network_policies || config.ingress.is_some();
    if !filtered
        && service
            .exposes
            .iter()
            .any(|expose| !expose.to_services.is_empty())
    {
        return refuse("a port for some services only (network policies are switched off)");
    }
    Ok(())
}

fn sizes(config: &Config, service: &ServiceSpec) -> Outcome<()> {
    if service.count == 0 {
        return bad(service, "it has no replica");
    }
    if service.cpu_millis == 0 || service.memory_bytes == 0 {
        return bad(service, "it has no cpu or no memory");
    }
    let limits = [
        (
            "cpu (thousandths of a core)",
            service.cpu_millis,
            config.cpu_millis_per_pod_max,
        ),
        (
            "memory (bytes)",
            service.memory_bytes,
            config.memory_bytes_per_pod_max,
        ),
    ];
    for (what, asked, most) in limits {
        if asked > most {
            let words = format!("it asks for {asked} {what} per replica; at most {most} are given");
            return bad(service, &words);
        }
    }
    // Quantities of the API are signed.
    let beyond = |bytes: u64| i64::try_from(bytes).is_err();
    if beyond(service.memory_bytes) || service.volumes.iter().any(|volume| beyond(volume.bytes)) {
        return bad(service, "it asks for more bytes than can be counted");
    }
    Ok(())
}

fn texts(service: &ServiceSpec) -> Outcome<()> {
    if service.image.is_empty() || service.image.contains(char::is_whitespace) {
        return bad(
            service,
            &format!("{:?} is not the name of an image", service.image),
        );
    }
    for (name, value) in &service.env {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let begins = name.starts_with(|c: char| !c.is_ascii_digit());
        if !begins
            || name.len() > 253
            || !name.bytes().all(legal)
            || name.starts_with("..")
            || value.contains('\0')
        {
            return bad(service, &format!("environment variable {name:?} cannot be set"));
        }
    }
    let arguments = service.command.iter().chain(&service.args);
    if arguments.clone().any(|text| text.contains('\0')) {
        return bad(service, "an argument holds a zero byte");
    }
    let environment = service.env.iter().flat_map(|(name, value)| [name, value]);
    let bytes = arguments
        .chain(environment)
        .fold(0_usize, |sum, text| sum.saturating_add(text.len()));
    if bytes > TEXTS_BYTES_MAX {
        return bad(
            service,
            &format!("its environment and arguments have more than {TEXTS_BYTES_MAX} bytes"),
        );
    }
    let hooks = [&service.hooks.post_start, &service.hooks.pre_stop];
    let hooks = hooks.into_iter().flatten().map(|hook| &hook.probe);
    for probe in service.health.iter().map(|check| &check.probe).chain(hooks) {
        match probe {
            Probe::Exec { command }
                if command.is_empty() || command.iter().any(|text| text.contains('\0')) =>
            {
                return bad(service, "a check or hook has no command that can be run");
            }
            Probe::Http { path, .. } if !path.starts_with('/') => {
                return bad(service, &format!("{path:?} is not a path that can be asked for"));
            }
            Probe::Http { port: 0, .. } | Probe::Tcp { port: 0 } => {
                return bad(service, "a check or hook asks port 0");
            }
            Probe::Exec { .. } | Probe::Http { .. } | Probe::Tcp { .. } => {}
        }
    }
    Ok(())
}

fn volumes(config: &Config, service: &ServiceSpec) -> Outcome<()> {
    if service.volumes.len() > ITEMS_MAX {
        return bad(service, &format!("it has more than {ITEMS_MAX} volumes"));
    }
    let mut names = BTreeSet::new();
    let mut mounts = BTreeSet::new();
    for volume in &service.volumes {
        if !name::is_label(&volume.name) || !names.insert(&volume.name) {
            return bad(
                service,
                &format!("volume name {:?} is not a DNS label of its own", volume.name),
            );
        }
        if let Some(mount) = &volume.mount {
            let legal = mount.starts_with('/') && mount.len() > 1 && !mount.contains(':');
            if !legal || mount.split('/').any(|part| part == "..") || !mounts.insert(mount) {
                return bad(
                    service,
                    &format!("{mount:?} is not a place of its own to mount at"),
                );
            }
        }
        if volume.persistent {
            persistent(config, service, volume)?;
        }
    }
    Ok(())
}

fn persistent(config: &Config, service: &ServiceSpec, volume: &VolumeSpec) -> Outcome<()> {
    if volume.mount.is_none() || volume.bytes == 0 {
        return bad(
            service,
            &format!("persistent volume {} has no place or no size", volume.name),
        );
    }
    let Some(class) = &volume.class else {
        return Ok(());
    };
    if class == IN_MEMORY {
        return bad(
            service,
            &format!("volume {} is in memory and cannot be persistent", volume.name),
        );
    }
    let offered = &config.storage_classes;
    if !offered.is_empty() && !offered.contains(class) {
        let classes = offered.join(", ");
        let words = format!("storage class {class:?} is not offered (offered: {classes})");
        return bad(service, &words);
    }
    Ok(())
}

fn exposes(config: &Config, service: &ServiceSpec) -> Outcome<()> {
    if service.exposes.len() > ITEMS_MAX {
        return bad(service, &format!("it exposes more than {ITEMS_MAX} ports"));
    }
    for (index, expose) in service.exposes.iter().enumerate() {
        if expose.port == 0 || expose.external_port == 0 {
            return bad(service, "it exposes port 0");
        }
        let clash = service.exposes[..index].iter().any(|other| {
            other.external_port == expose.external_port
                && other.protocol == expose.protocol
                && other.port != expose.port
        });
        if clash {
            return bad(
                service,
                &format!("two of its ports are both {} outside", expose.external_port),
            );
        }
        if expose.protocol == Protocol::Udp && !expose.hosts.is_empty() {
            return bad(service, "a udp port has no host names");
        }
        for host in &expose.hosts {
            check_host(config, service, host)?;
        }
    }
    Ok(())
}

/// Names below the provider's own domain are given by the provider.
fn check_host(config: &Config, service: &ServiceSpec, host: &str) -> Outcome<()> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(legal)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if host.len() > 253 || !host.split('.').all(label) {
        return bad(service, &format!("{host:?} is not a host name"));
    }
    let own = config.ingress.as_ref().map(|ingress| ingress.domain.as_str());
    if own.is_some_and(|domain| host == domain || host.ends_with(&format!(".{domain}"))) {
        return bad(service, &format!("host name {host:?} belongs to the provider"));
    }
    Ok(())
}
