//! How services are reached.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec as KubeServiceSpec};
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
    IngressSpec, ServiceBackendPort,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::workload::{ExposeSpec, Protocol, ServiceSpec};

use super::Scope;
use super::container::protocol;
use crate::kubernetes::config::{Config, Publish};
use crate::kubernetes::name;

/// Kind of the service by which anybody reaches a service.
pub(crate) const PUBLIC: &str = "public";

/// Port of HTTP.
const HTTP: u16 = 80;

/// Whether a port is published by the ingress controller.
fn by_ingress(config: &Config, expose: &ExposeSpec) -> bool {
    let http = expose.external_port == HTTP && expose.protocol == Protocol::Tcp;
    config.ingress.is_some() && expose.global && http
}

pub(super) fn services(scope: &Scope<'_>) -> Vec<Service> {
    let mut services = Vec::new();
    for service in &scope.spec.services {
        let inner = ports(service.exposes.iter());
        if !inner.is_empty() {
            let mut object = object(scope, service, &service.name, "ClusterIP", inner);
            let hosts = hosts(scope, service);
            if !hosts.is_empty() {
                let words: Vec<&str> = hosts.iter().map(String::as_str).collect();
                let annotations = object.metadata.annotations.get_or_insert_default();
                annotations.insert(name::HOSTS.to_owned(), words.join(","));
            }
            services.push(object);
        }
        let global = service
            .exposes
            .iter()
            .filter(|expose| expose.global && !by_ingress(scope.config, expose));
        let outer = ports(global);
        if !outer.is_empty() {
            let kind = match scope.config.publish {
                Publish::NodePort => "NodePort",
                Publish::LoadBalancer => "LoadBalancer",
            };
            services.push(object(
                scope,
                service,
                &name::part(PUBLIC, &service.name),
                kind,
                outer,
            ));
        }
    }
    services
}

fn object(
    scope: &Scope<'_>,
    service: &ServiceSpec,
    object: &str,
    kind: &str,
    ports: Vec<ServicePort>,
) -> Service {
    Service {
        metadata: scope.service_meta(object, service),
        spec: Some(KubeServiceSpec {
            type_: Some(kind.to_owned()),
            selector: Some(scope.selector(&service.name)),
            ports: Some(ports),
            ..KubeServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Each port outside once.
fn ports<'a>(exposes: impl Iterator<Item = &'a ExposeSpec>) -> Vec<ServicePort> {
    let unique: BTreeMap<(u16, &str), u16> = exposes
        .map(|expose| ((expose.external_port, protocol(expose.protocol)), expose.port))
        .collect();
    unique
        .into_iter()
        .map(|((outside, protocol), inside)| ServicePort {
            name: Some(format!("{}-{outside}", protocol.to_lowercase())),
            port: i32::from(outside),
            protocol: Some(protocol.to_owned()),
            target_port: Some(IntOrString::Int(i32::from(inside))),
            ..ServicePort::default()
        })
        .collect()
}

/// The name that the provider gives to a service.
fn generated_host(id: &WorkloadId, service: &str, domain: &str) -> String {
    format!(
        "{}-{}.{domain}",
        name::controller(service),
        name::hash(id.as_str())
    )
}

/// Names by which the HTTP of a service is reached; none when it has none.
fn hosts(scope: &Scope<'_>, service: &ServiceSpec) -> BTreeSet<String> {
    let http: Vec<&ExposeSpec> = service
        .exposes
        .iter()
        .filter(|expose| by_ingress(scope.config, expose))
        .collect();
    let mut hosts: BTreeSet<String> = http
        .iter()
        .flat_map(|expose| expose.hosts.iter().cloned())
        .collect();
    if let Some(ingress) = scope.config.ingress.as_ref().filter(|_| !http.is_empty()) {
        hosts.insert(generated_host(&scope.spec.id, &service.name, &ingress.domain));
    }
    hosts
}

pub(super) fn ingresses(scope: &Scope<'_>) -> Vec<Ingress> {
    let of = |service: &ServiceSpec| {
        let hosts = hosts(scope, service);
        let class = scope
            .config
            .ingress
            .as_ref()
            .and_then(|ingress| ingress.class.clone());
        (!hosts.is_empty()).then(|| Ingress {
            metadata: scope.service_meta(&name::controller(&service.name), service),
            spec: Some(IngressSpec {
                ingress_class_name: class,
                rules: Some(hosts.into_iter().map(|host| rule(&service.name, host)).collect()),
                ..IngressSpec::default()
            }),
            ..Ingress::default()
        })
    };
    scope.spec.services.iter().filter_map(of).collect()
}

fn rule(service: &str, host: String) -> IngressRule {
    let backend = IngressBackend {
        service: Some(IngressServiceBackend {
            name: service.to_owned(),
            port: Some(ServiceBackendPort {
                number: Some(i32::from(HTTP)),
                name: None,
            }),
        }),
        resource: None,
    };
    IngressRule {
        host: Some(host),
        http: Some(HTTPIngressRuleValue {
            paths: vec![HTTPIngressPath {
                backend,
                path: Some("/".to_owned()),
                path_type: "Prefix".to_owned(),
            }],
        }),
    }
}
