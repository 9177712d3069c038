//! A node that does what the test says: a tiny HTTP server with a tiny chain behind it, and faults on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use virtengine_chain::proto::cosmos::auth::v1beta1::{BaseAccount, QueryAccountInfoResponse};
use virtengine_chain::proto::cosmos::base::abci::v1beta1::{GasInfo, TxMsgData};
use virtengine_chain::proto::cosmos::tx::v1beta1::{
    AuthInfo, SimulateRequest, SimulateResponse, TxBody, TxRaw,
};
use virtengine_chain::rpc::EndpointUrl;
use virtengine_chain::{ChainClient, ChainConfig};
use virtengine_provider_core::id::TxHash;

pub(crate) const CHAIN_ID: &str = "fake-1";
/// Gas of every simulation.
pub(crate) const GAS: u64 = 100_000;

/// What a method does instead of answering as usual.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Takes the request and never answers.
    Hang,
    /// Answers with this text instead of JSON-RPC.
    Text(String),
    /// Answers with an error object.
    Error(&'static str),
    /// Answers with an HTTP status and no body.
    Http(u16),
    /// Answers with so many bytes.
    Long(usize),
    /// Answers with this result.
    Result(Value),
}

type Query = Arc<dyn Fn(&[u8], u64) -> Value + Send + Sync>;

/// The chain behind the node.
#[derive(Default)]
pub(crate) struct Chain {
    pub(crate) chain_id: String,
    pub(crate) height: u64,
    pub(crate) lowest: u64,
    pub(crate) hash_salt: &'static str,
    pub(crate) catching_up: bool,
    /// Says that its newest block is of this very moment.
    pub(crate) is_current: bool,
    /// Sequence in the newest block.
    pub(crate) committed: u64,
    pub(crate) mempool: Vec<Vec<u8>>,
    pub(crate) cached: Vec<TxHash>,
    pub(crate) landed: BTreeMap<TxHash, Value>,
    pub(crate) blocks: BTreeMap<u64, Vec<Vec<u8>>>,
    /// Events of each transaction of a block.
    pub(crate) events: BTreeMap<u64, Value>,
    pub(crate) faults: BTreeMap<String, Fault>,
    pub(crate) queries: BTreeMap<String, Query>,
    pub(crate) calls: BTreeMap<String, usize>,
    /// Gas limits and fees below this are refused: price in thousandths.
    pub(crate) min_price_thousandths: u128,
    /// Refuses every simulation whose messages contain this type, at its index.
    pub(crate) refuse_type: Option<(&'static str, &'static str)>,
    /// Result of delivered transactions.
    pub(crate) deliver: Option<Value>,
}

#[derive(Clone)]
pub(crate) struct FakeNode {
    pub(crate) url: String,
    chain: Arc<Mutex<Chain>>,
    announcements: broadcast::Sender<String>,
}

impl FakeNode {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let chain = Chain {
            chain_id: CHAIN_ID.to_owned(),
            height: 100,
            lowest: 1,
            committed: 7,
            ..Chain::default()
        };
        let node = Self {
            url,
            chain: Arc::new(Mutex::new(chain)),
            announcements: broadcast::channel(16).0,
        };
        let serving = node.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, serving.clone()));
            }
        });
        node
    }

    pub(crate) fn chain(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap()
    }

    pub(crate) fn fault(&self, method: &str, fault: Fault) {
        self.chain().faults.insert(method.to_owned(), fault);
    }

    /// Ends every WebSocket connection.
    pub(crate) fn hang_up(&self) {
        let _ = self.announcements.send("hang up".to_owned());
    }

    pub(crate) fn subscribers(&self) -> usize {
        self.announcements.receiver_count()
    }

    pub(crate) fn heal(&self) {
        self.chain().faults.clear();
    }

    pub(crate) fn calls(&self, method: &str) -> usize {
        self.chain().calls.get(method).copied().unwrap_or(0)
    }

    /// Tells every WebSocket subscriber of the newest block; says how many there are.
    pub(crate) fn announce(&self) -> usize {
        let height = self.chain().height;
        let block = json!({"header": {"chain_id": CHAIN_ID, "height": height.to_string(), "time": time(height)}, "data": {"txs": []}});
        let data = json!({"type": "tendermint/event/NewBlock", "value": {"block": block}});
        let message =
            json!({"jsonrpc": "2.0", "id": 1, "result": {"query": "tm.event='NewBlock'", "data": data}});
        self.announcements.send(message.to_string()).unwrap_or(0)
    }

    /// Makes a block with what is in the mempool.
    pub(crate) fn advance(&self) {
        let mut chain = self.chain();
        chain.height += 1;
        let height = chain.height;
        let txs = std::mem::take(&mut chain.mempool);
        for tx in &txs {
            let result = chain
                .deliver
                .clone()
                .unwrap_or_else(|| json!({"code": 0, "gas_used": "90000"}));
            let answer = json!({ "height": height.to_string(), "tx_result": result });
            chain.landed.insert(TxHash::of(tx), answer);
            chain.committed = sequence_of(tx) + 1;
        }
        chain.blocks.insert(height, txs);
    }
}

