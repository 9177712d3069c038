use std::net::SocketAddr;
use std::path::PathBuf;

use virtengine_provider_core::id::Address;

/// How the connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsChoice {
    /// Plain HTTP; only on a loopback address.
    Off,
    /// A certificate chain and its key, PEM.
    Files {
        /// The certificate chain, the server's own first.
        certificate: PathBuf,
        /// The private key; readable by its owner only.
        key: PathBuf,
    },
    /// A certificate of our own, made once and kept. Tenants compare its fingerprint.
    SelfSigned {
        /// Where it is kept.
        directory: PathBuf,
        /// Host names and addresses that it is for.
        names: Vec<String>,
    },
}

/// How to serve tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantServerOptions {
    /// Address (`gateway.listen`).
    pub listen: SocketAddr,
    /// How the connection is protected.
    pub tls: TlsChoice,
    /// The account that we provide as.
    pub provider: Address,
    /// The chain that we provide on.
    pub chain_id: String,
    /// File of the nonces that were used, so that they are known after a restart.
    pub nonce_file: Option<PathBuf>,
    /// Connections at once.
    pub connections_max: usize,
    /// Questions at once; one more is answered with 503. A quarter as many uploads have room beside them.
    pub requests_max: usize,
    /// Connections of one network address at once.
    pub connections_per_peer_max: u32,
    /// Uploads of one network address at once: whoever uploads has shown no key until the whole body is there. A place is held for
    /// 15 seconds at most until then, and for 30 seconds in all.
    pub uploads_per_peer_max: u32,
    /// Requests of one network address per minute.
    pub requests_per_peer_per_minute: u32,
}

impl TenantServerOptions {
    /// Serves `provider` on `chain_id` at `listen`, with the limits that suit most: 512 connections, 64 requests at once; 32
    /// connections, 4 uploads and 600 requests per minute for each network address.
    #[must_use]
    pub fn new(listen: SocketAddr, tls: TlsChoice, provider: Address, chain_id: impl Into<String>) -> Self {
        Self {
            listen,
            tls,
            provider,
            chain_id: chain_id.into(),
            nonce_file: None,
            connections_max: 512,
            requests_max: 64,
            connections_per_peer_max: 32,
            uploads_per_peer_max: 4,
            requests_per_peer_per_minute: 600,
        }
    }
}
