//! The methods.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::faults::{Faults, LostResults};
use crate::machine::block::{Block, tx_hash};
use crate::node::Node;
use crate::query::Answer;
use crate::rpc::RpcError;
use crate::rpc::params::Params;
use crate::rpc::search::{Query, tags_of_tx};
use crate::rpc::shapes::{self, Validator, bytes_or_null, upper};

/// What a call works on.
pub(super) struct Call<'a> {
    pub(super) node: &'a mut Node,
    pub(super) faults: &'a Faults,
    pub(super) validator: &'a Validator,
    pub(super) address: &'a str,
}

/// Items of a page of `tx_search` when the request names no number, and at most.
const PER_PAGE: (usize, usize) = (30, 100);

/// Carries out `method`. `None`: there is no such method.
pub(super) fn call(call: &mut Call<'_>, method: &str, params: &Params) -> Option<Result<Value, RpcError>> {
    Some(match method {
        "health" => Ok(json!({})),
        "status" => Ok(call.status()),
        "net_info" => {
            Ok(json!({"listening": true, "listeners": ["Listener(@)"], "n_peers": "0", "peers": []}))
        }
        "genesis" => Ok(call.genesis()),
        "consensus_params" => {
            let params = shapes::consensus_params();
            Ok(json!({"block_height": call.newest().to_string(), "consensus_params": params}))
        }
        "abci_info" => Ok(call.abci_info()),
        "abci_query" => call.abci_query(params),
        "broadcast_tx_sync" => call.broadcast(params, true),
        "broadcast_tx_async" => call.broadcast(params, false),
        "block" => call
            .block(params)
            .map(|b| shapes::block(&b, call.chain_id(), call.validator)),
        "header" => call
            .block(params)
            .map(|b| json!({"header": shapes::header(&b, call.chain_id(), call.validator)})),
        "commit" => call
            .block(params)
            .map(|b| shapes::signed_header(&b, call.chain_id(), call.validator)),
        "validators" => call.validators(params),
        "block_results" => call.block_results(params),
        "tx" => call.tx(params),
        "tx_search" => call.tx_search(params),
        "num_unconfirmed_txs" => Ok(call.unconfirmed(false)),
        "unconfirmed_txs" => Ok(call.unconfirmed(true)),
        _ => return None,
    })
}

