//! Hostile input is bounded.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use virtengine_gateway::tenant::TlsChoice;
use virtengine_provider_core::ports::clock::Clock as _;

use crate::provider::{Shop, alice};
use crate::tenant::{Stand, options, reqwest_client, reqwest_client_from};
use crate::tenant_auth::signed;

async fn put(stand: &Stand, body: Vec<u8>) -> u16 {
    put_from([127, 0, 0, 1], stand, body).await
}

async fn put_from(from: [u8; 4], stand: &Stand, body: Vec<u8>) -> u16 {
    let path = "/deployment/7/manifest";
    let request = signed(&alice(), "PUT", path, &body, stand.clock.now()).await;
    let mut call = reqwest_client_from(from)
        .put(format!("http://{}{path}", stand.server.address()))
        .body(body);
    for (name, value) in request.headers() {
        call = call.header(*name, value);
    }
    call.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_body_of_one_mebibyte_is_read_and_one_more_byte_is_not() {
    let stand = Stand::open(Shop::default()).await;
    assert_eq!(put(&stand, vec![b'a'; 1 << 20]).await, 200);
    assert_eq!(put(&stand, vec![b'a'; (1 << 20) + 1]).await, 413);
    assert_eq!(put(&stand, vec![0xff; 16]).await, 400);
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let stand = Stand::open(Shop::default()).await;
    let mut stream = TcpStream::connect(stand.server.address()).await.unwrap();
    let path = "/deployment/7/manifest";
    let request = signed(&alice(), "PUT", path, b"", stand.clock.now()).await;
    let mut head = format!("PUT {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n");
    for (name, value) in request.headers() {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b'a'; 0x10000], b"\r\n".to_vec()].concat();
    let mut sent = 0_usize;
    while sent < 64 << 20 && stream.write_all(&chunk).await.is_ok() {
        sent += 0x10000;
    }
    assert!(sent < 32 << 20, "{sent} bytes were taken");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_cut_off() {
    let stand = Stand::open(Shop::default()).await;
    let mut stream = TcpStream::connect(stand.server.address()).await.unwrap();
    stream
        .write_all(b"GET /version HTTP/1.1\r\nhost: x\r\n")
        .await
        .unwrap();
    let begun = tokio::time::Instant::now();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        begun.elapsed() <= Duration::from_secs(11),
        "{:?}",
        begun.elapsed()
    );
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let tls = TlsChoice::SelfSigned {
        directory: dir.path().to_owned(),
        names: vec!["localhost".to_owned()],
    };
    for choice in [TlsChoice::Off, tls] {
        let stand = Stand::with(Shop::default(), options(choice)).await;
        let mut stream = TcpStream::connect(stand.server.address()).await.unwrap();
        let begun = tokio::time::Instant::now();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(
            begun.elapsed() <= Duration::from_secs(11),
            "{:?}",
            begun.elapsed()
        );
    }
}

