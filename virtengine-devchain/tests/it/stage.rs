//! A chain under test, reached by its RPC alone, and what was seen on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use prost::Message;
use prost_types::Any;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use virtengine_chain::proto::cosmos::auth::v1beta1 as auth;
use virtengine_chain::proto::cosmos::bank::v1beta1 as bank;
use virtengine_chain::proto::cosmos::base::abci::v1beta1::TxMsgData;
use virtengine_chain::proto::cosmos::tx::v1beta1::{SimulateRequest, SimulateResponse};

use crate::wallet::{Draft, Wallet};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// An event: type and attributes.
pub type Event = (String, Vec<(String, String)>);

/// What became of a transaction.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// False: the mempool refused it.
    pub in_block: bool,
    pub codespace: String,
    pub code: u64,
    pub log: String,
    pub events: Vec<Event>,
    pub responses: Vec<Any>,
    pub height: u64,
    pub gas_used: u64,
}

impl Seen {
    /// Types of the events that the messages made, without bank and `message` events.
    pub fn module_events(&self) -> Vec<String> {
        self.events
            .iter()
            .filter(|(kind, _)| kind.starts_with("virtengine."))
            .map(|(kind, _)| {
                kind.rsplit('.')
                    .next()
                    .unwrap()
                    .trim_start_matches("Event")
                    .to_owned()
            })
            .collect()
    }

    /// The attribute `key` of the first event whose type ends with `kind`.
    pub fn attribute(&self, kind: &str, key: &str) -> &str {
        let (_, attributes) = self
            .events
            .iter()
            .find(|(k, _)| k.ends_with(kind))
            .unwrap_or_else(|| panic!("no {kind} in {:?}", self.events));
        &attributes.iter().find(|(k, _)| k == key).unwrap().1
    }

    /// The response of the message at `index`.
    pub fn response<M: Message + Default>(&self, index: usize) -> M {
        M::decode(self.responses[index].value.as_slice()).unwrap()
    }

    pub fn succeeded(self) -> Self {
        assert_eq!(
            (self.in_block, self.code),
            (true, 0),
            "{} {}",
            self.codespace,
            self.log
        );
        self
    }

    /// Asserts a refusal in the block.
    pub fn failed(self, codespace: &str, code: u64, log: &str) -> Self {
        assert!(
            self.in_block,
            "refused by the mempool: {} {}",
            self.code, self.log
        );
        self.is(codespace, code, log)
    }

    /// Asserts a refusal by the mempool.
    pub fn refused(self, codespace: &str, code: u64, log: &str) -> Self {
        assert!(!self.in_block, "was in a block: {} {}", self.code, self.log);
        self.is(codespace, code, log)
    }

    fn is(self, codespace: &str, code: u64, log: &str) -> Self {
        assert_eq!(
            (self.codespace.as_str(), self.code),
            (codespace, code),
            "{}",
            self.log
        );
        assert!(self.log.contains(log), "{:?} lacks {log:?}", self.log);
        self
    }
}

/// A chain and a source of unused deployment numbers.
#[derive(Debug)]
pub struct Stage {
    url: String,
    next: AtomicU64,
    /// What was seen, in a form that is the same on every chain.
    trace: std::sync::Mutex<Vec<String>>,
}

/// An error of the RPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcFailure {
    pub code: i64,
    pub data: String,
}

impl Stage {
    pub fn new(url: &str, first: u64) -> Self {
        Self {
            url: url.to_owned(),
            next: AtomicU64::new(first),
            trace: std::sync::Mutex::default(),
        }
    }

