//! Deployments and groups (spec/chain.md B.5, B.6).

use crate::messages::*;
use crate::scenarios::{Cast, scenarios};
use crate::stage::Stage;

scenarios!(
    a_deployment_is_refused_for_its_form,
    a_deployment_can_be_changed_topped_up_and_closed_once,
    groups_pause_start_and_close,
    an_open_order_survives_its_deployment,
    closing_a_group_ends_its_lease,
);

async fn a_deployment_is_refused_for_its_form(stage: &Stage, cast: &Cast) {
    let (alice, dseq) = (&cast.alice, stage.number());
    let good = || {
        create_deployment(
            &alice.address,
            dseq,
            vec![group("global", 30, "uve", &[])],
            5_000_000,
        )
    };
    let act = async |message: dv4::MsgCreateDeployment| stage.act(alice, vec![any(&message)]).await;
    let mut small = good();
    small.deposit = Some(deposit(1000, "uve"));
    act(small).await.failed(
        "deployment",
        20,
        "Deposit too low - 1000 < 500000uve: Deposit invalid",
    );
    let mut other = good();
    other.deposit = Some(deposit(500_000, "uakt"));
    other.groups = vec![group("global", 30, "uakt", &[])];
    act(other).await.failed(
        "undefined",
        1,
        "Deposit invalid: Invalid deposit denomination uakt",
    );
    let mut none = good();
    none.groups.clear();
    act(none).await.refused("deployment", 7, "Invalid groups");
    let mut hash = good();
    hash.hash.pop();
    act(hash)
        .await
        .refused("deployment", 10, "Invalid: deployment hash");
    let mut empty = good();
    empty.hash.clear();
    act(empty).await.refused("deployment", 9, "Invalid: empty hash");
    let mut zero = good();
    zero.id.as_mut().unwrap().dseq = 0;
    act(zero).await.refused(
        "sdk",
        3,
        "DeploymentID: Invalid Deployment Sequence: invalid sequence",
    );
    let seen = act(good()).await.succeeded();
    assert_eq!(seen.module_events(), ["DeploymentCreated", "OrderCreated"]);
    assert_eq!(
        seen.attribute("EventDeploymentCreated", "hash"),
        "\"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\""
    );
    act(good()).await.failed("deployment", 3, "Deployment exists");
}

async fn a_deployment_can_be_changed_topped_up_and_closed_once(stage: &Stage, cast: &Cast) {
    let (alice, id) = (&cast.alice, stage.order(cast).await);
    let update = |hash: u8| dv4::MsgUpdateDeployment {
        id: Some(deployment_id(&alice.address, id.dseq)),
        hash: vec![hash; 32],
    };
    let seen = stage.act(alice, vec![any(&update(9))]).await.succeeded();
    assert_eq!(seen.module_events(), ["DeploymentUpdated"]);
    stage
        .act(alice, vec![any(&update(9))])
        .await
        .failed("deployment", 10, "Invalid: deployment hash");
    let account = eid::Account {
        scope: 1,
        xid: format!("{}/{}", alice.address, id.dseq),
    };
    let more = ev1::MsgAccountDeposit {
        signer: cast.operator.address.clone(),
        id: Some(account.clone()),
        deposit: Some(deposit(1000, "uve")),
    };
    stage.act(&cast.operator, vec![any(&more)]).await.succeeded();
    let before = (
        stage.balance(&alice.address).await,
        stage.balance(&cast.operator.address).await,
    );
    let close = vec![any(&close_deployment(&alice.address, id.dseq))];
    let seen = stage.act(alice, close.clone()).await.succeeded();
    assert_eq!(seen.module_events(), ["DeploymentClosed", "GroupClosed"]);
    let after = (
        stage.balance(&alice.address).await,
        stage.balance(&cast.operator.address).await,
    );
    assert_eq!(
        (after.0 - before.0, after.1 - before.1),
        (5_000_000 - 25_000, 1000)
    );
    stage
        .act(alice, close)
        .await
        .failed("deployment", 5, "Deployment closed");
    stage
        .act(&cast.operator, vec![any(&more)])
        .await
        .failed("escrow", 2, "account closed");
    stage
        .act(alice, vec![any(&update(8))])
        .await
        .failed("deployment", 5, "Deployment closed");
    let unknown = vec![any(&close_deployment(&alice.address, stage.number()))];
    stage
        .act(alice, unknown)
        .await
        .failed("deployment", 4, "Deployment not found");
}

