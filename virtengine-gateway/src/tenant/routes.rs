use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Body as _;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use virtengine_provider_core::id::{Address, DeploymentId, LeaseId, OrderId};
use virtengine_provider_core::ports::adapter::LogQuery;
use virtengine_provider_core::ports::clock::Clock;

use super::streams::{Format, StreamTable, body as log_body};
use super::verify::Verifier;
use crate::api::{ApiError, ApiResult, ErrorCode, TenantApi};
use crate::listen::{Peer, PeerTable, Upload, catch_panic, json, read_body, route_missing, with_deadline};
use crate::metrics::Metrics;

/// The largest manifest, as the chain's market knows it: 1 MiB.
const MANIFEST_BYTES_MAX: usize = 1 << 20;

/// The most lines that may be asked for.
const TAIL_MAX: usize = 10_000;

/// The longest that a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// How long an upload waits for others of its network address, and how often it looks.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(3);
const UPLOAD_LOOK: Duration = Duration::from_millis(20);

/// The longest answer (to its beginning, for a stream).
const DEADLINE: Duration = Duration::from_secs(30);

/// What the routes work on.
pub(super) struct Face {
    pub(super) api: Arc<dyn TenantApi>,
    pub(super) verifier: Verifier,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) peers: Arc<PeerTable>,
    /// Questions at once.
    pub(super) room: Semaphore,
    /// Uploads at once. Apart from the questions: whoever sends a body slowly must not keep others from asking.
    pub(super) uploads: Semaphore,
    pub(super) streams: Arc<StreamTable>,
    pub(super) shutdown: CancellationToken,
}

type Shared = State<Arc<Face>>;
type Answer = Result<Response, ApiError>;

pub(super) fn router(face: Arc<Face>) -> Router {
    let routes = Router::new()
        .route("/version", get(version))
        .route("/address", get(address))
        .route("/status", get(status))
        .route(
            "/deployment/{dseq}/manifest",
            get(manifest_status).put(put_manifest),
        )
        .route("/lease/{dseq}/{gseq}/{oseq}/status", get(lease_status))
        .route("/lease/{dseq}/{gseq}/{oseq}/logs", get(lease_logs))
        .fallback(route_missing)
        .method_not_allowed_fallback(route_missing)
        .with_state(face.clone());
    with_deadline(catch_panic(routes), DEADLINE).layer(from_fn_with_state(face, admission))
}

/// Rate of each peer, number of requests at once, and the count of what was answered.
async fn admission(State(face): Shared, request: Request, next: Next) -> Response {
    let peer = match request.extensions().get() {
        Some(Peer::Tcp(address)) => Some(*address),
        _ => None,
    };
    let is_upload = *request.method() == Method::PUT;
    let response = match admit(&face, peer, is_upload).await {
        Ok(_place) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    face.metrics.tenant_request(response.status().as_u16());
    response
}

/// What a request holds until it is answered.
struct Admission<'a> {
    _place: tokio::sync::SemaphorePermit<'a>,
    _upload: Option<Upload>,
}

async fn admit(face: &Face, peer: Option<IpAddr>, is_upload: bool) -> ApiResult<Admission<'_>> {
    if peer.is_some_and(|peer| !face.peers.request(peer)) {
        return Err(too_much(face, "too many requests", "ask less often"));
    }
    if !is_upload {
        return place(&face.room, None);
    }
    // Whoever uploads has shown no key yet: the share of one address keeps it from taking all places.
    let upload = match peer {
        Some(peer) => Some(turn_to_upload(face, peer).await?),
        None => None,
    };
    place(&face.uploads, upload)
}

/// Several tenants may stand behind one address: an upload waits a little for one of the others to end.
async fn turn_to_upload(face: &Face, peer: IpAddr) -> ApiResult<Upload> {
    let begun = tokio::time::Instant::now();
    loop {
        if let Some(upload) = face.peers.upload(peer) {
            return Ok(upload);
        }
        if begun.elapsed() >= UPLOAD_PATIENCE {
            let remedy = "wait until the others are answered";
            return Err(too_much(face, "too many uploads at once", remedy));
        }
        tokio::time::sleep(UPLOAD_LOOK).await;
    }
}

fn too_much(face: &Face, what: &str, remedy: &str) -> ApiError {
    face.metrics.rate_limited();
    let message = format!("{what} from this network address");
    ApiError::new(ErrorCode::RateLimited, message, remedy)
}

fn place(room: &Semaphore, upload: Option<Upload>) -> ApiResult<Admission<'_>> {
    let place = room.try_acquire().map_err(|_| {
        ApiError::new(
            ErrorCode::Unavailable,
            "the provider is busy",
            "ask again in a second",
        )
    })?;
    Ok(Admission {
        _place: place,
        _upload: upload,
    })
}

async fn version() -> Response {
    #[derive(serde::Serialize)]
    struct Version {
        version: &'static str,
    }
    let version = env!("CARGO_PKG_VERSION");
    json(StatusCode::OK, &Version { version })
}

async fn address(State(face): Shared) -> Response {
    #[derive(serde::Serialize)]
    struct Provider<'a> {
        address: &'a Address,
        chain_id: &'a str,
    }
    let Verifier {
        provider, chain_id, ..
    } = &face.verifier;
    json(
        StatusCode::OK,
        &Provider {
            address: provider,
            chain_id,
        },
    )
}

