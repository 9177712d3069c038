//! One endpoint: requests with a deadline, answers with a limit.

use std::time::Duration;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use virtengine_provider_core::id::{Height, TxHash};

use super::answer::{
    AbciAnswer, AbciJson, Block, BlockJson, BlockResults, BroadcastAnswer, NodeStatus, StatusJson, TxAnswer,
    TxJson,
};
use super::{EndpointUrl, RpcError, excerpt};

/// Calls to one endpoint. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Rpc {
    http: reqwest::Client,
    url: EndpointUrl,
    timeout: Duration,
    bytes_max: usize,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<ErrorObject>,
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: String,
}

impl Rpc {
    /// Calls to `url` over `http`; each takes `timeout` at most and reads `bytes_max` bytes at most.
    #[must_use]
    pub const fn new(http: reqwest::Client, url: EndpointUrl, timeout: Duration, bytes_max: usize) -> Self {
        Self {
            http,
            url,
            timeout,
            bytes_max,
        }
    }

    /// Where this goes.
    #[must_use]
    pub const fn url(&self) -> &EndpointUrl {
        &self.url
    }

    /// The node and its newest block.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn status(&self) -> Result<NodeStatus, RpcError> {
        let status: StatusJson = self.call("status", json!({})).await?;
        Ok(status.into())
    }

    /// A question to the application, at `height` or at the newest state (0).
    ///
    /// # Errors
    /// [`RpcError`]; an answer with a code is no error here.
    pub async fn abci_query(&self, path: &str, data: &[u8], height: Height) -> Result<AbciAnswer, RpcError> {
        let params = json!({
            "path": path,
            "data": hex::encode(data),
            "height": height.0.to_string(),
            "prove": false,
        });
        let answer: AbciJson = self.call("abci_query", params).await?;
        Ok(answer.into())
    }

    /// Puts a transaction into the mempool.
    ///
    /// # Errors
    /// [`RpcError`]; a refusal is no error here.
    pub async fn broadcast_tx_sync(&self, tx_raw: &[u8]) -> Result<BroadcastAnswer, RpcError> {
        let tx = base64::engine::general_purpose::STANDARD.encode(tx_raw);
        self.call("broadcast_tx_sync", json!({ "tx": tx })).await
    }

    /// A transaction in a block; `None` when the node's index has none of this hash.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn tx(&self, hash: &TxHash) -> Result<Option<TxAnswer>, RpcError> {
        let hash = base64::engine::general_purpose::STANDARD.encode(hash.0);
        match self
            .call::<TxJson>("tx", json!({ "hash": hash, "prove": false }))
            .await
        {
            Ok(answer) => Ok(Some(answer.into())),
            Err(error) if error.is_tx_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A block.
    ///
    /// # Errors
    /// [`RpcError`], also when the answer is of another height.
    pub async fn block(&self, height: Height) -> Result<Block, RpcError> {
        let answer: BlockJson = self
            .call("block", json!({ "height": height.0.to_string() }))
            .await?;
        let block = Block::from(answer);
        self.same_height("block", height, block.height)?;
        Ok(block)
    }

    /// What a block did.
    ///
    /// # Errors
    /// [`RpcError`], also when the answer is of another height.
    pub async fn block_results(&self, height: Height) -> Result<BlockResults, RpcError> {
        let params = json!({ "height": height.0.to_string() });
        let results: BlockResults = self.call("block_results", params).await?;
        self.same_height("block_results", height, results.height)?;
        Ok(results)
    }

    fn same_height(&self, method: &str, asked: Height, got: Height) -> Result<(), RpcError> {
        if asked == got {
            return Ok(());
        }
        Err(self.unusable(method, &format_args!("asked for height {asked}, got {got}")))
    }

    fn unusable(&self, method: &str, why: &dyn std::fmt::Display) -> RpcError {
        // Readers of JSON repeat what they could not read, however long it is.
        RpcError::Endpoint(format!("{}: {method}: {}", self.url, excerpt(&why.to_string())))
    }

    async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, RpcError> {
        let body = tokio::time::timeout(self.timeout, self.exchange(method, &params))
            .await
            .map_err(|_| self.unusable(method, &format_args!("no answer within {:?}", self.timeout)))??;
        let envelope: Envelope<'_> =
            serde_json::from_slice(&body).map_err(|error| self.unusable(method, &error))?;
        if let Some(error) = envelope.error {
            return Err(RpcError::Node {
                code: error.code,
                message: excerpt(&error.message),
                data: excerpt(&error.data),
            });
        }
        let result = envelope
            .result
            .ok_or_else(|| self.unusable(method, &"the answer has neither result nor error"))?;
        serde_json::from_str(result.get()).map_err(|error| self.unusable(method, &error))
    }

    /// Sends the request and reads the answer's bytes, whatever the HTTP status when they are JSON: nodes answer errors with
    /// 200 or with 500.
    async fn exchange(&self, method: &str, params: &Value) -> Result<Bytes, RpcError> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self
            .http
            .post(self.url.http())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(request.to_string())
            .send()
            .await
            .map_err(|error| self.unusable(method, &causes(&error.without_url())))?;
        let status = answer.status();
        let body = self.read(method, answer).await?;
        if !status.is_success() && !body.starts_with(b"{") {
            return Err(self.unusable(method, &format_args!("http status {status}")));
        }
        Ok(body)
    }

    async fn read(&self, method: &str, mut answer: reqwest::Response) -> Result<Bytes, RpcError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| self.unusable(method, &causes(&error.without_url())))?
        {
            if body.len().saturating_add(chunk.len()) > self.bytes_max {
                let limit = format_args!("the answer is longer than {} bytes", self.bytes_max);
                return Err(self.unusable(method, &limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// An error with what caused it: "error sending request" alone helps nobody.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
