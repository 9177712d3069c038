//! To the wire.

use prost_types::Any;
use virtengine_provider_core::id::{Address, DeploymentId};
use virtengine_provider_core::ports::chain::Message;

use super::EncodeError;
use crate::proto::cosmos::bank::v1beta1::MsgSend;
use crate::proto::virtengine::deployment::v1beta4 as deployment;
use crate::proto::virtengine::escrow::{id::v1 as escrow_id, v1 as escrow};
use crate::proto::virtengine::market::v1beta5 as market;
use crate::proto::virtengine::provider::v1beta4 as provider;
use crate::proto::virtengine::settlement::v1 as settlement;
use crate::wire;

/// The message as a transaction of `sender` carries it.
///
/// # Errors
/// [`EncodeError::WrongSender`] when the chain wants another account to sign it (spec/chain.md A.1).
pub fn encode(message: &Message, sender: &Address) -> Result<Any, EncodeError> {
    let signer = match message {
        Message::CreateBid { id, .. } | Message::CloseBid { id, .. } | Message::WithdrawLease { id } => {
            &id.provider
        }
        Message::CreateLease { id } | Message::CloseLease { id } => id.owner(),
        Message::CreateDeployment { id, .. }
        | Message::UpdateDeployment { id, .. }
        | Message::CloseDeployment { id } => &id.owner,
        Message::PauseGroup { id } | Message::StartGroup { id } | Message::CloseGroup { id } => {
            &id.deployment.owner
        }
        Message::CreateProvider(record) | Message::UpdateProvider(record) => &record.owner,
        _ => sender,
    };
    if signer != sender {
        return Err(EncodeError::WrongSender {
            signer: signer.clone(),
            sender: sender.clone(),
        });
    }
    market_message(message)
        .or_else(|| deployment_message(message))
        .or_else(|| settlement_message(message, sender))
        .or_else(|| other_message(message, sender))
        .ok_or(EncodeError::Unsupported)
}

/// Packs a message with its type URL.
pub(crate) fn any<M: prost::Message + prost::Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

fn market_message(message: &Message) -> Option<Any> {
    Some(match message {
        Message::CreateBid { id, price, deposit } => any(&market::MsgCreateBid {
            id: Some(wire::bid_id_to_wire(id)),
            price: Some(wire::price_to_wire(price)),
            deposit: Some(wire::deposit_to_wire(deposit)),
            resources_offer: Vec::new(),
        }),
        Message::CloseBid { id, reason } => any(&market::MsgCloseBid {
            id: Some(wire::bid_id_to_wire(id)),
            reason: reason.code(),
        }),
        Message::WithdrawLease { id } => any(&market::MsgWithdrawLease {
            id: Some(wire::lease_id_to_wire(id)),
        }),
        Message::CreateLease { id } => any(&market::MsgCreateLease {
            bid_id: Some(wire::bid_id_to_wire(id)),
        }),
        Message::CloseLease { id } => any(&market::MsgCloseLease {
            id: Some(wire::lease_id_to_wire(id)),
            // The chain records "owner" whatever stands here (spec/chain.md B.5).
            reason: 0,
        }),
        _ => return None,
    })
}

fn deployment_message(message: &Message) -> Option<Any> {
    Some(match message {
        Message::CreateDeployment {
            id,
            groups,
            hash,
            deposit,
        } => any(&deployment::MsgCreateDeployment {
            id: Some(wire::deployment_id_to_wire(id)),
            groups: groups.iter().map(wire::group_spec_to_wire).collect(),
            hash: hash.to_vec(),
            deposit: Some(wire::deposit_to_wire(deposit)),
        }),
        Message::UpdateDeployment { id, hash } => any(&deployment::MsgUpdateDeployment {
            id: Some(wire::deployment_id_to_wire(id)),
            hash: hash.to_vec(),
        }),
        Message::CloseDeployment { id } => any(&deployment::MsgCloseDeployment {
            id: Some(wire::deployment_id_to_wire(id)),
        }),
        Message::PauseGroup { id } => any(&deployment::MsgPauseGroup {
            id: Some(wire::group_id_to_wire(id)),
        }),
        Message::StartGroup { id } => any(&deployment::MsgStartGroup {
            id: Some(wire::group_id_to_wire(id)),
        }),
        Message::CloseGroup { id } => any(&deployment::MsgCloseGroup {
            id: Some(wire::group_id_to_wire(id)),
        }),
        _ => return None,
    })
}

fn settlement_message(message: &Message, sender: &Address) -> Option<Any> {
    let sender = sender.to_string();
    Some(match message {
        Message::RecordUsage {
            order_id,
            lease_id,
            usage_units,
            usage_type,
            period_start,
            period_end,
            unit_price,
            signature,
        } => any(&settlement::MsgRecordUsage {
            sender,
            order_id: order_id.clone(),
            lease_id: lease_id.clone(),
            usage_units: *usage_units,
            usage_type: usage_type.clone(),
            period_start: *period_start,
            period_end: *period_end,
            unit_price: Some(wire::price_to_wire(unit_price)),
            signature: signature.clone(),
        }),
        Message::SettleOrder {
            order_id,
            usage_record_ids,
            is_final,
        } => any(&settlement::MsgSettleOrder {
            sender,
            order_id: order_id.clone(),
            usage_record_ids: usage_record_ids.clone(),
            is_final: *is_final,
        }),
        Message::CreateEscrow {
            order_id,
            amount,
            expires_in,
        } => any(&settlement::MsgCreateEscrow {
            sender,
            order_id: order_id.clone(),
            amount: vec![wire::coin_to_wire(amount)],
            expires_in: *expires_in,
        }),
        Message::ActivateEscrow {
            escrow_id,
            lease_id,
            recipient,
        } => any(&settlement::MsgActivateEscrow {
            sender,
            escrow_id: escrow_id.clone(),
            lease_id: lease_id.clone(),
            recipient: recipient.to_string(),
        }),
        _ => return None,
    })
}

fn other_message(message: &Message, sender: &Address) -> Option<Any> {
    Some(match message {
        Message::Heartbeat(heartbeat) => any(&wire::heartbeat_to_wire(sender, heartbeat)),
        Message::CreateProvider(record) => {
            let record = wire::provider_to_wire(record);
            any(&provider::MsgCreateProvider {
                owner: record.owner,
                host_uri: record.host_uri,
                attributes: record.attributes,
                info: record.info,
            })
        }
        Message::UpdateProvider(record) => {
            let record = wire::provider_to_wire(record);
            any(&provider::MsgUpdateProvider {
                owner: record.owner,
                host_uri: record.host_uri,
                attributes: record.attributes,
                info: record.info,
            })
        }
        Message::DepositDeployment { id, deposit } => any(&escrow::MsgAccountDeposit {
            signer: sender.to_string(),
            id: Some(deployment_account(id)),
            deposit: Some(wire::deposit_to_wire(deposit)),
        }),
        Message::BankSend { to, amount } => any(&MsgSend {
            from_address: sender.to_string(),
            to_address: to.to_string(),
            amount: vec![wire::coin_to_wire(amount)],
        }),
        _ => return None,
    })
}

/// The escrow account of a deployment (spec/chain.md A.3).
fn deployment_account(id: &DeploymentId) -> escrow_id::Account {
    escrow_id::Account {
        scope: i32::from(escrow_id::Scope::Deployment),
        xid: id.to_string(),
    }
}