async fn status(State(face): Shared) -> Answer {
    Ok(json(StatusCode::OK, &face.api.public_status().await?))
}

/// Who asks, and what they sent. The order of the checks: form and time (free), body (bounded), signature, owner, nonce.
async fn authenticate(face: &Face, dseq: u64, request: Request) -> ApiResult<(Address, Parts, Bytes)> {
    let (parts, body) = request.into_parts();
    let now = face.clock.now();
    let claim = face.verifier.claim(&parts.headers, now)?;
    let body = body_of(&parts.method, body).await?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let signed = face.verifier.signed(claim, parts.method.as_str(), path, &body)?;
    let owners = face.api.owners(dseq).await?;
    if !owners.contains(&signed.owner) {
        return Err(not_yours(dseq, &signed.owner, !owners.is_empty()));
    }
    face.verifier.first_time(&signed, face.clock.now())?;
    Ok((signed.owner, parts, body))
}

/// Only an upload has a body.
async fn body_of(method: &Method, body: Body) -> ApiResult<Bytes> {
    if *method == Method::PUT {
        return read_body(body, MANIFEST_BYTES_MAX, BODY_TIMEOUT).await;
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    Err(ApiError::new(
        ErrorCode::InvalidRequest,
        "a question has no body",
        "send it without one",
    ))
}

fn not_yours(dseq: u64, owner: &Address, exists: bool) -> ApiError {
    if exists {
        return ApiError::new(
            ErrorCode::Forbidden,
            format!("{owner} has no lease of this provider under deployment {dseq}"),
            "sign with the account that made the deployment",
        );
    }
    ApiError::new(
        ErrorCode::NotFound,
        format!("this provider has no lease under deployment {dseq}"),
        "check the number; a lease that was just made is known within a few blocks",
    )
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> ApiResult<T> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        ApiError::new(
            ErrorCode::InvalidRequest,
            format!("{name} is not a number: {text:?}"),
            "",
        )
    })
}

type LeasePath = Path<(String, String, String)>;

async fn authenticate_lease(
    face: &Face,
    Path((dseq, gseq, oseq)): LeasePath,
    request: Request,
) -> ApiResult<(LeaseId, Parts)> {
    let (dseq, gseq, oseq) = (
        number("dseq", &dseq)?,
        number("gseq", &gseq)?,
        number("oseq", &oseq)?,
    );
    let (owner, parts, _) = authenticate(face, dseq, request).await?;
    let order = OrderId::new(owner, dseq, gseq, oseq);
    Ok((LeaseId::new(order, face.verifier.provider.clone()), parts))
}

async fn put_manifest(State(face): Shared, Path(dseq): Path<String>, request: Request) -> Answer {
    let dseq = number("dseq", &dseq)?;
    let (owner, _, body) = authenticate(&face, dseq, request).await?;
    let manifest = std::str::from_utf8(&body)
        .map_err(|_| ApiError::new(ErrorCode::InvalidRequest, "the manifest is not UTF-8 text", ""))?;
    let deployment = DeploymentId::new(owner, dseq);
    let receipt = face.api.put_manifest(&deployment, manifest).await?;
    Ok(json(StatusCode::OK, &receipt))
}

async fn manifest_status(State(face): Shared, Path(dseq): Path<String>, request: Request) -> Answer {
    let dseq = number("dseq", &dseq)?;
    let (owner, ..) = authenticate(&face, dseq, request).await?;
    let status = face.api.manifest_status(&DeploymentId::new(owner, dseq)).await?;
    Ok(json(StatusCode::OK, &status))
}

async fn lease_status(State(face): Shared, path: LeasePath, request: Request) -> Answer {
    let (lease, _) = authenticate_lease(&face, path, request).await?;
    Ok(json(StatusCode::OK, &face.api.lease_status(&lease).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Logs {
    service: Option<String>,
    replica: Option<u32>,
    tail: Option<usize>,
    after: Option<u64>,
    #[serde(default)]
    follow: bool,
}

async fn lease_logs(State(face): Shared, path: LeasePath, request: Request) -> Answer {
    let (lease, parts) = authenticate_lease(&face, path, request).await?;
    let Query(asked) = Query::<Logs>::try_from_uri(&parts.uri)
        .map_err(|error| ApiError::new(ErrorCode::InvalidRequest, error.body_text(), ""))?;
    if asked.tail.is_some_and(|tail| tail > TAIL_MAX) {
        let message = format!("at most {TAIL_MAX} lines can be asked for");
        return Err(ApiError::new(ErrorCode::InvalidRequest, message, ""));
    }
    let query = LogQuery {
        service: asked.service,
        replica: asked.replica,
        after: asked.after,
        tail: asked.tail,
    };
    let place = face.streams.open(lease.owner())?;
    let lines = face.api.lease_logs(&lease, &query, asked.follow).await?;
    let plain = parts
        .headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().starts_with(b"text/plain"));
    let format = if plain { Format::Plain } else { Format::Json };
    let body = log_body(lines, format, place, face.shutdown.clone());
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}
