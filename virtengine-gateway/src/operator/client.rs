use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use virtengine_provider_core::id::{OrderId, WorkloadId};

use crate::api::{
    ApiError, BidEngineStatus, BidView, ChainPing, DoctorReport, ErrorBody, Explanation, LeaseView, LogEntry,
    OperatorLogQuery, OrderView, ProviderStatus, ShutdownReceipt, UsageQuery, UsageView, WorkloadAction,
    WorkloadState, WorkloadView,
};
use crate::health::HealthReport;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Why a question to the daemon has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "the daemon is not running (no socket at {}): start it with `virtengine-provider start`",
        .socket.display()
    )]
    NotRunning {
        /// Where it should.
        socket: PathBuf,
    },
    /// This user may not connect.
    #[error(
        "no permission to talk to the daemon at {}: run the command as the user that runs the daemon, or as root",
        .socket.display()
    )]
    NoPermission {
        /// The socket.
        socket: PathBuf,
    },
    /// The daemon takes too long.
    #[error("the daemon does not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The connection broke, or the answer is not what this version understands.
    #[error("the daemon's answer cannot be used: {0}")]
    Broken(String),
    /// The daemon refused.
    #[error(transparent)]
    Refused(#[from] ApiError),
}

/// Asks a running daemon. Each question is a connection of its own.
#[derive(Debug, Clone)]
pub struct OperatorClient {
    socket: PathBuf,
    timeout: Duration,
}

impl OperatorClient {
    /// Asks at `socket`, waits 35 seconds at most (the daemon answers within 30).
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            timeout: Duration::from_secs(35),
        }
    }

    /// The same with another longest wait.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where it asks.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The overview.
    ///
    /// # Errors
    /// See [`ClientError`]; the same for every method.
    pub async fn status(&self) -> Result<ProviderStatus, ClientError> {
        self.get("/v1/status").await
    }

    /// How the components are.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn health(&self) -> Result<HealthReport, ClientError> {
        self.get("/v1/health").await
    }

    /// What the bid engine does.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn bid_engine(&self) -> Result<BidEngineStatus, ClientError> {
        self.get("/v1/bid-engine").await
    }

    /// The newest bids.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn bids(&self, last: usize) -> Result<Vec<BidView>, ClientError> {
        self.get(&format!("/v1/bids?last={last}")).await
    }

    /// Why an order was bid on or not.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn explain(&self, order: &OrderId) -> Result<Explanation, ClientError> {
        self.get(&format!("/v1/explain?order={order}")).await
    }

    /// The newest orders.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn orders(&self, limit: usize) -> Result<Vec<OrderView>, ClientError> {
        self.get(&format!("/v1/orders?limit={limit}")).await
    }

    /// Every lease that is served.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn leases(&self) -> Result<Vec<LeaseView>, ClientError> {
        self.get("/v1/leases").await
    }

    /// Deploys a workload of the operator's own.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn deploy_workload(&self, manifest: &str) -> Result<WorkloadView, ClientError> {
        let body = Bytes::copy_from_slice(manifest.as_bytes());
        self.ask(Method::POST, "/v1/workloads", body).await
    }

    /// One workload.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn workload(&self, id: &WorkloadId) -> Result<WorkloadView, ClientError> {
        self.get(&format!("/v1/workloads/{id}")).await
    }

    /// Workloads in `state`, or all that are not terminated.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn workloads(&self, state: Option<WorkloadState>) -> Result<Vec<WorkloadView>, ClientError> {
        match state {
            Some(state) => self.get(&format!("/v1/workloads?state={state}")).await,
            None => self.get("/v1/workloads").await,
        }
    }

    /// Asks a workload to move.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn act_on_workload(
        &self,
        id: &WorkloadId,
        action: WorkloadAction,
    ) -> Result<WorkloadView, ClientError> {
        let path = format!("/v1/workloads/{id}/{action}");
        self.ask(Method::POST, &path, Bytes::new()).await
    }

    /// Usage records.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageView>, ClientError> {
        let UsageQuery { pending, limit } = query;
        self.get(&format!("/v1/usage?pending={pending}&limit={limit}"))
            .await
    }

    /// Lets a usage record go that the fraud check holds.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn release_usage(&self, record: &str) -> Result<UsageView, ClientError> {
        // An id is hex digits; anything else would be another path.
        let record: String = record.chars().filter(char::is_ascii_alphanumeric).collect();
        let path = format!("/v1/usage/{record}/release");
        self.ask(Method::POST, &path, Bytes::new()).await
    }

    /// The last lines of the daemon's log.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn logs(&self, query: OperatorLogQuery) -> Result<Vec<LogEntry>, ClientError> {
        let OperatorLogQuery { tail, level } = query;
        self.get(&format!("/v1/logs?tail={tail}&level={level}")).await
    }

    /// Facts that help to find what is wrong.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn doctor(&self) -> Result<DoctorReport, ClientError> {
        self.get("/v1/doctor").await
    }

    /// Asks every endpoint of the chain.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ping_chain(&self) -> Result<ChainPing, ClientError> {
        self.get("/v1/chain/ping").await
    }

    /// The configuration in force, secrets redacted.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn config(&self) -> Result<serde_json::Value, ClientError> {
        self.get("/v1/config").await
    }

    /// Asks the daemon to drain and stop.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn shutdown(&self) -> Result<ShutdownReceipt, ClientError> {
        self.ask(Method::POST, "/v1/shutdown", Bytes::new()).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let answer = tokio::time::timeout(self.timeout, self.exchange(method, path, body));
        let (status, body) = answer.await.map_err(|_| ClientError::TimedOut(self.timeout))??;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| ClientError::Broken(error.to_string()));
        }
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(refusal) => Err(refusal.error.into()),
            Err(_) => Err(ClientError::Broken(format!("status {status} without a reason"))),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let broken = |error: &dyn std::fmt::Display| ClientError::Broken(error.to_string());
        let stream = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        // It ends when `sender` and the answer are dropped.
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "daemon")
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(Full::new(body))
            .map_err(|error| broken(&error))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| broken(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| broken(&error))?
            .to_bytes();
        driver.abort();
        Ok((status, body))
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        let socket = self.socket.clone();
        UnixStream::connect(&self.socket)
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    ClientError::NotRunning { socket }
                }
                io::ErrorKind::PermissionDenied => ClientError::NoPermission { socket },
                _ => ClientError::Broken(error.to_string()),
            })
    }
}
