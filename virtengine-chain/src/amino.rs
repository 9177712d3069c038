//! Amino-JSON sign documents (spec/chain-node.md 2.9a): what a Ledger can show and sign. For the messages that a provider
//! sends; everything else is refused rather than guessed, since one wrong character is an invalid signature.

use base64::Engine as _;
use prost_types::Any;
use serde_json::{Map, Value, json};
use virtengine_provider_core::id::LeaseId;
use virtengine_provider_core::money::{Coin, DECIMAL_ONE, Price};
use virtengine_provider_core::ports::chain::{Heartbeat, InventoryCapacity, Message};

use crate::message::decode;
use crate::wire::WireError;

/// A message as the document has it: `{"type":…,"value":…}`.
pub(crate) fn message(any: &Any) -> Result<Value, WireError> {
    let (sender, message) = decode(any)?;
    let sender = sender.to_string();
    // The amino name where the chain's definition has one, else the type URL with its slash.
    let (name, value) = match &message {
        Message::CreateBid { id, price, deposit } => {
            let deposit = json!({ "amount": coin(deposit), "sources": [1] });
            (
                None,
                json!({ "id": lease(id), "price": dec_coin(price), "deposit": deposit }),
            )
        }
        Message::CloseBid { id, reason } => (None, json!({ "id": lease(id), "reason": reason.code() })),
        Message::WithdrawLease { id } => (None, json!({ "id": lease(id) })),
        Message::RecordUsage { unit_price, .. } => {
            let value = usage(&message, &sender, unit_price);
            (Some("settlement/MsgRecordUsage"), value)
        }
        Message::SettleOrder {
            order_id,
            usage_record_ids,
            is_final,
        } => {
            let value = json!({
                "sender": sender,
                "order_id": order_id,
                "usage_record_ids": usage_record_ids,
                "is_final": is_final,
            });
            (Some("settlement/MsgSettleOrder"), value)
        }
        Message::Heartbeat(beat) => (Some("resources/MsgProviderHeartbeat"), heartbeat(beat, &sender)),
        Message::BankSend { to, amount } => {
            let value = json!({ "from_address": sender, "to_address": to, "amount": [coin(amount)] });
            (Some("cosmos-sdk/MsgSend"), value)
        }
        _ => return Err(WireError::Unsupported("this message as an amino-JSON document")),
    };
    let mut value = value;
    drop_empty(&mut value);
    Ok(json!({ "type": name.unwrap_or(&any.type_url), "value": value }))
}

/// The whole document as text: sorted keys, no white space.
///
/// # Errors
/// A text holds a character that JSON writers escape in more than one way.
pub(crate) fn render(document: &Value) -> Result<String, WireError> {
    let mut text = String::new();
    write(document, &mut text)?;
    Ok(text)
}

/// Keys are sorted here because whether [`Map`] keeps them sorted depends on features that other crates choose.
fn write(value: &Value, text: &mut String) -> Result<(), WireError> {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (position, (key, value)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write(&Value::String(key.clone()), text)?;
                text.push(':');
                write(value, text)?;
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write(item, text)?;
            }
            text.push(']');
        }
        Value::String(words) => {
            let ambiguous =
                |c: char| c.is_control() || matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
            if words.chars().any(ambiguous) {
                return Err(WireError::Unsupported(
                    "a text with characters that JSON escapes in several ways",
                ));
            }
            text.push_str(&value.to_string());
        }
        other => text.push_str(&other.to_string()),
    }
    Ok(())
}

/// Leaves out zero values, as the chain does. Empty objects stay: they are messages that are always sent.
fn drop_empty(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.values_mut().for_each(drop_empty);
        let kept: Map<String, Value> = std::mem::take(fields)
            .into_iter()
            .filter(|(_, value)| !is_zero(value))
            .collect();
        *fields = kept;
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        // 64-bit integers are texts in this form.
        Value::String(text) => text.is_empty() || text == "0",
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

pub(crate) fn coin(coin: &Coin) -> Value {
    json!({ "denom": coin.denom, "amount": coin.amount.to_string() })
}

/// With all 18 decimals.
fn dec_coin(price: &Price) -> Value {
    let (whole, fraction) = (
        price.amount.scaled() / DECIMAL_ONE,
        price.amount.scaled() % DECIMAL_ONE,
    );
    json!({ "denom": price.denom, "amount": format!("{whole}.{fraction:018}") })
}

fn lease(id: &LeaseId) -> Value {
    json!({
        "owner": id.owner(),
        "dseq": id.deployment().dseq.to_string(),
        "gseq": id.order.group.gseq,
        "oseq": id.order.oseq,
        "provider": id.provider,
    })
}

fn usage(message: &Message, sender: &str, unit_price: &Price) -> Value {
    let Message::RecordUsage {
        order_id,
        lease_id,
        usage_units,
        usage_type,
        period_start,
        period_end,
        signature,
        ..
    } = message
    else {
        return Value::Null;
    };
    json!({
        "sender": sender,
        "order_id": order_id,
        "lease_id": lease_id,
        "usage_units": usage_units.to_string(),
        "usage_type": usage_type,
        "period_start": period_start.to_string(),
        "period_end": period_end.to_string(),
        "unit_price": dec_coin(unit_price),
        "signature": base64::engine::general_purpose::STANDARD.encode(signature),
    })
}

fn heartbeat(beat: &Heartbeat, sender: &str) -> Value {
    let capacity = |capacity: &InventoryCapacity| {
        json!({
            "cpu_cores": capacity.cpu_cores.to_string(),
            "memory_gb": capacity.memory_gb.to_string(),
            "storage_gb": capacity.storage_gb.to_string(),
            "gpus": capacity.gpus.to_string(),
        })
    };
    json!({
        "provider_address": sender,
        "inventory_id": beat.inventory_id,
        "resource_class": beat.resource_class,
        "total": capacity(&beat.total),
        "available": capacity(&beat.available),
        "locality": { "region": beat.region },
        "sequence": beat.sequence.to_string(),
    })
}
