//! WebSocket connections: subscriptions and every other method.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::faults::EventFault;
use crate::machine::block::Block;
use crate::rpc::params::Params;
use crate::rpc::search::{Query, Tags, tags_of, tags_of_tx};
use crate::rpc::server::{Answered, Endpoint};
use crate::rpc::{RpcError, envelope, shapes};

/// Subscriptions of one connection (spec/chain.md C.2).
const SUBSCRIPTIONS_MAX: usize = 5;

struct Subscription {
    id: Value,
    text: String,
    query: Query,
}

struct Connection {
    endpoint: Endpoint,
    socket: WebSocket,
    subscriptions: Vec<Subscription>,
    /// The event that waits for the next one, when events change places.
    held: Option<Value>,
}

/// The other side is gone.
struct Gone;

/// Serves a connection until it ends.
pub(super) async fn serve(endpoint: Endpoint, socket: WebSocket) {
    let mut news = endpoint.node().subscribe();
    let mut down = endpoint.faults.is_down();
    let mut connection = Connection {
        endpoint,
        socket,
        subscriptions: Vec::new(),
        held: None,
    };
    let turns = async { while connection.turn(&mut news).await.is_ok() {} };
    // An upgraded connection is no longer its listener's: it watches for the end itself.
    tokio::select! {
        () = turns => {}
        _ = down.wait_for(|down| *down) => {}
    }
}

impl Connection {
    async fn turn(&mut self, news: &mut broadcast::Receiver<Arc<Block>>) -> Result<(), Gone> {
        tokio::select! {
            message = self.socket.recv() => match message {
                Some(Ok(Message::Text(text))) => self.request(text.as_str()).await,
                Some(Ok(Message::Binary(bytes))) => self.request(&String::from_utf8_lossy(&bytes)).await,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => Err(Gone),
            },
            block = news.recv() => match block {
                Ok(block) => self.block(&block).await,
                Err(RecvError::Lagged(_)) => self.cut_off().await,
                Err(RecvError::Closed) => Err(Gone),
            },
        }
    }

    async fn send(&mut self, value: &Value) -> Result<(), Gone> {
        self.socket
            .send(Message::Text(value.to_string().into()))
            .await
            .map_err(|_| Gone)
    }

    async fn request(&mut self, text: &str) -> Result<(), Gone> {
        let Ok(request) = serde_json::from_str::<Value>(text) else {
            let error = RpcError {
                code: -32700,
                data: "error unmarshaling request".to_owned(),
            };
            return self.send(&json!({"jsonrpc": "2.0", "error": error.json()})).await;
        };
        let Some(id) = request.get("id").filter(|id| !id.is_null()).cloned() else {
            return Ok(());
        };
        let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
        let params = Params::from_json(request.get("params"));
        let own = match (method, &params) {
            ("subscribe", Ok(params)) => Some(self.subscribe(&id, params)),
            ("unsubscribe", Ok(params)) => Some(self.unsubscribe(params)),
            ("unsubscribe_all", Ok(_)) => Some(self.unsubscribe_all()),
            _ => None,
        };
        if let Some(result) = own {
            return self.send(&envelope(&id, result.map(|()| json!({})))).await;
        }
        match self.endpoint.carry_out(&id, method, params).await {
            Ok(Answered::Rpc(answer, _)) => self.send(&answer).await,
            Ok(Answered::Status(_)) | Err(_) => Err(Gone),
        }
    }

    fn subscribe(&mut self, id: &Value, params: &Params) -> Result<(), RpcError> {
        let text = params.text("query", 0)?.unwrap_or_default();
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(RpcError::internal(format!(
                "max_subscriptions_per_client {SUBSCRIPTIONS_MAX} reached"
            )));
        }
        let query =
            Query::parse(&text).map_err(|e| RpcError::internal(format!("failed to parse query: {e}")))?;
        if self.subscriptions.iter().any(|s| s.text == text) {
            return Err(RpcError::internal("already subscribed"));
        }
        self.subscriptions.push(Subscription {
            id: id.clone(),
            text,
            query,
        });
        Ok(())
    }

    fn unsubscribe(&mut self, params: &Params) -> Result<(), RpcError> {
        let text = params.text("query", 0)?.unwrap_or_default();
        let before = self.subscriptions.len();
        self.subscriptions.retain(|s| s.text != text);
        if self.subscriptions.len() == before {
            return Err(RpcError::internal("subscription not found"));
        }
        Ok(())
    }

    fn unsubscribe_all(&mut self) -> Result<(), RpcError> {
        if self.subscriptions.is_empty() {
            return Err(RpcError::internal("subscription not found"));
        }
        self.subscriptions.clear();
        Ok(())
    }

    /// Sends what subscriptions want to know of a block: the block first, then its transactions.
    async fn block(&mut self, block: &Block) -> Result<(), Gone> {
        let frozen = self
            .endpoint
            .faults
            .frozen_at()
            .is_some_and(|at| block.height > at);
        if frozen || self.subscriptions.is_empty() {
            return Ok(());
        }
        let chain_id = self.endpoint.node().machine().chain_id().to_owned();
        let mut tags = tags_of(&block.events);
        tags.insert("tm.event".to_owned(), vec!["NewBlock".to_owned()]);
        let data = shapes::new_block(block, &chain_id, &self.endpoint.validator);
        self.tell(&data, &tags).await?;
        for (at, tx) in block.txs.iter().enumerate() {
            let tags = tags_of_tx(&tx.result.events, block.height, &tx.hash);
            self.tell(&shapes::new_tx(block.height, at, tx), &tags).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, data: &Value, tags: &Tags) -> Result<(), Gone> {
        let told: Vec<Value> = self
            .subscriptions
            .iter()
            .filter(|s| s.query.matches(tags))
            .map(|s| envelope(&s.id, Ok(shapes::news(&s.text, data, tags))))
            .collect();
        for event in told {
            self.deliver(event).await?;
        }
        Ok(())
    }

    async fn deliver(&mut self, event: Value) -> Result<(), Gone> {
        match self.endpoint.faults.event_fault() {
            EventFault::None => {
                self.send(&event).await?;
                match self.held.take() {
                    Some(held) => self.send(&held).await,
                    None => Ok(()),
                }
            }
            EventFault::Duplicate => {
                self.send(&event).await?;
                self.send(&event).await
            }
            EventFault::Swap => match self.held.take() {
                Some(held) => {
                    self.send(&event).await?;
                    self.send(&held).await
                }
                None => {
                    self.held = Some(event);
                    Ok(())
                }
            },
            EventFault::Silence => Ok(()),
        }
    }

    /// A client that reads too slowly is told so and cut off.
    async fn cut_off(&mut self) -> Result<(), Gone> {
        let error = RpcError {
            code: -32000,
            data: "subscription was canceled (reason: client is not pulling messages fast enough)".to_owned(),
        };
        for at in 0..self.subscriptions.len() {
            let id = self.subscriptions[at].id.clone();
            self.send(&envelope(&id, Err(error.clone()))).await?;
        }
        Err(Gone)
    }
}