    /// Deployment numbers that no earlier run has used.
    pub fn first_number() -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(now.as_millis()).unwrap() * 1000
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// An unused deployment number.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn trace(&self) -> Vec<String> {
        self.trace.lock().unwrap().clone()
    }

    fn note(&self, what: String) {
        self.trace.lock().unwrap().push(what);
    }

    pub async fn try_post(&self, body: &Value) -> Result<(u16, String), String> {
        let address = self.url.trim_start_matches("http://").to_owned();
        let work = async {
            let stream = tokio::net::TcpStream::connect(&address)
                .await
                .map_err(|e| e.to_string())?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|e| e.to_string())?;
            tokio::spawn(connection);
            let request = hyper::Request::post("/")
                .header("host", &address)
                .header("content-type", "application/json")
                .body(Full::new(bytes::Bytes::from(body.to_string())))
                .unwrap();
            let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map_err(|e| e.to_string())?;
            Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        };
        tokio::time::timeout(PATIENCE, work)
            .await
            .unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    pub async fn rpc(&self, method: &str, params: Value) -> Result<Value, RpcFailure> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let (_, body) = self.try_post(&request).await.unwrap();
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        if let Some(error) = answer.get("error") {
            return Err(RpcFailure {
                code: error["code"].as_i64().unwrap(),
                data: error["data"].as_str().unwrap_or_default().to_owned(),
            });
        }
        Ok(answer["result"].take())
    }

    pub async fn height(&self) -> u64 {
        let status = self.rpc("status", json!({})).await.unwrap();
        number(&status["sync_info"]["latest_block_height"])
    }

    /// Waits for the block after the newest.
    pub async fn next_block(&self) -> u64 {
        let now = self.height().await;
        self.until("the next block", async || {
            let height = self.height().await;
            (height > now).then_some(height)
        })
        .await
    }

    /// The real peer can only be asked again and again.
    async fn until<T>(&self, what: &str, check: impl AsyncFn() -> Option<T>) -> T {
        let ask = async {
            loop {
                if let Some(found) = check().await {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ask)
            .await
            .unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    /// A query: the response, or code, codespace and log.
    pub async fn query<Q: Message, R: Message + Default>(
        &self,
        path: &str,
        request: &Q,
    ) -> Result<R, (String, u64, String)> {
        self.query_at(path, request, 0).await
    }

    pub async fn query_at<Q: Message, R: Message + Default>(
        &self,
        path: &str,
        request: &Q,
        height: u64,
    ) -> Result<R, (String, u64, String)> {
        let params = json!({
            "path": path,
            "data": hex::encode(request.encode_to_vec()),
            "height": height.to_string(),
            "prove": false,
        });
        let answer = self.rpc("abci_query", params).await.unwrap();
        let response = &answer["response"];
        let code = response["code"].as_u64().unwrap();
        if code != 0 {
            let text = |key: &str| response[key].as_str().unwrap().to_owned();
            self.note(format!(
                "query {path}: {} {code} {}",
                text("codespace"),
                plain(&text("log"))
            ));
            return Err((text("codespace"), code, text("log")));
        }
        let bytes = STANDARD
            .decode(response["value"].as_str().unwrap_or_default())
            .unwrap();
        Ok(R::decode(bytes.as_slice()).unwrap())
    }

    /// Account number and sequence.
    pub async fn account(&self, address: &str) -> (u64, u64) {
        let request = auth::QueryAccountInfoRequest {
            address: address.to_owned(),
        };
        let answer: auth::QueryAccountInfoResponse = self
            .query("/cosmos.auth.v1beta1.Query/AccountInfo", &request)
            .await
            .unwrap();
        let info = answer.info.unwrap();
        (info.account_number, info.sequence)
    }

    /// The balance in `uve`.
    pub async fn balance(&self, address: &str) -> i128 {
        let request = bank::QueryBalanceRequest {
            address: address.to_owned(),
            denom: "uve".to_owned(),
        };
        let answer: bank::QueryBalanceResponse = self
            .query("/cosmos.bank.v1beta1.Query/Balance", &request)
            .await
            .unwrap();
        answer.balance.unwrap().amount.parse().unwrap()
    }

    pub async fn draft(&self, wallet: &Wallet, messages: Vec<Any>) -> Draft {
        let (number, sequence) = self.account(&wallet.address).await;
        Draft::new(messages, number, sequence)
    }

    /// Signs, sends and waits for the block.
    pub async fn act(&self, wallet: &Wallet, messages: Vec<Any>) -> Seen {
        let draft = self.draft(wallet, messages).await;
        self.send(&draft.bytes(wallet, true)).await
    }

    /// Sends bytes and waits for the block.
    pub async fn send(&self, bytes: &[u8]) -> Seen {
        let seen = match self.submit(bytes).await {
            Ok(refused) if refused.code != 0 => refused,
            Ok(_) => self.landed(bytes).await,
            Err(failure) => panic!("{failure:?}"),
        };
        self.note(trace_of(&seen));
        seen
    }

    /// Sends bytes to the mempool only.
    pub async fn submit(&self, bytes: &[u8]) -> Result<Seen, RpcFailure> {
        let answer = self
            .rpc("broadcast_tx_sync", json!({"tx": STANDARD.encode(bytes)}))
            .await?;
        assert_eq!(answer["hash"], json!(hash(bytes)));
        Ok(Seen {
            codespace: answer["codespace"].as_str().unwrap().to_owned(),
            code: answer["code"].as_u64().unwrap(),
            log: answer["log"].as_str().unwrap().to_owned(),
            ..Seen::default()
        })
    }

    /// Waits until the transaction is in a block.
    pub async fn landed(&self, bytes: &[u8]) -> Seen {
        let raw = STANDARD.encode(Sha256::digest(bytes));
        self.until("the transaction", async || {
            let found = self.rpc("tx", json!({"hash": raw, "prove": false})).await.ok()?;
            // The peer's index can be ahead of its state; the next query must see this block.
            (self.height().await >= number(&found["height"])).then(|| seen_of(&found))
        })
        .await
    }

    /// Simulates: gas used, or the log.
    pub async fn simulate(&self, wallet: &Wallet, draft: &Draft) -> Result<SimulateResponse, String> {
        let request = SimulateRequest {
            tx_bytes: draft.bytes(wallet, false),
            ..SimulateRequest::default()
        };
        self.query("/cosmos.tx.v1beta1.Service/Simulate", &request)
            .await
            .map_err(|(_, _, log)| log)
    }
}

/// A 64-bit number, which JSON holds as text.
pub fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

pub fn hash(bytes: &[u8]) -> String {
    hex::encode_upper(Sha256::digest(bytes))
}

/// A transaction result as the RPC shows it.
pub fn seen_of(found: &Value) -> Seen {
    let result = &found["tx_result"];
    let data = STANDARD
        .decode(result["data"].as_str().unwrap_or_default())
        .unwrap();
    Seen {
        in_block: true,
        codespace: result["codespace"].as_str().unwrap().to_owned(),
        code: result["code"].as_u64().unwrap(),
        log: result["log"].as_str().unwrap().to_owned(),
        events: events_of(&result["events"]),
        responses: TxMsgData::decode(data.as_slice()).unwrap().msg_responses,
        height: number(&found["height"]),
        gas_used: number(&result["gas_used"]),
    }
}

pub fn events_of(value: &Value) -> Vec<Event> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| {
            let attributes = e["attributes"].as_array().into_iter().flatten();
            (
                text(&e["type"]),
                attributes.map(|a| (text(&a["key"]), text(&a["value"]))).collect(),
            )
        })
        .collect()
}

