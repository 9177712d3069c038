//! The sign document of `SIGN_MODE_LEGACY_AMINO_JSON`, which a Ledger shows and signs (spec/chain-node.md 2.9a). Only the messages
//! that were measured on a node have one here; the others are refused in this mode.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::state::amount::dec_of;
use crate::state::failure::{Failure, sdk};
use crate::tx::Tx;
use crate::tx::message::Msg;
use crate::wire::coin::{Coin, DecCoin};
use crate::wire::{bank, deposit, mv1, mv5, rv1, sv1};

/// The documents that a signature may be over. More than one where measurements differ: the heartbeat was seen under its amino name
/// and under its type URL.
pub(super) fn documents(
    tx: &Tx,
    chain_id: &str,
    account_number: u64,
    sequence: u64,
) -> Result<Vec<Vec<u8>>, Failure> {
    let mut documents = Vec::new();
    for heartbeat in [
        "resources/MsgProviderHeartbeat",
        "/virtengine.resources.v1.MsgProviderHeartbeat",
    ] {
        let messages = tx
            .messages
            .iter()
            .map(|m| message(m, heartbeat))
            .collect::<Result<Vec<_>, _>>()?;
        let mut document = Object::default()
            .text("account_number", &account_number.to_string())
            .text("chain_id", chain_id)
            .value("fee", fee(tx))
            .value("memo", json!(tx.body.memo))
            .value("msgs", messages.into())
            .value("sequence", json!(sequence.to_string()));
        if tx.body.timeout_height > 0 {
            document = document.text("timeout_height", &tx.body.timeout_height.to_string());
        }
        let bytes = sorted(&document.done()).into_bytes();
        if !documents.contains(&bytes) {
            documents.push(bytes);
        }
    }
    Ok(documents)
}

/// A JSON object whose empty members are left out.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn value(mut self, key: &str, value: Value) -> Self {
        self.0.insert(key.to_owned(), value);
        self
    }

    fn text(self, key: &str, text: &str) -> Self {
        if text.is_empty() {
            return self;
        }
        self.value(key, text.into())
    }

    /// 64-bit numbers are texts.
    fn wide(self, key: &str, number: impl Into<i128>) -> Self {
        match number.into() {
            0 => self,
            number => self.value(key, number.to_string().into()),
        }
    }

    fn small(self, key: &str, number: impl Into<i64>) -> Self {
        match number.into() {
            0 => self,
            number => self.value(key, number.into()),
        }
    }

    fn done(self) -> Value {
        self.0.into()
    }
}

fn coin(coin: &Coin) -> Value {
    json!({"amount": coin.amount, "denom": coin.denom})
}

fn dec_coin(price: Option<&DecCoin>) -> Result<Value, Failure> {
    let price = price.cloned().unwrap_or_default();
    Ok(json!({"amount": dec_of(&price.amount)?.json(), "denom": price.denom}))
}

fn deposit(deposit: Option<&deposit::Deposit>) -> Value {
    let deposit = deposit.cloned().unwrap_or_default();
    let object = Object::default().value("amount", coin(&deposit.amount.unwrap_or_default()));
    if deposit.sources.is_empty() {
        return object.done();
    }
    object.value("sources", deposit.sources.into()).done()
}

fn bid_id(id: &mv1::BidId) -> Value {
    Object::default()
        .text("owner", &id.owner)
        .wide("dseq", id.dseq)
        .small("gseq", id.gseq)
        .small("oseq", id.oseq)
        .text("provider", &id.provider)
        .small("bseq", id.bseq)
        .done()
}

fn capacity(capacity: Option<&rv1::ResourceCapacity>) -> Value {
    let c = capacity.cloned().unwrap_or_default();
    Object::default()
        .wide("cpu_cores", c.cpu_cores)
        .wide("memory_gb", c.memory_gb)
        .wide("storage_gb", c.storage_gb)
        .wide("network_mbps", c.network_mbps)
        .wide("gpus", c.gpus)
        .text("gpu_type", &c.gpu_type)
        .done()
}

