//! Which adapter runs the workloads.

use std::path::Path;
use std::sync::Arc;

use virtengine_adapters::conformance::Fixture;
use virtengine_adapters::conformance::fixtures::{LocalFixture, MemoryFixture};
#[cfg(feature = "kubernetes")]
use virtengine_adapters::kubernetes::{self, KubernetesAdapter, KubernetesFixture};
use virtengine_adapters::{local, memory};
use virtengine_provider_core::ports::adapter::Adapter;
use virtengine_provider_core::ports::clock::Clock;

use super::compile::Unusable;
use crate::config::Config;
#[cfg(feature = "kubernetes")]
use crate::config::adapters::Kubernetes;
use crate::config::adapters::{Backend, Local};

/// The one adapter that is enabled and in this build, for the workloads of `owner`.
///
/// # Errors
/// None is, or several are, or its settings cannot be used.
#[cfg_attr(
    not(feature = "kubernetes"),
    allow(
        unused_variables,
        clippy::unused_async,
        reason = "only a cluster is asked and shared with others"
    )
)]
pub(super) async fn adapter(
    config: &Config,
    owner: &str,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Adapter>, Unusable> {
    match chosen(config)? {
        Chosen::Local(settings) => {
            let adapter = local::LocalAdapter::open(local_config(settings, &config.storage.dir), clock);
            let adapter = adapter.map_err(|problems| {
                let words: Vec<String> = problems
                    .iter()
                    .map(|problem| format!("adapters.local.{problem}"))
                    .collect();
                Unusable::new(words.join("; "))
            })?;
            Ok(Arc::new(adapter))
        }
        Chosen::Memory => Ok(Arc::new(memory::MemoryAdapter::new(
            memory::Config::default(),
            clock,
        ))),
        #[cfg(feature = "kubernetes")]
        Chosen::Kubernetes(settings) => {
            let adapter = KubernetesAdapter::connect(kubernetes_config(settings, owner), clock).await;
            let adapter = adapter.map_err(|problems| {
                let words: Vec<String> = problems
                    .iter()
                    .map(|problem| format!("adapters.kubernetes.{problem}"))
                    .collect();
                Unusable::new(words.join("; "))
            })?;
            Ok(Arc::new(adapter))
        }
    }
}

/// The same adapter, for the conformance kit.
///
/// # Errors
/// None is enabled, or several are.
pub(crate) fn fixture(config: &Config) -> Result<Box<dyn Fixture>, Unusable> {
    Ok(match chosen(config)? {
        Chosen::Local(settings) => Box::new(LocalFixture::new(local_config(settings, &config.storage.dir))),
        Chosen::Memory => Box::new(MemoryFixture::default()),
        #[cfg(feature = "kubernetes")]
        Chosen::Kubernetes(settings) => {
            // An owner of its own: what the provider runs is neither seen nor touched.
            let provider = config.provider.account().map(ToString::to_string);
            let owner = format!("conformance of {}", provider.as_deref().unwrap_or("nobody"));
            let clock = Arc::new(crate::cli::SystemClock);
            Box::new(KubernetesFixture::new(kubernetes_config(settings, &owner), clock))
        }
    })
}

/// An adapter of this build, with its settings.
enum Chosen<'c> {
    Local(&'c Local),
    Memory,
    #[cfg(feature = "kubernetes")]
    Kubernetes(&'c Kubernetes),
}

fn chosen(config: &Config) -> Result<Chosen<'_>, Unusable> {
    let enabled: Vec<Backend> = config
        .adapters
        .enabled()
        .into_iter()
        .filter(|backend| backend.is_available())
        .collect();
    match enabled[..] {
        [Backend::Local] => {
            let settings = config
                .adapters
                .local
                .as_ref()
                .ok_or_else(|| Unusable::new("adapters.local is missing"))?;
            Ok(Chosen::Local(settings))
        }
        [Backend::Memory] => Ok(Chosen::Memory),
        #[cfg(feature = "kubernetes")]
        [Backend::Kubernetes] => {
            let settings = config.adapters.kubernetes.as_ref();
            settings
                .map(Chosen::Kubernetes)
                .ok_or_else(|| Unusable::new("adapters.kubernetes is missing"))
        }
        [] => Err(Unusable::new(
            "no adapter is enabled that this build has: set adapters.local.enabled (development) or adapters.memory.enabled (tests)",
        )),
        _ => Err(Unusable::new(
            "several adapters are enabled; this build runs one: disable the others",
        )),
    }
}

#[cfg(feature = "kubernetes")]
fn kubernetes_config(from: &Kubernetes, owner: &str) -> kubernetes::Config {
    let mut config = kubernetes::Config::new(owner);
    config.kubeconfig.clone_from(&from.kubeconfig);
    config.namespace_prefix.clone_from(&from.namespace_prefix);
    config.pods_per_workload_max = from.resource_limits.max_pods_per_deployment;
    config.cpu_millis_per_pod_max = from.resource_limits.max_cpu_per_pod;
    config.memory_bytes_per_pod_max = from.resource_limits.max_memory_per_pod;
    config.network_policies = from.network_policies.enabled;
    config.default_deny_ingress = from.network_policies.default_deny_ingress;
    config.storage_classes = from
        .storage_classes
        .iter()
        .map(|class| class.name.clone())
        .collect();
    let default = from.storage_classes.iter().find(|class| class.default);
    config.storage_class_default = default.map(|class| class.name.clone());
    config
}

fn local_config(from: &Local, state: &Path) -> local::Config {
    let mut config = local::Config::new(state.join("local"));
    let images = from.images.iter().map(|image| local::ImageCommand {
        image: image.image.clone(),
        command: image.command.clone(),
        args: image.args.clone(),
        env: image.env.clone(),
    });
    // What the operator maps comes first; the demo service stays reachable by its own name.
    config.images.splice(0..0, images);
    config.bind_address = from.bind_address;
    config.endpoint_host.clone_from(&from.endpoint_host);
    config.ports = from.ports.map(|ports| local::PortRange {
        first: ports.first,
        last: ports.last,
    });
    config.tenant_commands = from.tenant_commands;
    config.replicas_max = from.replicas_max;
    config
}
