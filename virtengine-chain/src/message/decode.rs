//! From the wire.

use prost_types::Any;
use virtengine_provider_core::id::Address;
use virtengine_provider_core::market::CloseReason;
use virtengine_provider_core::ports::chain::{Message, ProviderRecord};

use crate::proto::cosmos::bank::v1beta1::MsgSend;
use crate::proto::virtengine::deployment::v1beta4 as deployment;
use crate::proto::virtengine::escrow::{id::v1 as escrow_id, v1 as escrow};
use crate::proto::virtengine::market::v1beta5 as market;
use crate::proto::virtengine::provider::v1beta4 as provider;
use crate::proto::virtengine::resources::v1::MsgProviderHeartbeat;
use crate::proto::virtengine::settlement::v1 as settlement;
use crate::wire::{self, WireError, address};

/// The account that must sign, and the message.
///
/// # Errors
/// A type that we do not know, bytes that are no such message, a field that is out of range, or something that
/// [`Message`] has no word for (a resources offer, a deposit from a grant, an unknown close reason).
pub fn decode(any: &Any) -> Result<(Address, Message), WireError> {
    let Some((package, name)) = any.type_url.trim_start_matches('/').rsplit_once('.') else {
        return Err(WireError::unknown_type(&any.type_url));
    };
    let found = match package {
        "virtengine.market.v1beta5" => market_message(name, &any.value)?,
        "virtengine.deployment.v1beta4" => deployment_message(name, &any.value)?,
        "virtengine.settlement.v1" => settlement_message(name, &any.value)?,
        "virtengine.provider.v1beta4" => provider_message(name, &any.value)?,
        "virtengine.resources.v1" if name == "MsgProviderHeartbeat" => {
            let (signer, heartbeat) = wire::heartbeat(&wire::decode::<MsgProviderHeartbeat>(&any.value)?)?;
            Some((signer, Message::Heartbeat(heartbeat)))
        }
        "virtengine.escrow.v1" if name == "MsgAccountDeposit" => Some(account_deposit(&any.value)?),
        "cosmos.bank.v1beta1" if name == "MsgSend" => Some(bank_send(&any.value)?),
        _ => None,
    };
    found.ok_or_else(|| WireError::unknown_type(&any.type_url))
}

fn market_message(name: &str, bytes: &[u8]) -> Result<Option<(Address, Message)>, WireError> {
    let (signer, message) = match name {
        "MsgCreateBid" => {
            let message: market::MsgCreateBid = wire::decode(bytes)?;
            if !message.resources_offer.is_empty() {
                return Err(WireError::Unsupported("a resources offer"));
            }
            let id = wire::bid_id(message.id.as_ref())?;
            let price = wire::price("price", message.price.as_ref())?;
            let deposit = wire::deposit(message.deposit.as_ref())?;
            (id.provider.clone(), Message::CreateBid { id, price, deposit })
        }
        "MsgCloseBid" => {
            let message: market::MsgCloseBid = wire::decode(bytes)?;
            let id = wire::bid_id(message.id.as_ref())?;
            let reason = reason(message.reason)?;
            (id.provider.clone(), Message::CloseBid { id, reason })
        }
        "MsgWithdrawLease" => {
            let message: market::MsgWithdrawLease = wire::decode(bytes)?;
            let id = wire::lease_id(message.id.as_ref())?;
            (id.provider.clone(), Message::WithdrawLease { id })
        }
        "MsgCreateLease" => {
            let message: market::MsgCreateLease = wire::decode(bytes)?;
            let id = wire::bid_id(message.bid_id.as_ref())?;
            (id.owner().clone(), Message::CreateLease { id })
        }
        "MsgCloseLease" => {
            let message: market::MsgCloseLease = wire::decode(bytes)?;
            let id = wire::lease_id(message.id.as_ref())?;
            (id.owner().clone(), Message::CloseLease { id })
        }
        _ => return Ok(None),
    };
    Ok(Some((signer, message)))
}

/// The chain itself accepts any number here and answers with a refusal of its own, which names the range.
fn reason(code: i32) -> Result<CloseReason, WireError> {
    let reason = CloseReason::from_code(code);
    if reason.code() == code {
        return Ok(reason);
    }
    Err(WireError::field("reason", code, "a known close reason"))
}

