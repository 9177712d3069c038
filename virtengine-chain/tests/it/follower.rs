//! Blocks in order, whatever happens to endpoints and connections.

use std::time::{Duration, Instant};

use serde_json::json;
use virtengine_chain::{Follower, FollowerEvent};
use virtengine_provider_core::id::Height;
use virtengine_provider_core::market::MarketEvent;
use virtengine_provider_core::ports::chain::ChainError;

use crate::fake_node::{FakeNode, Fault, client, config};
use crate::node_faults::{ALICE, order_id};

fn order_created(dseq: u64) -> serde_json::Value {
    let id = format!(r#"{{"owner":"{ALICE}","dseq":"{dseq}","gseq":1,"oseq":1}}"#);
    json!([
        {"type": "tx", "attributes": null},
        {"type": "virtengine.market.v1.EventOrderCreated", "attributes": [{"key": "id", "value": id, "index": true}]},
        {"type": "virtengine.market.v1.EventOrderClosed", "attributes": [{"key": "id", "value": "garbage"}]},
    ])
}

/// A block with one transaction that opens order `height`.
fn add_block(node: &FakeNode) {
    let mut chain = node.chain();
    chain.height += 1;
    let height = chain.height;
    chain
        .blocks
        .insert(height, vec![vec![u8::try_from(height % 256).unwrap()]]);
    chain.events.insert(height, order_created(height));
}

async fn next_block(follower: &mut Follower) -> u64 {
    let wait = Duration::from_secs(5);
    match tokio::time::timeout(wait, follower.next())
        .await
        .expect("a block comes")
        .unwrap()
    {
        FollowerEvent::Block(block) => {
            let expected = MarketEvent::OrderCreated {
                id: order_id(block.height.0),
            };
            assert_eq!(block.events, [expected], "the unreadable event is left out");
            assert_eq!(block.txs.len(), 1);
            block.height.0
        }
        FollowerEvent::Gap { from, to } => panic!("gap {from} to {to}"),
    }
}

#[tokio::test]
async fn every_block_comes_once_and_in_order() {
    let node = FakeNode::start().await;
    node.chain().height = 0;
    (0..30).for_each(|_| add_block(&node));
    let mut follower = Follower::new(client(&[&node]), Height(3));
    for expected in 3..=30 {
        assert_eq!(next_block(&mut follower).await, expected);
    }
    assert_eq!(follower.lag_blocks(), 0);
    let waiting = tokio::time::timeout(Duration::from_millis(200), follower.next()).await;
    assert!(waiting.is_err(), "nothing to come");
    add_block(&node);
    assert_eq!(next_block(&mut follower).await, 31);
}

#[tokio::test]
async fn block_results_error_loses_block() {
    let node = FakeNode::start().await;
    node.chain().height = 0;
    (0..12).for_each(|_| add_block(&node));
    let mut follower = Follower::new(client(&[&node]), Height(1));
    assert_eq!(next_block(&mut follower).await, 1);
    node.fault("block_results", Fault::Error("disk is tired"));
    // Some were fetched before the fault; then errors, never a skipped block.
    let mut reached = 1;
    loop {
        match follower.next().await {
            Ok(FollowerEvent::Block(block)) => {
                reached += 1;
                assert_eq!(block.height.0, reached);
            }
            Ok(FollowerEvent::Gap { .. }) => panic!("no gap"),
            Err(error) => {
                assert!(error.to_string().contains("disk is tired"), "{error}");
                break;
            }
        }
    }
    assert!(reached < 12);
    node.heal();
    for expected in reached + 1..=12 {
        assert_eq!(next_block(&mut follower).await, expected);
    }
}

#[tokio::test]
async fn pruned_blocks_are_a_gap_that_says_from_where_to_where() {
    let node = FakeNode::start().await;
    node.chain().height = 0;
    (0..20).for_each(|_| add_block(&node));
    node.chain().lowest = 15;
    let mut follower = Follower::new(client(&[&node]), Height(4));
    let gap = FollowerEvent::Gap {
        from: Height(4),
        to: Height(14),
    };
    assert_eq!(follower.next().await.unwrap(), gap);
    for expected in 15..=20 {
        assert_eq!(next_block(&mut follower).await, expected);
    }
}

#[tokio::test]
async fn another_endpoint_fills_what_one_has_pruned() {
    let (pruned, archive) = (FakeNode::start().await, FakeNode::start().await);
    for node in [&pruned, &archive] {
        node.chain().height = 0;
        (0..20).for_each(|_| add_block(node));
    }
    pruned.chain().lowest = 15;
    let mut follower = Follower::new(client(&[&pruned, &archive]), Height(10));
    for expected in 10..=20 {
        assert_eq!(next_block(&mut follower).await, expected);
    }
}

#[tokio::test]
async fn a_block_is_not_given_up_because_the_one_that_has_it_failed_once() {
    let (pruned, archive) = (FakeNode::start().await, FakeNode::start().await);
    for node in [&pruned, &archive] {
        node.chain().height = 0;
        (0..20).for_each(|_| add_block(node));
    }
    pruned.chain().lowest = 15;
    for fault in [Fault::Http(502), Fault::Error("disk is tired"), Fault::Hang] {
        let mut follower = Follower::new(client(&[&archive, &pruned]), Height(10));
        archive.fault("block", fault.clone());
        let error = follower.next().await.unwrap_err();
        assert!(error.is_retryable(), "{fault:?}: {error}");
        archive.heal();
        let mut errors = 0;
        let event = loop {
            match follower.next().await {
                Ok(event) => break event,
                Err(error) => errors += 1 + u32::from(!error.is_retryable()) * 100,
            }
            assert!(errors < 10, "{fault:?}");
        };
        assert!(
            matches!(&event, FollowerEvent::Block(block) if block.height == Height(10)),
            "{fault:?}: {event:?}"
        );
    }
}

#[tokio::test]
async fn a_block_is_given_up_when_the_one_that_may_have_it_stays_away() {
    let (pruned, away) = (FakeNode::start().await, FakeNode::start().await);
    pruned.chain().height = 0;
    (0..20).for_each(|_| add_block(&pruned));
    pruned.chain().lowest = 15;
    for method in ["status", "block"] {
        away.fault(method, Fault::Http(502));
    }
    let mut follower = Follower::new(client(&[&away, &pruned]), Height(10));
    let mut errors = 0;
    let event = async {
        loop {
            match follower.next().await {
                Ok(event) => return event,
                Err(_) => errors += 1,
            }
        }
    };
    let event = tokio::time::timeout(Duration::from_secs(20), event)
        .await
        .unwrap();
    let gap = FollowerEvent::Gap {
        from: Height(10),
        to: Height(14),
    };
    assert_eq!(event, gap);
    assert!(errors > 0);
}

#[tokio::test]
async fn a_lowest_height_above_the_head_is_believed_by_nobody() {
    let node = FakeNode::start().await;
    node.chain().height = 0;
    (0..20).for_each(|_| add_block(&node));
    let mut follower = Follower::new(client(&[&node]), Height(10));
    for lie in [
        "height 10 is not available, lowest height is 18446744073709551615",
        "height 10 is not available, lowest height is 21",
        "height 10 is not available, lowest height is 7",
    ] {
        node.fault("block", Fault::Error(lie));
        let error = follower.next().await.unwrap_err();
        assert!(error.to_string().contains("lowest height"), "{error}");
    }
    node.heal();
    assert_eq!(next_block(&mut follower).await, 10);
}

#[tokio::test]
async fn what_two_have_pruned_begins_where_the_first_of_them_has_it() {
    let (one, two) = (FakeNode::start().await, FakeNode::start().await);
    for node in [&one, &two] {
        node.chain().height = 0;
        (0..20).for_each(|_| add_block(node));
    }
    one.chain().lowest = 13;
    two.chain().lowest = 17;
    let mut follower = Follower::new(client(&[&one, &two]), Height(10));
    let gap = FollowerEvent::Gap {
        from: Height(10),
        to: Height(12),
    };
    assert_eq!(follower.next().await.unwrap(), gap);
    assert_eq!(next_block(&mut follower).await, 13);
}

#[tokio::test]
async fn a_block_of_another_height_or_without_its_results_is_refused() {
    let node = FakeNode::start().await;
    node.chain().height = 0;
    (0..3).for_each(|_| add_block(&node));
    let mut follower = Follower::new(client(&[&node]), Height(2));
    node.fault(
        "block_results",
        Fault::Result(json!({"height": "3", "txs_results": [{"code": 0}]})),
    );
    let error = follower.next().await.unwrap_err();
    assert!(error.to_string().contains("asked for height 2, got 3"), "{error}");
    node.fault(
        "block_results",
        Fault::Result(json!({"height": "2", "txs_results": null})),
    );
    let error = follower.next().await.unwrap_err();
    assert!(
        error.to_string().contains("1 transactions at 2, but 0 results"),
        "{error}"
    );
}

#[tokio::test]
async fn a_chain_that_was_reset_is_noticed() {
    let node = FakeNode::start().await;
    let mut follower = Follower::new(client(&[&node]), Height(5_000));
    let error = follower.next().await.unwrap_err();
    assert!(matches!(error, ChainError::WrongChain(_)), "{error}");
}

/// A node whose blocks announce themselves, and a follower that hardly polls.
async fn announced(poll_interval: Duration) -> (FakeNode, Follower) {
    let node = FakeNode::start().await;
    node.chain().height = 0;
    (0..3).for_each(|_| add_block(&node));
    let mut config = config(&[&node]);
    config.websocket = true;
    config.poll_interval = poll_interval;
    let client = virtengine_chain::ChainClient::new(config).unwrap();
    (node, Follower::new(client, Height(3)))
}

async fn until_subscribed(node: &FakeNode) {
    let subscribed = async {
        while node.subscribers() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), subscribed)
        .await
        .expect("the follower subscribes");
}

