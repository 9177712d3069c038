//! The RPC itself: shapes, errors, searches, subscriptions; on both chains.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::messages::*;
use crate::scenarios::{Cast, scenarios};
use crate::stage::{Stage, events_of, hash, number};

scenarios!(
    a_block_is_told_by_results_and_by_subscription_alike,
    a_transaction_is_found_by_hash_height_action_and_event,
    requests_are_refused_with_the_codes_of_the_node,
    subscriptions_are_refused_with_the_texts_of_the_node,
    the_head_of_the_chain_is_shown,
    a_second_listener_tells_the_same_transaction,
);

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

pub async fn connect(stage: &Stage) -> Socket {
    let url = format!("{}/websocket", stage.url().replace("http://", "ws://"));
    tokio_tungstenite::connect_async(url).await.unwrap().0
}

pub async fn say(socket: &mut Socket, method: &str, params: Value) {
    let request = json!({"jsonrpc": "2.0", "id": method.len(), "method": method, "params": params});
    socket.send(Message::text(request.to_string())).await.unwrap();
}

/// The next message, `None` when the other side closes.
pub async fn hear(socket: &mut Socket) -> Option<Value> {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), socket.next());
        match next.await.expect("a message in time")? {
            Ok(Message::Text(text)) => return Some(serde_json::from_str(text.as_str()).unwrap()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// spec/chain-node.md 2.8.
async fn a_block_is_told_by_results_and_by_subscription_alike(stage: &Stage, cast: &Cast) {
    let mut socket = connect(stage).await;
    say(&mut socket, "subscribe", json!({"query": "tm.event='NewBlock'"})).await;
    assert_eq!(hear(&mut socket).await.unwrap()["result"], json!({}));
    let id = stage.order(cast).await;
    let seen = stage.bid(&cast.bob, &id, 1).await.succeeded();
    let news = loop {
        let news = hear(&mut socket).await.unwrap();
        let header = &news["result"]["data"]["value"]["block"]["header"];
        if number(&header["height"]) == seen.height {
            break news["result"].clone();
        }
    };
    assert_eq!(news["query"], "tm.event='NewBlock'");
    assert_eq!(news["data"]["type"], "tendermint/event/NewBlock");
    assert_eq!(news["events"]["tm.event"], json!(["NewBlock"]));
    let told = &news["data"]["value"]["result_finalize_block"];
    let height = json!({"height": seen.height.to_string()});
    let results = stage.rpc("block_results", height.clone()).await.unwrap();
    assert_eq!(told["tx_results"], results["txs_results"]);
    assert_eq!(told["app_hash"], results["app_hash"]);
    let tx = &results["txs_results"][0];
    assert_eq!(
        (&tx["code"], &tx["info"], &tx["codespace"]),
        (&json!(0), &json!(""), &json!(""))
    );
    assert!(tx["gas_used"].is_string() && tx["gas_wanted"] == "1000000");
    assert!(
        events_of(&tx["events"])
            .iter()
            .any(|(k, _)| k == "virtengine.market.v1.EventBidCreated")
    );
    assert_eq!(tx["events"][0]["attributes"][0]["index"], true);

    let block = stage.rpc("block", height.clone()).await.unwrap();
    let told = &news["data"]["value"];
    assert_eq!(block["block"]["header"], told["block"]["header"]);
    assert_eq!(block["block"]["data"], told["block"]["data"]);
    assert_eq!(block["block_id"], told["block_id"]);
    assert_eq!(
        stage.rpc("header", height).await.unwrap()["header"],
        block["block"]["header"]
    );
    let next = stage.next_block().await.max(seen.height + 1);
    let next = stage
        .rpc("block", json!({"height": next.to_string()}))
        .await
        .unwrap();
    assert_eq!(next["block"]["header"]["chain_id"], "virtengine-localnet-1");
}

async fn a_transaction_is_found_by_hash_height_action_and_event(stage: &Stage, cast: &Cast) {
    let id = stage.order(cast).await;
    let bytes = stage
        .draft(&cast.bob, vec![any(&create_bid(&id, 1))])
        .await
        .bytes(&cast.bob, true);
    let seen = stage.send(&bytes).await.succeeded();
    let hash = hash(&bytes);
    let search = async |query: String| {
        let params =
            json!({"query": query, "prove": false, "page": "1", "per_page": "100", "order_by": "desc"});
        let found = stage.rpc("tx_search", params).await.unwrap();
        let list = found["txs"].as_array().unwrap();
        let at = list.iter().find(|t| t["hash"] == json!(hash)).cloned();
        (number(&found["total_count"]), at)
    };
    let height = seen.height;
    for query in [
        format!("tx.hash='{hash}'"),
        format!("tx.height={height}"),
        format!("tx.height={height} AND message.action='/virtengine.market.v1beta5.MsgCreateBid'"),
        format!("tx.height={height} AND virtengine.market.v1.EventBidCreated.id EXISTS"),
    ] {
        let (total, found) = search(query.clone()).await;
        assert!(total >= 1, "{query}");
        let found = found.unwrap_or_else(|| panic!("{query}"));
        assert_eq!(
            (&found["height"], &found["tx"]),
            (&json!(height.to_string()), &json!(STANDARD.encode(&bytes)))
        );
    }
    let (total, _) = search(format!(
        "tx.height={height} AND virtengine.market.v1.EventLeaseCreated.id EXISTS"
    ))
    .await;
    assert_eq!(total, 0);
    let refused = stage
        .rpc("tx_search", json!({"query": "a.b='1' OR c.d='2'"}))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code, refused.data.as_str()),
        (-32603, "offset 8: got tag, want 6")
    );
    let refused = stage
        .rpc(
            "tx_search",
            json!({"query": format!("tx.height={height}"), "page": "9"}),
        )
        .await
        .unwrap_err();
    assert!(
        refused
            .data
            .contains("page should be within [1, 1] range, given 9"),
        "{}",
        refused.data
    );
}

