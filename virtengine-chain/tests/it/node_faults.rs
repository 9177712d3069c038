//! Endpoints that hang, lag, lie, or are of another chain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use virtengine_chain::proto::cosmos::base::query::v1beta1::PageResponse;
use virtengine_chain::proto::virtengine::market::v1beta5::{
    Order, QueryOrderResponse, QueryOrdersRequest, QueryOrdersResponse, order,
};
use virtengine_chain::rpc::EndpointHealth;
use virtengine_chain::wire;
use virtengine_provider_core::id::{Height, OrderId};
use virtengine_provider_core::market::GroupSpec;
use virtengine_provider_core::ports::chain::{ChainError, ChainQuery as _};

use crate::fake_node::{FakeNode, Fault, answer, client, config, refusal};

pub(crate) const ALICE: &str = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f";
const ORDERS: &str = "/virtengine.market.v1beta5.Query/Orders";
const ORDER: &str = "/virtengine.market.v1beta5.Query/Order";

#[tokio::test]
async fn half_open_tcp_no_bids() {
    let (hanging, good) = (FakeNode::start().await, FakeNode::start().await);
    hanging.chain().height = 101;
    let client = client(&[&hanging, &good]);
    assert_eq!(client.head().await.unwrap().height, Height(101));
    for method in ["status", "abci_query", "block", "block_results"] {
        hanging.fault(method, Fault::Hang);
    }
    good.chain().height = 105;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_millis(110)).await;
    assert_eq!(client.head().await.unwrap().height, Height(105));
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "a hanging endpoint delays nobody"
    );
    good.chain().height = 120;
    tokio::time::sleep(Duration::from_millis(110)).await;
    client.head().await.unwrap();
    let health: Vec<_> = client.status().iter().map(|each| each.health).collect();
    assert_eq!(health, [EndpointHealth::Lagging, EndpointHealth::Fresh]);
}

#[tokio::test]
async fn who_waits_for_heights_does_not_wait_for_those_that_waited_before() {
    let hanging = FakeNode::start().await;
    hanging.fault("status", Fault::Hang);
    let client = client(&[&hanging]);
    let began = Instant::now();
    let asked = (0..12).map(|_| client.head());
    for answer in futures_util::future::join_all(asked).await {
        assert!(answer.unwrap_err().is_retryable());
    }
    assert_eq!(hanging.calls("status"), 1);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // Whoever comes later asks again.
    hanging.heal();
    client.head().await.unwrap();
}

#[tokio::test]
async fn a_question_moves_on_from_an_endpoint_that_hangs() {
    let (hanging, good) = (FakeNode::start().await, FakeNode::start().await);
    hanging.chain().height = 101;
    for node in [&hanging, &good] {
        let found = QueryOrderResponse {
            order: Some(wire_order(7)),
        };
        node.chain()
            .queries
            .insert(ORDER.to_owned(), Arc::new(move |_, _| answer(&found, 100)));
    }
    hanging.fault("abci_query", Fault::Hang);
    let client = client(&[&hanging, &good]);
    let order = client.order(&order_id(7)).await.unwrap();
    assert_eq!(order.id, order_id(7));
    let failing = &client.status()[0];
    assert_eq!(failing.health, EndpointHealth::Failing);
    assert!(
        failing.last_error.as_ref().unwrap().contains("no answer within"),
        "{failing:?}"
    );
}

#[tokio::test]
async fn rpc_lagging_node() {
    let (fresh, stale) = (FakeNode::start().await, FakeNode::start().await);
    stale.chain().height = 60;
    for node in [&fresh, &stale] {
        let found = QueryOrderResponse {
            order: Some(wire_order(7)),
        };
        node.chain()
            .queries
            .insert(ORDER.to_owned(), Arc::new(move |_, _| answer(&found, 60)));
    }
    let client = client(&[&stale, &fresh]);
    client.order(&order_id(7)).await.unwrap();
    assert_eq!((stale.calls("abci_query"), fresh.calls("abci_query")), (0, 1));
    // The fresh one goes away: better no answer than one from the past.
    fresh.fault("abci_query", Fault::Http(502));
    fresh.fault("status", Fault::Http(502));
    let error = client.order(&order_id(7)).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let error = client.order(&order_id(7)).await.unwrap_err();
    assert!(error.to_string().contains("behind height 100"), "{error}");
    assert_eq!(stale.calls("abci_query"), 0);
}

