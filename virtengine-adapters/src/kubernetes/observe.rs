//! What the cluster says about a workload.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Event, Namespace, Service, ServicePort};
use kube::ResourceExt;
use kube::api::ListParams;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{Observation, Phase, WorkloadEndpoint};
use virtengine_provider_core::workload::Protocol;

use super::adapter::Cluster;
use super::error::{Effect, Outcome};
use super::inventory::answers;
use super::judge::{self, Picture, Rules};
use super::name;

/// Most warnings of a namespace that are read.
const EVENTS_MAX: u32 = 200;

impl Cluster {
    pub(super) async fn observe(&self, id: &WorkloadId) -> Outcome<Observation> {
        if let Err(failure) = self.watch.when_trusted(self.config.call_timeout).await {
            return Ok(self.bare(Phase::Unknown, failure.message));
        }
        let own = self.namespace_name(id);
        let Some(namespace) = self.seen(&own) else {
            // It may be younger than what we have seen. Only the cluster itself says that there is none.
            let (phase, message) = match self.found(id).await {
                Ok(None) => (Phase::Gone, String::new()),
                Ok(Some(_)) => (Phase::Unknown, "it has only just been made".to_owned()),
                Err(failure) => (Phase::Unknown, failure.message),
            };
            return Ok(self.bare(phase, message));
        };
        if !self.is_ours(&namespace, id) || super::adapter::is_only_a_name(&namespace) {
            return Ok(self.bare(Phase::Gone, String::new()));
        }
        let mut picture = self.picture(&namespace);
        let now = self.clock.now();
        if judge::wants_events(&picture, now) {
            picture.events = self.warnings(&own).await;
        }
        let judgement = judge::judge(&picture, &Rules::of(&self.config, &namespace), now);
        Ok(Observation {
            at: now,
            phase: judgement.phase,
            message: judgement.message,
            services: judgement.services,
            endpoints: self.endpoints(&own),
        })
    }

    fn bare(&self, phase: Phase, message: String) -> Observation {
        Observation {
            at: self.clock.now(),
            phase,
            message,
            services: Vec::new(),
            endpoints: Vec::new(),
        }
    }

    fn seen(&self, own: &str) -> Option<Arc<Namespace>> {
        self.watch
            .namespaces
            .find(|namespace| namespace.metadata.name.as_deref() == Some(own))
    }

    fn picture(&self, namespace: &Namespace) -> Picture {
        let own = namespace.name_any();
        let nodes = self.watch.nodes.state();
        let known: BTreeSet<String> = nodes.iter().map(|node| node.name_any()).collect();
        let pods = self
            .watch
            .pods
            .state_filter(|pod| pod.metadata.namespace.as_deref() == Some(&own));
        let silent = nodes
            .iter()
            .filter(|node| !answers(node))
            .map(|node| node.name_any());
        let lost = pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone());
        Picture {
            silent_nodes: silent.chain(lost.filter(|node| !known.contains(node))).collect(),
            deployments: self
                .watch
                .deployments
                .state_filter(|of| of.metadata.namespace.as_deref() == Some(&own)),
            stateful_sets: self
                .watch
                .stateful_sets
                .state_filter(|of| of.metadata.namespace.as_deref() == Some(&own)),
            claims: self
                .watch
                .claims
                .state_filter(|of| of.metadata.namespace.as_deref() == Some(&own)),
            namespace: namespace.clone(),
            pods,
            events: Vec::new(),
        }
    }

    /// Warnings of a namespace. Without them the cause may be missing, but not the phase.
    async fn warnings(&self, own: &str) -> Vec<Event> {
        let doing = format!("list the events of {own}");
        let params = ListParams::default().fields("type=Warning").limit(EVENTS_MAX);
        let api = self.calls.api::<Event>(own);
        match self.calls.answer(&doing, Effect::Read, api.list(&params)).await {
            Ok(events) => events.items,
            Err(failure) => {
                tracing::debug!(why = %failure.message, "events cannot be read");
                Vec::new()
            }
        }
    }

    fn endpoints(&self, own: &str) -> Vec<WorkloadEndpoint> {
        let services = self
            .watch
            .services
            .state_filter(|of| of.metadata.namespace.as_deref() == Some(own));
        let mut endpoints: Vec<WorkloadEndpoint> =
            services.iter().flat_map(|of| self.endpoints_of(of)).collect();
        endpoints.sort_by(|a, b| (&a.service, a.port, &a.host).cmp(&(&b.service, b.port, &b.host)));
        endpoints
    }

    fn endpoints_of(&self, object: &Service) -> Vec<WorkloadEndpoint> {
        let (Some(spec), Some(service)) = (&object.spec, object.labels().get(name::SERVICE)) else {
            return Vec::new();
        };
        let ports = spec.ports.iter().flatten();
        let at = |host: &str, port: &ServicePort, external: i32| endpoint(service, host, port, external);
        match spec.type_.as_deref() {
            Some("NodePort") => {
                let Some(host) = self.node_host() else {
                    return Vec::new();
                };
                ports
                    .filter_map(|port| at(&host, port, port.node_port?))
                    .collect()
            }
            Some("LoadBalancer") => {
                let balancer = object
                    .status
                    .as_ref()
                    .and_then(|status| status.load_balancer.as_ref());
                let first = balancer.and_then(|balancer| balancer.ingress.as_ref()?.first());
                let host = first.and_then(|first| first.ip.clone().or_else(|| first.hostname.clone()));
                let Some(host) = host else {
                    return Vec::new();
                };
                ports.filter_map(|port| at(&host, port, port.port)).collect()
            }
            _ => {
                let hosts = object
                    .annotations()
                    .get(name::HOSTS)
                    .map(String::as_str)
                    .unwrap_or_default();
                let hosts = hosts.split(',').filter(|host| !host.is_empty());
                let http: Vec<&ServicePort> = ports.filter(|port| port.port == 80).collect();
                hosts
                    .flat_map(|host| http.iter().filter_map(move |port| at(host, port, 80)))
                    .collect()
            }
        }
    }

    /// What the operator says, or the first node's own word, its outer address first.
    fn node_host(&self) -> Option<String> {
        if let Some(host) = &self.config.node_host {
            return Some(host.clone());
        }
        let mut nodes = self.watch.nodes.state();
        nodes.retain(|node| answers(node));
        nodes.sort_by_key(|node| node.name_any());
        let of_kind = |kind: &str| {
            let addresses = nodes
                .iter()
                .filter_map(|node| node.status.as_ref()?.addresses.as_ref())
                .flatten();
            addresses
                .into_iter()
                .find(|address| address.type_ == kind)
                .map(|address| address.address.clone())
        };
        of_kind("ExternalIP")
            .or_else(|| of_kind("ExternalDNS"))
            .or_else(|| of_kind("InternalIP"))
    }
}

fn endpoint(service: &str, host: &str, port: &ServicePort, external: i32) -> Option<WorkloadEndpoint> {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    let inner = match &port.target_port {
        Some(IntOrString::Int(inner)) => *inner,
        Some(IntOrString::String(_)) | None => port.port,
    };
    Some(WorkloadEndpoint {
        service: service.to_owned(),
        port: u16::try_from(inner).ok()?,
        protocol: if port.protocol.as_deref() == Some("UDP") {
            Protocol::Udp
        } else {
            Protocol::Tcp
        },
        host: host.to_owned(),
        external_port: u16::try_from(external).ok()?,
    })
}
