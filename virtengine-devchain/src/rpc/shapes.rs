//! The JSON shapes of CometBFT: 64-bit numbers as strings, hashes as upper-case hex, bytes as base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::machine::block::{Block, DeliveredTx, TxResult, empty_hash};
use crate::rpc::search::Tags;
use crate::state::event::Event;

pub(super) fn upper(bytes: &[u8]) -> String {
    hex::encode_upper(bytes)
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Base64, or null for nothing, as Go shows byte slices.
pub(super) fn bytes_or_null(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        Value::Null
    } else {
        base64(bytes).into()
    }
}

fn list_or_null(list: Vec<Value>) -> Value {
    if list.is_empty() { Value::Null } else { list.into() }
}

fn event(event: &Event) -> Value {
    let attributes: Vec<Value> = event
        .attributes
        .iter()
        .map(|(key, value)| json!({"key": key, "value": value, "index": true}))
        .collect();
    json!({"type": event.kind, "attributes": attributes})
}

fn events(list: &[Event]) -> Vec<Value> {
    list.iter().map(event).collect()
}

/// A transaction result with every field.
pub(super) fn tx_result(result: &TxResult) -> Value {
    json!({
        "code": result.code,
        "data": bytes_or_null(&result.data),
        "log": result.log,
        "info": "",
        "gas_wanted": result.gas_wanted.to_string(),
        "gas_used": result.gas_used.to_string(),
        "events": events(&result.events),
        "codespace": result.codespace,
    })
}

/// A transaction result without its zero fields, as `Tx` events carry it.
fn sparse_tx_result(result: &TxResult) -> Value {
    let mut out = Map::new();
    if result.code != 0 {
        out.insert("code".to_owned(), result.code.into());
    }
    if !result.data.is_empty() {
        out.insert("data".to_owned(), base64(&result.data).into());
    }
    if !result.log.is_empty() {
        out.insert("log".to_owned(), result.log.clone().into());
    }
    out.insert("gas_wanted".to_owned(), result.gas_wanted.to_string().into());
    out.insert("gas_used".to_owned(), result.gas_used.to_string().into());
    out.insert("events".to_owned(), events(&result.events).into());
    if !result.codespace.is_empty() {
        out.insert("codespace".to_owned(), result.codespace.clone().into());
    }
    out.into()
}

/// The answer of `tx` and one item of `tx_search`.
pub(super) fn tx(height: u64, at: usize, tx: &DeliveredTx) -> Value {
    json!({
        "hash": upper(&tx.hash),
        "height": height.to_string(),
        "index": at,
        "tx_result": tx_result(&tx.result),
        "tx": base64(&tx.bytes),
    })
}

/// The one validator: its address and its public key (ed25519).
#[derive(Debug, Clone)]
pub(crate) struct Validator {
    key: ed25519_dalek::SigningKey,
}

impl Validator {
    /// The validator of a chain; the same for the same chain id.
    pub(crate) fn of(chain_id: &str) -> Self {
        let seed: [u8; 32] = Sha256::digest(format!("virtengine-devchain validator of {chain_id}")).into();
        Self {
            key: ed25519_dalek::SigningKey::from_bytes(&seed),
        }
    }

    pub(super) fn address(&self) -> String {
        upper(&Sha256::digest(self.key.verifying_key().as_bytes())[..20])
    }

    pub(super) fn public_key(&self) -> Value {
        json!({"type": "tendermint/PubKeyEd25519", "value": base64(self.key.verifying_key().as_bytes())})
    }

    fn sign(&self, bytes: &[u8]) -> String {
        use ed25519_dalek::Signer as _;
        base64(&self.key.sign(bytes).to_bytes())
    }
}

/// A block id. Blocks have one part, named like the block.
fn block_id(hash: Option<&[u8; 32]>) -> Value {
    match hash {
        Some(hash) => {
            json!({"hash": upper(hash), "parts": {"total": 1, "hash": upper(&Sha256::digest(hash))}})
        }
        None => json!({"hash": "", "parts": {"total": 0, "hash": ""}}),
    }
}

fn previous(block: &Block) -> Option<&[u8; 32]> {
    (block.height > 1).then_some(&block.last_hash)
}