pub(crate) fn config(nodes: &[&FakeNode]) -> ChainConfig {
    let mut config = ChainConfig::new(CHAIN_ID, nodes[0].url.parse().unwrap());
    config.endpoints = nodes
        .iter()
        .map(|node| node.url.parse::<EndpointUrl>().unwrap())
        .collect();
    config.request_timeout = Duration::from_millis(400);
    config.poll_interval = Duration::from_millis(50);
    config.block_time = Duration::from_millis(100);
    config.websocket = false;
    config
}

pub(crate) fn client(nodes: &[&FakeNode]) -> ChainClient {
    ChainClient::new(config(nodes)).unwrap()
}

pub(crate) fn sequence_of(tx: &[u8]) -> u64 {
    let raw = TxRaw::decode(tx).unwrap();
    AuthInfo::decode(raw.auth_info_bytes.as_slice())
        .unwrap()
        .signer_infos[0]
        .sequence
}

pub(crate) fn body_of(tx: &[u8]) -> TxBody {
    TxBody::decode(TxRaw::decode(tx).unwrap().body_bytes.as_slice()).unwrap()
}

pub(crate) fn auth_of(tx: &[u8]) -> AuthInfo {
    AuthInfo::decode(TxRaw::decode(tx).unwrap().auth_info_bytes.as_slice()).unwrap()
}

/// The answer of `abci_query` with this message.
pub(crate) fn answer(message: &impl prost::Message, height: u64) -> Value {
    let value = BASE64.encode(message.encode_to_vec());
    json!({"response": {"code": 0, "log": "", "value": value, "height": height.to_string(), "codespace": ""}})
}

pub(crate) fn refusal(codespace: &str, code: u32, log: &str) -> Value {
    json!({"response": {"code": code, "log": log, "value": null, "height": "0", "codespace": codespace}})
}

/// `tx_result.data` with these answers.
pub(crate) fn data(answers: Vec<prost_types::Any>) -> String {
    let data = TxMsgData {
        data: Vec::new(),
        msg_responses: answers,
    };
    BASE64.encode(data.encode_to_vec())
}

async fn serve_websocket(stream: TcpStream, mut announcements: broadcast::Receiver<String>) {
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    let subscription = socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(subscription.contains("tm.event='NewBlock'"), "{subscription}");
    let accepted = json!({"jsonrpc": "2.0", "id": 1, "result": {}}).to_string();
    let mut next = Some(accepted);
    while let Some(text) = next {
        if text == "hang up" || socket.send(text.into()).await.is_err() {
            return;
        }
        next = announcements.recv().await.ok();
    }
}

