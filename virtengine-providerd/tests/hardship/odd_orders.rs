//! What a tenant may put on the chain and nobody can read: it costs its sender a deposit, and must cost us nothing.

use std::time::Duration;

use prost::Message as _;
use prost_types::Any;
use virtengine_chain::message::encode;
use virtengine_chain::proto::virtengine::base::attributes::v1::SignedBy;
use virtengine_chain::proto::virtengine::deployment::v1beta4::MsgCreateDeployment;
use virtengine_provider_core::id::OrderId;
use virtengine_provider_core::market::GroupSpec;
use virtengine_provider_core::ports::chain::ChainQuery as _;

use crate::account::land_raw;
use crate::key::AccountKey;
use crate::support::{Set, Stage, shop, until};

const SOON: Duration = Duration::from_secs(12);

/// Groups `good`, `auditor` and `endpoint`; only the first can be read.
fn deployment(stage: &Stage, key: &AccountKey, dseq: u64) -> Any {
    let template = shop().group_specs().remove(0);
    let named = |name: &str| GroupSpec {
        name: name.to_owned(),
        ..template.clone()
    };
    let groups = ["good", "auditor", "endpoint"].map(named).to_vec();
    let message = stage.deployment(&key.address(), dseq, groups);
    let mut any = encode(&message, &key.address()).unwrap();
    let mut wire = MsgCreateDeployment::decode(any.value.as_slice()).unwrap();
    wire.groups[1].requirements.as_mut().unwrap().signed_by = Some(SignedBy {
        any_of: vec!["x".to_owned()],
        ..SignedBy::default()
    });
    let resource = wire.groups[2].resources[0].resource.as_mut().unwrap();
    resource.endpoints[0].kind = 7;
    any.value = wire.encode_to_vec();
    any
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_nobody_can_read_does_not_hold_up_the_chain() {
    let stage = Stage::set(Set::default()).await;
    let life = stage.start().await;
    let key = AccountKey::numbered(0);
    land_raw(&stage.client, &key, vec![deployment(&stage, &key, 1000)]).await;
    let order = |gseq| OrderId::new(key.address(), 1000, gseq, 1);
    let (auditor, endpoint) = (order(2), order(3));
    assert!(stage.client.order(&auditor).await.is_err());
    assert!(stage.client.order(&endpoint).await.is_err());

    // Its neighbour is bid on, blocks go by, and later orders are seen.
    stage.bid_on(&order(1), SOON).await;
    let seen = stage.chain.height();
    until("later blocks to be followed", SOON, || async {
        (life.height().await.0 > seen).then_some(())
    })
    .await;
    let later = stage.order(&stage.tenant(0), 1001, shop().group_specs()).await;
    stage.bid_on(&later[0], SOON).await;
    assert_eq!(stage.sendings(&auditor) + stage.sendings(&endpoint), 0);
    life.stop().await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_among_groups_that_nobody_can_read_is_served_as_any_other() {
    let stage = Stage::set(Set::default()).await;
    let life = stage.start().await;
    let key = AccountKey::numbered(0);
    land_raw(&stage.client, &key, vec![deployment(&stage, &key, 1000)]).await;
    let bid = stage.bid_on(&OrderId::new(key.address(), 1000, 1, 1), SOON).await;
    stage.tenant(0).create_lease(bid.id.clone()).await.unwrap();
    until("the lease to be known", SOON, || async {
        let id = bid.id.clone();
        life.ask(move |provider| provider.live_leases().contains(&id))
            .await
            .then_some(())
    })
    .await;
    life.stop().await;
    stage.strike().await;
}
