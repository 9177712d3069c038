use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use virtengine_gateway::api::{ErrorCode, WorkloadState};
use virtengine_gateway::metrics::Metrics;
use virtengine_gateway::tenant::{
    TenantClient, TenantClientError, TenantClientOptions, TenantServer, TenantServerOptions, TlsChoice, Trust,
};
use virtengine_provider_core::ports::adapter::LogQuery;
use virtengine_provider_core::ports::clock::Clock as _;

use crate::clock::TestClock;
use crate::provider::{Account, CHAIN, Shop, alice, bob, provider};

pub(crate) struct Stand {
    pub(crate) server: TenantServer,
    pub(crate) shop: Arc<Shop>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) metrics: Arc<Metrics>,
}

pub(crate) fn options(tls: TlsChoice) -> TenantServerOptions {
    TenantServerOptions::new(([127, 0, 0, 1], 0).into(), tls, provider(), CHAIN)
}

impl Stand {
    pub(crate) async fn open(shop: Shop) -> Self {
        Self::with(shop, options(TlsChoice::Off)).await
    }

    pub(crate) async fn with(shop: Shop, options: TenantServerOptions) -> Self {
        let (shop, clock, metrics) = (
            Arc::new(shop),
            Arc::new(TestClock::new()),
            Arc::new(Metrics::new()),
        );
        let server = TenantServer::start(options, shop.clone(), metrics.clone(), clock.clone())
            .await
            .unwrap();
        Self {
            server,
            shop,
            clock,
            metrics,
        }
    }

    pub(crate) fn client(&self, account: Account, trust: Trust) -> TenantClient {
        let scheme = if self.server.fingerprint().is_some() {
            "https"
        } else {
            "http"
        };
        TenantClient::new(TenantClientOptions {
            base: format!("{scheme}://{}", self.server.address()),
            trust,
            provider: provider(),
            chain_id: CHAIN.to_owned(),
            signer: Arc::new(account),
            clock: self.clock.clone(),
        })
        .unwrap()
    }
}

fn code(error: TenantClientError) -> ErrorCode {
    match error {
        TenantClientError::Refused(error) => error.code,
        other => panic!("not a refusal: {other}"),
    }
}

#[tokio::test]
async fn a_tenant_sends_a_manifest_and_sees_the_lease() {
    let stand = Stand::open(Shop::default()).await;
    let client = stand.client(alice(), Trust::Roots);
    assert!(!client.put_manifest(7, "services: {}").await.unwrap().unchanged);
    assert!(client.put_manifest(7, "services: {}").await.unwrap().unchanged);
    let (deployment, text) = stand.shop.manifests.lock().unwrap()[0].clone();
    assert_eq!(
        (deployment.owner, text.as_str()),
        (alice().address(), "services: {}")
    );
    let status = client.lease_status(7, 1, 1).await.unwrap();
    assert_eq!(status.state, Some(WorkloadState::Running));
    assert_eq!(client.public_status().await.unwrap().active_leases, 2);
}

