//! One order from its creation to the money, as messages (spec/chain.md E.4), on whatever chain listens.

use std::sync::Arc;
use std::time::Duration;

use virtengine_chain::{ChainClient, ChainConfig, Follower, FollowerEvent, Pipeline};
use virtengine_provider_core::id::{DeploymentId, LeaseId, OrderId};
use virtengine_provider_core::market::{
    BidState, CloseReason, GroupSpec, LeaseState, MarketEvent, OrderState, ResourceUnit, StorageVolume,
};
use virtengine_provider_core::money::Price;
use virtengine_provider_core::ports::chain::{
    ChainError, ChainQuery as _, Heartbeat, InventoryCapacity, Message, RejectKind, TxOutcome, TxSender as _,
};

use crate::signer::TestKey;

const PATIENCE: Duration = Duration::from_secs(30);

fn price(text: &str) -> Price {
    Price::new("uve".parse().unwrap(), text.parse().unwrap())
}

fn group() -> GroupSpec {
    GroupSpec {
        name: "global".to_owned(),
        attributes: Vec::new(),
        signed_by_all_of: Vec::new(),
        signed_by_any_of: Vec::new(),
        resources: vec![ResourceUnit {
            id: 1,
            count: 1,
            cpu_millis: 100,
            memory_bytes: 128 << 20,
            storage: vec![StorageVolume {
                name: "default".to_owned(),
                bytes: 512 << 20,
                attributes: Vec::new(),
            }],
            gpus: 0,
            gpu_attributes: Vec::new(),
            cpu_attributes: Vec::new(),
            memory_attributes: Vec::new(),
            endpoints: Vec::new(),
            price: price("30"),
        }],
    }
}

/// Sends and waits until it has landed; the ids of the answers.
async fn land(pipeline: &Pipeline, messages: &[Message]) -> Vec<String> {
    land_for_a_fee(pipeline, messages).await.0
}

