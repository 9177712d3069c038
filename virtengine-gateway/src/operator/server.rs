use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use virtengine_provider_core::ports::clock::Clock;

use super::routes::{Face, router};
use super::socket::{OwnedSocket, SocketError};
use crate::api::OperatorApi;
use crate::health::{GuardedSource, HealthSource};
use crate::listen::{Limits, serve};

const LIMITS: Limits = Limits {
    connections: 32,
    head_timeout: Duration::from_secs(10),
    stall_timeout: Duration::from_secs(30),
    drain: Duration::from_secs(5),
};

/// Where the socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorServerOptions {
    /// Path of the socket, at most 90 bytes or so.
    pub socket: PathBuf,
    /// Longest answer to anything. The daemon's call is dropped when it is over.
    pub deadline: Duration,
    /// A component that nobody has looked at for this long is degraded.
    pub stale_after: Duration,
}

impl OperatorServerOptions {
    /// A socket at `socket`, 30 seconds for an answer, 60 seconds until a look is old.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            deadline: Duration::from_secs(30),
            stale_after: Duration::from_secs(60),
        }
    }
}

/// Serves the operator API.
#[derive(Debug)]
pub struct OperatorServer {
    socket: PathBuf,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl OperatorServer {
    /// Makes the socket and serves until [`Self::stop`].
    ///
    /// # Errors
    /// See [`SocketError`]; [`SocketError::InUse`] is the sign that the daemon runs already.
    pub async fn start(
        options: OperatorServerOptions,
        api: Arc<dyn OperatorApi>,
        health: Arc<dyn HealthSource>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SocketError> {
        let socket = OwnedSocket::bind(&options.socket).await?;
        let face = Face {
            api,
            health: GuardedSource::new(health, clock, options.stale_after),
            owner: rustix::process::geteuid().as_raw(),
        };
        let shutdown = CancellationToken::new();
        let served = serve(socket, router(face, options.deadline), LIMITS, shutdown.clone());
        Ok(Self {
            socket: options.socket,
            shutdown,
            task: tokio::spawn(served),
        })
    }

    /// Where the socket is.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Takes no more requests, ends those that are open, removes the socket.
    pub async fn stop(self) {
        self.shutdown.cancel();
        // A panic of the task has been logged by the panic hook.
        let _ = self.task.await;
    }
}