#[tokio::test]
async fn an_endpoint_of_another_chain_is_never_asked() {
    let (other, good) = (FakeNode::start().await, FakeNode::start().await);
    other.chain().chain_id = "other-1".to_owned();
    other.chain().height = 1000;
    let both = client(&[&other, &good]);
    assert_eq!(both.head().await.unwrap().height, Height(100));
    assert_eq!(both.status()[0].health, EndpointHealth::WrongChain);
    let alone = client(&[&other]);
    let error = alone.head().await.unwrap_err();
    assert!(matches!(error, ChainError::WrongChain(_)), "{error}");
    assert!(error.to_string().contains("other-1"), "{error}");
}

#[tokio::test]
async fn an_endpoint_with_other_blocks_than_the_majority_is_never_asked() {
    let (fork, one, two) = (
        FakeNode::start().await,
        FakeNode::start().await,
        FakeNode::start().await,
    );
    fork.chain().hash_salt = "fork";
    fork.chain().height = 103;
    let client = client(&[&fork, &one, &two]);
    assert_eq!(client.head().await.unwrap().height, Height(100));
    assert_eq!(client.status()[0].health, EndpointHealth::Disagrees);
}

#[tokio::test]
async fn start_with_rpc_down() {
    let node = FakeNode::start().await;
    node.fault("status", Fault::Http(503));
    let client = client(&[&node]);
    let error = client.head().await.unwrap_err();
    assert!(
        error.is_retryable() && error.to_string().contains("http status 503"),
        "{error}"
    );
    assert_eq!(client.ping().await[0].health, EndpointHealth::Failing);
    node.heal();
    // The pause after the failure does not hold up the only endpoint.
    assert_eq!(client.head().await.unwrap().height, Height(100));
    assert_eq!(client.status()[0].health, EndpointHealth::Fresh);
}