/// A header.
pub(super) fn header(block: &Block, chain_id: &str, validator: &Validator) -> Value {
    let validators = upper(&Sha256::digest(validator.address()));
    json!({
        "version": {"block": "11"},
        "chain_id": chain_id,
        "height": block.height.to_string(),
        "time": block.time.rfc3339(),
        "last_block_id": block_id(previous(block)),
        "last_commit_hash": upper(&Sha256::digest(block.last_hash)),
        "data_hash": upper(&block.data_hash),
        "validators_hash": validators,
        "next_validators_hash": validators,
        "consensus_hash": "048091BC7DDC283F77BFBF91D73C44DA58C3DF8A9CBC867405D8B7F3DAADA22F",
        "app_hash": upper(&block.app_hash_before),
        "last_results_hash": upper(&empty_hash()),
        "evidence_hash": upper(&empty_hash()),
        "proposer_address": validator.address(),
    })
}

fn commit(height: u64, hash: &[u8; 32], time: &str, validator: &Validator) -> Value {
    json!({
        "height": height.to_string(),
        "round": 0,
        "block_id": block_id(Some(hash)),
        "signatures": [{
            "block_id_flag": 2,
            "validator_address": validator.address(),
            "timestamp": time,
            "signature": validator.sign(hash),
        }],
    })
}

/// The block itself.
fn inner_block(block: &Block, chain_id: &str, validator: &Validator) -> Value {
    let txs: Vec<String> = block.txs.iter().map(|t| base64(&t.bytes)).collect();
    let last_commit = match previous(block) {
        Some(hash) => commit(block.height - 1, hash, &block.time.rfc3339(), validator),
        None => json!({"height": "0", "round": 0, "block_id": block_id(None), "signatures": []}),
    };
    json!({
        "header": header(block, chain_id, validator),
        "data": {"txs": txs},
        "evidence": {"evidence": []},
        "last_commit": last_commit,
    })
}

/// The answer of `block`.
pub(super) fn block(block: &Block, chain_id: &str, validator: &Validator) -> Value {
    json!({
        "block_id": block_id(Some(&block.hash)),
        "block": inner_block(block, chain_id, validator),
    })
}

/// The answer of `commit`.
pub(super) fn signed_header(block: &Block, chain_id: &str, validator: &Validator) -> Value {
    json!({
        "signed_header": {
            "header": header(block, chain_id, validator),
            "commit": commit(block.height, &block.hash, &block.time.rfc3339(), validator),
        },
        "canonical": true,
    })
}

fn consensus_updates() -> Value {
    json!({
        "block": {"max_bytes": "22020096", "max_gas": "-1"},
        "evidence": {"max_age_num_blocks": "100000", "max_age_duration": "172800000000000", "max_bytes": "1048576"},
        "validator": {"pub_key_types": ["ed25519"]},
        "version": {},
        "abci": {},
    })
}

/// The answer of `block_results`; `lost` leaves the transaction results out.
pub(super) fn block_results(block: &Block, lost: bool) -> Value {
    let results = if lost {
        Vec::new()
    } else {
        block.txs.iter().map(|t| tx_result(&t.result)).collect()
    };
    json!({
        "height": block.height.to_string(),
        "txs_results": list_or_null(results),
        "finalize_block_events": list_or_null(events(&block.events)),
        "validator_updates": null,
        "consensus_param_updates": consensus_updates(),
        "app_hash": base64(&block.app_hash),
    })
}

/// A `NewBlock` event.
pub(super) fn new_block(block: &Block, chain_id: &str, validator: &Validator) -> Value {
    let results: Vec<Value> = block.txs.iter().map(|t| tx_result(&t.result)).collect();
    json!({
        "type": "tendermint/event/NewBlock",
        "value": {
            "block": inner_block(block, chain_id, validator),
            "block_id": block_id(Some(&block.hash)),
            "result_finalize_block": {
                "events": events(&block.events),
                "tx_results": results,
                "validator_updates": [],
                "consensus_param_updates": consensus_updates(),
                "app_hash": base64(&block.app_hash),
            },
        },
    })
}

/// A `Tx` event.
pub(super) fn new_tx(height: u64, at: usize, tx: &DeliveredTx) -> Value {
    let mut result = Map::new();
    result.insert("height".to_owned(), height.to_string().into());
    if at > 0 {
        result.insert("index".to_owned(), at.into());
    }
    result.insert("tx".to_owned(), base64(&tx.bytes).into());
    result.insert("result".to_owned(), sparse_tx_result(&tx.result));
    json!({"type": "tendermint/event/Tx", "value": {"TxResult": result}})
}

/// What a subscriber is sent.
pub(super) fn news(query: &str, data: &Value, tags: &Tags) -> Value {
    json!({"query": query, "data": data, "events": tags})
}

/// The consensus parameters.
pub(super) fn consensus_params() -> Value {
    let mut params = consensus_updates();
    params["version"] = json!({"app": "0"});
    params["abci"] = json!({"vote_extensions_enable_height": "0"});
    params
}
