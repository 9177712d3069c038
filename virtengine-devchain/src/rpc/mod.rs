//! CometBFT's JSON-RPC: POST, GET with URI parameters, and WebSocket subscriptions, in the shapes that a node answers.

mod methods;
mod params;
mod search;
pub(crate) mod server;
mod shapes;
mod websocket;

use serde_json::{Value, json};

/// An RPC error: code and the `data` that says what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RpcError {
    code: i64,
    data: String,
}

impl RpcError {
    /// -32603: the method failed.
    fn internal(data: impl Into<String>) -> Self {
        Self {
            code: -32603,
            data: data.into(),
        }
    }

    /// -32602: a parameter is not usable.
    fn params(data: impl Into<String>) -> Self {
        Self {
            code: -32602,
            data: data.into(),
        }
    }

    const fn message(&self) -> &'static str {
        match self.code {
            -32700 => "Parse error. Invalid JSON",
            -32601 => "Method not found",
            -32602 => "Invalid params",
            -32603 => "Internal error",
            _ => "Server error",
        }
    }

    fn json(&self) -> Value {
        if self.data.is_empty() {
            return json!({"code": self.code, "message": self.message()});
        }
        json!({"code": self.code, "message": self.message(), "data": self.data})
    }
}

/// The answer to the request `id`.
fn envelope(id: &Value, result: Result<Value, RpcError>) -> Value {
    match result {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error.json()}),
    }
}
