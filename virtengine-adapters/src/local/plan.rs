//! Whether a workload can run on this host, and how: every refusal comes before the first effect.

use std::collections::BTreeSet;

use virtengine_provider_core::ports::adapter::{ErrorKind, Retry};
use virtengine_provider_core::workload::{Probe, Protocol, ServiceKind, ServiceSpec, WorkloadSpec};

use super::config::{Config, SELF_PROGRAM};
use super::error::{Failure, Outcome};
use super::image;
use super::ports::Allocator;
use super::record::{Intent, PortPlan, ServicePlan, Settings};

/// Checks the workload and says how each service is run; ports are still to be chosen.
pub(crate) fn services(config: &Config, spec: &WorkloadSpec) -> Outcome<Vec<ServicePlan>> {
    if spec.services.is_empty() {
        return Err(Failure::invalid(format!("workload {} has no service", spec.id)));
    }
    let mut names = BTreeSet::new();
    let mut replicas = 0_u64;
    for service in &spec.services {
        if !is_label(&service.name) || !names.insert(&service.name) {
            let message = format!("service name {:?} is not a DNS label of its own", service.name);
            return Err(Failure::invalid(message));
        }
        replicas = replicas.saturating_add(u64::from(service.count));
    }
    if replicas > u64::from(config.replicas_max) {
        let most = config.replicas_max;
        let message = format!(
            "workload {} has {replicas} replicas; at most {most} run here",
            spec.id
        );
        return Err(Failure::invalid(message));
    }
    spec.services
        .iter()
        .map(|service| plan(config, service))
        .collect()
}

fn plan(config: &Config, service: &ServiceSpec) -> Outcome<ServicePlan> {
    refuse_what_cannot_be(service)?;
    check_texts(service)?;
    refuse_tenant_commands(config, service)?;
    let image = image::find(&config.images, &service.name, &service.image)?;
    let mut command: Vec<String> = image.command.clone();
    if command.first().is_some_and(|program| program == SELF_PROGRAM) {
        // The link is followed by the process that becomes the service, which is the supervisor's program.
        "/proc/self/exe".clone_into(&mut command[0]);
    }
    if !service.command.is_empty() {
        command.clone_from(&service.command);
    }
    let args = if service.args.is_empty() {
        &image.args
    } else {
        &service.args
    };
    command.extend(args.iter().cloned());
    let mut env = image.env.clone();
    env.extend(service.env.clone());
    Ok(ServicePlan {
        command,
        env,
        ports: ports(service),
    })
}

/// Exposed ports first, each once; then those that only health checks and hooks ask.
fn ports(service: &ServiceSpec) -> Vec<PortPlan> {
    let mut plans: Vec<PortPlan> = Vec::new();
    for expose in &service.exposes {
        match plans.iter_mut().find(|plan| plan.port == expose.port) {
            Some(plan) => plan.global |= expose.global,
            None => plans.push(PortPlan {
                port: expose.port,
                external: Some(0),
                global: expose.global,
                internal: Vec::new(),
            }),
        }
    }
    for probe in probes(service) {
        let (Probe::Http { port, .. } | Probe::Tcp { port }) = probe else {
            continue;
        };
        if plans.iter().all(|plan| plan.port != *port) {
            plans.push(PortPlan {
                port: *port,
                external: None,
                global: false,
                internal: Vec::new(),
            });
        }
    }
    plans
}

/// Chooses a port for everything that listens, keeping those of `before` that are still free.
pub(crate) fn choose_ports(
    intent: &mut Intent,
    before: Option<&Intent>,
    allocator: &mut Allocator,
) -> Outcome<()> {
    let address = intent.settings.bind_address;
    let counts: Vec<u32> = intent.spec.services.iter().map(|service| service.count).collect();
    for (index, plan) in intent.plans.iter_mut().enumerate() {
        let name = &intent.spec.services[index].name;
        let old = before.and_then(|intent| intent.services().find(|(service, _)| service.name == *name));
        for port in &mut plan.ports {
            let old = old.and_then(|(_, plan)| plan.ports.iter().find(|old| old.port == port.port));
            if port.external.is_some() {
                let kept = old.and_then(|old| old.external);
                port.external = Some(allocator.keep_or_pick(address, kept)?);
            }
            port.internal.clear();
            for replica in 0..counts[index] {
                let replica = usize::try_from(replica).unwrap_or(usize::MAX);
                let kept = old.and_then(|old| old.internal.get(replica).copied());
                port.internal.push(allocator.keep_or_pick(address, kept)?);
            }
        }
    }
    Ok(())
}