fn deployment_message(name: &str, bytes: &[u8]) -> Result<Option<(Address, Message)>, WireError> {
    let (signer, message) = match name {
        "MsgCreateDeployment" => {
            let message: deployment::MsgCreateDeployment = wire::decode(bytes)?;
            let id = wire::deployment_id(message.id.as_ref())?;
            let groups = message.groups.iter().map(|group| wire::group_spec(Some(group)));
            let groups = groups.collect::<Result<_, _>>()?;
            let hash = wire::hash("hash", &message.hash)?;
            let deposit = wire::deposit(message.deposit.as_ref())?;
            let create = Message::CreateDeployment {
                id: id.clone(),
                groups,
                hash,
                deposit,
            };
            (id.owner, create)
        }
        "MsgUpdateDeployment" => {
            let message: deployment::MsgUpdateDeployment = wire::decode(bytes)?;
            let id = wire::deployment_id(message.id.as_ref())?;
            let hash = wire::hash("hash", &message.hash)?;
            (id.owner.clone(), Message::UpdateDeployment { id, hash })
        }
        "MsgCloseDeployment" => {
            let message: deployment::MsgCloseDeployment = wire::decode(bytes)?;
            let id = wire::deployment_id(message.id.as_ref())?;
            (id.owner.clone(), Message::CloseDeployment { id })
        }
        "MsgPauseGroup" => {
            let message: deployment::MsgPauseGroup = wire::decode(bytes)?;
            let id = wire::group_id(message.id.as_ref())?;
            (id.deployment.owner.clone(), Message::PauseGroup { id })
        }
        "MsgStartGroup" => {
            let message: deployment::MsgStartGroup = wire::decode(bytes)?;
            let id = wire::group_id(message.id.as_ref())?;
            (id.deployment.owner.clone(), Message::StartGroup { id })
        }
        "MsgCloseGroup" => {
            let message: deployment::MsgCloseGroup = wire::decode(bytes)?;
            let id = wire::group_id(message.id.as_ref())?;
            (id.deployment.owner.clone(), Message::CloseGroup { id })
        }
        _ => return Ok(None),
    };
    Ok(Some((signer, message)))
}

fn settlement_message(name: &str, bytes: &[u8]) -> Result<Option<(Address, Message)>, WireError> {
    let (sender, message) = match name {
        "MsgRecordUsage" => record_usage(wire::decode(bytes)?)?,
        "MsgSettleOrder" => {
            let message: settlement::MsgSettleOrder = wire::decode(bytes)?;
            let settle = Message::SettleOrder {
                order_id: message.order_id,
                usage_record_ids: message.usage_record_ids,
                is_final: message.is_final,
            };
            (message.sender, settle)
        }
        "MsgCreateEscrow" => {
            let message: settlement::MsgCreateEscrow = wire::decode(bytes)?;
            let [amount] = message.amount.as_slice() else {
                return Err(WireError::Unsupported("an escrow of several coins or none"));
            };
            let create = Message::CreateEscrow {
                amount: wire::coin("amount", Some(amount))?,
                order_id: message.order_id,
                expires_in: message.expires_in,
            };
            (message.sender, create)
        }
        "MsgActivateEscrow" => {
            let message: settlement::MsgActivateEscrow = wire::decode(bytes)?;
            let activate = Message::ActivateEscrow {
                recipient: address("recipient", &message.recipient)?,
                escrow_id: message.escrow_id,
                lease_id: message.lease_id,
            };
            (message.sender, activate)
        }
        _ => return Ok(None),
    };
    Ok(Some((address("sender", &sender)?, message)))
}

fn record_usage(message: settlement::MsgRecordUsage) -> Result<(String, Message), WireError> {
    let record = Message::RecordUsage {
        unit_price: wire::price("unit_price", message.unit_price.as_ref())?,
        order_id: message.order_id,
        lease_id: message.lease_id,
        usage_units: message.usage_units,
        usage_type: message.usage_type,
        period_start: message.period_start,
        period_end: message.period_end,
        signature: message.signature,
    };
    Ok((message.sender, record))
}

fn provider_message(name: &str, bytes: &[u8]) -> Result<Option<(Address, Message)>, WireError> {
    let record = |owner, host_uri, attributes, info| -> Result<ProviderRecord, WireError> {
        wire::provider(Some(&provider::Provider {
            owner,
            host_uri,
            attributes,
            info,
        }))
    };
    let message = match name {
        "MsgCreateProvider" => {
            let message: provider::MsgCreateProvider = wire::decode(bytes)?;
            let record = record(message.owner, message.host_uri, message.attributes, message.info)?;
            (record.owner.clone(), Message::CreateProvider(record))
        }
        "MsgUpdateProvider" => {
            let message: provider::MsgUpdateProvider = wire::decode(bytes)?;
            let record = record(message.owner, message.host_uri, message.attributes, message.info)?;
            (record.owner.clone(), Message::UpdateProvider(record))
        }
        _ => return Ok(None),
    };
    Ok(Some(message))
}

fn account_deposit(bytes: &[u8]) -> Result<(Address, Message), WireError> {
    let message: escrow::MsgAccountDeposit = wire::decode(bytes)?;
    let account = message.id.as_ref().ok_or(WireError::Missing("id"))?;
    if account.scope != i32::from(escrow_id::Scope::Deployment) {
        return Err(WireError::Unsupported("a deposit on anything but a deployment"));
    }
    let deposit = Message::DepositDeployment {
        id: account
            .xid
            .parse()
            .map_err(|_| WireError::field("id.xid", &account.xid, "owner/dseq"))?,
        deposit: wire::deposit(message.deposit.as_ref())?,
    };
    Ok((address("signer", &message.signer)?, deposit))
}

fn bank_send(bytes: &[u8]) -> Result<(Address, Message), WireError> {
    let message: MsgSend = wire::decode(bytes)?;
    let [amount] = message.amount.as_slice() else {
        return Err(WireError::Unsupported("a transfer of several coins or none"));
    };
    let send = Message::BankSend {
        to: address("to_address", &message.to_address)?,
        amount: wire::coin("amount", Some(amount))?,
    };
    Ok((address("from_address", &message.from_address)?, send))
}
