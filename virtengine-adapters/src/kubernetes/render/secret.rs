//! What only the pods may read.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use virtengine_provider_core::workload::{ImageCredentials, WorkloadSpec};

use super::Scope;
use crate::kubernetes::config::Config;
use crate::kubernetes::name;

/// Kind of the secret with the environment of a service.
pub(super) const ENVIRONMENT: &str = "env";
/// Kind of the secret with the credentials for the registry of a service.
pub(super) const PULL: &str = "pull";

/// A secret and the service whose pods must be made anew when it changes; credentials are only read when an image is pulled.
pub(crate) fn secrets(config: &Config, spec: &WorkloadSpec) -> Vec<(Option<String>, Secret)> {
    let scope = Scope { config, spec };
    let mut secrets = Vec::new();
    for service in &spec.services {
        if !service.env.is_empty() {
            let bytes = |text: &String| ByteString(text.clone().into_bytes());
            let data = service
                .env
                .iter()
                .map(|(name, value)| (name.clone(), bytes(value)));
            let secret = Secret {
                metadata: scope.service_meta(&name::part(ENVIRONMENT, &service.name), service),
                type_: Some("Opaque".to_owned()),
                data: Some(data.collect()),
                ..Secret::default()
            };
            secrets.push((Some(service.name.clone()), secret));
        }
        if let Some(credentials) = &service.credentials {
            let secret = Secret {
                metadata: scope.service_meta(&name::part(PULL, &service.name), service),
                type_: Some("kubernetes.io/dockerconfigjson".to_owned()),
                data: Some(BTreeMap::from([(
                    ".dockerconfigjson".to_owned(),
                    registry(credentials),
                )])),
                ..Secret::default()
            };
            secrets.push((None, secret));
        }
    }
    secrets
}

fn registry(credentials: &ImageCredentials) -> ByteString {
    let login = STANDARD.encode(format!("{}:{}", credentials.username, credentials.password));
    let host = &credentials.host;
    let document = json!({ "auths": { host: {
        "username": credentials.username,
        "password": credentials.password,
        "email": credentials.email,
        "auth": login,
    } } });
    ByteString(document.to_string().into_bytes())
}
