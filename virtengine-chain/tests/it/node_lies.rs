//! Endpoints that say what is not so: heads that do not exist, lists without an end, words without an end.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use virtengine_chain::proto::cosmos::base::query::v1beta1::PageResponse;
use virtengine_chain::proto::virtengine::market::v1beta5::{Order, QueryOrdersResponse};
use virtengine_chain::rpc::EndpointHealth;
use virtengine_chain::{ChainClient, Follower, FollowerEvent};
use virtengine_provider_core::id::Height;
use virtengine_provider_core::ports::chain::{ChainError, ChainQuery as _};

use crate::fake_node::{FakeNode, Fault, answer, client, config, refusal};
use crate::node_faults::order_id;

const ORDERS: &str = "/virtengine.market.v1beta5.Query/Orders";
const ORDER: &str = "/virtengine.market.v1beta5.Query/Order";

/// A node whose newest block is of this moment.
async fn current(height: u64) -> FakeNode {
    let node = FakeNode::start().await;
    node.chain().height = height;
    node.chain().is_current = true;
    node
}

/// One that says to be at `height`, and has none of the blocks that nobody else has.
async fn liar(height: u64) -> FakeNode {
    let node = current(height).await;
    node.fault("block", Fault::Error("no such block here"));
    node
}

#[tokio::test]
async fn a_head_beyond_all_reason_is_believed_by_nobody() {
    let (liar, good) = (liar(1_000_000_000).await, current(100).await);
    for order in [[&liar, &good], [&good, &liar]] {
        let client = client(&order);
        assert_eq!(client.head().await.unwrap().height, Height(100));
        let healths: Vec<_> = client.status().iter().map(|each| each.health).collect();
        assert!(healths.contains(&EndpointHealth::Ahead), "{healths:?}");
        assert!(healths.contains(&EndpointHealth::Fresh), "{healths:?}");
    }
    // Alone it is all that there is.
    assert_eq!(
        client(&[&liar]).head().await.unwrap().height,
        Height(1_000_000_000)
    );
}

#[tokio::test]
async fn an_endpoint_that_is_far_behind_does_not_make_a_liar_of_the_others() {
    let (fresh, stale) = (current(100_000).await, FakeNode::start().await);
    stale.chain().height = 60;
    let client = client(&[&stale, &fresh]);
    assert_eq!(client.head().await.unwrap().height, Height(100_000));
    let healths: Vec<_> = client.status().iter().map(|each| each.health).collect();
    assert_eq!(healths, [EndpointHealth::Lagging, EndpointHealth::Fresh]);
}

#[tokio::test]
async fn a_false_head_does_not_hold_up_the_blocks_that_there_are() {
    for ahead in [1, 8, 60, 5_000, 1_000_000_000] {
        let (liar, good) = (liar(100 + ahead).await, current(100).await);
        let mut config = config(&[&liar, &good]);
        // Six seconds, as on the chain: what is ahead by less than time allows is only found out by asking for the blocks.
        config.block_time = Duration::from_secs(6);
        let mut follower = Follower::new(ChainClient::new(config).unwrap(), Height(100));
        let followed = async {
            for expected in 100..=103 {
                let height = loop {
                    match follower.next().await {
                        Ok(FollowerEvent::Block(block)) => break block.height,
                        Ok(gap @ FollowerEvent::Gap { .. }) => panic!("{gap:?}"),
                        Err(error) => assert!(error.is_retryable(), "{error}"),
                    }
                };
                assert_eq!(height, Height(expected));
                good.chain().height += 1;
            }
        };
        tokio::time::timeout(Duration::from_secs(8), followed)
            .await
            .unwrap_or_else(|_| panic!("stalled by a head that is {ahead} ahead"));
    }
}

fn endless_orders(per_page: usize) -> impl Fn(&[u8], u64) -> serde_json::Value + Send + Sync {
    let pages = std::sync::atomic::AtomicU64::new(1);
    move |_, _| {
        let page = pages.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let found = QueryOrdersResponse {
            orders: vec![Order::default(); per_page],
            pagination: Some(PageResponse {
                next_key: page.to_be_bytes().to_vec(),
                total: 0,
            }),
        };
        answer(&found, 77)
    }
}

#[tokio::test]
async fn a_list_of_more_than_anybody_can_hold_is_an_error() {
    let node = FakeNode::start().await;
    let pages = Arc::new(endless_orders(30_000));
    node.chain().queries.insert(ORDERS.to_owned(), pages);
    let error = client(&[&node]).open_orders().await.unwrap_err();
    assert!(error.to_string().contains("more than 200000 items"), "{error}");
    assert!(node.calls("abci_query") <= 7);
}

#[tokio::test]
async fn the_words_of_an_endpoint_do_not_fill_the_log() {
    let long = "x".repeat(3 << 20);
    let node = FakeNode::start().await;
    let client = client(&[&node]);
    client.head().await.unwrap();
    let results = [
        json!({"response": {"code": 18, "codespace": long, "log": "no"}}),
        json!({"response": {"code": 18, "codespace": "sdk", "log": long}}),
        json!({"response": {"code": long}}),
        json!({"response": {"height": long}}),
        json!({"response": {"value": long}}),
        json!({ "response": long }),
    ];
    for result in results {
        node.fault("abci_query", Fault::Result(result));
        check_words(client.order(&order_id(1)).await.unwrap_err());
    }
    node.fault("abci_query", Fault::Text(format!("{long}<html>")));
    check_words(client.order(&order_id(1)).await.unwrap_err());
    node.heal();
    let words = refusal("sdk", 22, &long);
    let refuse = move |_: &[u8], _| words.clone();
    node.chain().queries.insert(ORDER.to_owned(), Arc::new(refuse));
    check_words(client.order(&order_id(1)).await.unwrap_err());
    for endpoint in client.status() {
        assert!(endpoint.last_error.is_none_or(|words| words.len() < 2048));
    }
}

#[tokio::test]
async fn a_chain_with_an_endless_name_is_another_chain_in_few_words() {
    let node = FakeNode::start().await;
    node.chain().chain_id = "y".repeat(1 << 18);
    let client = client(&[&node]);
    let error = client.head().await.unwrap_err();
    assert!(matches!(error, ChainError::WrongChain(_)));
    check_words(error);
    assert!(client.status()[0].last_error.as_ref().unwrap().len() < 2048);
}

#[tokio::test]
async fn a_block_of_a_chain_with_an_endless_name_is_refused_in_few_words() {
    let node = FakeNode::start().await;
    let mut follower = Follower::new(client(&[&node]), Height(50));
    let block = json!({"block": {
        "header": {"chain_id": "z".repeat(3 << 20), "height": "50", "time": "2026-11-24T00:00:00Z"},
        "data": {"txs": []}
    }});
    node.fault("block", Fault::Result(block));
    check_words(follower.next().await.unwrap_err());
}

fn check_words(error: ChainError) {
    let words = error.to_string();
    assert!(words.len() < 2048, "{} bytes: {}…", words.len(), &words[..80]);
}
