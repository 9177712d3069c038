//! Provider records and inventory heartbeats.

use virtengine_provider_core::id::Address;
use virtengine_provider_core::ports::chain::{Heartbeat, InventoryCapacity, ProviderRecord};

use super::group::{attribute_list, attributes_to_wire};
use super::{WireError, address, required};
use crate::proto::virtengine::provider::v1beta4 as wire;
use crate::proto::virtengine::resources::v1 as resources;

/// A provider's record.
///
/// # Errors
/// Absent, or the owner is no address.
pub fn provider(provider: Option<&wire::Provider>) -> Result<ProviderRecord, WireError> {
    let provider = required("provider", provider)?;
    let info = provider.info.clone().unwrap_or_default();
    Ok(ProviderRecord {
        owner: address("owner", &provider.owner)?,
        host_uri: provider.host_uri.clone(),
        attributes: attribute_list(&provider.attributes),
        email: info.email,
        website: info.website,
    })
}

/// To the wire.
#[must_use]
pub fn provider_to_wire(record: &ProviderRecord) -> wire::Provider {
    wire::Provider {
        owner: record.owner.to_string(),
        host_uri: record.host_uri.clone(),
        attributes: attributes_to_wire(&record.attributes),
        info: Some(wire::Info {
            email: record.email.clone(),
            website: record.website.clone(),
        }),
    }
}

/// A heartbeat and whose it is.
///
/// # Errors
/// A field that is absent, or one that our vocabulary has no word for.
pub fn heartbeat(message: &resources::MsgProviderHeartbeat) -> Result<(Address, Heartbeat), WireError> {
    let locality = required("locality", message.locality.as_ref())?;
    if !(locality.zone.is_empty() && locality.datacenter.is_empty() && locality.country.is_empty()) {
        return Err(WireError::Unsupported("a locality beyond the region"));
    }
    let heartbeat = Heartbeat {
        inventory_id: message.inventory_id.clone(),
        resource_class: u32::try_from(message.resource_class)
            .map_err(|_| WireError::field("resource_class", message.resource_class, "not negative"))?,
        total: capacity("total", message.total.as_ref())?,
        available: capacity("available", message.available.as_ref())?,
        sequence: message.sequence,
        region: locality.region.clone(),
    };
    Ok((address("provider_address", &message.provider_address)?, heartbeat))
}

fn capacity(
    field: &'static str,
    capacity: Option<&resources::ResourceCapacity>,
) -> Result<InventoryCapacity, WireError> {
    let capacity = required(field, capacity)?;
    if capacity.network_mbps != 0 || !capacity.gpu_type.is_empty() {
        return Err(WireError::Unsupported("network capacity or a type of GPU"));
    }
    Ok(InventoryCapacity {
        cpu_cores: capacity.cpu_cores,
        memory_gb: capacity.memory_gb,
        storage_gb: capacity.storage_gb,
        gpus: capacity.gpus,
    })
}

/// To the wire. A resource class above `i32` cannot be sent and becomes 0, which the chain refuses.
#[must_use]
pub fn heartbeat_to_wire(provider: &Address, heartbeat: &Heartbeat) -> resources::MsgProviderHeartbeat {
    resources::MsgProviderHeartbeat {
        provider_address: provider.to_string(),
        inventory_id: heartbeat.inventory_id.clone(),
        resource_class: i32::try_from(heartbeat.resource_class).unwrap_or(0),
        total: Some(capacity_to_wire(&heartbeat.total)),
        available: Some(capacity_to_wire(&heartbeat.available)),
        locality: Some(resources::Locality {
            region: heartbeat.region.clone(),
            ..resources::Locality::default()
        }),
        sequence: heartbeat.sequence,
    }
}

fn capacity_to_wire(capacity: &InventoryCapacity) -> resources::ResourceCapacity {
    resources::ResourceCapacity {
        cpu_cores: capacity.cpu_cores,
        memory_gb: capacity.memory_gb,
        storage_gb: capacity.storage_gb,
        network_mbps: 0,
        gpus: capacity.gpus,
        gpu_type: String::new(),
    }
}
