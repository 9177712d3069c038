//! Identities.

use virtengine_provider_core::id::{Address, BidId, DeploymentId, GroupId, LeaseId, OrderId};

use super::{WireError, required};
use crate::proto::virtengine::deployment::v1 as deployment;
use crate::proto::virtengine::market::v1 as market;

/// An account address.
///
/// # Errors
/// The text is none.
pub fn address(field: &'static str, text: &str) -> Result<Address, WireError> {
    text.parse()
        .map_err(|_| WireError::field(field, text, "a bech32 account address"))
}

/// A deployment.
///
/// # Errors
/// Absent, or the owner is no address.
pub fn deployment_id(id: Option<&deployment::DeploymentId>) -> Result<DeploymentId, WireError> {
    let id = required("deployment id", id)?;
    Ok(DeploymentId::new(address("owner", &id.owner)?, id.dseq))
}

/// A group.
///
/// # Errors
/// Absent, or the owner is no address.
pub fn group_id(id: Option<&deployment::GroupId>) -> Result<GroupId, WireError> {
    let id = required("group id", id)?;
    Ok(GroupId {
        deployment: DeploymentId::new(address("owner", &id.owner)?, id.dseq),
        gseq: id.gseq,
    })
}

/// An order.
///
/// # Errors
/// Absent, or the owner is no address.
pub fn order_id(id: Option<&market::OrderId>) -> Result<OrderId, WireError> {
    let id = required("order id", id)?;
    Ok(OrderId::new(
        address("owner", &id.owner)?,
        id.dseq,
        id.gseq,
        id.oseq,
    ))
}

/// A bid.
///
/// # Errors
/// Absent, an owner or provider that is no address, or a `bseq` that is not 0 (spec/chain.md A.3).
pub fn bid_id(id: Option<&market::BidId>) -> Result<BidId, WireError> {
    let id = required("bid id", id)?;
    if id.bseq != 0 {
        return Err(WireError::field("bseq", id.bseq, "0"));
    }
    let order = OrderId::new(address("owner", &id.owner)?, id.dseq, id.gseq, id.oseq);
    Ok(BidId::new(order, address("provider", &id.provider)?))
}

/// A lease.
///
/// # Errors
/// As [`bid_id`].
pub fn lease_id(id: Option<&market::LeaseId>) -> Result<LeaseId, WireError> {
    let id = required("lease id", id)?;
    if id.bseq != 0 {
        return Err(WireError::field("bseq", id.bseq, "0"));
    }
    let order = OrderId::new(address("owner", &id.owner)?, id.dseq, id.gseq, id.oseq);
    Ok(LeaseId::new(order, address("provider", &id.provider)?))
}

/// To the wire.
#[must_use]
pub fn deployment_id_to_wire(id: &DeploymentId) -> deployment::DeploymentId {
    deployment::DeploymentId {
        owner: id.owner.to_string(),
        dseq: id.dseq,
    }
}

/// To the wire.
#[must_use]
pub fn group_id_to_wire(id: &GroupId) -> deployment::GroupId {
    deployment::GroupId {
        owner: id.deployment.owner.to_string(),
        dseq: id.deployment.dseq,
        gseq: id.gseq,
    }
}

/// To the wire.
#[must_use]
pub fn order_id_to_wire(id: &OrderId) -> market::OrderId {
    market::OrderId {
        owner: id.owner().to_string(),
        dseq: id.deployment().dseq,
        gseq: id.group.gseq,
        oseq: id.oseq,
    }
}

/// To the wire.
#[must_use]
pub fn bid_id_to_wire(id: &BidId) -> market::BidId {
    market::BidId {
        owner: id.owner().to_string(),
        dseq: id.deployment().dseq,
        gseq: id.order.group.gseq,
        oseq: id.order.oseq,
        provider: id.provider.to_string(),
        bseq: 0,
    }
}

/// To the wire.
#[must_use]
pub fn lease_id_to_wire(id: &LeaseId) -> market::LeaseId {
    market::LeaseId {
        owner: id.owner().to_string(),
        dseq: id.deployment().dseq,
        gseq: id.order.group.gseq,
        oseq: id.order.oseq,
        provider: id.provider.to_string(),
        bseq: 0,
    }
}
