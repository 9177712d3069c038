//! The questions of the client, answered with what a real node answered.

use std::sync::Arc;

use base64::Engine as _;
use prost::Message as _;
use serde_json::Value;
use virtengine_chain::ChainClient;
use virtengine_provider_core::id::LeaseId;
use virtengine_provider_core::market::{BidState, LeaseState};
use virtengine_provider_core::ports::chain::ChainQuery as _;

use crate::fake_node::{FakeNode, client};
use crate::recordings::{number, steps};

const ALICE: &str = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f";
const BOB: &str = "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq";

/// A client of a node that gives the recorded answer of each of these steps to the question of that step.
async fn answering(wanted: &[&str]) -> ChainClient {
    let node = FakeNode::start().await;
    for step in steps().iter().filter(|step| wanted.contains(&number(step))) {
        let bytes = hex::decode(step["response_hex"].as_str().unwrap()).unwrap();
        let value = base64::engine::general_purpose::STANDARD.encode(bytes);
        let answer: Value = serde_json::json!({"response": {"code": 0, "value": value, "height": "100"}});
        let path = step["path"].as_str().unwrap().to_owned();
        node.chain()
            .queries
            .insert(path, Arc::new(move |_, _| answer.clone()));
    }
    client(&[&node])
}

fn lease(dseq: u64) -> LeaseId {
    format!("{ALICE}/{dseq}/1/1/{BOB}").parse().unwrap()
}

#[tokio::test]
async fn a_usage_record_that_the_chain_lists_twice_is_one_record() {
    let listed = steps().into_iter().find(|step| number(step) == "318").unwrap();
    let order = listed["request_hex"].as_str().unwrap();
    let order = String::from_utf8(hex::decode(order).unwrap()[2..].to_vec()).unwrap();
    let usage = answering(&["318"]).await.usage_of(&order).await.unwrap();
    let mut ids: Vec<_> = usage.iter().map(|record| record.id.clone()).collect();
    let all = ids.len();
    ids.dedup();
    assert!(all > 0 && ids.len() == all, "{ids:?}");
    let bytes = hex::decode(listed["response_hex"].as_str().unwrap()).unwrap();
    let raw = virtengine_chain::proto::virtengine::settlement::v1::QueryUsageRecordsByOrderResponse::decode(
        bytes.as_slice(),
    );
    assert!(
        raw.unwrap().usage_records.len() > all,
        "the recording does list one twice"
    );
}

#[tokio::test]
async fn a_closed_lease_whose_payment_goes_on_is_seen() {
    let client = answering(&["521"]).await;
    let id = lease(4_000_001);
    assert_eq!(client.lease(&id).await.unwrap().state, LeaseState::Closed);
    assert!(client.lease_payment(&id).await.unwrap().open);
}

#[tokio::test]
async fn an_overdrawn_escrow_is_seen_though_the_lease_says_closed() {
    let client = answering(&["144", "145"]).await;
    let recorded = steps().into_iter().find(|step| number(step) == "144").unwrap();
    let bytes = hex::decode(recorded["request_hex"].as_str().unwrap()).unwrap();
    let asked =
        virtengine_chain::proto::virtengine::market::v1beta5::QueryLeaseRequest::decode(bytes.as_slice());
    let id = virtengine_chain::wire::lease_id(asked.unwrap().id.as_ref()).unwrap();
    assert!(client.is_overdrawn(id.deployment()).await.unwrap());
    let payment = client.lease_payment(&id).await.unwrap();
    assert!(payment.overdrawn && !payment.open);
}

#[tokio::test]
async fn recorded_lists_and_records_are_read() {
    let client = answering(&["008", "027", "049", "058", "072", "005", "028"]).await;
    let bob = BOB.parse().unwrap();
    let provider = client.provider(&bob).await.unwrap().unwrap();
    assert_eq!(
        (provider.owner.as_str(), provider.attributes[0].value.as_str()),
        (BOB, "local")
    );
    let orders = client.open_orders().await.unwrap();
    assert_eq!(orders[0].id, lease(1_000_000).order);
    assert_eq!(orders[0].spec.resources[0].price.to_string(), "30uve");
    let bids = client.bids_of(&bob).await.unwrap();
    assert_eq!(
        (bids[0].id.clone(), bids[0].state),
        (lease(1_000_000), BidState::Open)
    );
    let leases = client.leases_of(&bob).await.unwrap();
    assert_eq!(
        (leases[0].id.clone(), leases[0].state),
        (lease(1_000_000), LeaseState::Active)
    );
    let escrows = client.escrows_of("any").await.unwrap();
    assert_eq!(
        (escrows[0].id.as_str(), escrows[0].state.as_str()),
        ("escrow-1", "active")
    );
    let (deposit, most) = client.bid_params().await.unwrap();
    assert_eq!((deposit.to_string().as_str(), most), ("500000uve", 20));
    let deployment = client.deployment(lease(1_000_000).deployment()).await.unwrap();
    assert!(deployment.active);
    assert_eq!(hex::encode(deployment.manifest_hash).get(..8), Some("3181b0ae"));
}
