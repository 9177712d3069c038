use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use virtengine_gateway::tenant::{
    Fingerprint, TenantClientError, TenantServer, TenantServerError, TlsChoice, Trust,
};

use crate::clock::TestClock;
use crate::provider::{Shop, alice};
use crate::tenant::{Stand, options};

fn self_signed(directory: &Path) -> TlsChoice {
    TlsChoice::SelfSigned {
        directory: directory.to_owned(),
        names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
    }
}

#[tokio::test]
async fn a_client_that_knows_the_fingerprint_gets_through_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let stand = Stand::with(Shop::default(), options(self_signed(dir.path()))).await;
    let fingerprint = stand.server.fingerprint().unwrap();
    let pinned = stand.client(alice(), Trust::Pinned(fingerprint));
    pinned.lease_status(7, 1, 1).await.unwrap();
    let mut wrong = fingerprint;
    wrong.0[0] ^= 1;
    for trust in [Trust::Pinned(wrong), Trust::Roots] {
        let error = stand
            .client(alice(), trust)
            .lease_status(7, 1, 1)
            .await
            .unwrap_err();
        assert!(matches!(error, TenantClientError::Unreachable { .. }), "{error}");
    }
}

#[tokio::test]
async fn the_certificate_survives_a_restart_and_its_key_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let first = Stand::with(Shop::default(), options(self_signed(&state))).await;
    let fingerprint = first.server.fingerprint();
    first.server.stop().await;
    let again = Stand::with(Shop::default(), options(self_signed(&state))).await;
    assert_eq!(again.server.fingerprint(), fingerprint);
    let mode = std::fs::metadata(state.join("tenant-tls.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_start_that_was_cut_short_keeps_the_key_it_made() {
    let dir = tempfile::tempdir().unwrap();
    let first = Stand::with(Shop::default(), options(self_signed(dir.path()))).await;
    first.server.stop().await;
    let key = std::fs::read(dir.path().join("tenant-tls.key")).unwrap();
    std::fs::remove_file(dir.path().join("tenant-tls.crt")).unwrap();
    let again = Stand::with(Shop::default(), options(self_signed(dir.path()))).await;
    assert_eq!(std::fs::read(dir.path().join("tenant-tls.key")).unwrap(), key);
    let pinned = again.client(alice(), Trust::Pinned(again.server.fingerprint().unwrap()));
    pinned.public_status().await.unwrap();
}

async fn refused(options: virtengine_gateway::tenant::TenantServerOptions) -> TenantServerError {
    let clock = std::sync::Arc::new(TestClock::new());
    let metrics = std::sync::Arc::new(virtengine_gateway::metrics::Metrics::new());
    TenantServer::start(options, std::sync::Arc::new(Shop::default()), metrics, clock)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let stand = Stand::with(Shop::default(), options(self_signed(dir.path()))).await;
    stand.server.stop().await;
    let key = dir.path().join("tenant-tls.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let files = TlsChoice::Files {
        certificate: dir.path().join("tenant-tls.crt"),
        key,
    };
    let error = refused(options(files)).await;
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[tokio::test]
async fn plain_http_is_for_loopback_only() {
    let mut open = options(TlsChoice::Off);
    open.listen = ([0, 0, 0, 0], 0).into();
    assert!(matches!(
        refused(open).await,
        TenantServerError::PlainOffLoopback(_)
    ));
}

#[test]
fn a_fingerprint_is_read_with_and_without_colons() {
    let fingerprint = Fingerprint([0xab; 32]);
    let plain = fingerprint.to_string();
    let colons = plain
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap());
    let colons = colons.collect::<Vec<_>>().join(":").to_uppercase();
    assert_eq!(plain.parse::<Fingerprint>(), Ok(fingerprint));
    assert_eq!(colons.parse::<Fingerprint>(), Ok(fingerprint));
    assert!("abcd".parse::<Fingerprint>().is_err());
}
