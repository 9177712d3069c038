//! Answers of CometBFT, as JSON. 64-bit integers come as text; anything else is an unusable answer.

use base64::Engine as _;
use serde::{Deserialize, Deserializer};
use virtengine_provider_core::id::{Height, TxHash};
use virtengine_provider_core::time::Timestamp;

use crate::event::{AbciEvent, null_is_empty};

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "StatusJson")]
pub struct NodeStatus {
    /// The chain.
    pub chain_id: String,
    /// Newest block.
    pub height: Height,
    /// Its hash, as text.
    pub hash: String,
    /// Its time.
    pub time: Timestamp,
    /// Oldest block that the node still has.
    pub earliest_height: Height,
    /// Its hash, as text.
    pub earliest_hash: String,
    /// Whether the node is still catching up with the chain.
    pub catching_up: bool,
    /// Whether transactions can be found by hash.
    pub indexing: bool,
}

/// Answer of `abci_query`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "AbciJson")]
pub struct AbciAnswer {
    /// 0 is success.
    pub code: u32,
    /// Where the code is from.
    pub codespace: String,
    /// Why it failed.
    pub log: String,
    /// The answer's bytes.
    pub value: Vec<u8>,
    /// The height of the state that answered; 0 when it did not come so far.
    pub height: Height,
}

/// Answer of `broadcast_tx_sync`: what the node's check said.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BroadcastAnswer {
    /// 0 is "in the mempool".
    pub code: u32,
    /// Where the code is from.
    #[serde(default)]
    pub codespace: String,
    /// Why it was refused.
    #[serde(default)]
    pub log: String,
}

/// A transaction in a block.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "TxJson")]
pub struct TxAnswer {
    /// The block.
    pub height: Height,
    /// What became of it.
    pub result: TxResult,
}

/// What became of a transaction in a block.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TxResult {
    /// 0 is success.
    pub code: u32,
    /// Where the code is from.
    #[serde(default)]
    pub codespace: String,
    /// Why it failed.
    #[serde(default)]
    pub log: String,
    /// Bytes of a `TxMsgData`.
    #[serde(default, deserialize_with = "base64_or_null")]
    pub data: Vec<u8>,
    /// Gas that it used.
    #[serde(default, deserialize_with = "gas_text")]
    pub gas_used: u64,
    /// Its events, in order.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub events: Vec<AbciEvent>,
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "BlockJson")]
pub struct Block {
    /// The chain.
    pub chain_id: String,
    /// Its height.
    pub height: Height,
    /// Its time.
    pub time: Timestamp,
    /// Hashes of its transactions.
    pub txs: Vec<TxHash>,
}

/// What a block did.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BlockResults {
    /// The block.
    #[serde(deserialize_with = "height_text")]
    pub height: Height,
    /// Of its transactions, in order.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub txs_results: Vec<TxResult>,
    /// Of the block itself.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub finalize_block_events: Vec<AbciEvent>,
}

/// Names of chains and hashes have at most 64 characters: longer ones are cut, which makes them equal to no good one.
fn name(text: &str) -> String {
    const NAME_CHARS: usize = 100;
    match text.char_indices().nth(NAME_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn integer_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(serde::de::Error::custom(format!(
            "{:?} is no unsigned integer",
            name(&text)
        )));
    }
    text.parse().map_err(serde::de::Error::custom)
}

/// Signed on the wire. A negative amount makes no sense, but must not hide what became of a transaction.
fn gas_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let amount: i64 = String::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)?;
    Ok(u64::try_from(amount).unwrap_or(0))
}

fn height_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Height, D::Error> {
    integer_text(deserializer).map(Height)
}

fn time_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
    Ok(Timestamp::from_millis(time.as_millisecond()))
}

fn base64_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(serde::de::Error::custom)
}

#[derive(Deserialize)]
pub(super) struct StatusJson {
    node_info: NodeInfoJson,
    sync_info: SyncInfoJson,
}

#[derive(Deserialize)]
struct NodeInfoJson {
    network: String,
    #[serde(default)]
    other: OtherJson,
}

#[derive(Default, Deserialize)]
struct OtherJson {
    #[serde(default)]
    tx_index: String,
}

#[derive(Deserialize)]
struct SyncInfoJson {
    latest_block_hash: String,
    #[serde(deserialize_with = "height_text")]
    latest_block_height: Height,
    #[serde(deserialize_with = "time_text")]
    latest_block_time: Timestamp,
    earliest_block_hash: String,
    #[serde(deserialize_with = "height_text")]
    earliest_block_height: Height,
    catching_up: bool,
}

impl From<StatusJson> for NodeStatus {
    fn from(status: StatusJson) -> Self {
        Self {
            chain_id: name(&status.node_info.network),
            height: status.sync_info.latest_block_height,
            hash: name(&status.sync_info.latest_block_hash),
            time: status.sync_info.latest_block_time,
            earliest_height: status.sync_info.earliest_block_height,
            earliest_hash: name(&status.sync_info.earliest_block_hash),
            catching_up: status.sync_info.catching_up,
            indexing: status.node_info.other.tx_index == "on",
        }
    }
}

#[derive(Deserialize)]
pub(super) struct AbciJson {
    response: AbciResponseJson,
}

#[derive(Deserialize)]
struct AbciResponseJson {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    codespace: String,
    #[serde(default)]
    log: String,
    #[serde(default, deserialize_with = "base64_or_null")]
    value: Vec<u8>,
    #[serde(default = "no_height", deserialize_with = "height_text")]
    height: Height,
}

const fn no_height() -> Height {
    Height(0)
}

impl From<AbciJson> for AbciAnswer {
    fn from(answer: AbciJson) -> Self {
        let response = answer.response;
        Self {
            code: response.code,
            codespace: name(&response.codespace),
            log: response.log,
            value: response.value,
            height: response.height,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct TxJson {
    #[serde(deserialize_with = "height_text")]
    height: Height,
    tx_result: TxResult,
}

impl From<TxJson> for TxAnswer {
    fn from(answer: TxJson) -> Self {
        Self {
            height: answer.height,
            result: answer.tx_result,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct BlockJson {
    block: BlockBodyJson,
}

#[derive(Deserialize)]
struct BlockBodyJson {
    header: HeaderJson,
    data: DataJson,
}

#[derive(Deserialize)]
struct HeaderJson {
    chain_id: String,
    #[serde(deserialize_with = "height_text")]
    height: Height,
    #[serde(deserialize_with = "time_text")]
    time: Timestamp,
}

#[derive(Deserialize)]
struct DataJson {
    #[serde(default, deserialize_with = "null_is_empty")]
    txs: Vec<TxBytes>,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct TxBytes(#[serde(deserialize_with = "base64_or_null")] Vec<u8>);

impl From<BlockJson> for Block {
    fn from(answer: BlockJson) -> Self {
        Self {
            chain_id: name(&answer.block.header.chain_id),
            height: answer.block.header.height,
            time: answer.block.header.time,
            txs: answer.block.data.txs.iter().map(|tx| TxHash::of(&tx.0)).collect(),
        }
    }
}

/// The height in a `NewBlock` announcement.
pub(crate) fn announced_height(message: &str) -> Option<Height> {
    #[derive(Deserialize)]
    struct Announcement {
        result: Envelope,
    }
    #[derive(Deserialize)]
    struct Envelope {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        value: Value,
    }
    #[derive(Deserialize)]
    struct Value {
        block: BlockBodyJson,
    }
    let announcement: Announcement = serde_json::from_str(message).ok()?;
    Some(announcement.result.data.value.block.header.height)
}