#[tokio::test]
async fn refusals_keep_their_code() {
    let stand = Stand::open(Shop::default()).await;
    let client = stand.client(alice(), Trust::Roots);
    assert_eq!(
        code(client.put_manifest(7, "bad").await.unwrap_err()),
        ErrorCode::InvalidRequest
    );
    assert_eq!(
        code(client.lease_status(7, 2, 1).await.unwrap_err()),
        ErrorCode::NotFound
    );
    assert_eq!(
        code(client.lease_status(99, 1, 1).await.unwrap_err()),
        ErrorCode::NotFound
    );
    assert_eq!(
        code(client.lease_status(8, 1, 1).await.unwrap_err()),
        ErrorCode::Forbidden
    );
    let bob = stand.client(bob(), Trust::Roots);
    assert_eq!(
        code(bob.put_manifest(7, "x").await.unwrap_err()),
        ErrorCode::Forbidden
    );
    assert!(stand.shop.manifests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_next_request_works() {
    let stand = Stand::open(Shop::default()).await;
    let client = stand.client(alice(), Trust::Roots);
    assert_eq!(
        code(client.put_manifest(7, "panic").await.unwrap_err()),
        ErrorCode::Internal
    );
    client.lease_status(7, 1, 1).await.unwrap();
}

#[tokio::test]
async fn logs_resume_after_a_position_and_end_with_the_server() {
    let stand = Stand::open(Shop {
        lines: 5,
        ..Shop::default()
    })
    .await;
    let client = stand.client(alice(), Trust::Roots);
    let query = LogQuery {
        after: Some(2),
        tail: Some(100),
        service: Some("web".to_owned()),
        replica: Some(0),
    };
    let lines = client.lease_logs((7, 1, 1), &query, true).await.unwrap();
    futures_util::pin_mut!(lines);
    for position in 3..=5 {
        assert_eq!(lines.next().await.unwrap().unwrap().position, position);
    }
    stand.server.stop().await;
    let end = tokio::time::timeout(Duration::from_secs(5), lines.next()).await;
    assert!(end.unwrap().is_none_or(|item| item.is_err()));
}

/// Follows the log of `server`, which answers the one request that comes with `answer` and then says nothing, for ever.
async fn follow_silent_provider(answer: &'static [u8]) -> (TenantClientError, Duration) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer).await.unwrap();
        std::future::pending::<()>().await;
    });
    let client = TenantClient::new(TenantClientOptions {
        base,
        trust: Trust::Roots,
        provider: provider(),
        chain_id: CHAIN.to_owned(),
        signer: Arc::new(alice()),
        clock: Arc::new(TestClock::new()),
    })
    .unwrap();
    let begun = tokio::time::Instant::now();
    let follow = async {
        let lines = client.lease_logs((7, 1, 1), &LogQuery::default(), true).await?;
        futures_util::pin_mut!(lines);
        while let Some(line) = lines.next().await {
            line?;
        }
        panic!("the log ended");
    };
    let ended: Result<(), _> = tokio::time::timeout(Duration::from_secs(3600), follow)
        .await
        .expect("the log is followed for an hour without a sign of life");
    server.abort();
    (ended.unwrap_err(), begun.elapsed())
}

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_provider_that_falls_silent_ends_a_followed_log_with_an_error() {
    let line = "{\"service\":\"web\",\"replica\":0,\"position\":1,\"text\":\"x\"}\n";
    let started = format!("{CHUNKED}{:x}\r\n{line}\r\n", line.len());
    // Before the answer, within its head, in the middle of the log.
    for answer in ["", "HTTP/1.1 200 OK\r\n", CHUNKED, started.leak()] {
        let (error, after) = follow_silent_provider(answer.as_bytes()).await;
        assert!(
            matches!(&error, TenantClientError::Unreachable { .. }),
            "{answer:?}: {error}"
        );
        assert!(error.to_string().contains("60 s"), "{error}");
        assert!(after <= Duration::from_secs(61), "{answer:?}: {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_log_is_followed_as_long_as_the_provider_shows_that_it_lives() {
    let stand = Stand::open(Shop {
        lines: 1,
        ..Shop::default()
    })
    .await;
    let client = stand.client(alice(), Trust::Roots);
    let lines = client
        .lease_logs((7, 1, 1), &LogQuery::default(), true)
        .await
        .unwrap();
    futures_util::pin_mut!(lines);
    assert_eq!(lines.next().await.unwrap().unwrap().position, 1);
    let quiet = tokio::time::timeout(Duration::from_secs(600), lines.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test]
async fn open_log_streams_of_one_owner_are_bounded_and_given_back() {
    let stand = Stand::open(Shop::default()).await;
    let client = stand.client(alice(), Trust::Roots);
    let query = LogQuery::default();
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(client.lease_logs((7, 1, 1), &query, true).await.unwrap());
    }
    let refused = client.lease_logs((7, 1, 1), &query, true).await;
    assert_eq!(code(refused.map(|_| ()).unwrap_err()), ErrorCode::RateLimited);
    // Somebody else is not affected.
    let others = stand.client(bob(), Trust::Roots);
    drop(others.lease_logs((8, 1, 1), &query, true).await.unwrap());
    drop(open);
    let again = async {
        loop {
            if client.lease_logs((7, 1, 1), &query, false).await.is_ok() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), again).await.unwrap();
}

#[tokio::test]
async fn plain_text_logs_do_not_steer_a_terminal() {
    let stand = Stand::open(Shop {
        lines: 1,
        ..Shop::default()
    })
    .await;
    let path = "/lease/7/1/1/logs";
    let request = crate::tenant_auth::signed(&alice(), "GET", path, b"", stand.clock.now()).await;
    let mut call = reqwest_client().get(format!("http://{}{path}", stand.server.address()));
    for (name, value) in request.headers() {
        call = call.header(*name, value);
    }
    let text = call
        .header("accept", "text/plain")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(text.starts_with("web/0 red"), "{text:?}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

pub(crate) fn reqwest_client() -> reqwest::Client {
    reqwest_client_from([127, 0, 0, 1])
}

/// A client whose own address is `from`.
pub(crate) fn reqwest_client_from(from: [u8; 4]) -> reqwest::Client {
    let roots = rustls::RootCertStore::empty();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .local_address(std::net::IpAddr::from(from))
        .build()
        .unwrap()
}
