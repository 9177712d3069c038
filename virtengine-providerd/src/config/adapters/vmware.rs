use std::path::PathBuf;

use serde::Serialize;
use virtengine_provider_core::document::{Cursor, Problems};

use crate::config::Secret;
use crate::config::section::Section;

/// A vCenter (keys of spec/reference.md §7.2).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Vmware {
    /// Whether it is used.
    pub enabled: bool,
    /// Its URL.
    pub vcenter_url: Option<String>,
    /// Account.
    pub username: Option<String>,
    /// Password of the account; best as `${VAR}`.
    pub password: Option<Secret>,
    /// The authority that signed its certificate, PEM; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Datacenter.
    pub datacenter: Option<String>,
    /// Cluster.
    pub cluster: Option<String>,
    /// Resource pool.
    pub resource_pool: Option<String>,
    /// Datastore.
    pub datastore: Option<String>,
    /// What machines get that name nothing else.
    pub defaults: VmDefaults,
}

/// What machines get that name nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VmDefaults {
    /// Template.
    pub template: Option<String>,
    /// Network.
    pub network: Option<String>,
    /// Folder.
    pub folder: Option<String>,
}

impl Vmware {
    pub(in crate::config) const KEYS: &[&str] = &[
        "enabled",
        "vcenter_url",
        "username",
        "password",
        "ca_file",
        "datacenter",
        "cluster",
        "resource_pool",
        "datastore",
        "defaults",
    ];

    pub(super) fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Self {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        let enabled = section.enabled();
        section.require_when(enabled, &["vcenter_url", "username", "password", "datacenter"]);
        Self {
            enabled,
            vcenter_url: section.url("vcenter_url"),
            username: section.text("username"),
            password: section.secret("password"),
            ca_file: section.path("ca_file"),
            datacenter: section.text("datacenter"),
            cluster: section.text("cluster"),
            resource_pool: section.text("resource_pool"),
            datastore: section.text("datastore"),
            defaults: section.below("defaults", VmDefaults::read),
        }
    }
}

impl VmDefaults {
    pub(in crate::config) const KEYS: &[&str] = &["template", "network", "folder"];

    fn read(at: Option<Cursor<'_, '_>>, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "defaults", Self::KEYS, problems);
        Self {
            template: section.text("template"),
            network: section.text("network"),
            folder: section.text("folder"),
        }
    }
}
