//! TLS for `https` endpoints, with a crypto provider of our own: the process-wide default is left alone.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// A client that trusts what the operating system trusts. With `roots` false nothing is trusted, which is enough for plain
/// HTTP and saves reading the certificates.
pub(crate) fn client_config(roots: bool) -> ClientConfig {
    let mut store = RootCertStore::empty();
    if roots {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's certificates cannot be read");
        }
        let (_, ignored) = store.add_parsable_certificates(found.certs);
        if ignored > 0 {
            tracing::warn!(ignored, "some of the system's certificates are unusable");
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the ring provider supports TLS 1.2 and 1.3")
        .with_root_certificates(store)
        .with_no_client_auth()
}
