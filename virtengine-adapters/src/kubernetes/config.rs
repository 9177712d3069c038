//! What the operator settles.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How workloads run in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How to reach the cluster; `None`: as a pod of it.
    pub kubeconfig: Option<PathBuf>,
    /// Whose workloads these are, e.g. the provider's address. Two providers in one cluster need different owners.
    pub owner: String,
    /// Begins the name of every namespace of ours; at most 20 of `a-z`, `0-9` and dashes, beginning with a letter.
    pub namespace_prefix: String,
    /// Most replicas of one workload.
    pub pods_per_workload_max: u32,
    /// Most CPU of one replica, in thousandths of a core.
    pub cpu_millis_per_pod_max: u64,
    /// Most memory of one replica, in bytes.
    pub memory_bytes_per_pod_max: u64,
    /// Whether network policies are written at all. Without them tenants are not kept apart.
    pub network_policies: bool,
    /// Whether a workload is reached only through what it exposes.
    pub default_deny_ingress: bool,
    /// Networks that workloads may not reach, as `address/bits`. The default: everything private, link-local (the metadata
    /// service of every cloud) and reserved. The addresses of the nodes are added to them.
    pub denied_networks: Vec<String>,
    /// Storage classes that are offered, by name. Empty: whatever the cluster has.
    pub storage_classes: Vec<String>,
    /// Class of volumes that name none; `None`: the cluster's default.
    pub storage_class_default: Option<String>,
    /// How ports that anybody may reach are published.
    pub publish: Publish,
    /// How HTTP (a global port 80) is published; `None`: like any other port.
    pub ingress: Option<IngressConfig>,
    /// Host name or address by which the nodes are reached from outside; `None`: what a node says of itself.
    pub node_host: Option<String>,
    /// Whether images that run as root are refused by the kubelet. Off: stock images such as nginx would not start.
    pub run_as_non_root: bool,
    /// Runtime class of every pod, e.g. one with a kernel of its own; `None`: the cluster's default.
    pub runtime_class: Option<String>,
    /// Whether an image is pulled each time. Off: only when the node does not have it.
    pub always_pull: bool,
    /// Whether GPUs are offered, as the resource `nvidia.com/gpu`.
    pub gpus: bool,
    /// Label of nodes that holds the model of their GPUs, as manifests name it.
    pub gpu_model_label: String,
    /// How long a trouble that may pass (a pull, a full cluster) is called starting before it is called failed.
    pub patience: Duration,
    /// Restarts without success that make a crash loop.
    pub crash_loop_after: u32,
    /// How long a replica may take to end when it is asked to.
    pub stop_grace: Duration,
    /// Longest answer to one request.
    pub call_timeout: Duration,
    /// Longest wait of one `pause`, `stop` or `terminate`; after it the call fails and can be repeated.
    pub teardown_timeout: Duration,
    /// How often usage is read in the background.
    pub sample_every: Duration,
}

/// How ports that anybody may reach are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// On a port of every node.
    NodePort,
    /// By a load balancer of the cloud; it costs as long as the workload is not stopped.
    LoadBalancer,
}

/// How HTTP is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressConfig {
    /// Ingress class; `None`: the cluster's default.
    pub class: Option<String>,
    /// Domain below which every service gets a name, e.g. `apps.example.com`.
    pub domain: String,
}

/// Longest prefix of a namespace: with the longest workload id it stays within the 63 characters of a label.
const PREFIX_LEN_MAX: usize = 20;

/// Networks that no tenant has business in: this host, private, shared, link-local, reserved, multicast.
const DENIED: [&str; 11] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct ConfigError {
    /// Which setting.
    pub field: &'static str,
    /// Why, and what to do.
    pub message: String,
}

