use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use virtengine_provider_core::ports::clock::Clock;

use super::nonces::NonceCache;
use super::options::TenantServerOptions;
use super::routes::{Face, router};
use super::streams::StreamTable;
use super::tls::{Fingerprint, TlsError, load};
use super::verify::Verifier;
use crate::api::TenantApi;
use crate::listen::{Acceptor, Limits, Peer, PeerTable, serve};
use crate::metrics::Metrics;

/// Why tenants cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TenantServerError {
    /// Plain HTTP on an address that others can reach.
    #[error(
        "tenants are served without TLS only on a loopback address, not on {0}: set a certificate, or listen on 127.0.0.1"
    )]
    PlainOffLoopback(SocketAddr),
    /// The certificate.
    #[error("the certificate for tenants cannot be used: {0}")]
    Tls(#[from] TlsError),
    /// The address.
    #[error("cannot listen for tenants on {listen}: {source}")]
    Listen {
        /// Which.
        listen: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file of used nonces.
    #[error("the file of used nonces cannot be used: {0}")]
    Nonces(io::Error),
}

/// Serves tenants.
#[derive(Debug)]
pub struct TenantServer {
    address: SocketAddr,
    fingerprint: Option<Fingerprint>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl TenantServer {
    /// Binds, loads or makes the certificate (its fingerprint is logged), and serves until [`Self::stop`].
    ///
    /// # Errors
    /// See [`TenantServerError`].
    pub async fn start(
        options: TenantServerOptions,
        api: Arc<dyn TenantApi>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TenantServerError> {
        let tls = load(&options.tls)?;
        if tls.is_none() && !options.listen.ip().is_loopback() {
            return Err(TenantServerError::PlainOffLoopback(options.listen));
        }
        let nonces = NonceCache::open(options.nonce_file.as_deref(), clock.now())
            .map_err(TenantServerError::Nonces)?;
        let listen_failed = |source| TenantServerError::Listen {
            listen: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).await.map_err(listen_failed)?;
        let address = listener.local_addr().map_err(listen_failed)?;
        let fingerprint = tls.as_ref().map(|tls| tls.fingerprint);
        match fingerprint {
            Some(fingerprint) => tracing::info!(%address, %fingerprint, "serving tenants over TLS"),
            None => tracing::warn!(%address, "serving tenants without TLS, on loopback"),
        }
        let peers = Arc::new(PeerTable::new(
            options.requests_per_peer_per_minute,
            options.connections_per_peer_max,
            options.uploads_per_peer_max,
        ));
        let shutdown = CancellationToken::new();
        let face = Face {
            api,
            verifier: Verifier {
                provider: options.provider,
                chain_id: options.chain_id,
                nonces,
            },
            clock,
            metrics,
            peers: peers.clone(),
            room: Semaphore::new(options.requests_max),
            uploads: Semaphore::new(options.requests_max.div_ceil(4)),
            streams: Arc::new(StreamTable::default()),
            shutdown: shutdown.clone(),
        };
        let limits = Limits {
            connections: options.connections_max,
            head_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        };
        let port = TenantPort {
            listener,
            tls: tls.map(|tls| TlsAcceptor::from(tls.config)),
            peers,
        };
        let task = tokio::spawn(serve(port, router(Arc::new(face)), limits, shutdown.clone()));
        Ok(Self {
            address,
            fingerprint,
            shutdown,
            task,
        })
    }

    /// Where it listens: the real port when 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that is shown; `None` without TLS.
    #[must_use]
    pub const fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// Takes no more requests and ends those that are open (followed logs at once).
    pub async fn stop(self) {
        self.shutdown.cancel();
        // A panic of the task has been logged by the panic hook.
        let _ = self.task.await;
    }
}

struct TenantPort {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    peers: Arc<PeerTable>,
}

impl Acceptor for TenantPort {
    type Raw = TcpStream;
    type Ready = Either<TcpStream, Box<TlsStream<TcpStream>>>;

    async fn accept(&self) -> io::Result<(Self::Raw, Peer)> {
        let (stream, peer) = self.listener.accept().await?;
        // Answers are small: waiting to fill a packet only delays them.
        stream.set_nodelay(true)?;
        Ok((stream, Peer::Tcp(peer.ip())))
    }

    fn admit(&self, peer: Peer) -> Option<Box<dyn Send>> {
        let Peer::Tcp(address) = peer else { return None };
        let connection = self.peers.connect(address)?;
        Some(Box::new(connection))
    }

    async fn prepare(&self, raw: Self::Raw) -> io::Result<Self::Ready> {
        match &self.tls {
            None => Ok(Either::Left(raw)),
            Some(tls) => Ok(Either::Right(Box::new(tls.accept(raw).await?))),
        }
    }
}