/// Begins uploads whose body never comes, each with headers that look right: no key of a tenant is needed for that.
async fn begin_slow_uploads(stand: &Stand, count: usize) -> Vec<TcpStream> {
    let path = "/deployment/7/manifest";
    let mut held = Vec::new();
    for _ in 0..count {
        let request = signed(&alice(), "PUT", path, b"x", stand.clock.now()).await;
        let mut head = format!("PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n");
        for (name, value) in request.headers() {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = TcpStream::connect(stand.server.address()).await.unwrap();
        stream.write_all((head + "\r\n").as_bytes()).await.unwrap();
        held.push(stream);
    }
    held
}

#[tokio::test]
async fn slow_uploads_do_not_keep_others_from_asking() {
    let mut narrow = options(TlsChoice::Off);
    narrow.requests_max = 4;
    let stand = Stand::with(Shop::default(), narrow).await;
    let _held = begin_slow_uploads(&stand, 8).await;
    let full = async { while put(&stand, b"x".to_vec()).await != 503 {} };
    tokio::time::timeout(Duration::from_secs(5), full).await.unwrap();
    let client = stand.client(alice(), virtengine_gateway::tenant::Trust::Roots);
    client.lease_status(7, 1, 1).await.unwrap();
}

/// Many requests are allowed, so that 429 is about uploads.
async fn stand_for_uploads() -> Stand {
    let mut options = options(TlsChoice::Off);
    options.requests_per_peer_per_minute = 1_000_000;
    Stand::with(Shop::default(), options).await
}

#[tokio::test]
async fn one_address_cannot_hold_every_upload() {
    let stand = stand_for_uploads().await;
    let _held = begin_slow_uploads(&stand, 20).await;
    let own_share_is_used = async { while put(&stand, b"x".to_vec()).await != 429 {} };
    tokio::time::timeout(Duration::from_secs(5), own_share_is_used)
        .await
        .unwrap();
    assert_eq!(put_from([127, 0, 0, 2], &stand, b"x".to_vec()).await, 200);
}

#[tokio::test]
async fn tenants_behind_one_address_take_turns_to_upload() {
    let stand = stand_for_uploads().await;
    let mut uploads = tokio::task::JoinSet::new();
    let stand = std::sync::Arc::new(stand);
    for _ in 0..12 {
        let stand = std::sync::Arc::clone(&stand);
        uploads.spawn(async move { put(&stand, vec![b'x'; 200_000]).await });
    }
    assert_eq!(uploads.join_all().await, [200; 12]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_upload_gives_its_place_back_within_fifteen_seconds() {
    let stand = stand_for_uploads().await;
    let begun = tokio::time::Instant::now();
    let held = begin_slow_uploads(&stand, 4).await;
    for mut stream in held {
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 504");
    }
    assert!(
        begun.elapsed() <= Duration::from_secs(16),
        "{:?}",
        begun.elapsed()
    );
    for _ in 0..8 {
        assert_eq!(put(&stand, b"x".to_vec()).await, 200);
    }
}

#[tokio::test]
async fn a_question_with_a_body_is_refused() {
    let stand = Stand::open(Shop::default()).await;
    let path = "/lease/7/1/1/status";
    let request = signed(&alice(), "GET", path, b"x", stand.clock.now()).await;
    let mut call = reqwest_client()
        .get(format!("http://{}{path}", stand.server.address()))
        .body("x");
    for (name, value) in request.headers() {
        call = call.header(*name, value);
    }
    assert_eq!(call.send().await.unwrap().status().as_u16(), 400);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let stand = Stand::open(Shop::default()).await;
    let answer = reqwest_client()
        .get(format!("http://{}/version", stand.server.address()))
        .header("x-large", "a".repeat(200_000))
        .send()
        .await;
    assert!(answer.is_err() || answer.unwrap().status().is_client_error());
}

#[tokio::test]
async fn one_address_cannot_hold_every_connection() {
    let mut few = options(TlsChoice::Off);
    few.connections_per_peer_max = 4;
    let stand = Stand::with(Shop::default(), few).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(stand.server.address()).await.unwrap();
        stream
            .write_all(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        held.push(stream);
    }
    let mut fifth = TcpStream::connect(stand.server.address()).await.unwrap();
    let _ = fifth.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = fifth.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn too_many_requests_get_429_and_are_counted() {
    let mut slow = options(TlsChoice::Off);
    slow.requests_per_peer_per_minute = 5;
    let stand = Stand::with(Shop::default(), slow).await;
    let http = reqwest_client();
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let url = format!("http://{}/version", stand.server.address());
        statuses.push(http.get(url).send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);
    let metrics = stand.metrics.encode().unwrap();
    assert!(
        metrics.contains("virtengine_api_requests_total{status=\"429\"} 3"),
        "{metrics}"
    );
    assert!(
        metrics.contains("virtengine_security_ratelimit_breaches_total 3"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_busy_provider_sheds_load_with_503() {
    let mut narrow = options(TlsChoice::Off);
    narrow.requests_max = 1;
    let hang = Shop {
        hang: true,
        ..Shop::default()
    };
    let stand = Stand::with(hang, narrow).await;
    let base = format!("http://{}", stand.server.address());
    let mut stuck = TcpStream::connect(stand.server.address()).await.unwrap();
    stuck
        .write_all(b"GET /status HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let http = reqwest_client();
    let shed = async {
        loop {
            let answer = http.get(format!("{base}/version")).send().await.unwrap();
            if answer.status().as_u16() == 503 {
                return answer.headers().contains_key("retry-after");
            }
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(5), shed).await.unwrap());
}

#[tokio::test]
async fn stopping_does_not_wait_for_idle_or_followed_connections() {
    let stand = Stand::open(Shop::default()).await;
    let _idle = TcpStream::connect(stand.server.address()).await.unwrap();
    let client = stand.client(alice(), virtengine_gateway::tenant::Trust::Roots);
    let query = virtengine_provider_core::ports::adapter::LogQuery::default();
    let _followed = client.lease_logs((7, 1, 1), &query, true).await.unwrap();
    let begun = Instant::now();
    stand.server.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
