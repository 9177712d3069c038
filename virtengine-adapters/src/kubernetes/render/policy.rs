//! Who reaches whom. Each object has one direction: there are clusters in which a rule of an object with both lets traffic
//! through in the other direction as well.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use virtengine_provider_core::workload::{ExposeSpec, ServiceSpec};

use super::Scope;
use super::container::protocol;
use crate::kubernetes::config::Network;
use crate::kubernetes::name;

/// Where names are resolved, in every usual cluster.
const DNS_NAMESPACE: (&str, &str) = ("kubernetes.io/metadata.name", "kube-system");
const DNS_PODS: (&str, &str) = ("k8s-app", "kube-dns");
const DNS_PORT: i32 = 53;

pub(super) fn policies(scope: &Scope<'_>, nodes: &[Network]) -> Vec<NetworkPolicy> {
    if !scope.config.network_policies {
        return Vec::new();
    }
    let mut policies = vec![egress(scope, nodes)];
    if scope.config.default_deny_ingress {
        policies.push(deny_ingress(scope));
        policies.extend(scope.spec.services.iter().map(|service| ingress(scope, service)));
    }
    policies
}

fn policy(scope: &Scope<'_>, object: &str, spec: NetworkPolicySpec) -> NetworkPolicy {
    NetworkPolicy {
        metadata: scope.meta(object),
        spec: Some(spec),
    }
}

fn selecting(pair: (&str, &str)) -> LabelSelector {
    LabelSelector {
        match_labels: Some(BTreeMap::from([(pair.0.to_owned(), pair.1.to_owned())])),
        ..LabelSelector::default()
    }
}

fn everybody_of_the_workload() -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    }
}

fn service_peer(service: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(selecting((name::SERVICE, service))),
        ..NetworkPolicyPeer::default()
    }
}

fn port(number: i32, protocol: &str) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number)),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    }
}

fn deny_ingress(scope: &Scope<'_>) -> NetworkPolicy {
    let spec = NetworkPolicySpec {
        pod_selector: Some(LabelSelector::default()),
        policy_types: Some(vec!["Ingress".to_owned()]),
        ..NetworkPolicySpec::default()
    };
    policy(scope, "deny-ingress", spec)
}

/// Replicas of a service reach each other; others reach what is exposed to them.
fn ingress(scope: &Scope<'_>, service: &ServiceSpec) -> NetworkPolicy {
    let among = NetworkPolicyIngressRule {
        from: Some(vec![service_peer(&service.name)]),
        ports: None,
    };
    let exposed = |expose: &ExposeSpec| NetworkPolicyIngressRule {
        from: if expose.global {
            None
        } else if expose.to_services.is_empty() {
            Some(vec![everybody_of_the_workload()])
        } else {
            Some(
                expose
                    .to_services
                    .iter()
                    .map(|service| service_peer(service))
                    .collect(),
            )
        },
        ports: Some(vec![port(i32::from(expose.port), protocol(expose.protocol))]),
    };
    let spec = NetworkPolicySpec {
        pod_selector: Some(selecting((name::SERVICE, &service.name))),
        policy_types: Some(vec!["Ingress".to_owned()]),
        ingress: Some(
            [among]
                .into_iter()
                .chain(service.exposes.iter().map(exposed))
                .collect(),
        ),
        ..NetworkPolicySpec::default()
    };
    policy(scope, &name::part("ingress", &service.name), spec)
}

/// Names, the workload itself and the public internet; nothing of the provider's.
fn egress(scope: &Scope<'_>, nodes: &[Network]) -> NetworkPolicy {
    let dns = NetworkPolicyEgressRule {
        to: Some(vec![NetworkPolicyPeer {
            namespace_selector: Some(selecting(DNS_NAMESPACE)),
            pod_selector: Some(selecting(DNS_PODS)),
            ip_block: None,
        }]),
        ports: Some(vec![port(DNS_PORT, "UDP"), port(DNS_PORT, "TCP")]),
    };
    let within = NetworkPolicyEgressRule {
        to: Some(vec![everybody_of_the_workload()]),
        ports: None,
    };
    let internet = NetworkPolicyEgressRule {
        to: Some(["0.0.0.0/0", "::/0"].map(|all| block(scope, all, nodes)).to_vec()),
        ports: None,
    };
    let spec = NetworkPolicySpec {
        pod_selector: Some(LabelSelector::default()),
        policy_types: Some(vec!["Egress".to_owned()]),
        egress: Some(vec![dns, within, internet]),
        ..NetworkPolicySpec::default()
    };
    policy(scope, "egress", spec)
}

fn block(scope: &Scope<'_>, all: &str, nodes: &[Network]) -> NetworkPolicyPeer {
    let family = Network::parse(all);
    let configured: Vec<Network> = scope
        .config
        .denied_networks
        .iter()
        .filter_map(|text| Network::parse(text))
        .collect();
    let mut denied: Vec<Network> = configured.clone();
    denied.extend(
        nodes
            .iter()
            .filter(|node| !configured.iter().any(|network| network.covers(node))),
    );
    denied.retain(|network| family.is_some_and(|family| family.covers(network)));
    denied.sort();
    denied.dedup();
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: all.to_owned(),
            except: Some(denied.iter().map(Network::to_string).collect()),
        }),
        ..NetworkPolicyPeer::default()
    }
}
