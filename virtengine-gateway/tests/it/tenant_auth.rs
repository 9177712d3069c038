//! Who may not in, and with which status.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k256::ecdsa::Signature;
use virtengine_gateway::api::ErrorBody;
use virtengine_gateway::tenant::{RequestToSign, SignedRequest};
use virtengine_provider_core::id::Address;
use virtengine_provider_core::ports::clock::Clock as _;
use virtengine_provider_core::time::Timestamp;

use crate::provider::{Account, CHAIN, Shop, alice, bob, provider};
use crate::tenant::{Stand, reqwest_client};

const PATH: &str = "/lease/7/1/1/status";

type Headers = Vec<(String, String)>;

pub(crate) async fn signed(
    account: &Account,
    method: &str,
    path: &str,
    body: &[u8],
    at: Timestamp,
) -> SignedRequest {
    sign_for(account, (method, path, body), at, &provider(), CHAIN).await
}

async fn sign_for(
    account: &Account,
    (method, path_and_query, body): (&str, &str, &[u8]),
    at: Timestamp,
    provider: &Address,
    chain_id: &str,
) -> SignedRequest {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).unwrap();
    let request = RequestToSign {
        method,
        path_and_query,
        body,
        provider,
        chain_id,
        at,
        nonce: &hex::encode(nonce),
    };
    SignedRequest::sign(&request, account, "ve").await.unwrap()
}

fn headers(request: &SignedRequest) -> Headers {
    request
        .headers()
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn replace(headers: &mut Headers, name: &str, value: impl Into<String>) {
    headers.iter_mut().find(|(each, _)| each == name).unwrap().1 = value.into();
}

struct Door {
    stand: Stand,
    http: reqwest::Client,
}

impl Door {
    async fn open() -> Self {
        Self {
            stand: Stand::open(Shop::default()).await,
            http: reqwest_client(),
        }
    }

    fn now(&self) -> Timestamp {
        self.stand.clock.now()
    }

    async fn get(&self, path: &str, headers: &Headers) -> (u16, String) {
        self.send("GET", path, headers, Vec::new()).await
    }

    async fn send(&self, method: &str, path: &str, headers: &Headers, body: Vec<u8>) -> (u16, String) {
        let url = format!("http://{}{path}", self.stand.server.address());
        let mut call = self.http.request(method.parse().unwrap(), url).body(body);
        for (name, value) in headers {
            call = call.header(name, value);
        }
        let response = call.send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.text().await.unwrap();
        if status >= 400 {
            let refusal: ErrorBody = serde_json::from_str(&body).unwrap();
            assert_eq!(refusal.error.code.http_status(), status);
            return (status, refusal.error.message);
        }
        (status, body)
    }

    async fn alice(&self) -> Headers {
        headers(&signed(&alice(), "GET", PATH, b"", self.now()).await)
    }
}

#[tokio::test]
async fn the_owner_gets_in_and_only_once_per_signature() {
    let door = Door::open().await;
    let request = door.alice().await;
    assert_eq!(door.get(PATH, &request).await.0, 200);
    let (status, message) = door.get(PATH, &request).await;
    assert_eq!(status, 401);
    assert!(message.contains("made before"), "{message}");
}

#[tokio::test]
async fn two_at_once_with_one_signature_are_one() {
    let door = Door::open().await;
    let request = door.alice().await;
    let answers = futures_util::future::join_all((0..8).map(|_| door.get(PATH, &request))).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|(status, _)| *status == 401).count(), 7);
}

#[tokio::test]
async fn every_header_is_needed() {
    let door = Door::open().await;
    let request = door.alice().await;
    for missing in 0..request.len() {
        let mut rest = request.clone();
        let (name, _) = rest.remove(missing);
        let (status, message) = door.get(PATH, &rest).await;
        assert_eq!(status, 401);
        assert!(
            message.contains(&name) && message.contains("missing"),
            "{message}"
        );
    }
    for doubled in 0..request.len() {
        let mut more = request.clone();
        more.push(request[doubled].clone());
        assert_eq!(door.get(PATH, &more).await.0, 401);
    }
    assert_eq!(door.get(PATH, &request).await.0, 200);
}

#[tokio::test]
async fn a_signature_is_of_one_method_path_query_and_body() {
    let door = Door::open().await;
    for path in [
        "/lease/7/1/2/status",
        "/lease/7/1/1/status?x=1",
        "/lease/7/1/1/logs",
    ] {
        let (status, message) = door.get(path, &door.alice().await).await;
        assert_eq!(status, 401, "{path}");
        assert!(message.contains("not of this request"), "{message}");
    }
    let path = "/deployment/7/manifest";
    let put = headers(&signed(&alice(), "PUT", path, b"one", door.now()).await);
    assert_eq!(door.send("PUT", path, &put, b"two".to_vec()).await.0, 401);
    assert_eq!(door.send("GET", path, &put, Vec::new()).await.0, 401);
    assert!(door.stand.shop.manifests.lock().unwrap().is_empty());
    assert_eq!(door.send("PUT", path, &put, b"one".to_vec()).await.0, 200);
}

#[tokio::test]
async fn a_changed_nonce_or_time_breaks_the_signature() {
    let door = Door::open().await;
    let changes = [
        ("x-ve-nonce", "00000000000000000000000000000000".to_owned()),
        ("x-ve-timestamp", (door.now().as_millis() + 1).to_string()),
    ];
    for (name, value) in changes {
        let mut request = door.alice().await;
        replace(&mut request, name, value);
        assert_eq!(door.get(PATH, &request).await.0, 401, "{name}");
    }
}

