//! Messages in short form.

use prost::Name;
use prost_types::Any;
pub use virtengine_chain::proto::cosmos::authz::v1beta1 as authz;
pub use virtengine_chain::proto::cosmos::bank::v1beta1 as bank;
use virtengine_chain::proto::cosmos::base::v1beta1::{Coin, DecCoin};
pub use virtengine_chain::proto::cosmos::feegrant::v1beta1 as feegrant;
use virtengine_chain::proto::virtengine::base::attributes::v1::{Attribute, PlacementRequirements};
use virtengine_chain::proto::virtengine::base::deposit::v1::Deposit;
use virtengine_chain::proto::virtengine::base::resources::v1beta4 as res;
pub use virtengine_chain::proto::virtengine::deployment::v1 as dv1;
pub use virtengine_chain::proto::virtengine::deployment::v1beta4 as dv4;
pub use virtengine_chain::proto::virtengine::escrow::id::v1 as eid;
pub use virtengine_chain::proto::virtengine::escrow::v1 as ev1;
pub use virtengine_chain::proto::virtengine::market::v1 as mv1;
pub use virtengine_chain::proto::virtengine::market::v1beta5 as mv5;
pub use virtengine_chain::proto::virtengine::provider::v1beta4 as pv4;
pub use virtengine_chain::proto::virtengine::resources::v1 as rv1;
pub use virtengine_chain::proto::virtengine::settlement::v1 as sv1;

pub fn any<M: prost::Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

pub fn coin(amount: u64, denom: &str) -> Coin {
    Coin {
        denom: denom.to_owned(),
        amount: amount.to_string(),
    }
}

/// A price of whole coins.
pub fn price(amount: u64, denom: &str) -> DecCoin {
    DecCoin {
        denom: denom.to_owned(),
        amount: format!("{amount}000000000000000000"),
    }
}

pub fn deposit(amount: u64, denom: &str) -> Deposit {
    Deposit {
        amount: Some(coin(amount, denom)),
        sources: vec![1],
    }
}

fn value(n: u64) -> Option<res::ResourceValue> {
    Some(res::ResourceValue {
        val: n.to_string().into_bytes(),
    })
}

/// A group of one small unit at `per_block`.
pub fn group(name: &str, per_block: u64, denom: &str, attributes: &[(&str, &str)]) -> dv4::GroupSpec {
    dv4::GroupSpec {
        name: name.to_owned(),
        requirements: Some(PlacementRequirements {
            signed_by: Some(Default::default()),
            attributes: attributes
                .iter()
                .map(|(k, v)| Attribute {
                    key: (*k).to_owned(),
                    value: (*v).to_owned(),
                })
                .collect(),
        }),
        resources: vec![dv4::ResourceUnit {
            resource: Some(res::Resources {
                id: 1,
                cpu: Some(res::Cpu {
                    units: value(10),
                    attributes: Vec::new(),
                }),
                memory: Some(res::Memory {
                    quantity: value(134_217_728),
                    attributes: Vec::new(),
                }),
                storage: vec![res::Storage {
                    name: "default".to_owned(),
                    quantity: value(536_870_912),
                    attributes: Vec::new(),
                }],
                gpu: Some(res::Gpu {
                    units: value(0),
                    attributes: Vec::new(),
                }),
                endpoints: vec![res::Endpoint::default()],
            }),
            count: 1,
            price: Some(price(per_block, denom)),
        }],
    }
}

pub fn create_deployment(
    owner: &str,
    dseq: u64,
    groups: Vec<dv4::GroupSpec>,
    amount: u64,
) -> dv4::MsgCreateDeployment {
    dv4::MsgCreateDeployment {
        id: Some(deployment_id(owner, dseq)),
        groups,
        hash: vec![7; 32],
        deposit: Some(deposit(amount, "uve")),
    }
}

pub fn deployment_id(owner: &str, dseq: u64) -> dv1::DeploymentId {
    dv1::DeploymentId {
        owner: owner.to_owned(),
        dseq,
    }
}

pub fn group_id(owner: &str, dseq: u64, gseq: u32) -> dv1::GroupId {
    dv1::GroupId {
        owner: owner.to_owned(),
        dseq,
        gseq,
    }
}

