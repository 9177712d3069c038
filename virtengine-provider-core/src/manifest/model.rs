use alloc::string::String;
use alloc::vec::Vec;

use crate::id::Address;
use crate::market::{Attribute, Endpoint, EndpointKind, GroupSpec, ResourceUnit, StorageVolume};
use crate::money::{Decimal, Denom, Price};
use crate::workload::{Protocol, ServiceSpec};

/// One placement group of a manifest: what one order, and then one lease, is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub(super) name: String,
    pub(super) attributes: Vec<Attribute>,
    pub(super) signed_by_all_of: Vec<Address>,
    pub(super) signed_by_any_of: Vec<Address>,
    pub(super) services: Vec<Service>,
}

/// One service of a group: the workload's part, its price, and what only the chain's form of a manifest needs.
#[derive(Clone, PartialEq, Eq)]
pub struct Service {
    pub(super) spec: ServiceSpec,
    pub(super) price: Option<Price>,
    pub(super) wire: Wire,
}

impl core::fmt::Debug for Service {
    /// Without the chain's form, which repeats the environment: its values may be secrets of the tenant.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Service")
            .field("spec", &self.spec)
            .field("price", &self.price)
            .finish_non_exhaustive()
    }
}

/// What the canonical form of a manifest (spec/chain.md D.7) says beyond [`ServiceSpec`].
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Wire {
    /// An absent list and an empty one have different canonical forms.
    pub(super) command_given: bool,
    pub(super) args_given: bool,
    /// `NAME=value` in the order of the text.
    pub(super) env: Option<Vec<String>>,
    pub(super) cpu_attributes: Vec<Attribute>,
    pub(super) memory_attributes: Vec<Attribute>,
    pub(super) gpu_attributes: Vec<Attribute>,
    pub(super) storage: Vec<StorageVolume>,
    /// Sorted by service, port, protocol, global first.
    pub(super) exposes: Vec<WireExpose>,
    /// Mounts, sorted by volume name; `None` when the text has no parameters at all.
    pub(super) mounts: Option<Vec<Mount>>,
    /// Whether kind, restart policy, health check and hooks belong to the canonical form: v1 states them, v2beta1 cannot.
    pub(super) extended: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) volume: String,
    pub(super) path: String,
    pub(super) read_only: bool,
}

/// One rule of who may reach a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WireExpose {
    pub(super) port: u16,
    /// 0 when the tenant gave none.
    pub(super) external_port: u16,
    pub(super) protocol: Protocol,
    pub(super) service: String,
    pub(super) global: bool,
    pub(super) hosts: Option<Vec<String>>,
    pub(super) http: HttpOptions,
    pub(super) ip: String,
    pub(super) sequence_number: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpOptions {
    pub(super) max_body_size: u32,
    pub(super) read_timeout: u32,
    pub(super) send_timeout: u32,
    pub(super) next_tries: u32,
    pub(super) next_timeout: u32,
    pub(super) next_cases: Vec<String>,
}

impl Default for HttpOptions {
    /// The defaults of spec/chain.md D.7.
    fn default() -> Self {
        Self {
            max_body_size: 1_048_576,
            read_timeout: 60_000,
            send_timeout: 60_000,
            next_tries: 3,
            next_timeout: 0,
            next_cases: ["error", "timeout"].map(String::from).to_vec(),
        }
    }
}

impl Group {
    /// Name of the placement, as on chain.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Attributes that the provider must have, sorted by key.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// Auditors that must all have signed the provider's attributes.
    #[must_use]
    pub fn signed_by_all_of(&self) -> &[Address] {
        &self.signed_by_all_of
    }

    /// Auditors of which one must have signed the provider's attributes.
    #[must_use]
    pub fn signed_by_any_of(&self) -> &[Address] {
        &self.signed_by_any_of
    }

    /// Its services, sorted by name.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The group as it goes on chain (spec/chain.md E.5): one unit per service, ids from 1. A v1 manifest states no price; its
    /// units cost nothing until the tenant says otherwise.
    #[must_use]
    pub fn spec(&self) -> GroupSpec {
        let ids = 1_u32..;
        let units = ids.zip(&self.services).map(|(id, service)| service.unit(id));
        GroupSpec {
            name: self.name.clone(),
            attributes: self.attributes.clone(),
            signed_by_all_of: self.signed_by_all_of.clone(),
            signed_by_any_of: self.signed_by_any_of.clone(),
            resources: units.collect(),
        }
    }
}

impl Service {
    /// The workload's part of it.
    #[must_use]
    pub const fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    /// The most that the tenant pays for one replica per block; `None` in v1 manifests.
    #[must_use]
    pub const fn price(&self) -> Option<&Price> {
        self.price.as_ref()
    }

    /// Denomination of units without a price (spec/chain.md B.1).
    const UNPRICED: &'static str = "uve";

    fn unit(&self, id: u32) -> ResourceUnit {
        let price = self.price.clone().unwrap_or_else(|| {
            let denom: Denom = Self::UNPRICED.parse().expect("three letters are a denomination");
            Price::new(denom, Decimal::ZERO)
        });
        ResourceUnit {
            id,
            count: self.spec.count,
            cpu_millis: self.spec.cpu_millis,
            memory_bytes: self.spec.memory_bytes,
            storage: self.wire.storage.clone(),
            gpus: self.spec.gpus,
            gpu_attributes: self.wire.gpu_attributes.clone(),
            cpu_attributes: self.wire.cpu_attributes.clone(),
            memory_attributes: self.wire.memory_attributes.clone(),
            endpoints: self.wire.endpoints(),
            price,
        }
    }
}

impl Wire {
    /// The endpoints that the exposes ask for, in their order: the port's own, then the leased address.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        for expose in self.exposes.iter().filter(|expose| expose.global) {
            endpoints.push(Endpoint {
                kind: expose.kind(),
                sequence_number: 0,
            });
            if !expose.ip.is_empty() {
                endpoints.push(Endpoint {
                    kind: EndpointKind::LeasedIp,
                    sequence_number: expose.sequence_number,
                });
            }
        }
        endpoints
    }
}

impl WireExpose {
    /// Port 80 over TCP goes through the shared ingress, everything else gets a port of its own.
    const fn kind(&self) -> EndpointKind {
        let outside = if self.external_port == 0 {
            self.port
        } else {
            self.external_port
        };
        match (self.protocol, outside) {
            (Protocol::Tcp, 80) => EndpointKind::SharedHttp,
            _ => EndpointKind::RandomPort,
        }
    }

    /// The order of the canonical form.
    #[cfg(feature = "std")]
    pub(super) fn sort_key(&self) -> (&str, u16, &'static str, bool) {
        (
            &self.service,
            self.port,
            protocol_name(self.protocol),
            !self.global,
        )
    }
}

/// The name in the canonical form.
pub(super) const fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}