async fn serve(mut stream: TcpStream, node: FakeNode) {
    let mut first = [0; 3];
    if matches!(stream.peek(&mut first).await, Ok(3)) && &first == b"GET" {
        return serve_websocket(stream, node.announcements.subscribe()).await;
    }
    while let Some(body) = read_request(&mut stream).await {
        let request: Value = serde_json::from_slice(&body).unwrap();
        let method = request["method"].as_str().unwrap().to_owned();
        let (fault, reply) = {
            let mut chain = node.chain();
            *chain.calls.entry(method.clone()).or_default() += 1;
            match chain.faults.get(&method).cloned() {
                Some(fault) => (Some(fault), Value::Null),
                None => (None, respond(&mut chain, &method, &request["params"])),
            }
        };
        let (status, text) = match fault {
            None => (
                200,
                json!({"jsonrpc": "2.0", "id": 1})
                    .to_string()
                    .replace('}', &format!(",{}", &reply.to_string()[1..])),
            ),
            Some(Fault::Hang) => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                return;
            }
            Some(Fault::Text(text)) => (200, text),
            Some(Fault::Error(data)) => (200, error(data).to_string()),
            Some(Fault::Http(status)) => (status, String::new()),
            Some(Fault::Long(length)) => (200, "x".repeat(length)),
            Some(Fault::Result(result)) => (200, json!({ "result": result }).to_string()),
        };
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", text.len());
        if stream.write_all(head.as_bytes()).await.is_err()
            || stream.write_all(text.as_bytes()).await.is_err()
        {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let total = end
                + 4
                + length
                    .and_then(|text| text.trim().parse::<usize>().ok())
                    .unwrap_or(0);
            if bytes.len() >= total {
                return Some(bytes[end + 4..total].to_vec());
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

fn error(data: &str) -> Value {
    json!({"error": {"code": -32603, "message": "Internal error", "data": data}})
}

fn respond(chain: &mut Chain, method: &str, params: &Value) -> Value {
    match method {
        "status" => json!({ "result": status(chain) }),
        "abci_query" => json!({ "result": abci_query(chain, params) }),
        "broadcast_tx_sync" => broadcast(chain, &BASE64.decode(params["tx"].as_str().unwrap()).unwrap()),
        "tx" => {
            let hash: [u8; 32] = BASE64
                .decode(params["hash"].as_str().unwrap())
                .unwrap()
                .try_into()
                .unwrap();
            match chain.landed.get(&TxHash(hash)) {
                Some(answer) => json!({ "result": answer }),
                None => error(&format!("tx ({}) not found", TxHash(hash))),
            }
        }
        "block" => with_height(chain, params, |chain, height| {
            let txs = chain.blocks.get(&height).cloned().unwrap_or_default();
            let txs: Vec<String> = txs.iter().map(|tx| BASE64.encode(tx)).collect();
            json!({"result": {"block": {
                "header": {"chain_id": chain.chain_id, "height": height.to_string(), "time": time(height)},
                "data": {"txs": txs}
            }}})
        }),
        "block_results" => with_height(chain, params, |chain, height| {
            let txs = chain.blocks.get(&height).map_or(0, Vec::len);
            let events = chain.events.get(&height).cloned().unwrap_or(Value::Null);
            let results = vec![json!({"code": 0, "gas_used": "1", "events": events}); txs];
            let results = if txs == 0 { Value::Null } else { json!(results) };
            json!({"result": {"height": height.to_string(), "txs_results": results, "finalize_block_events": null}})
        }),
        _ => json!({"error": {"code": -32601, "message": "Method not found"}}),
    }
}

fn time(height: u64) -> String {
    format!(
        "2026-11-24T{:02}:{:02}:{:02}.5Z",
        height / 3600 % 24,
        height / 60 % 60,
        height % 60
    )
}

fn now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = i64::try_from(now.unwrap().as_millis()).unwrap();
    jiff::Timestamp::from_millisecond(millis).unwrap().to_string()
}

fn status(chain: &Chain) -> Value {
    json!({
        "node_info": {"network": chain.chain_id, "other": {"tx_index": "on"}},
        "sync_info": {
            "latest_block_hash": format!("{}{}", chain.hash_salt, chain.height),
            "latest_block_height": chain.height.to_string(),
            "latest_block_time": if chain.is_current { now() } else { time(chain.height) },
            "earliest_block_hash": format!("{}{}", chain.hash_salt, chain.lowest),
            "earliest_block_height": chain.lowest.to_string(),
            "catching_up": chain.catching_up,
        }
    })
}

fn with_height(chain: &Chain, params: &Value, found: impl Fn(&Chain, u64) -> Value) -> Value {
    let height: u64 = params["height"].as_str().unwrap().parse().unwrap();
    if height > chain.height {
        let words = "must be less than or equal to the current blockchain height";
        return error(&format!("height {height} {words} {}", chain.height));
    }
    if height < chain.lowest {
        return error(&format!(
            "height {height} is not available, lowest height is {}",
            chain.lowest
        ));
    }
    found(chain, height)
}

fn abci_query(chain: &Chain, params: &Value) -> Value {
    let path = params["path"].as_str().unwrap();
    let bytes = hex::decode(params["data"].as_str().unwrap()).unwrap();
    let height: u64 = params["height"].as_str().unwrap().parse().unwrap();
    if let Some(query) = chain.queries.get(path) {
        return query(&bytes, height);
    }
    match path {
        "/cosmos.auth.v1beta1.Query/AccountInfo" => {
            let info = BaseAccount {
                account_number: 5,
                sequence: chain.committed,
                ..BaseAccount::default()
            };
            answer(&QueryAccountInfoResponse { info: Some(info) }, chain.height)
        }
        "/cosmos.tx.v1beta1.Service/Simulate" => simulate(chain, &bytes),
        _ => refusal("sdk", 6, "unknown query path: unknown request"),
    }
}

fn expected(chain: &Chain) -> u64 {
    chain.committed + chain.mempool.len() as u64
}

fn simulate(chain: &Chain, request: &[u8]) -> Value {
    let tx = SimulateRequest::decode(request).unwrap().tx_bytes;
    let unknown = |words: String| {
        let log = format!(
            "rpc error: code = Unknown desc = {words} [/x/y.go:1] with gas used: '7': unknown request"
        );
        refusal("sdk", 6, &log)
    };
    let (sequence, expected) = (sequence_of(&tx), expected(chain));
    if sequence != expected {
        let words = format!("account sequence mismatch, expected {expected}, got {sequence}");
        return unknown(format!("{words}: incorrect account sequence"));
    }
    if let Some((kind, words)) = chain.refuse_type {
        let at = body_of(&tx)
            .messages
            .iter()
            .position(|message| message.type_url == kind);
        if let Some(index) = at {
            return unknown(format!(
                "failed to execute message; message index: {index}: {words}"
            ));
        }
    }
    let gas_info = GasInfo {
        gas_wanted: u64::MAX,
        gas_used: GAS,
    };
    let response = SimulateResponse {
        gas_info: Some(gas_info),
        result: None,
    };
    answer(&response, chain.height)
}

fn broadcast(chain: &mut Chain, tx: &[u8]) -> Value {
    let hash = TxHash::of(tx);
    let refuse = |codespace: &str, code: u32, log: String| json!({"result": {"code": code, "codespace": codespace, "log": log}});
    if chain.cached.contains(&hash) {
        return error("tx already exists in cache");
    }
    let fee = auth_of(tx).fee.unwrap();
    let paid: u128 = fee.amount.first().map_or(0, |coin| coin.amount.parse().unwrap());
    if paid * 1000 < chain.min_price_thousandths * u128::from(fee.gas_limit) {
        let price = chain.min_price_thousandths;
        let log = format!("insufficient fee: min gas prices 0.{price:03}000000000000000uve, got 0.025uve");
        return refuse("undefined", 1, log);
    }
    if body_of(tx).timeout_height < chain.height {
        return refuse("sdk", 30, "tx timeout height".to_owned());
    }
    let (sequence, expected) = (sequence_of(tx), expected(chain));
    if sequence != expected {
        let log = format!(
            "account sequence mismatch, expected {expected}, got {sequence}: incorrect account sequence"
        );
        return refuse("sdk", 32, log);
    }
    chain.cached.push(hash);
    chain.mempool.push(tx.to_vec());
    json!({"result": {"code": 0, "codespace": "", "log": "", "hash": hash.to_string()}})
}
