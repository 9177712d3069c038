use std::path::PathBuf;

use serde::Serialize;
use virtengine_provider_core::document::{Code, Cursor, Problems};

use crate::config::section::Section;

/// A Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kubernetes {
    /// Whether it is used.
    pub enabled: bool,
    /// How to reach it; `None`: as a pod of it.
    pub kubeconfig: Option<PathBuf>,
    /// Begins the name of every namespace of ours.
    pub namespace_prefix: String,
    /// Bounds of what one deployment gets.
    pub resource_limits: ResourceLimits,
    /// Who reaches whom.
    pub network_policies: NetworkPolicies,
    /// Storage classes that are offered.
    pub storage_classes: Vec<StorageClass>,
}

/// Bounds of what one deployment gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResourceLimits {
    /// Pods of one deployment.
    pub max_pods_per_deployment: u32,
    /// CPU of one pod, in thousandths of a core.
    pub max_cpu_per_pod: u64,
    /// Memory of one pod, in bytes.
    pub max_memory_per_pod: u64,
}

/// Who reaches whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkPolicies {
    /// Whether network policies are written at all.
    pub enabled: bool,
    /// Whether nothing from outside of a namespace reaches it unless it is exposed.
    pub default_deny_ingress: bool,
}

/// A storage class that is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StorageClass {
    /// Its name in the cluster.
    pub name: String,
    /// Whether it serves volumes that name no class.
    pub default: bool,
}

impl Kubernetes {
    pub(in crate::config) const KEYS: &[&str] = &[
        "enabled",
        "kubeconfig",
        "namespace_prefix",
        "resource_limits",
        "network_policies",
        "storage_classes",
    ];

    pub(super) fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Self {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        let legal_prefix = |text: &str| {
            let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            text.len() <= 20 && text.bytes().all(legal) && text.starts_with(|c: char| c.is_ascii_lowercase())
        };
        let storage_classes = section.list("storage_classes", StorageClass::read);
        if storage_classes.iter().filter(|class| class.default).count() > 1 {
            section.error(
                Code::Conflict,
                "storage_classes",
                "more than one is the default",
                "",
            );
        }
        Self {
            enabled: section.enabled(),
            kubeconfig: section.path("kubeconfig"),
            namespace_prefix: section
                .text_that(
                    "namespace_prefix",
                    "a prefix of at most 20 of a-z, 0-9 and dashes",
                    legal_prefix,
                )
                .unwrap_or_else(|| "virt-".to_owned()),
            resource_limits: section.below("resource_limits", ResourceLimits::read),
            network_policies: section.below("network_policies", NetworkPolicies::read),
            storage_classes,
        }
    }
}

impl ResourceLimits {
    pub(in crate::config) const KEYS: &[&str] =
        &["max_pods_per_deployment", "max_cpu_per_pod", "max_memory_per_pod"];

    fn read(at: Option<Cursor<'_, '_>>, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "resource_limits", Self::KEYS, problems);
        Self {
            max_pods_per_deployment: section.integer("max_pods_per_deployment", 10, 1..=10_000),
            max_cpu_per_pod: section
                .with("max_cpu_per_pod", |at, problems| at.cpu_millis(problems))
                .unwrap_or(8000),
            max_memory_per_pod: section
                .with("max_memory_per_pod", |at, problems| at.bytes(problems))
                .unwrap_or(32 << 30),
        }
    }
}

impl NetworkPolicies {
    pub(in crate::config) const KEYS: &[&str] = &["enabled", "default_deny_ingress"];

    fn read(at: Option<Cursor<'_, '_>>, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "network_policies", Self::KEYS, problems);
        Self {
            enabled: section.boolean("enabled", true),
            default_deny_ingress: section.boolean("default_deny_ingress", true),
        }
    }
}

impl StorageClass {
    pub(in crate::config) const KEYS: &[&str] = &["name", "default"];

    fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<Self> {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        section.require_when(true, &["name"]);
        Some(Self {
            default: section.boolean("default", false),
            name: section.text("name")?,
        })
    }
}