async fn requests_are_refused_with_the_codes_of_the_node(stage: &Stage, _: &Cast) {
    let newest = stage.height().await;
    let check = async |method: &str, params: Value, code: i64, data: &str| {
        let failure = stage.rpc(method, params).await.unwrap_err();
        assert_eq!(failure.code, code, "{method}: {}", failure.data);
        assert!(failure.data.contains(data), "{method}: {}", failure.data);
    };
    check("nope", json!({}), -32601, "").await;
    check(
        "block_results",
        json!({"height": 2}),
        -32602,
        "invalid 64-bit integer encoding \"2\", expected string",
    )
    .await;
    check(
        "block_results",
        json!({"height": "0"}),
        -32603,
        "height must be greater than 0, but got 0",
    )
    .await;
    check(
        "block_results",
        json!({"height": "-1"}),
        -32603,
        "height must be greater than 0, but got -1",
    )
    .await;
    let far = (newest + 1_000_000).to_string();
    check(
        "block_results",
        json!({"height": far}),
        -32603,
        &format!("height {far} must be less than or equal to the current blockchain height"),
    )
    .await;
    check(
        "broadcast_tx_sync",
        json!({"tx": "!!"}),
        -32602,
        "illegal base64 data at input byte 0",
    )
    .await;
    check(
        "tx",
        json!({"hash": STANDARD.encode([0; 32]), "prove": false}),
        -32603,
        &format!("tx ({}) not found", "0".repeat(64)),
    )
    .await;
    let (status, body) = stage
        .try_post(&json!([
            {"jsonrpc": "2.0", "id": 1, "method": "health", "params": {}},
            {"jsonrpc": "2.0", "id": 2, "method": "health"},
            {"jsonrpc": "2.0", "method": "health"},
        ]))
        .await
        .unwrap();
    let answers: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, answers.as_array().unwrap().len()), (200, 2));
    let (status, body) = stage
        .try_post(&json!({"jsonrpc": "2.0", "method": "health"}))
        .await
        .unwrap();
    assert_eq!((status, body.as_str()), (200, ""));
    // Positional parameters do as well.
    let results = stage
        .rpc("block_results", json!([newest.to_string()]))
        .await
        .unwrap();
    assert_eq!(number(&results["height"]), newest);
}

/// chain-recordings 537.
async fn subscriptions_are_refused_with_the_texts_of_the_node(stage: &Stage, _: &Cast) {
    let mut socket = connect(stage).await;
    say(
        &mut socket,
        "subscribe",
        json!({"query": "tm.event='Tx' AND a.id EXISTS OR b.id EXISTS"}),
    )
    .await;
    let refused = hear(&mut socket).await.unwrap();
    assert_eq!(refused["error"]["code"], -32603);
    assert_eq!(
        refused["error"]["data"],
        "failed to parse query: offset 30: got tag, want 6"
    );
    let query = json!({"query": "tm.event='Tx' AND a.id EXISTS"});
    say(&mut socket, "subscribe", query.clone()).await;
    assert_eq!(hear(&mut socket).await.unwrap()["result"], json!({}));
    say(&mut socket, "subscribe", query.clone()).await;
    assert_eq!(
        hear(&mut socket).await.unwrap()["error"]["data"],
        "already subscribed"
    );
    say(&mut socket, "unsubscribe", query.clone()).await;
    assert_eq!(hear(&mut socket).await.unwrap()["result"], json!({}));
    say(&mut socket, "unsubscribe", query).await;
    assert_eq!(
        hear(&mut socket).await.unwrap()["error"]["data"],
        "subscription not found"
    );
    for n in 0..5 {
        say(
            &mut socket,
            "subscribe",
            json!({"query": format!("tm.event='Tx' AND a.n={n}")}),
        )
        .await;
        assert_eq!(hear(&mut socket).await.unwrap()["result"], json!({}));
    }
    say(
        &mut socket,
        "subscribe",
        json!({"query": "tm.event='Tx' AND a.n=6"}),
    )
    .await;
    assert_eq!(
        hear(&mut socket).await.unwrap()["error"]["data"],
        "max_subscriptions_per_client 5 reached"
    );
    // Other methods work on the same connection.
    say(&mut socket, "health", json!({})).await;
    assert_eq!(hear(&mut socket).await.unwrap()["result"], json!({}));
}

