use serde::Serialize;
use virtengine_provider_core::document::{Cursor, Problems};

use crate::config::Secret;
use crate::config::section::Section;

/// An AWS account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Aws {
    /// Whether it is used.
    pub enabled: bool,
    /// The region.
    pub region: Option<String>,
    /// The network that everything is created in.
    pub vpc_id: Option<String>,
    /// Type of machines when none fits better.
    pub default_instance_type: Option<String>,
    /// Image of machines that name none.
    pub default_ami: Option<String>,
    /// Subnets to spread machines over; empty: those of the network.
    pub subnet_ids: Vec<String>,
    /// Another endpoint than that of AWS, for compatible clouds.
    pub endpoint_url: Option<String>,
    /// Access key.
    pub access_key_id: Option<String>,
    /// Its secret; best as `${VAR}`.
    pub secret_access_key: Option<Secret>,
    /// Token of temporary keys; best as `${VAR}`.
    pub session_token: Option<Secret>,
}

impl Aws {
    pub(in crate::config) const KEYS: &[&str] = &[
        "enabled",
        "region",
        "vpc_id",
        "default_instance_type",
        "default_ami",
        "subnet_ids",
        "endpoint_url",
        "access_key_id",
        "secret_access_key",
        "session_token",
    ];

    pub(super) fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Self {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        let enabled = section.enabled();
        section.require_when(enabled, &["region"]);
        Self {
            enabled,
            region: section.text("region"),
            vpc_id: section.text_that("vpc_id", "the id of a VPC", |text| text.starts_with("vpc-")),
            default_instance_type: section.text("default_instance_type"),
            default_ami: section.text_that("default_ami", "the id of an image", |text| {
                text.starts_with("ami-")
            }),
            subnet_ids: section.texts("subnet_ids"),
            endpoint_url: section.url("endpoint_url"),
            access_key_id: section.text("access_key_id"),
            secret_access_key: section.secret("secret_access_key"),
            session_token: section.secret("session_token"),
        }
    }
}