/// A text without what differs from run to run: generated ids, stacks, heights, gas.
fn plain(text: &str) -> String {
    let text = text.split("\nstack:").next().unwrap_or_default();
    let text = text.split(" [").next().unwrap_or_default();
    let mut out = String::new();
    let mut digits = 0;
    for c in text.chars() {
        digits = if c.is_ascii_digit() { digits + 1 } else { 0 };
        match digits {
            0 => out.push(c),
            1 => out.push('#'),
            _ => {}
        }
    }
    out
}

fn trace_of(seen: &Seen) -> String {
    let hidden = ["acc_seq", "signature", "fee"];
    let events: Vec<String> = seen
        .events
        .iter()
        .map(|(kind, attributes)| {
            let shown: Vec<String> = attributes
                .iter()
                .map(|(k, v)| {
                    let v = if hidden.contains(&k.as_str()) { "" } else { v };
                    // How much a lease has earned depends on how many blocks have passed.
                    format!("{k}={}", if k == "amount" { plain(v) } else { v.to_owned() })
                })
                .collect();
            format!("{kind}({})", shown.join(","))
        })
        .collect();
    format!(
        "{} {} {} {} | {} | {}",
        if seen.in_block { "block" } else { "mempool" },
        seen.codespace,
        seen.code,
        plain(&seen.log),
        seen.responses
            .iter()
            .map(|r| r.type_url.clone())
            .collect::<Vec<_>>()
            .join(","),
        events.join(" "),
    )
}
