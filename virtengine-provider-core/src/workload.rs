//! What is deployed: the part of a manifest that an adapter needs, free of market terms.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::{LeaseId, WorkloadId};
use crate::units::{Overflow, Resources};

/// One workload: all services of one lease, deployed and torn down together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadSpec {
    /// Chosen by us; the same id is the same workload.
    pub id: WorkloadId,
    /// The lease that it serves; `None` for a workload of the operator's own.
    pub lease: Option<LeaseId>,
    /// Its services, sorted by name.
    pub services: Vec<ServiceSpec>,
}

impl WorkloadSpec {
    /// What the workload takes from capacity: Σ service × count.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn total(&self) -> Result<Resources, Overflow> {
        let mut total = Resources::ZERO;
        for service in &self.services {
            total = total.checked_add(&service.resources()?.checked_mul(u64::from(service.count))?)?;
        }
        Ok(total)
    }
}

/// One service of a workload. Its `Debug` leaves out what may hold the tenant's secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// A DNS label, unique within the workload.
    pub name: String,
    /// Container or machine image.
    pub image: String,
    /// What kind of machine the image is for.
    pub kind: ServiceKind,
    /// Replaces the image's entry point when not empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments when not empty.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// How many replicas, at least 1.
    pub count: u32,
    /// CPU of one replica, in thousandths of a core.
    pub cpu_millis: u64,
    /// Memory of one replica, in bytes.
    pub memory_bytes: u64,
    /// GPUs of one replica.
    pub gpus: u64,
    /// GPU wishes as `vendor/nvidia/model/a100` paths.
    pub gpu_models: Vec<String>,
    /// Volumes of one replica.
    pub volumes: Vec<VolumeSpec>,
    /// Ports that are reachable.
    pub exposes: Vec<ExposeSpec>,
    /// When a replica that ended is started again.
    pub restart: RestartPolicy,
    /// How to tell that a replica is well.
    pub health: Option<HealthCheck>,
    /// What runs after start and before stop.
    pub hooks: Hooks,
    /// Credentials for the image registry.
    pub credentials: Option<ImageCredentials>,
}

impl core::fmt::Debug for ServiceSpec {
    /// Names of environment variables only; commands, arguments, probes and hooks may carry passwords as well.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ServiceSpec")
            .field("name", &self.name)
            .field("image", &self.image)
            .field("kind", &self.kind)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("count", &self.count)
            .field("cpu_millis", &self.cpu_millis)
            .field("memory_bytes", &self.memory_bytes)
            .field("gpus", &self.gpus)
            .finish_non_exhaustive()
    }
}

impl ServiceSpec {
    /// What one replica takes from capacity.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn resources(&self) -> Result<Resources, Overflow> {
        let mut storage_bytes = 0_u64;
        for volume in &self.volumes {
            storage_bytes = storage_bytes.checked_add(volume.bytes).ok_or(Overflow)?;
        }
        let (cpu_millis, memory_bytes, gpus) = (self.cpu_millis, self.memory_bytes, self.gpus);
        Ok(Resources {
            cpu_millis,
            memory_bytes,
            storage_bytes,
            gpus,
        })
    }
}

/// What runs an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKind {
    /// A container.
    #[default]
    Container,
    /// A virtual machine.
    Vm,
}

/// A volume of a service. The first one named `default` without a mount path is scratch space of the replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Unique within the service.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Where it appears; `None` for scratch space.
    pub mount: Option<String>,
    /// Whether it outlives a replica.
    pub persistent: bool,
    /// Storage class; `None` for the provider's default.
    pub class: Option<String>,
    /// Whether the service may not write to it.
    pub read_only: bool,
}

/// A port of a service and who may reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposeSpec {
    /// Port inside the service.
    pub port: u16,
    /// Port outside; equal to `port` when the tenant gave none.
    pub external_port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Whether anybody may reach it; otherwise only the named services.
    pub global: bool,
    /// Services of this workload that may reach it; empty with `global` false means all of them.
    pub to_services: Vec<String>,
    /// Host names that the tenant wants to be served under.
    pub hosts: Vec<String>,
    /// Name of a leased address, when one is wanted.
    pub ip: Option<String>,
}

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// When a replica that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Whatever its exit code.
    #[default]
    Always,
    /// When its exit code is not 0.
    OnFailure,
    /// Not at all.
    Never,
}

/// How to tell that a replica is well. Times in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// Wait before the first.
    pub initial_delay_seconds: u32,
    /// Time between two.
    pub period_seconds: u32,
    /// Longest answer.
    pub timeout_seconds: u32,
    /// Failures in a row until it counts as unwell.
    pub failure_threshold: u32,
    /// Successes in a row until it counts as well.
    pub success_threshold: u32,
}

/// One question to a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A command that must exit with 0.
    Exec {
        /// The command.
        command: Vec<String>,
    },
    /// An HTTP request that must answer 2xx or 3xx.
    Http {
        /// Path, starting with `/`.
        path: String,
        /// Port inside the service.
        port: u16,
        /// `http` or `https`.
        https: bool,
    },
    /// A port that must accept connections.
    Tcp {
        /// Port inside the service.
        port: u16,
    },
}

/// Commands around the life of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hooks {
    /// After it started.
    pub post_start: Option<Hook>,
    /// Before it is asked to stop.
    pub pre_stop: Option<Hook>,
}

/// One hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// What is run or asked.
    pub probe: Probe,
    /// Longest it may take, in seconds.
    pub timeout_seconds: u32,
}

/// Credentials for an image registry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageCredentials {
    /// The registry.
    pub host: String,
    /// Account.
    pub username: String,
    /// Account's e-mail address; may be empty.
    pub email: String,
    /// Secret.
    pub password: String,
}

impl core::fmt::Debug for ImageCredentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ImageCredentials")
            .field("host", &self.host)
            .field("username", &self.username)
            .field("password", &"REDACTED")
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_may_hold_a_tenants_secrets_is_not_in_debug() {
        let text = include_str!("../tests/manifests/secretive.yaml");
        let manifest = crate::manifest::read(text.as_bytes()).unwrap();
        let words = alloc::format!("{:?}", manifest.groups());
        assert!(words.contains("PASSWORD"), "{words}");
        for secret in ["sesame-env", "sesame-command", "sesame-argument"] {
            assert!(text.contains(secret), "{secret}");
            assert!(!words.contains(secret), "{secret} in {words}");
        }
    }
}
