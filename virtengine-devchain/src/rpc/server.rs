//! One listener: HTTP and WebSocket over the shared node, with its own faults.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use crate::faults::{FaultKind, Faults};
use crate::node::Node;
use crate::rpc::methods::{self, Call};
use crate::rpc::params::{Params, of_query};
use crate::rpc::shapes::Validator;
use crate::rpc::{RpcError, envelope, websocket};

/// Longest request body.
const BODY_BYTES_MAX: usize = 1_000_000 * 4;
/// Most requests in one batch.
const BATCH_MAX: usize = 100;
/// Most open connections of a listener; more are closed at once.
const CONNECTIONS_MAX: usize = 900;

/// A response that carries this is never sent: the connection is closed instead.
#[derive(Debug, Clone, Copy)]
struct Unsent;

/// The node as all listeners share it.
pub(crate) type SharedNode = Arc<Mutex<Node>>;

/// What a listener's handlers share.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    node: SharedNode,
    pub(super) faults: Faults,
    pub(super) validator: Arc<Validator>,
    address: Arc<str>,
}

/// Locks the node. A panic while it was locked leaves it usable: each block is executed on a copy of the writes.
pub(crate) fn lock(node: &SharedNode) -> MutexGuard<'_, Node> {
    node.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Endpoint {
    pub(crate) fn new(node: SharedNode, faults: Faults, address: SocketAddr) -> Self {
        let validator = Arc::new(Validator::of(lock(&node).machine().chain_id()));
        Self {
            node,
            faults,
            validator,
            address: address.to_string().into(),
        }
    }

    pub(super) fn node(&self) -> MutexGuard<'_, Node> {
        lock(&self.node)
    }

    /// Carries out one request, struck by whatever fault fits. `Err`: close the connection without an answer.
    pub(super) async fn carry_out(
        &self,
        id: &Value,
        method: &str,
        params: Result<Params, RpcError>,
    ) -> Result<Answered, Closed> {
        let detail = params
            .as_ref()
            .ok()
            .filter(|_| method == "abci_query")
            .and_then(|p| p.text("path", 0).ok().flatten())
            .unwrap_or_default();
        let strike = self.faults.strike(method, &detail);
        match &strike {
            Some(FaultKind::Drop) => return Err(Closed),
            Some(FaultKind::Hang) => std::future::pending::<()>().await,
            Some(FaultKind::Status(status)) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY);
                return Ok(Answered::Status(status));
            }
            Some(FaultKind::RpcError { code, data }) => {
                let error = RpcError {
                    code: *code,
                    data: data.clone(),
                };
                return Ok(Answered::Rpc(envelope(id, Err(error)), true));
            }
            _ => {}
        }
        let result = params.and_then(|params| self.call(method, &params));
        match strike {
            Some(FaultKind::LoseAnswer) => return Err(Closed),
            Some(FaultKind::Delay(by)) => tokio::time::sleep(by).await,
            _ => {}
        }
        let failed = result.is_err();
        Ok(Answered::Rpc(envelope(id, result), failed))
    }

    fn call(&self, method: &str, params: &Params) -> Result<Value, RpcError> {
        let mut node = self.node();
        let mut call = Call {
            node: &mut node,
            faults: &self.faults,
            validator: &self.validator,
            address: &self.address,
        };
        methods::call(&mut call, method, params).unwrap_or_else(|| {
            Err(RpcError {
                code: -32601,
                data: String::new(),
            })
        })
    }
}

/// An answer: JSON and whether it is an error, or a bare HTTP status.
pub(super) enum Answered {
    Rpc(Value, bool),
    Status(StatusCode),
}

/// The connection is to be closed without an answer.
#[derive(Debug)]
pub(super) struct Closed;

fn unsent() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Unsent);
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

async fn post(State(endpoint): State<Endpoint>, body: Bytes) -> Response {
    let parsed: Value = match serde_json::from_slice(&body) {
        Ok(parsed) => parsed,
        Err(error) => {
            let error = RpcError {
                code: -32700,
                data: format!("error unmarshaling request: {error}"),
            };
            return json_response(
                StatusCode::INTERNAL_SERVER_ERROR,
                &json!({"jsonrpc": "2.0", "error": error.json()}),
            );
        }
    };
    let (requests, batch) = match parsed {
        Value::Array(list) => (list, true),
        one => (vec![one], false),
    };
    let mut answers = Vec::new();
    for request in requests.iter().take(BATCH_MAX) {
        // Without an id it is a notification, which nobody answers.
        let Some(id) = request.get("id").filter(|id| !id.is_null()) else {
            continue;
        };
        let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
        let params = Params::from_json(request.get("params"));
        match endpoint.carry_out(id, method, params).await {
            Ok(Answered::Rpc(answer, _)) => answers.push(answer),
            Ok(Answered::Status(status)) => return status.into_response(),
            Err(Closed) => return unsent(),
        }
    }
    match (answers.as_slice(), batch) {
        ([], _) => StatusCode::OK.into_response(),
        ([one], false) => json_response(StatusCode::OK, one),
        _ => json_response(StatusCode::OK, &answers.into()),
    }
}

async fn by_uri(
    State(endpoint): State<Endpoint>,
    Path(method): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let params = Params::Uri(of_query(&query.unwrap_or_default()));
    match endpoint.carry_out(&json!(-1), &method, Ok(params)).await {
        Ok(Answered::Rpc(answer, failed)) => {
            if answer["error"]["code"] == json!(-32601) {
                return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
            }
            let status = if failed {
                StatusCode::INTERNAL_SERVER_ERROR
            } else {
                StatusCode::OK
            };
            json_response(status, &answer)
        }
        Ok(Answered::Status(status)) => status.into_response(),
        Err(Closed) => unsent(),
    }
}

async fn upgrade(State(endpoint): State<Endpoint>, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .max_message_size(BODY_BYTES_MAX)
        .on_upgrade(move |socket| websocket::serve(endpoint, socket))
}

fn router(endpoint: Endpoint) -> Router {
    Router::new()
        .route(
            "/",
            get(|| async { "virtengine-devchain: CometBFT RPC\n" }).post(post),
        )
        .route("/websocket", get(upgrade))
        .route("/{method}", get(by_uri).post(post))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(endpoint)
}

/// Serves connections until dropped.
pub(crate) async fn serve(listener: TcpListener, endpoint: Endpoint) {
    let down = endpoint.faults.is_down();
    let router = router(endpoint);
    let open = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    // Connections end with the listener: the set aborts them when it is dropped.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Out of file descriptors and the like: wait instead of spinning.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                };
                if *down.borrow() {
                    continue;
                }
                let Ok(permit) = Arc::clone(&open).try_acquire_owned() else {
                    continue;
                };
                let (router, mut down) = (router.clone(), down.clone());
                connections.spawn(async move {
                    tokio::select! {
                        () = connection(stream, router) => {}
                        _ = down.wait_for(|down| *down) => {}
                    }
                    drop(permit);
                });
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// The error that makes hyper close a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost on purpose")]
struct LostOnPurpose;

async fn connection(stream: TcpStream, router: Router) {
    let _best_effort = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            let response = router
                .oneshot(request.map(Body::new))
                .await
                .unwrap_or_else(|never: Infallible| match never {});
            if response.extensions().get::<Unsent>().is_some() {
                Err(LostOnPurpose)
            } else {
                Ok(response)
            }
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}
