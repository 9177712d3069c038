use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::stall::StallGuard;

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A network address.
    Tcp(IpAddr),
    /// A process of this host, by its user.
    Unix(u32),
}

/// What a face allows itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at once; more wait in the kernel's queue.
    pub(crate) connections: usize,
    /// The longest that a handshake, or a request head, may take; also how long a connection may idle.
    pub(crate) head_timeout: Duration,
    /// The longest that the other end may leave an answer unread.
    pub(crate) stall_timeout: Duration,
    /// How long open requests may go on once the face is told to stop.
    pub(crate) drain: Duration,
}

/// A listener, and what has to happen before HTTP begins.
pub(crate) trait Acceptor: Send + Sync + 'static {
    /// A connection as it comes from the kernel.
    type Raw: Send + 'static;
    /// A connection that HTTP runs over.
    type Ready: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Raw, Peer)>> + Send;

    /// Whether this peer may have one more connection; what is returned is dropped with the connection.
    fn admit(&self, peer: Peer) -> Option<Box<dyn Send>>;

    /// Prepares the connection (TLS).
    fn prepare(&self, raw: Self::Raw) -> impl Future<Output = io::Result<Self::Ready>> + Send;
}

/// Serves until `shutdown`, then ends what is open within `limits.drain`.
pub(crate) async fn serve<A: Acceptor>(
    acceptor: A,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let acceptor = Arc::new(acceptor);
    let room = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = next(&*acceptor, &room) => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((raw, peer, permit)) => {
                let Some(admission) = acceptor.admit(peer) else {
                    continue;
                };
                let (acceptor, router, shutdown) = (acceptor.clone(), router.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection(&*acceptor, raw, peer, router, limits, shutdown).await;
                    drop((permit, admission));
                });
            }
            Err(error) => {
                // Mostly "too many open files": give the open connections time to end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, ended).await.is_err() {
        tracing::warn!("connections were cut because they did not end in time");
    }
}

type Accepted<A> = (<A as Acceptor>::Raw, Peer, tokio::sync::OwnedSemaphorePermit);

async fn next<A: Acceptor>(acceptor: &A, room: &Arc<Semaphore>) -> io::Result<Accepted<A>> {
    let permit = room
        .clone()
        .acquire_owned()
        .await
        .map_err(|_| io::Error::other("the connection limit is gone"))?;
    let (raw, peer) = acceptor.accept().await?;
    Ok((raw, peer, permit))
}

async fn connection<A: Acceptor>(
    acceptor: &A,
    raw: A::Raw,
    peer: Peer,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let prepared = tokio::time::timeout(limits.head_timeout, acceptor.prepare(raw)).await;
    let Ok(Ok(ready)) = prepared else {
        tracing::debug!(?peer, "a connection ended before its first request");
        return;
    };
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    });
    let io = TokioIo::new(StallGuard::new(ready, limits.stall_timeout));
    let http = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(64 * 1024)
        .serve_connection(io, service);
    tokio::pin!(http);
    tokio::select! {
        result = &mut http => return log_end(peer, result),
        () = shutdown.cancelled() => http.as_mut().graceful_shutdown(),
    }
    log_end(peer, http.await);
}

fn log_end(peer: Peer, result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(?peer, %error, "a connection broke");
    }
}
