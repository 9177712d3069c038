//! What a placement group asks for.

use virtengine_provider_core::id::Address;
use virtengine_provider_core::market::{
    Attribute, Endpoint, EndpointKind, GroupSpec, ResourceUnit, StorageVolume,
};

use super::{WireError, address, price, price_to_wire, required};
use crate::proto::virtengine::base::attributes::v1 as attributes;
use crate::proto::virtengine::base::resources::v1beta4 as resources;
use crate::proto::virtengine::deployment::v1beta4 as wire;

/// A group.
///
/// # Errors
/// A field that is absent or out of range.
pub fn group_spec(spec: Option<&wire::GroupSpec>) -> Result<GroupSpec, WireError> {
    let spec = required("group spec", spec)?;
    let requirements = required("requirements", spec.requirements.as_ref())?;
    let signed_by = requirements.signed_by.clone().unwrap_or_default();
    Ok(GroupSpec {
        name: spec.name.clone(),
        attributes: attribute_list(&requirements.attributes),
        signed_by_all_of: addresses("signed_by.all_of", &signed_by.all_of)?,
        signed_by_any_of: addresses("signed_by.any_of", &signed_by.any_of)?,
        resources: spec.resources.iter().map(unit).collect::<Result<_, _>>()?,
    })
}

fn addresses(field: &'static str, list: &[String]) -> Result<Vec<Address>, WireError> {
    list.iter().map(|text| address(field, text)).collect()
}

pub(super) fn attribute_list(list: &[attributes::Attribute]) -> Vec<Attribute> {
    let convert = |each: &attributes::Attribute| Attribute {
        key: each.key.clone(),
        value: each.value.clone(),
    };
    list.iter().map(convert).collect()
}

fn unit(unit: &wire::ResourceUnit) -> Result<ResourceUnit, WireError> {
    let resource = required("resource", unit.resource.as_ref())?;
    let cpu = required("cpu", resource.cpu.as_ref())?;
    let memory = required("memory", resource.memory.as_ref())?;
    let gpu = required("gpu", resource.gpu.as_ref())?;
    Ok(ResourceUnit {
        id: resource.id,
        count: unit.count,
        cpu_millis: quantity("cpu.units", cpu.units.as_ref())?,
        memory_bytes: quantity("memory.quantity", memory.quantity.as_ref())?,
        storage: resource.storage.iter().map(volume).collect::<Result<_, _>>()?,
        gpus: quantity("gpu.units", gpu.units.as_ref())?,
        gpu_attributes: attribute_list(&gpu.attributes),
        cpu_attributes: attribute_list(&cpu.attributes),
        memory_attributes: attribute_list(&memory.attributes),
        endpoints: resource
            .endpoints
            .iter()
            .map(endpoint)
            .collect::<Result<_, _>>()?,
        price: price("price", unit.price.as_ref())?,
    })
}

/// `ResourceValue.val` holds decimal digits as ASCII (spec/chain.md A.0).
fn quantity(field: &'static str, value: Option<&resources::ResourceValue>) -> Result<u64, WireError> {
    let digits = &required(field, value)?.val;
    let bad = || WireError::field(field, String::from_utf8_lossy(digits), "an integer of 64 bits");
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    str::from_utf8(digits)
        .map_err(|_| bad())?
        .parse()
        .map_err(|_| bad())
}

fn volume(volume: &resources::Storage) -> Result<StorageVolume, WireError> {
    Ok(StorageVolume {
        name: volume.name.clone(),
        bytes: quantity("storage.quantity", volume.quantity.as_ref())?,
        attributes: attribute_list(&volume.attributes),
    })
}

fn endpoint(endpoint: &resources::Endpoint) -> Result<Endpoint, WireError> {
    use resources::endpoint::Kind;
    let kind = match Kind::try_from(endpoint.kind) {
        Ok(Kind::SharedHttp) => EndpointKind::SharedHttp,
        Ok(Kind::RandomPort) => EndpointKind::RandomPort,
        Ok(Kind::LeasedIp) => EndpointKind::LeasedIp,
        Err(_) => return Err(WireError::field("endpoint.kind", endpoint.kind, "0, 1 or 2")),
    };
    Ok(Endpoint {
        kind,
        sequence_number: endpoint.sequence_number,
    })
}

/// To the wire.
#[must_use]
pub fn group_spec_to_wire(spec: &GroupSpec) -> wire::GroupSpec {
    let texts = |list: &[Address]| list.iter().map(ToString::to_string).collect();
    wire::GroupSpec {
        name: spec.name.clone(),
        requirements: Some(attributes::PlacementRequirements {
            signed_by: Some(attributes::SignedBy {
                all_of: texts(&spec.signed_by_all_of),
                any_of: texts(&spec.signed_by_any_of),
            }),
            attributes: attributes_to_wire(&spec.attributes),
        }),
        resources: spec.resources.iter().map(unit_to_wire).collect(),
    }
}

pub(super) fn attributes_to_wire(list: &[Attribute]) -> Vec<attributes::Attribute> {
    let convert = |each: &Attribute| attributes::Attribute {
        key: each.key.clone(),
        value: each.value.clone(),
    };
    list.iter().map(convert).collect()
}

fn unit_to_wire(unit: &ResourceUnit) -> wire::ResourceUnit {
    let resource = resources::Resources {
        id: unit.id,
        cpu: Some(resources::Cpu {
            units: Some(value(unit.cpu_millis)),
            attributes: attributes_to_wire(&unit.cpu_attributes),
        }),
        memory: Some(resources::Memory {
            quantity: Some(value(unit.memory_bytes)),
            attributes: attributes_to_wire(&unit.memory_attributes),
        }),
        storage: unit.storage.iter().map(volume_to_wire).collect(),
        gpu: Some(resources::Gpu {
            units: Some(value(unit.gpus)),
            attributes: attributes_to_wire(&unit.gpu_attributes),
        }),
        endpoints: unit.endpoints.iter().map(endpoint_to_wire).collect(),
    };
    wire::ResourceUnit {
        resource: Some(resource),
        count: unit.count,
        price: Some(price_to_wire(&unit.price)),
    }
}

fn value(amount: u64) -> resources::ResourceValue {
    resources::ResourceValue {
        val: amount.to_string().into_bytes(),
    }
}

fn volume_to_wire(volume: &StorageVolume) -> resources::Storage {
    resources::Storage {
        name: volume.name.clone(),
        quantity: Some(value(volume.bytes)),
        attributes: attributes_to_wire(&volume.attributes),
    }
}

fn endpoint_to_wire(endpoint: &Endpoint) -> resources::Endpoint {
    use resources::endpoint::Kind;
    let kind = match endpoint.kind {
        EndpointKind::SharedHttp => Kind::SharedHttp,
        EndpointKind::RandomPort => Kind::RandomPort,
        EndpointKind::LeasedIp => Kind::LeasedIp,
    };
    resources::Endpoint {
        kind: i32::from(kind),
        sequence_number: endpoint.sequence_number,
    }
}