#[tokio::test]
async fn an_announcement_wakes_the_follower() {
    let (node, mut follower) = announced(Duration::from_secs(60)).await;
    assert_eq!(next_block(&mut follower).await, 3);
    let following = tokio::spawn(async move { (next_block(&mut follower).await, follower) });
    until_subscribed(&node).await;
    add_block(&node);
    let began = Instant::now();
    assert_eq!(node.announce(), 1);
    let (height, mut follower) = following.await.unwrap();
    assert_eq!(height, 4);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    // The connection ends and comes back by itself.
    node.hang_up();
    let following = tokio::spawn(async move { next_block(&mut follower).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    until_subscribed(&node).await;
    add_block(&node);
    node.announce();
    assert_eq!(following.await.unwrap(), 5);
}

#[tokio::test]
async fn a_subscription_that_stays_silent_is_made_up_for_by_polling() {
    let (node, mut follower) = announced(Duration::from_millis(100)).await;
    assert_eq!(next_block(&mut follower).await, 3);
    let following = tokio::spawn(async move { next_block(&mut follower).await });
    until_subscribed(&node).await;
    add_block(&node);
    assert_eq!(following.await.unwrap(), 4);
}

#[tokio::test]
async fn an_announcement_from_the_future_misleads_nobody() {
    let (node, mut follower) = announced(Duration::from_millis(100)).await;
    assert_eq!(next_block(&mut follower).await, 3);
    let following = tokio::spawn(async move { next_block(&mut follower).await });
    until_subscribed(&node).await;
    node.chain().height = 9;
    node.announce();
    node.chain().height = 3;
    tokio::time::sleep(Duration::from_millis(100)).await;
    add_block(&node);
    assert_eq!(following.await.unwrap(), 4);
}