pub fn bid_id(owner: &str, dseq: u64, gseq: u32, oseq: u32, provider: &str) -> mv1::BidId {
    mv1::BidId {
        owner: owner.to_owned(),
        dseq,
        gseq,
        oseq,
        provider: provider.to_owned(),
        bseq: 0,
    }
}

pub fn lease_id(id: &mv1::BidId) -> mv1::LeaseId {
    mv1::LeaseId {
        owner: id.owner.clone(),
        dseq: id.dseq,
        gseq: id.gseq,
        oseq: id.oseq,
        provider: id.provider.clone(),
        bseq: id.bseq,
    }
}

pub fn order_id(id: &mv1::BidId) -> mv1::OrderId {
    mv1::OrderId {
        owner: id.owner.clone(),
        dseq: id.dseq,
        gseq: id.gseq,
        oseq: id.oseq,
    }
}

pub fn create_bid(id: &mv1::BidId, per_block: u64) -> mv5::MsgCreateBid {
    mv5::MsgCreateBid {
        id: Some(id.clone()),
        price: Some(price(per_block, "uve")),
        deposit: Some(deposit(500_000, "uve")),
        resources_offer: Vec::new(),
    }
}

pub fn create_lease(id: &mv1::BidId) -> mv5::MsgCreateLease {
    mv5::MsgCreateLease {
        bid_id: Some(id.clone()),
    }
}

pub fn withdraw(id: &mv1::BidId) -> mv5::MsgWithdrawLease {
    mv5::MsgWithdrawLease {
        id: Some(lease_id(id)),
    }
}

pub fn close_bid(id: &mv1::BidId, reason: i32) -> mv5::MsgCloseBid {
    mv5::MsgCloseBid {
        id: Some(id.clone()),
        reason,
    }
}

pub fn close_lease(id: &mv1::BidId) -> mv5::MsgCloseLease {
    mv5::MsgCloseLease {
        id: Some(lease_id(id)),
        reason: 1,
    }
}

pub fn close_deployment(owner: &str, dseq: u64) -> dv4::MsgCloseDeployment {
    dv4::MsgCloseDeployment {
        id: Some(deployment_id(owner, dseq)),
    }
}

pub fn send(from: &str, to: &str, amount: u64) -> bank::MsgSend {
    bank::MsgSend {
        from_address: from.to_owned(),
        to_address: to.to_owned(),
        amount: vec![coin(amount, "uve")],
    }
}

pub fn create_escrow(sender: &str, order: &str, amount: u64) -> sv1::MsgCreateEscrow {
    sv1::MsgCreateEscrow {
        sender: sender.to_owned(),
        order_id: order.to_owned(),
        amount: vec![coin(amount, "uve")],
        expires_in: 86_400,
    }
}

pub fn activate_escrow(sender: &str, escrow: &str, recipient: &str) -> sv1::MsgActivateEscrow {
    sv1::MsgActivateEscrow {
        sender: sender.to_owned(),
        escrow_id: escrow.to_owned(),
        lease_id: "lease".to_owned(),
        recipient: recipient.to_owned(),
    }
}

pub fn record_usage(sender: &str, order: &str, units: u64) -> sv1::MsgRecordUsage {
    sv1::MsgRecordUsage {
        sender: sender.to_owned(),
        order_id: order.to_owned(),
        lease_id: "lease".to_owned(),
        usage_units: units,
        usage_type: "cpu".to_owned(),
        period_start: 1_700_000_000,
        period_end: 1_700_003_600,
        unit_price: Some(price(1, "uve")),
        signature: vec![1, 2],
    }
}

pub fn settle(sender: &str, order: &str, ids: &[&str], is_final: bool) -> sv1::MsgSettleOrder {
    sv1::MsgSettleOrder {
        sender: sender.to_owned(),
        order_id: order.to_owned(),
        usage_record_ids: ids.iter().map(|i| (*i).to_owned()).collect(),
        is_final,
    }
}

pub fn heartbeat(provider: &str, class: i32, sequence: u64) -> rv1::MsgProviderHeartbeat {
    rv1::MsgProviderHeartbeat {
        provider_address: provider.to_owned(),
        resource_class: class,
        total: Some(Default::default()),
        available: Some(Default::default()),
        locality: Some(Default::default()),
        sequence,
        ..Default::default()
    }
}
