use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;
use virtengine_provider_core::document::{Code, Cursor, Problems};

use super::Storage;
use super::section::Section;

/// Who may talk to us, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// Where tenants reach us.
    pub listen: SocketAddr,
    /// The certificate for it; `None`: one that we sign ourselves, known by the provider record.
    pub tls: Option<Tls>,
    /// Unix socket of the operator's own commands, mode 0600.
    pub operator_socket: PathBuf,
    /// Where health and metrics are served, without protection: keep it local.
    pub metrics_listen: SocketAddr,
}

/// A certificate and its key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Gateway {
    pub(super) const KEYS: &[&str] = &["listen", "tls", "operator_socket", "metrics_listen"];

    pub(super) fn read(at: Option<Cursor<'_, '_>>, storage: &Storage, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "gateway", Self::KEYS, problems);
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let gateway = Self {
            listen: section.socket("listen").unwrap_or_else(|| local(8443)),
            tls: section.with("tls", Tls::read),
            operator_socket: section
                .path("operator_socket")
                .unwrap_or_else(|| storage.dir.join("operator.sock")),
            metrics_listen: section.socket("metrics_listen").unwrap_or_else(|| local(9090)),
        };
        if gateway.listen == gateway.metrics_listen && gateway.listen.port() != 0 {
            section.error(Code::Conflict, "metrics_listen", "the same as listen", "");
        }
        // 107 bytes and a zero are all that the system takes.
        if gateway.operator_socket.as_os_str().len() > 107 {
            section.error(
                Code::InvalidValue,
                "operator_socket",
                "longer than the 107 bytes that a unix socket may have",
                "set a shorter gateway.operator_socket",
            );
        }
        gateway
    }
}

impl Tls {
    pub(super) const KEYS: &[&str] = &["cert", "key"];

    fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<Self> {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        let (cert, key) = (section.path("cert"), section.path("key"));
        for name in Self::KEYS {
            if !section.has(name) {
                section.error(Code::RequiredField, name, "required, but not there", "");
            }
        }
        Some(Self {
            cert: cert?,
            key: key?,
        })
    }
}