fn fee(tx: &Tx) -> Value {
    let fee = tx.fee();
    Object::default()
        .value("amount", fee.amount.iter().map(coin).collect::<Vec<_>>().into())
        .value("gas", fee.gas_limit.to_string().into())
        .text("granter", &fee.granter)
        .text("payer", &fee.payer)
        .done()
}

fn message(message: &Msg, heartbeat: &str) -> Result<Value, Failure> {
    let (kind, value) = match message {
        Msg::Send(m) => ("cosmos-sdk/MsgSend".to_owned(), send(m)),
        Msg::CreateBid(m) if m.resources_offer.is_empty() => (message.type_url(), create_bid(m)?),
        Msg::CloseBid(m) => (
            message.type_url(),
            Object::default()
                .value("id", bid_id(&m.id.clone().unwrap_or_default()))
                .small("reason", m.reason)
                .done(),
        ),
        Msg::WithdrawLease(m) => {
            let id = crate::state::keys::bid_of_lease(&m.id.clone().unwrap_or_default());
            (message.type_url(), json!({"id": bid_id(&id)}))
        }
        Msg::RecordUsage(m) => ("settlement/MsgRecordUsage".to_owned(), record_usage(m)?),
        Msg::SettleOrder(m) => ("settlement/MsgSettleOrder".to_owned(), settle_order(m)),
        Msg::Heartbeat(m) => (heartbeat.to_owned(), heartbeat_value(m)),
        other => {
            return Err(sdk::NOT_SUPPORTED.wrap(format_args!(
                "this development chain has no amino-JSON form of {}; sign it with SIGN_MODE_DIRECT",
                other.type_url()
            )));
        }
    };
    Ok(json!({"type": kind, "value": value}))
}

fn send(m: &bank::MsgSend) -> Value {
    Object::default()
        .value("amount", m.amount.iter().map(coin).collect::<Vec<_>>().into())
        .text("from_address", &m.from_address)
        .text("to_address", &m.to_address)
        .done()
}

fn create_bid(m: &mv5::MsgCreateBid) -> Result<Value, Failure> {
    Ok(Object::default()
        .value("deposit", deposit(m.deposit.as_ref()))
        .value("id", bid_id(&m.id.clone().unwrap_or_default()))
        .value("price", dec_coin(m.price.as_ref())?)
        .done())
}

fn record_usage(m: &sv1::MsgRecordUsage) -> Result<Value, Failure> {
    Ok(Object::default()
        .text("sender", &m.sender)
        .text("order_id", &m.order_id)
        .text("lease_id", &m.lease_id)
        .wide("usage_units", m.usage_units)
        .text("usage_type", &m.usage_type)
        .wide("period_start", m.period_start)
        .wide("period_end", m.period_end)
        .value("unit_price", dec_coin(m.unit_price.as_ref())?)
        .text("signature", &STANDARD.encode(&m.signature))
        .done())
}

fn settle_order(m: &sv1::MsgSettleOrder) -> Value {
    let mut object = Object::default()
        .text("sender", &m.sender)
        .text("order_id", &m.order_id);
    if !m.usage_record_ids.is_empty() {
        object = object.value("usage_record_ids", m.usage_record_ids.clone().into());
    }
    if m.is_final {
        object = object.value("is_final", true.into());
    }
    object.done()
}

fn heartbeat_value(m: &rv1::MsgProviderHeartbeat) -> Value {
    let l = m.locality.clone().unwrap_or_default();
    let locality = Object::default()
        .text("region", &l.region)
        .text("zone", &l.zone)
        .text("datacenter", &l.datacenter)
        .text("country", &l.country)
        .done();
    Object::default()
        .text("provider_address", &m.provider_address)
        .text("inventory_id", &m.inventory_id)
        .small("resource_class", m.resource_class)
        .value("total", capacity(m.total.as_ref()))
        .value("available", capacity(m.available.as_ref()))
        .value("locality", locality)
        .wide("sequence", m.sequence)
        .done()
}