async fn the_head_of_the_chain_is_shown(stage: &Stage, _: &Cast) {
    // Two blocks on, the last but one can hold no transaction of another scenario.
    stage.next_block().await;
    stage.next_block().await;
    let before = stage.next_block().await;
    let status = stage.rpc("status", json!({})).await.unwrap();
    let (node, sync) = (&status["node_info"], &status["sync_info"]);
    assert_eq!(node["network"], "virtengine-localnet-1");
    assert_eq!(node["version"], "0.38.26");
    assert!(number(&sync["latest_block_height"]) >= before);
    assert_eq!(
        (&sync["catching_up"], &sync["earliest_block_height"]),
        (&json!(false), &json!("1"))
    );
    for key in ["latest_block_hash", "latest_app_hash", "earliest_block_hash"] {
        assert_eq!(sync[key].as_str().unwrap().len(), 64, "{key}");
    }
    assert_eq!(status["validator_info"]["address"].as_str().unwrap().len(), 40);
    // A node shows a height a moment before it has stored the results of that block ("could not find results"): ask for the one before.
    let height = json!({"height": (before - 1).to_string()});
    let results = stage.rpc("block_results", height).await.unwrap();
    // A block without transactions has no list at all.
    for key in ["txs_results", "finalize_block_events", "validator_updates"] {
        assert_eq!(results[key], Value::Null, "{key}");
    }
    let config: virtengine_chain::proto::cosmos::base::node::v1beta1::ConfigResponse = stage
        .query(
            "/cosmos.base.node.v1beta1.Service/Config",
            &virtengine_chain::proto::cosmos::base::node::v1beta1::ConfigRequest {},
        )
        .await
        .unwrap();
    assert_eq!(config.minimum_gas_price, "0.025000000000000000uve");
    let info: virtengine_chain::proto::cosmos::base::tendermint::v1beta1::GetNodeInfoResponse = stage
        .query(
            "/cosmos.base.tendermint.v1beta1.Service/GetNodeInfo",
            &virtengine_chain::proto::cosmos::base::tendermint::v1beta1::GetNodeInfoRequest {},
        )
        .await
        .unwrap();
    assert_eq!(info.default_node_info.unwrap().network, "virtengine-localnet-1");
}

/// chain-recordings 182.
async fn a_second_listener_tells_the_same_transaction(stage: &Stage, cast: &Cast) {
    let mut socket = connect(stage).await;
    let query = "tm.event='Tx' AND virtengine.market.v1.EventOrderCreated.id EXISTS";
    say(&mut socket, "subscribe", json!({"query": query})).await;
    assert_eq!(hear(&mut socket).await.unwrap()["result"], json!({}));
    stage
        .bid(
            &cast.bob,
            &bid_id(&cast.alice.address, stage.number(), 1, 1, &cast.bob.address),
            1,
        )
        .await
        .failed("market", 15, "");
    let id = stage.order(cast).await;
    let news = hear(&mut socket).await.unwrap()["result"].clone();
    assert_eq!(
        (&news["query"], &news["data"]["type"]),
        (&json!(query), &json!("tendermint/event/Tx"))
    );
    let result = &news["data"]["value"]["TxResult"];
    // Zero fields are left out of a `Tx` event.
    assert!(result.get("index").is_none() && result["result"].get("code").is_none());
    assert!(number(&result["height"]) > 0);
    let created = &news["events"]["virtengine.market.v1.EventOrderCreated.id"][0];
    assert!(
        created
            .as_str()
            .unwrap()
            .contains(&format!("\"dseq\":\"{}\"", id.dseq)),
        "{created}"
    );
    assert_eq!(news["events"]["tm.event"], json!(["Tx"]));
}
