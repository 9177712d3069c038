//! Where workloads run: one section per back end. Sections of back ends that this build does not have are read and checked
//! all the same, so that a file moves between builds.

mod ansible;
mod aws;
mod azure;
mod kubernetes;
mod local;
mod memory;
mod openstack;
mod vmware;
mod waldur;

use serde::Serialize;
use virtengine_provider_core::document::{Code, Cursor, Problems};

pub use self::ansible::Ansible;
pub use self::aws::Aws;
pub use self::azure::Azure;
pub use self::kubernetes::{Kubernetes, NetworkPolicies, ResourceLimits, StorageClass};
pub use self::local::{ImageCommand, Local, PortRange};
pub use self::memory::Memory;
pub use self::openstack::{Network, OpenStack};
pub use self::vmware::{VmDefaults, Vmware};
pub use self::waldur::Waldur;
use super::section::Section;

/// The back ends that the file names.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Adapters {
    /// A Kubernetes cluster.
    pub kubernetes: Option<Kubernetes>,
    /// A Waldur instance in front of clouds.
    pub waldur: Option<Waldur>,
    /// An OpenStack project.
    pub openstack: Option<OpenStack>,
    /// An AWS account.
    pub aws: Option<Aws>,
    /// An Azure subscription.
    pub azure: Option<Azure>,
    /// A vCenter.
    pub vmware: Option<Vmware>,
    /// Playbooks.
    pub ansible: Option<Ansible>,
    /// Processes of this host.
    pub local: Option<Local>,
    /// Nothing real. For tests.
    pub memory: Option<Memory>,
}

/// The back ends that a file can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Backend {
    /// A Kubernetes cluster.
    Kubernetes,
    /// A Waldur instance in front of clouds.
    Waldur,
    /// An OpenStack project.
    OpenStack,
    /// An AWS account.
    Aws,
    /// An Azure subscription.
    Azure,
    /// A vCenter.
    Vmware,
    /// Playbooks.
    Ansible,
    /// Processes of this host.
    Local,
    /// Nothing real. For tests.
    Memory,
}

impl Backend {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Kubernetes,
        Self::Waldur,
        Self::OpenStack,
        Self::Aws,
        Self::Azure,
        Self::Vmware,
        Self::Ansible,
        Self::Local,
        Self::Memory,
    ];

    /// Its key under `adapters`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Waldur => "waldur",
            Self::OpenStack => "openstack",
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Vmware => "vmware",
            Self::Ansible => "ansible",
            Self::Local => "local",
            Self::Memory => "memory",
        }
    }

    /// Whether this build has it.
    #[must_use]
    pub const fn is_available(self) -> bool {
        match self {
            Self::Local | Self::Memory => true,
            Self::Kubernetes => cfg!(feature = "kubernetes"),
            Self::Waldur | Self::OpenStack | Self::Aws | Self::Azure | Self::Vmware | Self::Ansible => false,
        }
    }
}

impl Adapters {
    pub(super) const KEYS: &[&str] = &[
        "kubernetes",
        "waldur",
        "openstack",
        "aws",
        "azure",
        "vmware",
        "ansible",
        "local",
        "memory",
    ];

    /// The back ends that are enabled, available or not.
    #[must_use]
    pub fn enabled(&self) -> Vec<Backend> {
        let enabled = |backend: &Backend| match backend {
            Backend::Kubernetes => self.kubernetes.as_ref().is_some_and(|a| a.enabled),
            Backend::Waldur => self.waldur.as_ref().is_some_and(|a| a.enabled),
            Backend::OpenStack => self.openstack.as_ref().is_some_and(|a| a.enabled),
            Backend::Aws => self.aws.as_ref().is_some_and(|a| a.enabled),
            Backend::Azure => self.azure.as_ref().is_some_and(|a| a.enabled),
            Backend::Vmware => self.vmware.as_ref().is_some_and(|a| a.enabled),
            Backend::Ansible => self.ansible.as_ref().is_some_and(|a| a.enabled),
            Backend::Local => self.local.as_ref().is_some_and(|a| a.enabled),
            Backend::Memory => self.memory.as_ref().is_some_and(|a| a.enabled),
        };
        Backend::ALL.into_iter().filter(enabled).collect()
    }

    pub(super) fn read(at: Option<Cursor<'_, '_>>, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "adapters", Self::KEYS, problems);
        let adapters = Self {
            kubernetes: section.with("kubernetes", |at, problems| Some(Kubernetes::read(at, problems))),
            waldur: section.with("waldur", |at, problems| Some(Waldur::read(at, problems))),
            openstack: section.with("openstack", |at, problems| Some(OpenStack::read(at, problems))),
            aws: section.with("aws", |at, problems| Some(Aws::read(at, problems))),
            azure: section.with("azure", |at, problems| Some(Azure::read(at, problems))),
            vmware: section.with("vmware", |at, problems| Some(Vmware::read(at, problems))),
            ansible: section.with("ansible", |at, problems| Some(Ansible::read(at, problems))),
            local: section.with("local", |at, problems| Some(Local::read(at, problems))),
            memory: section.with("memory", |at, problems| Some(Memory::read(at, problems))),
        };
        let enabled = adapters.enabled();
        let usable: Vec<&str> = enabled
            .iter()
            .filter(|backend| backend.is_available())
            .map(|backend| backend.name())
            .collect();
        if enabled.is_empty() {
            section.notice_of_section(
                Code::RequiredField,
                "no back end is enabled: there is nothing to run workloads on",
                "set adapters.local.enabled: true (processes of this host, without isolation)",
            );
        }
        if usable.len() > 1 {
            let message = format!(
                "this build runs one back end at a time, not {}",
                usable.join(" and ")
            );
            section.notice_of_section(Code::NotAvailable, message, "set enabled: false for all but one");
        }
        let available: Vec<&str> = Backend::ALL
            .into_iter()
            .filter(|backend| backend.is_available())
            .map(Backend::name)
            .collect();
        for backend in enabled {
            if !backend.is_available() {
                let message = format!("the back end {} is not available in this build", backend.name());
                section.notice(
                    Code::NotAvailable,
                    backend.name(),
                    message,
                    &format!("set enabled: false; available: {}", available.join(", ")),
                );
            }
        }
        adapters
    }
}

impl Section<'_, '_, '_> {
    /// A back end with a section runs only when the section says so.
    fn enabled(&mut self) -> bool {
        self.boolean("enabled", false)
    }

    /// Reports each of `keys` that is absent from an enabled section.
    fn require_when(&mut self, enabled: bool, keys: &[&str]) {
        for key in keys {
            if enabled && !self.has(key) {
                self.error(Code::RequiredField, key, "required, but not there", "");
            }
        }
    }
}