impl Call<'_> {
    fn chain_id(&self) -> &str {
        self.node.machine().chain_id()
    }

    /// The newest height that this endpoint admits to.
    fn newest(&self) -> u64 {
        let newest = self.node.machine().height();
        self.faults.frozen_at().map_or(newest, |at| at.min(newest))
    }

    fn status(&self) -> Value {
        let (newest, oldest) = (self.node.block(self.newest()), self.node.oldest());
        let text = |block: &Option<Arc<Block>>, f: fn(&Block) -> String| {
            block.as_ref().map(|b| f(b)).unwrap_or_default()
        };
        let hash = |b: &Block| upper(&b.hash);
        let height = |b: &Block| b.height.to_string();
        let time = |b: &Block| b.time.rfc3339();
        json!({
            "node_info": {
                "protocol_version": {"p2p": "8", "block": "11", "app": "0"},
                "id": self.validator.address().to_lowercase(),
                "listen_addr": "",
                "network": self.chain_id(),
                "version": "0.38.26",
                "channels": "402021222330386061",
                "moniker": "devchain",
                "other": {"tx_index": "on", "rpc_address": format!("tcp://{}", self.address)},
            },
            "sync_info": {
                "latest_block_hash": text(&newest, hash),
                "latest_app_hash": text(&newest, |b| upper(&b.app_hash)),
                "latest_block_height": text(&newest, height),
                "latest_block_time": text(&newest, time),
                "earliest_block_hash": text(&oldest, hash),
                "earliest_app_hash": text(&oldest, |b| upper(&b.app_hash_before)),
                "earliest_block_height": text(&oldest, height),
                "earliest_block_time": text(&oldest, time),
                "catching_up": false,
            },
            "validator_info": {
                "address": self.validator.address(),
                "pub_key": self.validator.public_key(),
                "voting_power": "10",
            },
        })
    }

    fn genesis(&self) -> Value {
        let state = serde_json::to_value(self.node.genesis()).unwrap_or(Value::Null);
        json!({"genesis": {
            "genesis_time": self.node.oldest().map(|b| b.time.rfc3339()).unwrap_or_default(),
            "chain_id": self.chain_id(),
            "initial_height": "1",
            "consensus_params": shapes::consensus_params(),
            "validators": [{
                "address": self.validator.address(),
                "pub_key": self.validator.public_key(),
                "power": "10",
                "name": "devchain",
            }],
            "app_hash": "",
            "app_state": state,
        }})
    }

    fn abci_info(&self) -> Value {
        let newest = self.node.block(self.newest());
        json!({"response": {
            "data": "virtengine-devchain",
            "last_block_height": self.newest().to_string(),
            "last_block_app_hash": bytes_or_null(newest.map(|b| b.app_hash).unwrap_or_default().as_slice()),
        }})
    }

    fn abci_query(&self, params: &Params) -> Result<Value, RpcError> {
        let path = params.text("path", 0)?.unwrap_or_default();
        let data = params.hex("data", 1)?.unwrap_or_default();
        let height = params.number("height", 2)?.unwrap_or(0);
        let mut height = u64::try_from(height)
            .map_err(|_| RpcError::internal("cannot query with height < 0; please provide a valid height"))?;
        if let Some(at) = self.faults.frozen_at() {
            height = if height == 0 { self.newest() } else { height };
            if height > at {
                height = u64::MAX;
            }
        }
        Ok(answer(&self.node.query(&path, &data, height)))
    }

    fn broadcast(&mut self, params: &Params, wait: bool) -> Result<Value, RpcError> {
        let tx = Bytes::from(params.base64("tx", 0)?.unwrap_or_default());
        let hash = upper(&tx_hash(&tx));
        let submitted = self.node.submit(&tx);
        if !wait {
            return Ok(json!({"code": 0, "data": "", "log": "", "codespace": "", "hash": hash}));
        }
        let result = submitted.map_err(|refused| RpcError::internal(refused.to_string()))?;
        Ok(json!({
            "code": result.code,
            "data": "",
            "log": result.log,
            "codespace": result.codespace,
            "hash": hash,
        }))
    }

    /// The height that a request means: the named one, else the newest.
    fn height(&self, params: &Params) -> Result<u64, RpcError> {
        let newest = self.newest();
        let Some(asked) = params.number("height", 0)? else {
            return Ok(newest);
        };
        let height = u64::try_from(asked).unwrap_or(0);
        if height == 0 {
            return Err(RpcError::internal(format!(
                "height must be greater than 0, but got {asked}"
            )));
        }
        if height > newest {
            return Err(RpcError::internal(format!(
                "height {height} must be less than or equal to the current blockchain height {newest}"
            )));
        }
        let oldest = self.node.oldest().map_or(1, |b| b.height);
        if height < oldest {
            return Err(RpcError::internal(format!(
                "height {height} is not available, lowest height is {oldest}"
            )));
        }
        Ok(height)
    }

    fn block(&self, params: &Params) -> Result<Arc<Block>, RpcError> {
        let height = self.height(params)?;
        self.node
            .block(height)
            .ok_or_else(|| RpcError::internal(format!("block at height {height} not found")))
    }

    fn validators(&self, params: &Params) -> Result<Value, RpcError> {
        let height = self.height(params)?;
        Ok(json!({
            "block_height": height.to_string(),
            "validators": [{
                "address": self.validator.address(),
                "pub_key": self.validator.public_key(),
                "voting_power": "10",
                "proposer_priority": "0",
            }],
            "count": "1",
            "total": "1",
        }))
    }

    fn block_results(&self, params: &Params) -> Result<Value, RpcError> {
        let block = self.block(params)?;
        match self.faults.lost(block.height) {
            Some(LostResults::Error) => Err(RpcError::internal(format!(
                "could not find results for height #{}",
                block.height
            ))),
            lost => Ok(shapes::block_results(&block, lost.is_some())),
        }
    }

    fn tx(&self, params: &Params) -> Result<Value, RpcError> {
        let asked = params.base64("hash", 0)?.unwrap_or_default();
        let unknown = || RpcError::internal(format!("tx ({}) not found", upper(&asked)));
        let hash: [u8; 32] = asked.as_slice().try_into().map_err(|_| unknown())?;
        let (height, at, tx) = self.node.tx(&hash).ok_or_else(unknown)?;
        if height > self.newest() {
            return Err(unknown());
        }
        Ok(shapes::tx(height, at, &tx))
    }

    fn tx_search(&self, params: &Params) -> Result<Value, RpcError> {
        let text = params.text("query", 0)?.unwrap_or_default();
        let query = Query::parse(&text).map_err(RpcError::internal)?;
        let page = usize::try_from(params.number("page", 2)?.unwrap_or(1)).unwrap_or(0);
        let per_page = usize::try_from(params.number("per_page", 3)?.unwrap_or(0)).unwrap_or(0);
        let per_page = if per_page == 0 {
            PER_PAGE.0
        } else {
            per_page.min(PER_PAGE.1)
        };
        let newest = self.newest();
        let mut found = Vec::new();
        for block in self.node.blocks().filter(|b| b.height <= newest) {
            for (at, tx) in block.txs.iter().enumerate() {
                if query.matches(&tags_of_tx(&tx.result.events, block.height, &tx.hash)) {
                    found.push(shapes::tx(block.height, at, tx));
                }
            }
        }
        match params.text("order_by", 4)?.as_deref() {
            None | Some("" | "asc") => {}
            Some("desc") => found.reverse(),
            Some(_) => {
                return Err(RpcError::internal(
                    "expected order_by to be either `asc` or `desc` or empty",
                ));
            }
        }
        let total = found.len();
        let pages = total.div_ceil(per_page).max(1);
        if page == 0 || page > pages {
            return Err(RpcError::internal(format!(
                "page should be within [1, {pages}] range, given {page}"
            )));
        }
        let txs: Vec<Value> = found
            .into_iter()
            .skip((page - 1) * per_page)
            .take(per_page)
            .collect();
        Ok(json!({"txs": txs, "total_count": total.to_string()}))
    }

    fn unconfirmed(&self, with_txs: bool) -> Value {
        use base64::Engine as _;
        let pool = self.node.mempool();
        let txs = if with_txs {
            pool.iter()
                .take(PER_PAGE.1)
                .map(|t| base64::engine::general_purpose::STANDARD.encode(t))
                .collect::<Vec<_>>()
                .into()
        } else {
            Value::Null
        };
        json!({
            "n_txs": pool.len().to_string(),
            "total": pool.len().to_string(),
            "total_bytes": pool.bytes().to_string(),
            "txs": txs,
        })
    }
}

fn answer(answer: &Answer) -> Value {
    json!({"response": {
        "code": answer.code,
        "log": answer.log,
        "info": "",
        "index": "0",
        "key": null,
        "value": bytes_or_null(&answer.value),
        "proofOps": null,
        "height": answer.height.to_string(),
        "codespace": answer.codespace,
    }})
}
