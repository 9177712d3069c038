use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use virtengine_provider_core::id::{OrderId, WorkloadId};

use crate::api::{
    ApiError, ApiResult, ErrorCode, LogLevel, OperatorApi, OperatorLogQuery, UsageQuery, WorkloadAction,
    WorkloadState,
};
use crate::health::GuardedSource;
use crate::listen::{Peer, catch_panic, json, read_body, route_missing, with_deadline};

/// The largest manifest that is read: 1 MiB, as for tenants.
pub(crate) const MANIFEST_BYTES_MAX: usize = 1 << 20;

/// The most that a list may be asked for.
const LIST_MAX: usize = 10_000;

const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the routes work on.
pub(super) struct Face {
    pub(super) api: Arc<dyn OperatorApi>,
    pub(super) health: GuardedSource,
    /// The user that we run as.
    pub(super) owner: u32,
}

type Shared = State<Arc<Face>>;
type Answer = Result<Response, ApiError>;

pub(super) fn router(face: Face, deadline: Duration) -> Router {
    let face = Arc::new(face);
    let routes = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/health", get(health))
        .route("/v1/bid-engine", get(bid_engine))
        .route("/v1/bids", get(bids))
        .route("/v1/explain", get(explain))
        .route("/v1/orders", get(orders))
        .route("/v1/leases", get(leases))
        .route("/v1/workloads", get(workloads).post(deploy))
        .route("/v1/workloads/{id}", get(workload))
        .route("/v1/workloads/{id}/{action}", post(act))
        .route("/v1/usage", get(usage))
        .route("/v1/usage/{record}/release", post(release_usage))
        .route("/v1/logs", get(logs))
        .route("/v1/doctor", get(doctor))
        .route("/v1/chain/ping", get(ping))
        .route("/v1/config", get(config))
        .route("/v1/shutdown", post(shutdown))
        .fallback(route_missing)
        .method_not_allowed_fallback(route_missing)
        .with_state(face.clone())
        .layer(from_fn_with_state(face, same_user));
    with_deadline(catch_panic(routes), deadline)
}

/// Only our own user and root.
async fn same_user(State(face): Shared, request: Request, next: Next) -> Response {
    match request.extensions().get::<Peer>() {
        Some(Peer::Unix(user)) if *user == face.owner || *user == 0 => next.run(request).await,
        peer => {
            tracing::warn!(?peer, "refused an operator request of another user");
            ApiError::new(
                ErrorCode::Forbidden,
                "this socket serves only the user that runs the daemon",
                "run the command as that user, or as root",
            )
            .into_response()
        }
    }
}

fn ok<T: Serialize>(answer: ApiResult<T>) -> Answer {
    answer.map(|value| json(StatusCode::OK, &value))
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, message, "")
}

fn bounded(limit: usize) -> ApiResult<usize> {
    if (1..=LIST_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(invalid(format!(
        "a list has 1 to {LIST_MAX} entries, not {limit}"
    )))
}

fn query<T>(query: Result<Query<T>, axum::extract::rejection::QueryRejection>) -> ApiResult<T> {
    query
        .map(|Query(value)| value)
        .map_err(|error| invalid(error.body_text()))
}

type Asked<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

async fn status(State(face): Shared) -> Answer {
    ok(face.api.status().await)
}

async fn health(State(face): Shared) -> Answer {
    ok(Ok(face.health.report().await))
}

async fn bid_engine(State(face): Shared) -> Answer {
    ok(face.api.bid_engine().await)
}

#[derive(Deserialize)]
struct Last {
    #[serde(default = "hundred")]
    last: usize,
}

const fn hundred() -> usize {
    100
}

async fn bids(State(face): Shared, asked: Asked<Last>) -> Answer {
    ok(face.api.bids(bounded(query(asked)?.last)?).await)
}

#[derive(Deserialize)]
struct Which {
    order: String,
}

async fn explain(State(face): Shared, asked: Asked<Which>) -> Answer {
    let order: OrderId = query(asked)?
        .order
        .parse()
        .map_err(|error: virtengine_provider_core::id::IdError| invalid(error.to_string()))?;
    ok(face.api.explain(&order).await)
}

#[derive(Deserialize)]
struct Limit {
    #[serde(default = "hundred")]
    limit: usize,
}

async fn orders(State(face): Shared, asked: Asked<Limit>) -> Answer {
    ok(face.api.orders(bounded(query(asked)?.limit)?).await)
}

async fn leases(State(face): Shared) -> Answer {
    ok(face.api.leases().await)
}

#[derive(Deserialize)]
struct InState {
    state: Option<WorkloadState>,
}

async fn workloads(State(face): Shared, asked: Asked<InState>) -> Answer {
    ok(face.api.workloads(query(asked)?.state).await)
}

async fn deploy(State(face): Shared, request: Request) -> Answer {
    let body = read_body(request.into_body(), MANIFEST_BYTES_MAX, BODY_TIMEOUT).await?;
    let manifest = std::str::from_utf8(&body).map_err(|_| invalid("the manifest is not UTF-8 text"))?;
    let workload = face.api.deploy_workload(manifest).await?;
    Ok(json(StatusCode::CREATED, &workload))
}

fn workload_id(text: &str) -> ApiResult<WorkloadId> {
    text.parse()
        .map_err(|error: virtengine_provider_core::id::IdError| invalid(error.to_string()))
}

async fn workload(State(face): Shared, Path(id): Path<String>) -> Answer {
    ok(face.api.workload(&workload_id(&id)?).await)
}

async fn act(State(face): Shared, Path((id, action)): Path<(String, String)>) -> Answer {
    let action: WorkloadAction = action
        .parse()
        .map_err(|message: String| ApiError::new(ErrorCode::NotFound, message, ""))?;
    ok(face.api.act_on_workload(&workload_id(&id)?, action).await)
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    pending: bool,
    #[serde(default = "hundred")]
    limit: usize,
}

async fn usage(State(face): Shared, asked: Asked<Usage>) -> Answer {
    let Usage { pending, limit } = query(asked)?;
    let limit = bounded(limit)?;
    ok(face.api.usage(UsageQuery { pending, limit }).await)
}

async fn release_usage(State(face): Shared, Path(record): Path<String>) -> Answer {
    ok(face.api.release_usage(&record).await)
}

#[derive(Deserialize)]
struct Logs {
    #[serde(default = "hundred")]
    tail: usize,
    #[serde(default = "info")]
    level: LogLevel,
}

const fn info() -> LogLevel {
    LogLevel::Info
}

async fn logs(State(face): Shared, asked: Asked<Logs>) -> Answer {
    let Logs { tail, level } = query(asked)?;
    let tail = bounded(tail)?;
    ok(face.api.logs(OperatorLogQuery { tail, level }).await)
}

async fn doctor(State(face): Shared) -> Answer {
    ok(face.api.doctor().await)
}

async fn ping(State(face): Shared) -> Answer {
    ok(face.api.ping_chain().await)
}

async fn config(State(face): Shared) -> Answer {
    ok(face.api.config().await)
}

async fn shutdown(State(face): Shared) -> Answer {
    let receipt = face.api.shutdown().await?;
    Ok(json(StatusCode::ACCEPTED, &receipt))
}