/// Every port that an intent holds.
pub(crate) fn ports_of(intent: &Intent) -> impl Iterator<Item = u16> {
    let plans = intent.plans.iter().flat_map(|plan| &plan.ports);
    plans.flat_map(|port| port.external.into_iter().chain(port.internal.iter().copied()))
}

/// What a supervisor needs of the settings.
pub(crate) fn settings(config: &Config) -> Settings {
    Settings {
        shim_args: config.supervisor.iter().skip(1).cloned().collect(),
        bind_address: config.bind_address,
        stop_grace_ms: config.stop_grace_ms,
        startup_grace_ms: config.startup_grace_ms,
        restart_delay_ms: config.restart_delay_ms,
        restart_delay_ms_max: config.restart_delay_ms_max,
        stable_after_ms: config.stable_after_ms,
        crash_loop_after: config.crash_loop_after,
        log_bytes_max: config.log_bytes_max,
        open_files_max: config.open_files_max,
        processes_max: config.processes_max,
        sample_ms: config.sample_ms,
        checkpoint_ms: config.checkpoint_ms,
    }
}

/// Longest label of the DNS.
const LABEL_LEN_MAX: usize = 63;

fn is_label(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=LABEL_LEN_MAX).contains(&text.len())
        && text.bytes().all(legal)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn probes(service: &ServiceSpec) -> impl Iterator<Item = &Probe> {
    let hooks = [&service.hooks.post_start, &service.hooks.pre_stop];
    let hooks = hooks.into_iter().flatten().map(|hook| &hook.probe);
    service.health.iter().map(|check| &check.probe).chain(hooks)
}

fn refuse_what_cannot_be(service: &ServiceSpec) -> Outcome<()> {
    let refuse = |what: &str| Err(Failure::unsupported(&service.name, what));
    if service.kind == ServiceKind::Vm {
        return refuse("a virtual machine");
    }
    if service.gpus > 0 {
        return refuse("a gpu");
    }
    if service
        .exposes
        .iter()
        .any(|expose| expose.protocol == Protocol::Udp)
    {
        return refuse("a udp port");
    }
    if service.exposes.iter().any(|expose| expose.ip.is_some()) {
        return refuse("a leased address");
    }
    if service.volumes.iter().any(|volume| volume.read_only) {
        return refuse("a read-only volume");
    }
    if probes(service).any(|probe| matches!(probe, Probe::Http { https: true, .. })) {
        return refuse("a check over https");
    }
    Ok(())
}

/// What goes into arguments, environment and paths must be able to.
fn check_texts(service: &ServiceSpec) -> Outcome<()> {
    let bad = |what: String| Err(Failure::invalid(format!("service {}: {what}", service.name)));
    if service.count == 0 {
        return bad("it has no replica".to_owned());
    }
    for (name, value) in &service.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return bad(format!("environment variable {name:?} cannot be set"));
        }
    }
    let mut texts = service.command.iter().chain(&service.args);
    if texts.any(|text| text.contains('\0')) {
        return bad("an argument holds a zero byte".to_owned());
    }
    for volume in &service.volumes {
        if !is_label(&volume.name) {
            return bad(format!("volume name {:?} is not a DNS label", volume.name));
        }
    }
    for probe in probes(service) {
        match probe {
            Probe::Http { path, .. }
                if !path.starts_with('/') || path.contains(|c: char| c <= ' ' || c == '\x7f') =>
            {
                return bad(format!("{path:?} is not a path that can be asked for"));
            }
            Probe::Exec { command }
                if command.is_empty() || command.iter().any(|text| text.contains('\0')) =>
            {
                return bad("a check or hook has no command that can be run".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Without isolation a tenant's command is the operator's command.
fn refuse_tenant_commands(config: &Config, service: &ServiceSpec) -> Outcome<()> {
    if config.tenant_commands {
        return Ok(());
    }
    let loader = service
        .env
        .keys()
        .find(|name| name.starts_with("LD_") || *name == "PATH");
    let what = if !service.command.is_empty() {
        "a command".to_owned()
    } else if !service.args.is_empty() {
        "arguments".to_owned()
    } else if probes(service).any(|probe| matches!(probe, Probe::Exec { .. })) {
        "a check or hook that runs a command".to_owned()
    } else if let Some(name) = loader {
        format!("environment variable {name}")
    } else {
        return Ok(());
    };
    let message = format!(
        "service {}: {what} of the tenant's own is not allowed on this host without isolation (setting `tenant_commands`)",
        service.name
    );
    Err(Failure::new(ErrorKind::Denied, Retry::Never, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_directory_are_no_labels() {
        for name in ["", "..", "a/b", "A", "-a", "a-", "a.b", &"a".repeat(64)] {
            assert!(!is_label(name), "{name}");
        }
        assert!(is_label("web-1") && is_label(&"a".repeat(63)));
    }
}
