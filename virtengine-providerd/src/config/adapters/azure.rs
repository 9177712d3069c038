use serde::Serialize;
use virtengine_provider_core::document::{Cursor, Problems};

use crate::config::Secret;
use crate::config::section::Section;

/// An Azure subscription.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Azure {
    /// Whether it is used.
    pub enabled: bool,
    /// The subscription.
    pub subscription_id: Option<String>,
    /// The group that everything is created in.
    pub resource_group: Option<String>,
    /// The location.
    pub location: Option<String>,
    /// Size of machines when none fits better.
    pub default_vm_size: Option<String>,
    /// Image of machines that name none.
    pub default_image: Option<String>,
    /// The tenant of the service principal.
    pub tenant_id: Option<String>,
    /// The service principal.
    pub client_id: Option<String>,
    /// Its secret; best as `${VAR}`.
    pub client_secret: Option<Secret>,
}

impl Azure {
    pub(in crate::config) const KEYS: &[&str] = &[
        "enabled",
        "subscription_id",
        "resource_group",
        "location",
        "default_vm_size",
        "default_image",
        "tenant_id",
        "client_id",
        "client_secret",
    ];

    pub(super) fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Self {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        let enabled = section.enabled();
        section.require_when(enabled, &["subscription_id", "resource_group", "location"]);
        Self {
            enabled,
            subscription_id: section.text("subscription_id"),
            resource_group: section.text("resource_group"),
            location: section.text("location"),
            default_vm_size: section.text("default_vm_size"),
            default_image: section.text("default_image"),
            tenant_id: section.text("tenant_id"),
            client_id: section.text("client_id"),
            client_secret: section.secret("client_secret"),
        }
    }
}
