use serde::Serialize;
use virtengine_provider_core::document::{Cursor, Problems};

use crate::config::Secret;
use crate::config::section::Section;

/// An OpenStack project.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OpenStack {
    /// Whether it is used.
    pub enabled: bool,
    /// The project that everything is created in.
    pub project_uuid: Option<String>,
    /// Flavor of machines when none fits better.
    pub default_flavor: Option<String>,
    /// Image of machines that name none.
    pub default_image: Option<String>,
    /// Networks that machines are attached to.
    pub networks: Vec<Network>,
    /// The identity service.
    pub auth_url: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Account.
    pub username: Option<String>,
    /// Password of the account; best as `${VAR}`.
    pub password: Option<Secret>,
    /// Domain of the account.
    pub user_domain: Option<String>,
    /// Domain of the project.
    pub project_domain: Option<String>,
    /// Application credential, instead of an account.
    pub application_credential_id: Option<String>,
    /// Secret of the application credential; best as `${VAR}`.
    pub application_credential_secret: Option<Secret>,
}

/// A network that machines are attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Whether it reaches the internet.
    pub external: bool,
}

impl OpenStack {
    pub(in crate::config) const KEYS: &[&str] = &[
        "enabled",
        "project_uuid",
        "default_flavor",
        "default_image",
        "networks",
        "auth_url",
        "region",
        "username",
        "password",
        "user_domain",
        "project_domain",
        "application_credential_id",
        "application_credential_secret",
    ];

    pub(super) fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Self {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        let enabled = section.enabled();
        section.require_when(enabled, &["project_uuid"]);
        Self {
            enabled,
            project_uuid: section.text("project_uuid"),
            default_flavor: section.text("default_flavor"),
            default_image: section.text("default_image"),
            networks: section.list("networks", Network::read),
            auth_url: section.url("auth_url"),
            region: section.text("region"),
            username: section.text("username"),
            password: section.secret("password"),
            user_domain: section.text("user_domain"),
            project_domain: section.text("project_domain"),
            application_credential_id: section.text("application_credential_id"),
            application_credential_secret: section.secret("application_credential_secret"),
        }
    }
}

impl Network {
    pub(in crate::config) const KEYS: &[&str] = &["name", "external"];

    fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<Self> {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        section.require_when(true, &["name"]);
        Some(Self {
            external: section.boolean("external", false),
            name: section.text("name")?,
        })
    }
}
