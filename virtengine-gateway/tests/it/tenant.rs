use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
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
        .build()
        .unwrap()
}