impl Config {
    /// The defaults for workloads of `owner`.
    #[must_use]
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            kubeconfig: None,
            owner: owner.into(),
            namespace_prefix: "virt-".to_owned(),
            pods_per_workload_max: 10,
            cpu_millis_per_pod_max: 8000,
            memory_bytes_per_pod_max: 32 << 30,
            network_policies: true,
            default_deny_ingress: true,
            denied_networks: DENIED.iter().map(|network| (*network).to_owned()).collect(),
            storage_classes: Vec::new(),
            storage_class_default: None,
            publish: Publish::NodePort,
            ingress: None,
            node_host: None,
            run_as_non_root: false,
            runtime_class: None,
            always_pull: false,
            gpus: true,
            gpu_model_label: "virtengine.com/gpu-model".to_owned(),
            patience: Duration::from_secs(120),
            crash_loop_after: 3,
            stop_grace: Duration::from_secs(10),
            call_timeout: Duration::from_secs(15),
            teardown_timeout: Duration::from_secs(120),
            sample_every: Duration::from_secs(15),
        }
    }

    /// Every setting that cannot be used.
    #[must_use]
    pub fn problems(&self) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        let mut bad = |field, message: String| problems.push(ConfigError { field, message });
        if self.owner.is_empty() {
            bad("owner", "is empty; set it to the provider's address".to_owned());
        }
        let prefix = &self.namespace_prefix;
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let begins = prefix.starts_with(|c: char| c.is_ascii_lowercase());
        if prefix.len() > PREFIX_LEN_MAX || !begins || !prefix.bytes().all(legal) {
            let message = format!("{prefix:?} is not at most {PREFIX_LEN_MAX} of a-z, 0-9 and dashes");
            bad("namespace_prefix", message);
        }
        for network in self
            .denied_networks
            .iter()
            .filter(|network| Network::parse(network).is_none())
        {
            bad(
                "denied_networks",
                format!("{network:?} is not a network such as 10.0.0.0/8"),
            );
        }
        let offered: BTreeSet<&String> = self.storage_classes.iter().collect();
        if let Some(class) = &self.storage_class_default
            && !offered.is_empty()
            && !offered.contains(class)
        {
            bad(
                "storage_class_default",
                format!("{class:?} is not among the classes that are offered"),
            );
        }
        for (field, time) in [
            ("call_timeout", self.call_timeout),
            ("teardown_timeout", self.teardown_timeout),
            ("sample_every", self.sample_every),
        ] {
            if time < Duration::from_secs(1) {
                bad(field, format!("{time:?} is under a second"));
            }
        }
        problems
    }
}

/// A network of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network {
    pub(crate) address: IpAddr,
    pub(crate) bits: u8,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        (bits <= most).then_some(Self { address, bits })
    }

    /// The network of one address.
    pub(crate) const fn of(address: IpAddr) -> Self {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        Self { address, bits }
    }

    /// Whether `other` lies within it.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        if other.bits < self.bits {
            return false;
        }
        match (self.address, other.address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                (a.to_bits() & mask) == (b.to_bits() & mask)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                (a.to_bits() & mask) == (b.to_bits() & mask)
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_usable_and_each_bad_setting_is_named() {
        assert_eq!(Config::new("ve1x").problems(), []);
        let mut config = Config::new("");
        "Upper".clone_into(&mut config.namespace_prefix);
        config.denied_networks.push("10.0.0.0/40".to_owned());
        config.storage_classes.push("fast".to_owned());
        config.storage_class_default = Some("slow".to_owned());
        config.call_timeout = Duration::ZERO;
        let fields: Vec<&str> = config.problems().iter().map(|problem| problem.field).collect();
        assert_eq!(
            fields,
            [
                "owner",
                "namespace_prefix",
                "denied_networks",
                "storage_class_default",
                "call_timeout"
            ]
        );
    }

    #[test]
    fn a_network_covers_what_lies_in_it() {
        let network = |text| Network::parse(text).unwrap();
        assert!(network("10.0.0.0/8").covers(&network("10.213.0.2/32")));
        assert!(!network("10.0.0.0/8").covers(&network("11.0.0.0/8")));
        assert!(!network("10.0.0.0/16").covers(&network("10.0.0.0/8")));
        assert!(network("0.0.0.0/0").covers(&network("203.0.113.7/32")));
        assert!(network("fe80::/10").covers(&network("fe80::1/128")));
        assert!(!network("0.0.0.0/0").covers(&network("::/0")));
    }
}