/// The same, with the fee that it cost.
async fn land_for_a_fee(pipeline: &Pipeline, messages: &[Message]) -> (Vec<String>, u128) {
    let tx = pipeline.sign(messages, Duration::ZERO).await.unwrap();
    pipeline.broadcast(&tx).await.unwrap();
    let landed = async {
        loop {
            match pipeline.outcome(&tx).await.unwrap() {
                TxOutcome::Landed { response_ids, .. } => return response_ids,
                TxOutcome::Rejected(rejection) => panic!("{messages:?}: {rejection}"),
                TxOutcome::Unknown => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let ids = tokio::time::timeout(PATIENCE, landed).await.expect("it lands");
    (ids, tx.fee.amount)
}

/// Waits for an event, block by block, in order.
async fn await_event(follower: &mut Follower, wanted: impl Fn(&MarketEvent) -> bool) {
    let found = async {
        loop {
            let height = follower.next_height();
            match follower.next().await.unwrap() {
                FollowerEvent::Block(block) => {
                    assert_eq!(block.height, height);
                    if block.events.iter().any(&wanted) {
                        return;
                    }
                }
                FollowerEvent::Gap { from, to } => panic!("gap {from} to {to}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .expect("the event comes");
}

fn kind(error: ChainError) -> RejectKind {
    match error {
        ChainError::Rejected(rejection) => rejection.kind,
        other => panic!("{other}"),
    }
}

/// Alice rents, bob provides.
pub(crate) async fn walk(config: ChainConfig, dseq: u64) {
    let client = ChainClient::new(config).unwrap();
    let alice = Pipeline::new(client.clone(), Arc::new(TestKey::alice())).unwrap();
    let bob = Pipeline::new(client.clone(), Arc::new(TestKey::bob())).unwrap();
    let head = client.head().await.unwrap();
    let mut follower = Follower::new(client.clone(), head.height.plus(1));
    assert!(client.provider(bob.address()).await.unwrap().is_some());
    let (deposit, _) = client.bid_params().await.unwrap();

    let deployment = DeploymentId::new(alice.address().clone(), dseq);
    let order_id = OrderId::new(alice.address().clone(), dseq, 1, 1);
    let create = Message::CreateDeployment {
        id: deployment.clone(),
        groups: vec![group()],
        hash: [7; 32],
        deposit: "5000000uve".parse().unwrap(),
    };
    land(&alice, &[create]).await;
    await_event(
        &mut follower,
        |event| matches!(event, MarketEvent::OrderCreated { id } if *id == order_id),
    )
    .await;
    let order = client.order(&order_id).await.unwrap();
    assert_eq!((order.state, &order.spec), (OrderState::Open, &group()));
    assert!(client.open_orders().await.unwrap().contains(&order));
    assert_eq!(
        client.deployment(&deployment).await.unwrap().manifest_hash,
        [7; 32]
    );

    let lease_id = LeaseId::new(order_id.clone(), bob.address().clone());
    let bid = |amount: &str| Message::CreateBid {
        id: lease_id.clone(),
        price: price(amount),
        deposit: deposit.clone(),
    };
    let error = bob.sign(&[bid("31")], Duration::ZERO).await.unwrap_err();
    assert_eq!(kind(error), RejectKind::NotEligible);
    land(&bob, &[bid("2")]).await;
    let error = bob.sign(&[bid("2")], Duration::ZERO).await.unwrap_err();
    assert_eq!(kind(error), RejectKind::AlreadyDone);
    assert_eq!(client.bid(&lease_id).await.unwrap().state, BidState::Open);
    assert_eq!(client.bids_on(&order_id).await.unwrap().len(), 1);
    assert!(
        client
            .bids_of(bob.address())
            .await
            .unwrap()
            .iter()
            .any(|bid| bid.id == lease_id)
    );

    land(&alice, &[Message::CreateLease { id: lease_id.clone() }]).await;
    await_event(&mut follower, |event| {
        matches!(event, MarketEvent::LeaseCreated { id, price: paid } if *id == lease_id && *paid == price("2"))
    })
    .await;
    assert_eq!(client.lease(&lease_id).await.unwrap().state, LeaseState::Active);
    assert!(
        client
            .leases_of(bob.address())
            .await
            .unwrap()
            .iter()
            .any(|lease| lease.id == lease_id)
    );
    assert!(client.lease_payment(&lease_id).await.unwrap().open);
    settlement(&client, &alice, &bob, &lease_id).await;
    heartbeat(&bob).await;
    end(&client, &bob, &lease_id, &mut follower).await;
}

async fn settlement(client: &ChainClient, alice: &Pipeline, bob: &Pipeline, lease: &LeaseId) {
    let order_id = lease.order.to_string();
    let escrow = Message::CreateEscrow {
        order_id: order_id.clone(),
        amount: "1000000uve".parse().unwrap(),
        expires_in: 86_400,
    };
    let escrow_id = land(alice, &[escrow]).await.remove(0);
    let activate = Message::ActivateEscrow {
        escrow_id: escrow_id.clone(),
        lease_id: lease.to_string(),
        recipient: bob.address().clone(),
    };
    land(alice, &[activate]).await;
    let escrows = client.escrows_of(&order_id).await.unwrap();
    assert_eq!(
        (escrows[0].id.as_str(), escrows[0].state.as_str()),
        (escrow_id.as_str(), "active")
    );
    assert_eq!(escrows[0].recipient.as_ref(), Some(bob.address()));

    let usage = |usage_type: &str| Message::RecordUsage {
        order_id: order_id.clone(),
        lease_id: lease.to_string(),
        usage_units: 3600,
        usage_type: usage_type.to_owned(),
        period_start: 1_700_000_000,
        period_end: 1_700_003_600,
        unit_price: price("1"),
        signature: vec![1, 2],
    };
    let messages = [usage("cpu"), usage("memory")];
    let batch = bob.batch(&messages).await.unwrap();
    assert_eq!(
        (batch.groups.as_slice(), batch.refused.len()),
        (&[vec![0, 1]][..], 0)
    );
    let ids = land(bob, &messages).await;
    let recorded = client.usage_of(&order_id).await.unwrap();
    assert_eq!(
        recorded
            .iter()
            .map(|record| record.id.clone())
            .collect::<Vec<_>>(),
        ids
    );
    let before = client
        .balance(bob.address(), &"uve".parse().unwrap())
        .await
        .unwrap();
    let settle = Message::SettleOrder {
        order_id: order_id.clone(),
        usage_record_ids: ids,
        is_final: false,
    };
    let (settled, fee) = land_for_a_fee(bob, &[settle]).await;
    assert!(settled[0].starts_with("settle-"), "{settled:?}");
    let after = client
        .balance(bob.address(), &"uve".parse().unwrap())
        .await
        .unwrap();
    // Twice 3600 units at 1 uve, less the 6 % of platform and validators (spec/chain-node.md 2.9).
    assert_eq!(after.amount + fee, before.amount + 2 * 3384, "fee {fee}");
    let recorded = client.usage_of(&order_id).await.unwrap();
    let settled: Vec<bool> = recorded.iter().map(|record| record.settled).collect();
    assert_eq!(settled, [true, true]);
}

async fn heartbeat(bob: &Pipeline) {
    let capacity = InventoryCapacity {
        cpu_cores: 8,
        ..InventoryCapacity::default()
    };
    let beat = Heartbeat {
        // An inventory of its own: other tests send heartbeats for the default one.
        inventory_id: "walk".to_owned(),
        resource_class: 1,
        total: capacity.clone(),
        available: capacity,
        // Later than whatever an earlier run has sent.
        sequence: std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs(),
        region: "local".to_owned(),
    };
    land(bob, &[Message::Heartbeat(beat.clone())]).await;
    let error = bob
        .sign(&[Message::Heartbeat(beat)], Duration::ZERO)
        .await
        .unwrap_err();
    assert_eq!(kind(error), RejectKind::AlreadyDone);
}

async fn end(client: &ChainClient, bob: &Pipeline, lease: &LeaseId, follower: &mut Follower) {
    land(bob, &[Message::WithdrawLease { id: lease.clone() }]).await;
    let close = Message::CloseBid {
        id: lease.clone(),
        reason: CloseReason::Decommission,
    };
    land(bob, &[close]).await;
    await_event(follower, |event| {
        matches!(event, MarketEvent::LeaseClosed { id, reason: CloseReason::Decommission } if id == lease)
    })
    .await;
    assert_eq!(client.lease(lease).await.unwrap().state, LeaseState::Closed);
    let error = bob
        .sign(&[Message::WithdrawLease { id: lease.clone() }], Duration::ZERO)
        .await
        .unwrap_err();
    assert_eq!(kind(error), RejectKind::StateChanged);
}

/// The two simplest messages of a provider.
pub(crate) async fn send_and_beat(account: &Pipeline) {
    let send = Message::BankSend {
        to: account.address().clone(),
        amount: "1uve".parse().unwrap(),
    };
    land(account, &[send]).await;
    heartbeat(account).await;
}

/// Blocks come as they are announced: polling alone would take a minute each.
pub(crate) async fn follow_announcements(mut config: ChainConfig) {
    config.websocket = true;
    config.poll_interval = Duration::from_secs(60);
    let client = ChainClient::new(config).unwrap();
    let head = client.head().await.unwrap();
    let mut follower = Follower::new(client, head.height);
    for _ in 0..5 {
        let next = tokio::time::timeout(PATIENCE, follower.next())
            .await
            .expect("an announcement comes");
        assert!(matches!(next.unwrap(), FollowerEvent::Block(_)));
    }
}