async fn groups_pause_start_and_close(stage: &Stage, cast: &Cast) {
    let (alice, id) = (&cast.alice, stage.order(cast).await);
    let group = || Some(group_id(&alice.address, id.dseq, 1));
    let start = vec![any(&dv4::MsgStartGroup { id: group() })];
    let pause = vec![any(&dv4::MsgPauseGroup { id: group() })];
    let close = vec![any(&dv4::MsgCloseGroup { id: group() })];
    stage
        .act(alice, start.clone())
        .await
        .failed("deployment", 16, "Group open");
    stage.bid(&cast.bob, &id, 1).await.succeeded();
    stage.act(alice, vec![any(&create_lease(&id))]).await.succeeded();
    stage.next_block().await;
    stage
        .act(&cast.bob, vec![any(&close_bid(&id, 10_002))])
        .await
        .succeeded();
    let seen = stage.act(alice, start.clone()).await.succeeded();
    assert_eq!(seen.module_events(), ["GroupStarted", "OrderCreated"]);
    let seen = stage.act(alice, pause.clone()).await.succeeded();
    assert_eq!(seen.module_events(), ["GroupPaused"]);
    stage
        .act(alice, pause.clone())
        .await
        .failed("deployment", 17, "Group paused");
    // The order that was opened above is still open, so there cannot be another.
    stage
        .act(alice, start.clone())
        .await
        .failed("undefined", 1, "create order: active order exists");
    let seen = stage.act(alice, close.clone()).await.succeeded();
    assert_eq!(seen.module_events(), ["GroupClosed"]);
    stage
        .act(alice, close)
        .await
        .failed("deployment", 15, "Group already closed");
    stage
        .act(alice, start)
        .await
        .failed("deployment", 15, "Group already closed");
    let unknown = dv4::MsgPauseGroup {
        id: Some(group_id(&alice.address, id.dseq, 7)),
    };
    stage
        .act(alice, vec![any(&unknown)])
        .await
        .failed("deployment", 14, "Group not found");
}

/// spec/chain-node.md 1.
async fn an_open_order_survives_its_deployment(stage: &Stage, cast: &Cast) {
    let (alice, bob, dseq) = (&cast.alice, &cast.bob, stage.number());
    let groups = vec![group("a", 30, "uve", &[]), group("b", 30, "uve", &[])];
    stage
        .act(
            alice,
            vec![any(&create_deployment(&alice.address, dseq, groups, 5_000_000))],
        )
        .await
        .succeeded();
    let leased = bid_id(&alice.address, dseq, 1, 1, &bob.address);
    let open = bid_id(&alice.address, dseq, 2, 1, &bob.address);
    stage
        .act(
            bob,
            vec![any(&create_bid(&leased, 1)), any(&create_bid(&open, 1))],
        )
        .await
        .succeeded();
    stage
        .act(alice, vec![any(&create_lease(&leased))])
        .await
        .succeeded();
    stage.next_block().await;
    let seen = stage
        .act(alice, vec![any(&close_deployment(&alice.address, dseq))])
        .await
        .succeeded();
    assert_eq!(
        seen.module_events(),
        [
            "DeploymentClosed",
            "GroupClosed",
            "OrderClosed",
            "BidClosed",
            "LeaseClosed",
            "GroupClosed"
        ]
    );
    let orders = stage.orders_of(&alice.address, dseq).await;
    assert_eq!(
        orders,
        [(2, 1, mv5::order::State::Open), (1, 1, mv5::order::State::Closed)]
    );
    assert_eq!(stage.bid_state(&open, bob).await, mv5::bid::State::Open);
    stage.bid(&cast.charlie, &open, 1).await.succeeded();
    stage
        .act(alice, vec![any(&create_lease(&open))])
        .await
        .failed("market", 17, "group not open");
    let before = stage.balance(&bob.address).await;
    stage
        .act(bob, vec![any(&close_bid(&open, 10_002))])
        .await
        .succeeded();
    assert_eq!(stage.balance(&bob.address).await, before + 500_000 - 25_000);
    let theirs = bid_id(&alice.address, dseq, 2, 1, &cast.charlie.address);
    stage
        .act(&cast.charlie, vec![any(&close_bid(&theirs, 10_002))])
        .await
        .succeeded();
}

async fn closing_a_group_ends_its_lease(stage: &Stage, cast: &Cast) {
    let (id, _) = stage.lease_at(cast, 1, 5_000_000).await;
    stage.next_block().await;
    let close = dv4::MsgCloseGroup {
        id: Some(group_id(&cast.alice.address, id.dseq, 1)),
    };
    let seen = stage.act(&cast.alice, vec![any(&close)]).await.succeeded();
    assert_eq!(
        seen.module_events(),
        ["GroupClosed", "OrderClosed", "BidClosed", "LeaseClosed"]
    );
    let deployment = stage.deployment(&cast.alice.address, id.dseq).await;
    assert_eq!(
        deployment.deployment.unwrap().state(),
        dv1::deployment::State::Active
    );
}