#[tokio::test]
async fn malformed_headers_are_refused() {
    let door = Door::open().await;
    let long = "a".repeat(65);
    let changes = [
        ("x-ve-address", "ve1nonsense"),
        ("x-ve-pubkey", "???"),
        ("x-ve-pubkey", "AAAA"),
        ("x-ve-timestamp", "yesterday"),
        ("x-ve-timestamp", "9223372036854775807"),
        ("x-ve-timestamp", "-9223372036854775808"),
        ("x-ve-nonce", "short"),
        ("x-ve-nonce", &long),
        ("x-ve-nonce", "0123456789 012345"),
        ("x-ve-signature", "AAAA"),
        ("x-ve-signature", ""),
    ];
    for (name, value) in changes {
        let mut request = door.alice().await;
        replace(&mut request, name, value);
        assert_eq!(door.get(PATH, &request).await.0, 401, "{name}: {value}");
    }
    let mut zero = door.alice().await;
    replace(&mut zero, "x-ve-signature", BASE64.encode([0; 64]));
    assert_eq!(door.get(PATH, &zero).await.0, 401);
}

#[tokio::test]
async fn a_request_is_good_for_a_minute_to_either_side() {
    let door = Door::open().await;
    for (seconds, expected) in [(-61, 401), (-59, 200), (59, 200), (61, 401)] {
        let at = Timestamp::from_millis(door.now().as_millis() + seconds * 1000);
        let request = headers(&signed(&alice(), "GET", PATH, b"", at).await);
        assert_eq!(door.get(PATH, &request).await.0, expected, "{seconds} s");
    }
    let early = door.alice().await;
    door.stand.clock.advance(Duration::from_secs(61));
    assert_eq!(door.get(PATH, &early).await.0, 401);
}

#[tokio::test]
async fn a_request_made_ahead_of_time_cannot_be_made_twice_later() {
    let door = Door::open().await;
    let at = door.now().plus(Duration::from_secs(59));
    let request = headers(&signed(&alice(), "GET", PATH, b"", at).await);
    assert_eq!(door.get(PATH, &request).await.0, 200);
    door.stand.clock.advance(Duration::from_secs(118));
    let (status, message) = door.get(PATH, &request).await;
    assert_eq!(status, 401);
    assert!(message.contains("made before"), "{message}");
}

#[tokio::test]
async fn a_signature_for_another_provider_or_chain_is_worth_nothing() {
    let door = Door::open().await;
    let other = Account::new(10).address();
    for (provider, chain) in [(&other, CHAIN), (&provider(), "other-1")] {
        let request = sign_for(&alice(), ("GET", PATH, b""), door.now(), provider, chain).await;
        assert_eq!(door.get(PATH, &headers(&request)).await.0, 401);
    }
}

#[tokio::test]
async fn the_other_form_of_a_signature_is_refused() {
    let door = Door::open().await;
    let mut request = door.alice().await;
    let encoded = &request
        .iter()
        .find(|(name, _)| name == "x-ve-signature")
        .unwrap()
        .1;
    let low = Signature::from_slice(&BASE64.decode(encoded).unwrap()).unwrap();
    let (r, s) = low.split_scalars();
    let high = Signature::from_scalars(*r, *-s).unwrap();
    replace(&mut request, "x-ve-signature", BASE64.encode(high.to_bytes()));
    let (status, message) = door.get(PATH, &request).await;
    assert_eq!(status, 401);
    assert!(message.contains("low-s"), "{message}");
}

#[tokio::test]
async fn another_account_gets_403_and_cannot_pass_as_the_owner() {
    let door = Door::open().await;
    let bobs = headers(&signed(&bob(), "GET", PATH, b"", door.now()).await);
    assert_eq!(door.get(PATH, &bobs).await.0, 403);
    // Bob's key under Alice's address, and Alice's key with Bob's signature.
    let mut liar = headers(&signed(&bob(), "GET", PATH, b"", door.now()).await);
    replace(&mut liar, "x-ve-address", alice().address().to_string());
    assert_eq!(door.get(PATH, &liar).await.0, 401);
    let alices = door.alice().await;
    for name in ["x-ve-address", "x-ve-pubkey"] {
        let value = alices.iter().find(|(each, _)| each == name).unwrap().1.clone();
        replace(&mut liar, name, value);
    }
    assert_eq!(door.get(PATH, &liar).await.0, 401);
}

#[tokio::test]
async fn an_address_under_another_prefix_is_not_the_owner() {
    let door = Door::open().await;
    let mut request = door.alice().await;
    let other = Address::from_bytes("cosmos", &alice().address().to_bytes()).unwrap();
    replace(&mut request, "x-ve-address", other.to_string());
    assert_eq!(door.get(PATH, &request).await.0, 401);
}

#[tokio::test]
async fn without_a_signature_only_the_public_pages_open() {
    let door = Door::open().await;
    let nobody = Headers::new();
    for path in ["/version", "/address", "/status"] {
        assert_eq!(door.get(path, &nobody).await.0, 200, "{path}");
    }
    for path in [
        PATH,
        "/lease/7/1/1/logs",
        "/lease/99/1/1/status",
        "/deployment/7/manifest",
    ] {
        assert_eq!(door.get(path, &nobody).await.0, 401, "{path}");
    }
    for path in [
        "/",
        "/v1/status",
        "/metrics",
        "/lease/7/1/1/shell",
        "/lease/x/1/1/logs/../..",
    ] {
        assert_eq!(door.get(path, &nobody).await.0, 404, "{path}");
    }
    assert_eq!(door.get("/lease/+7/1/1/status", &nobody).await.0, 400);
}
