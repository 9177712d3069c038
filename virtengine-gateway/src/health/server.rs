use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use virtengine_provider_core::ports::clock::Clock;

use super::guarded::GuardedSource;
use super::report::{Component, HealthSource, OverallStatus};
use crate::api::{ApiError, ErrorCode};
use crate::listen::{Acceptor, Limits, Peer, catch_panic, json, route_missing, serve};
use crate::metrics::Metrics;

const LIMITS: Limits = Limits {
    connections: 64,
    head_timeout: Duration::from_secs(5),
    stall_timeout: Duration::from_secs(5),
    drain: Duration::from_secs(1),
};

/// Where to listen, and when a look is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthServerOptions {
    /// Address; plain HTTP, so loopback unless a firewall stands before it (`gateway.metrics_listen`).
    pub listen: SocketAddr,
    /// A component that nobody has looked at for this long is degraded.
    pub stale_after: Duration,
}

impl Default for HealthServerOptions {
    /// `127.0.0.1:9090` (where shipped Prometheus configurations look) and 60 seconds.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            stale_after: Duration::from_secs(60),
        }
    }
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for health and metrics on {listen}: {source}")]
pub struct HealthServerError {
    /// Where it should.
    pub listen: SocketAddr,
    /// What the operating system says.
    pub source: io::Error,
}

/// Serves `/health`, `/health/<component>`, `/live` and `/metrics` from a thread and a runtime of its own: it answers even
/// when every thread of the daemon's runtime is stuck.
#[derive(Debug)]
pub struct HealthServer {
    address: SocketAddr,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl HealthServer {
    /// Binds and starts.
    ///
    /// # Errors
    /// The address cannot be bound, or no thread can be started.
    pub fn start(
        options: HealthServerOptions,
        source: Arc<dyn HealthSource>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, HealthServerError> {
        let failed = |source| HealthServerError {
            listen: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(2)
            .build()
            .map_err(failed)?;
        let state = Arc::new(Pages {
            source: GuardedSource::new(source, clock, options.stale_after),
            metrics,
        });
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let thread = std::thread::Builder::new()
            .name("health".to_owned())
            .spawn(move || {
                runtime.block_on(run(listener, state, stop));
                // A source that hangs must not keep the thread from ending.
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        Ok(Self {
            address,
            shutdown,
            thread: Some(thread),
        })
    }

    /// Where it listens: the real port when 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops; returns when the port is free (at most a second later).
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been logged by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Drop for HealthServer {
    fn drop(&mut self) {
        self.end();
    }
}

async fn run(listener: TcpListener, pages: Arc<Pages>, stop: CancellationToken) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the health listener cannot be used"),
    };
    let router = Router::new()
        .route("/live", get(|| async { "alive\n" }))
        .route("/health", get(overall))
        .route("/health/{component}", get(one))
        .route("/metrics", get(metrics))
        .fallback(route_missing)
        .with_state(pages);
    serve(Plain(listener), catch_panic(router), LIMITS, stop).await;
}

/// A TCP listener without TLS.
struct Plain(tokio::net::TcpListener);

impl Acceptor for Plain {
    type Raw = tokio::net::TcpStream;
    type Ready = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<(Self::Raw, Peer)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((stream, Peer::Tcp(peer.ip())))
    }

    fn admit(&self, _peer: Peer) -> Option<Box<dyn Send>> {
        Some(Box::new(()))
    }

    async fn prepare(&self, raw: Self::Raw) -> io::Result<Self::Ready> {
        Ok(raw)
    }
}

struct Pages {
    source: GuardedSource,
    metrics: Arc<Metrics>,
}

async fn overall(State(pages): State<Arc<Pages>>) -> Response {
    let report = pages.source.report().await;
    let status = report.status.http_status();
    json(
        StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
        &report,
    )
}

async fn one(State(pages): State<Arc<Pages>>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let name: Component = name
        .parse()
        .map_err(|message: String| ApiError::new(ErrorCode::NotFound, message, ""))?;
    let mut report = pages.source.report().await;
    let health = report
        .components
        .remove(&name)
        .ok_or_else(|| ApiError::not_found(format!("component as {name} is watched")))?;
    let status = OverallStatus::from(health.status).http_status();
    Ok(json(
        StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
        &health,
    ))
}

async fn metrics(State(pages): State<Arc<Pages>>) -> Result<Response, ApiError> {
    let text = pages
        .metrics
        .encode()
        .map_err(|error| ApiError::internal(format!("the metrics cannot be written: {error}")))?;
    let kind = [(
        header::CONTENT_TYPE,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    Ok((kind, text).into_response())
}