#[tokio::test]
async fn unusable_answers_are_errors_that_say_why() {
    let node = FakeNode::start().await;
    let mut config = config(&[&node]);
    config.response_bytes_max = 70_000;
    let client = virtengine_chain::ChainClient::new(config).unwrap();
    client.head().await.unwrap();
    let faults = [
        (Fault::Text("<html>gateway</html>".to_owned()), "expected value"),
        (Fault::Text("{}".to_owned()), "neither result nor error"),
        (Fault::Text("{\"result\": {\"respon".to_owned()), "EOF"),
        (Fault::Result(json!({"response": {"height": 12}})), "invalid type"),
        (
            Fault::Result(json!({"response": {"height": "-1"}})),
            "no unsigned integer",
        ),
        (Fault::Long(80_000), "longer than 70000 bytes"),
        (Fault::Http(500), "http status 500"),
        (Fault::Error("something broke"), "something broke"),
    ];
    for (fault, expected) in faults {
        node.fault("abci_query", fault.clone());
        let error = client.order(&order_id(1)).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{fault:?}: {error}");
        assert!(error.is_retryable(), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn https_works_without_a_crypto_provider_for_the_whole_process() {
    let node = FakeNode::start().await;
    let mut config = config(&[&node]);
    config.endpoints = vec![node.url.replace("http://", "https://").parse().unwrap()];
    let client = virtengine_chain::ChainClient::new(config).unwrap();
    let error = client.head().await.unwrap_err();
    assert!(error.is_retryable(), "plain HTTP where TLS is expected: {error}");
}

#[tokio::test]
async fn a_broken_node_is_passed_over() {
    let (broken, good) = (FakeNode::start().await, FakeNode::start().await);
    broken.chain().height = 101;
    broken.fault("abci_query", Fault::Error("leveldb: closed"));
    let found = QueryOrderResponse {
        order: Some(wire_order(7)),
    };
    good.chain()
        .queries
        .insert(ORDER.to_owned(), Arc::new(move |_, _| answer(&found, 100)));
    assert_eq!(
        client(&[&broken, &good]).order(&order_id(7)).await.unwrap().id,
        order_id(7)
    );
}

#[tokio::test]
async fn answers_of_the_application_are_told_apart() {
    let node = FakeNode::start().await;
    let client = client(&[&node]);
    let answers = [
        (22, "invalid order: order not found: key not found", true),
        (
            22,
            "rpc error: code = NotFound desc = account not found: key not found",
            true,
        ),
        (
            18,
            "rpc error: code = InvalidArgument desc = invalid state value: invalid request",
            false,
        ),
    ];
    for (code, log, missing) in answers {
        node.chain()
            .queries
            .insert(ORDER.to_owned(), Arc::new(move |_, _| refusal("sdk", code, log)));
        let error = client.order(&order_id(1)).await.unwrap_err();
        assert_eq!(matches!(error, ChainError::NotFound(_)), missing, "{error}");
        assert_eq!(matches!(error, ChainError::Malformed(_)), !missing, "{error}");
    }
    let other = QueryOrderResponse {
        order: Some(wire_order(2)),
    };
    node.chain()
        .queries
        .insert(ORDER.to_owned(), Arc::new(move |_, _| answer(&other, 100)));
    let error = client.order(&order_id(1)).await.unwrap_err();
    assert!(
        error.to_string().contains("asked for"),
        "another order than the one asked for: {error}"
    );
}

pub(crate) fn order_id(dseq: u64) -> OrderId {
    OrderId::new(ALICE.parse().unwrap(), dseq, 1, 1)
}

fn wire_order(dseq: u64) -> Order {
    let spec = GroupSpec {
        name: "g".to_owned(),
        attributes: Vec::new(),
        signed_by_all_of: Vec::new(),
        signed_by_any_of: Vec::new(),
        resources: Vec::new(),
    };
    Order {
        id: Some(wire::order_id_to_wire(&order_id(dseq))),
        state: i32::from(order::State::Open),
        spec: Some(wire::group_spec_to_wire(&spec)),
        created_at: 5,
    }
}

/// Serves `orders` in pages of three.
fn serve_pages(node: &FakeNode, orders: Vec<Order>) {
    use prost::Message as _;
    let page = move |request: &[u8], height: u64| {
        let request = QueryOrdersRequest::decode(request).unwrap();
        let key = request.pagination.unwrap().key;
        assert_eq!(
            height,
            if key.is_empty() { 0 } else { 77 },
            "later pages are of the height of the first one"
        );
        let from = key.first().map_or(0, |byte| usize::from(*byte));
        let next = (from + 3 < orders.len()).then(|| vec![u8::try_from(from + 3).unwrap()]);
        let found = QueryOrdersResponse {
            orders: orders.iter().skip(from).take(3).cloned().collect(),
            pagination: Some(PageResponse {
                next_key: next.unwrap_or_default(),
                total: 3,
            }),
        };
        answer(&found, 77)
    };
    node.chain().queries.insert(ORDERS.to_owned(), Arc::new(page));
}

#[tokio::test]
async fn lists_are_complete_and_of_one_height() {
    let node = FakeNode::start().await;
    serve_pages(&node, (1..=10).map(wire_order).collect());
    let orders = client(&[&node]).open_orders().await.unwrap();
    let expected: Vec<OrderId> = (1..=10).map(order_id).collect();
    assert_eq!(
        orders.into_iter().map(|order| order.id).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(node.calls("abci_query"), 4);
}

#[tokio::test]
async fn one_odd_order_does_not_hide_the_others() {
    let node = FakeNode::start().await;
    let mut odd = wire_order(2);
    odd.id.as_mut().unwrap().owner = "nobody".to_owned();
    serve_pages(&node, vec![wire_order(1), odd, wire_order(3)]);
    let orders = client(&[&node]).open_orders().await.unwrap();
    assert_eq!(orders.len(), 2);
}

#[tokio::test]
async fn a_list_that_never_ends_is_an_error() {
    let node = FakeNode::start().await;
    let same = |_: &[u8], _| {
        let found = QueryOrdersResponse {
            orders: vec![wire_order(1)],
            pagination: Some(PageResponse {
                next_key: vec![1],
                total: 1,
            }),
        };
        answer(&found, 77)
    };
    node.chain().queries.insert(ORDERS.to_owned(), Arc::new(same));
    let error = client(&[&node]).open_orders().await.unwrap_err();
    assert!(error.to_string().contains("the same page again"), "{error}");
}
