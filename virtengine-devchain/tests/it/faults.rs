//! Faults strike what they are told to strike and nothing else.

use std::time::{Duration, Instant};

use serde_json::json;
use virtengine_devchain::{Config, Devchain, EventFault, Fault, FaultKind, LostResults};

use crate::messages::*;
use crate::rpc::{connect, hear, say};
use crate::scenarios::Cast;
use crate::stage::{Stage, number};

async fn manual() -> (Devchain, Stage) {
    let chain = Devchain::start(Config::manual()).await.unwrap();
    let stage = Stage::new(&chain.rpc_url(), 2_000_000);
    (chain, stage)
}

fn status() -> serde_json::Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "status", "params": {}})
}

#[tokio::test]
async fn a_dropped_request_gets_no_answer_and_the_next_one_does() {
    let (chain, stage) = manual().await;
    chain
        .faults()
        .inject(Fault::new(FaultKind::Drop).on("status").times(1));
    assert!(stage.try_post(&status()).await.is_err());
    assert!(stage.try_post(&status()).await.is_ok());
}

#[tokio::test]
async fn a_lost_answer_leaves_the_transaction_in_the_mempool() {
    let (chain, stage) = manual().await;
    let cast = Cast::new();
    let message = any(&send(&cast.bob.address, &cast.alice.address, 1));
    let bytes = stage.draft(&cast.bob, vec![message]).await.bytes(&cast.bob, true);
    chain
        .faults()
        .inject(Fault::new(FaultKind::LoseAnswer).on("broadcast_tx_sync"));
    use base64::Engine as _;
    let tx = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "broadcast_tx_sync", "params": {"tx": tx}});
    assert!(stage.try_post(&request).await.is_err());
    assert_eq!(chain.waiting(), 1);
    chain.advance().unwrap();
    stage.landed(&bytes).await.succeeded();
}

#[tokio::test]
async fn a_dropped_broadcast_leaves_nothing() {
    let (chain, stage) = manual().await;
    chain
        .faults()
        .inject(Fault::new(FaultKind::Drop).on("broadcast_tx_sync"));
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "broadcast_tx_sync", "params": {"tx": "AAAA"}});
    assert!(stage.try_post(&request).await.is_err());
    assert_eq!(chain.waiting(), 0);
}

#[tokio::test]
async fn statuses_and_errors_and_delays_are_answered_as_told() {
    let (chain, stage) = manual().await;
    chain.faults().inject(Fault::new(FaultKind::Status(429)).times(1));
    assert_eq!(stage.try_post(&status()).await.unwrap().0, 429);
    let error = FaultKind::RpcError {
        code: -32603,
        data: "out of patience".to_owned(),
    };
    chain.faults().inject(Fault::new(error).on("health").times(1));
    let failure = stage.rpc("health", json!({})).await.unwrap_err();
    assert_eq!((failure.code, failure.data.as_str()), (-32603, "out of patience"));
    let by = Duration::from_millis(200);
    chain.faults().inject(Fault::new(FaultKind::Delay(by)).times(1));
    let began = Instant::now();
    stage.try_post(&status()).await.unwrap();
    assert!(began.elapsed() >= by);
}

#[tokio::test]
async fn a_half_open_endpoint_never_answers() {
    let (chain, stage) = manual().await;
    chain.faults().inject(Fault::new(FaultKind::Hang));
    let waited = tokio::time::timeout(Duration::from_millis(200), stage.try_post(&status())).await;
    assert!(waited.is_err());
    chain.faults().clear();
    assert!(stage.try_post(&status()).await.is_ok());
}

#[tokio::test]
async fn an_endpoint_that_is_down_cuts_connections_while_another_serves() {
    let (chain, stage) = manual().await;
    let other = chain.extra_endpoint().await.unwrap();
    let second = Stage::new(&other.rpc_url(), 0);
    let mut socket = connect(&stage).await;
    chain.faults().down(true);
    assert!(hear(&mut socket).await.is_none());
    assert!(stage.try_post(&status()).await.is_err());
    assert_eq!(second.height().await, 1);
    chain.faults().down(false);
    assert_eq!(stage.height().await, 1);
}

#[tokio::test]
async fn a_frozen_endpoint_shows_an_old_chain_and_still_takes_transactions() {
    let (chain, stage) = manual().await;
    let cast = Cast::new();
    chain.advance_blocks(3).unwrap();
    chain.faults().freeze_at(Some(2));
    assert_eq!(stage.height().await, 2);
    let message = any(&send(&cast.bob.address, &cast.alice.address, 1));
    let bytes = stage.draft(&cast.bob, vec![message]).await.bytes(&cast.bob, true);
    assert_eq!(stage.submit(&bytes).await.unwrap().code, 0);
    let height = chain.advance().unwrap();
    assert_eq!(stage.account(&cast.bob.address).await.1, 0);
    let failure = stage
        .rpc("block_results", json!({"height": height.to_string()}))
        .await
        .unwrap_err();
    assert!(
        failure
            .data
            .contains("must be less than or equal to the current blockchain height 2")
    );
    chain.faults().freeze_at(None);
    assert_eq!(stage.account(&cast.bob.address).await.1, 1);
}

#[tokio::test]
async fn lost_results_are_empty_or_an_error_for_their_height_only() {
    let (chain, stage) = manual().await;
    let cast = Cast::new();
    let message = any(&send(&cast.bob.address, &cast.alice.address, 1));
    let bytes = stage.draft(&cast.bob, vec![message]).await.bytes(&cast.bob, true);
    stage.submit(&bytes).await.unwrap();
    let height = chain.advance().unwrap();
    let results = async |height: u64| {
        stage
            .rpc("block_results", json!({"height": height.to_string()}))
            .await
    };
    assert_eq!(
        results(height).await.unwrap()["txs_results"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    chain.faults().lose_results(height, LostResults::Empty);
    assert!(results(height).await.unwrap()["txs_results"].is_null());
    chain.faults().lose_results(height, LostResults::Error);
    assert_eq!(results(height).await.unwrap_err().code, -32603);
    assert!(results(height - 1).await.is_ok());
}

#[tokio::test]
async fn events_come_twice_or_swapped_or_not_at_all() {
    let (chain, stage) = manual().await;
    let mut socket = connect(&stage).await;
    say(&mut socket, "subscribe", json!({"query": "tm.event='NewBlock'"})).await;
    hear(&mut socket).await.unwrap();
    let mut heights = Vec::new();
    chain.faults().events(EventFault::Duplicate);
    chain.advance().unwrap();
    for _ in 0..2 {
        heights.push(block_of(&hear(&mut socket).await.unwrap()));
    }
    chain.faults().events(EventFault::Silence);
    chain.advance().unwrap();
    // The answer shows that the silent block has been dealt with.
    say(&mut socket, "health", json!({})).await;
    hear(&mut socket).await.unwrap();
    chain.faults().events(EventFault::Swap);
    chain.advance_blocks(2).unwrap();
    for _ in 0..2 {
        heights.push(block_of(&hear(&mut socket).await.unwrap()));
    }
    assert_eq!(heights[0], heights[1]);
    assert_eq!((heights[2], heights[3]), (heights[0] + 3, heights[0] + 2));
}

fn block_of(news: &serde_json::Value) -> u64 {
    number(&news["result"]["data"]["value"]["block"]["header"]["height"])
}