/// JSON with sorted keys, no white space, and Go's escapes.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut members: Vec<(&String, &Value)> = map.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            let members: Vec<String> = members
                .into_iter()
                .map(|(k, v)| format!("{}:{}", sorted(&json!(k)), sorted(v)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(sorted).collect::<Vec<_>>().join(",")),
        Value::String(_) => value
            .to_string()
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
            .replace('\u{2028}', "\\u2028")
            .replace('\u{2029}', "\\u2029"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Any;

    use super::*;
    use crate::wire::tx::{AuthInfo, Fee, TxBody};

    /// Builds the document of one message with the fee of the recordings.
    fn document(url: &str, hex: &str, sequence: u64) -> Vec<String> {
        let any = Any {
            type_url: url.to_owned(),
            value: hex::decode(hex).unwrap(),
        };
        let tx = Tx {
            raw: Default::default(),
            body: TxBody::default(),
            auth: AuthInfo {
                fee: Some(Fee {
                    amount: vec![crate::state::amount::coin("uve", 10_000)],
                    gas_limit: 400_000,
                    ..Fee::default()
                }),
                ..AuthInfo::default()
            },
            messages: vec![Msg::decode(&any).unwrap().unwrap()],
            signers: Vec::new(),
            size: 0,
        };
        documents(&tx, "virtengine-localnet-1", 5, sequence)
            .unwrap()
            .into_iter()
            .map(|d| String::from_utf8(d).unwrap())
            .collect()
    }

    /// chain-recordings 600: documents whose signatures a node verified.
    #[test]
    fn documents_are_those_that_a_node_verified() {
        let around = |message: &str, sequence: u64| {
            format!(
                r#"{{"account_number":"5","chain_id":"virtengine-localnet-1","fee":{{"amount":[{{"amount":"10000","denom":"uve"}}],"gas":"400000"}},"memo":"","msgs":[{message}],"sequence":"{sequence}"}}"#
            )
        };
        let bid = document(
            "/virtengine.market.v1beta5.MsgCreateBid",
            "0a5e0a297665316176677968373779636e3939376a6134357135713873733879396d723432346a75386538366610c0843d180120012a29766531366e73326633767271757930767079766b673932647868796d6d72616e3566376370376d6471121a0a037576651213313030303030303030303030303030303030301a120a0d0a0375766512063530303030302a0101",
            77,
        );
        assert_eq!(
            bid,
            [around(
                r#"{"type":"/virtengine.market.v1beta5.MsgCreateBid","value":{"deposit":{"amount":{"amount":"500000","denom":"uve"},"sources":[1]},"id":{"dseq":"1000000","gseq":1,"oseq":1,"owner":"ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f","provider":"ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq"},"price":{"amount":"1.000000000000000000","denom":"uve"}}}"#,
                77
            )]
        );
        let usage = document(
            "/virtengine.settlement.v1.MsgRecordUsage",
            "0a29766531366e73326633767271757930767079766b673932647868796d6d72616e3566376370376d64711207782f312f312f311a0179200a2a036370753080e2cfaa063890fecfaa06421a0a037576651213313030303030303030303030303030303030304a020102",
            80,
        );
        assert_eq!(
            usage,
            [around(
                r#"{"type":"settlement/MsgRecordUsage","value":{"lease_id":"y","order_id":"x/1/1/1","period_end":"1700003600","period_start":"1700000000","sender":"ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq","signature":"AQI=","unit_price":{"amount":"1.000000000000000000","denom":"uve"},"usage_type":"cpu","usage_units":"10"}}"#,
                80
            )]
        );
        let heartbeat = document(
            "/virtengine.resources.v1.MsgProviderHeartbeat",
            "0a29766531366e73326633767271757930767079766b673932647868796d6d72616e3566376370376d64711801388b9698d806",
            82,
        );
        let value = r#""value":{"available":{},"locality":{},"provider_address":"ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq","resource_class":1,"sequence":"1795558155","total":{}}}"#;
        assert!(heartbeat.contains(&around(
            &format!(r#"{{"type":"/virtengine.resources.v1.MsgProviderHeartbeat",{value}"#),
            82
        )));
    }
}
