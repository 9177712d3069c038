//! Leases: how they begin, earn and end (spec/chain.md B.5, spec/chain-node.md 2.5, 2.9).

use virtengine_chain::proto::virtengine::escrow::types::v1::State as EscrowState;

use crate::messages::*;
use crate::scenarios::{Cast, scenarios};
use crate::stage::Stage;

scenarios!(
    a_lease_needs_an_open_bid_on_an_open_order,
    a_second_withdrawal_in_one_transaction_panics,
    what_is_closed_cannot_be_withdrawn_or_closed_again,
    a_closed_lease_opens_the_next_order,
    an_overdrawn_account_ends_deployment_and_lease,
    a_lease_closed_in_its_first_block_goes_on_earning,
    a_second_lease_of_a_deployment_eats_what_the_first_has_earned,
);

async fn a_lease_needs_an_open_bid_on_an_open_order(stage: &Stage, cast: &Cast) {
    let (alice, id) = (&cast.alice, stage.order(cast).await);
    let message = vec![any(&create_lease(&id))];
    stage
        .act(alice, message.clone())
        .await
        .failed("market", 18, "invalid bid: bid not found");
    stage.bid(&cast.bob, &id, 1).await.succeeded();
    stage.bid(&cast.operator, &id, 1).await.succeeded();
    let log = format!(
        "pubKey does not match signer address {} with signer index: 0: invalid pubkey",
        alice.address
    );
    stage
        .act(&cast.bob, message.clone())
        .await
        .refused("sdk", 8, &log);
    stage.act(alice, message.clone()).await.succeeded();
    stage
        .act(alice, message)
        .await
        .failed("market", 12, "bid not open");
    let lost = bid_id(&alice.address, id.dseq, 1, 1, &cast.operator.address);
    stage
        .act(alice, vec![any(&create_lease(&lost))])
        .await
        .failed("market", 12, "bid not open");
    let payment = stage.lease(&id).await.escrow_payment.unwrap().state.unwrap();
    assert_eq!(payment.rate.clone().unwrap().amount, "1000000000000000000");
    assert_eq!(payment.state(), EscrowState::Open);
}

/// spec/chain.md B.5, spec/chain-node.md 2.2.
async fn a_second_withdrawal_in_one_transaction_panics(stage: &Stage, cast: &Cast) {
    let (id, _) = stage.lease_at(cast, 1, 5_000_000).await;
    stage.next_block().await;
    let twice = vec![any(&withdraw(&id)), any(&withdraw(&id))];
    let before = stage.balance(&cast.bob.address).await;
    let seen = stage.act(&cast.bob, twice).await;
    let seen = seen.failed(
        "undefined",
        111_222,
        "recovered: couldn't find payment aid:<scope:deployment xid:",
    );
    assert!(seen.module_events().is_empty());
    assert_eq!(stage.balance(&cast.bob.address).await, before - 25_000);
    let unknown = mv1::BidId {
        oseq: 5,
        ..id.clone()
    };
    stage
        .act(&cast.bob, vec![any(&withdraw(&unknown))])
        .await
        .failed("market", 7, "unknown lease");
}

async fn what_is_closed_cannot_be_withdrawn_or_closed_again(stage: &Stage, cast: &Cast) {
    let (bob, (id, _)) = (&cast.bob, stage.lease_at(cast, 1, 5_000_000).await);
    stage.act(bob, vec![any(&close_bid(&id, 1))]).await.refused(
        "market",
        33,
        "value \"1\" range 10000..19999: invalid lease closed reason",
    );
    stage.next_block().await;
    stage
        .act(bob, vec![any(&close_bid(&id, 10_000))])
        .await
        .succeeded();
    stage
        .act(bob, vec![any(&close_bid(&id, 10_000))])
        .await
        .failed("market", 10, "lease not active");
    stage
        .act(bob, vec![any(&withdraw(&id))])
        .await
        .failed("escrow", 7, "payment closed");
    stage
        .act(&cast.alice, vec![any(&close_lease(&id))])
        .await
        .failed("market", 24, "order closed");
    let unknown = mv1::BidId {
        oseq: 5,
        ..id.clone()
    };
    stage
        .act(bob, vec![any(&close_bid(&unknown, 10_000))])
        .await
        .failed("market", 6, "unknown bid");
}

async fn a_closed_lease_opens_the_next_order(stage: &Stage, cast: &Cast) {
    let (id, began) = stage.lease_at(cast, 50, 5_000_000).await;
    stage.next_block().await;
    let before = stage.balance(&cast.bob.address).await;
    let seen = stage
        .act(&cast.alice, vec![any(&close_lease(&id))])
        .await
        .succeeded();
    assert_eq!(
        seen.module_events(),
        ["LeaseClosed", "BidClosed", "OrderClosed", "OrderCreated"]
    );
    assert_eq!(
        seen.attribute("EventLeaseClosed", "reason"),
        "\"lease_closed_owner\""
    );
    let earned = i128::from(seen.height - began) * 50;
    let paid = earned - earned * 2 / 100;
    assert_eq!(stage.balance(&cast.bob.address).await, before + 500_000 + paid);
    let orders = stage.orders_of(&cast.alice.address, id.dseq).await;
    assert_eq!(
        orders,
        [(1, 2, mv5::order::State::Open), (1, 1, mv5::order::State::Closed)]
    );
    let lease = stage.lease(&id).await;
    assert_eq!(
        lease.lease.unwrap().closed_on,
        i64::try_from(seen.height).unwrap()
    );
    assert_eq!(
        lease.escrow_payment.unwrap().state.unwrap().state(),
        EscrowState::Closed
    );
}

async fn an_overdrawn_account_ends_deployment_and_lease(stage: &Stage, cast: &Cast) {
    let (id, began) = stage.lease_at(cast, 200_000, 500_000).await;
    while stage.height().await < began + 3 {
        stage.next_block().await;
    }
    let before = stage.balance(&cast.bob.address).await;
    let seen = stage.act(&cast.bob, vec![any(&withdraw(&id))]).await.succeeded();
    assert_eq!(
        seen.module_events(),
        [
            "DeploymentClosed",
            "GroupClosed",
            "OrderClosed",
            "BidClosed",
            "LeaseClosed"
        ]
    );
    assert_eq!(
        seen.attribute("EventLeaseClosed", "reason"),
        "\"lease_closed_owner\""
    );
    // What was there, less 2 %, and the bid's deposit.
    assert_eq!(
        stage.balance(&cast.bob.address).await,
        before - 25_000 + 490_000 + 500_000
    );
    let lease = stage.lease(&id).await;
    assert_eq!(lease.lease.unwrap().state(), mv1::lease::State::Closed);
    let payment = lease.escrow_payment.unwrap().state.unwrap();
    let owed = u128::from(seen.height - began) * 200_000 - 500_000;
    assert_eq!(payment.state(), EscrowState::Overdrawn);
    assert_eq!(
        payment.unsettled.unwrap().amount,
        format!("{owed}000000000000000000")
    );
    let deployment = stage.deployment(&cast.alice.address, id.dseq).await;
    assert_eq!(deployment.groups[0].state(), dv4::group::State::InsufficientFunds);
    let account = deployment.escrow_account.unwrap().state.unwrap();
    assert_eq!(account.state(), EscrowState::Overdrawn);
    assert_eq!(account.funds[0].amount, format!("-{owed}000000000000000000"));
}

/// spec/chain-node.md 2.5.
async fn a_lease_closed_in_its_first_block_goes_on_earning(stage: &Stage, cast: &Cast) {
    let id = stage.order(cast).await;
    stage.bid(&cast.bob, &id, 1).await.succeeded();
    let both = vec![any(&create_lease(&id)), any(&close_lease(&id))];
    let closed = stage.act(&cast.alice, both).await.succeeded();
    let lease = stage.lease(&id).await;
    assert_eq!(lease.lease.unwrap().state(), mv1::lease::State::Closed);
    assert_eq!(
        lease.escrow_payment.unwrap().state.unwrap().state(),
        EscrowState::Open
    );
    stage.next_block().await;
    let before = stage.balance(&cast.bob.address).await;
    let paid = stage.act(&cast.bob, vec![any(&withdraw(&id))]).await.succeeded();
    let earned = i128::from(paid.height - closed.height);
    assert_eq!(
        stage.balance(&cast.bob.address).await,
        before - 25_000 + earned - earned * 2 / 100
    );
}

/// Opening a payment charges the account's other payments and forgets to store them.
async fn a_second_lease_of_a_deployment_eats_what_the_first_has_earned(stage: &Stage, cast: &Cast) {
    let (alice, bob, dseq) = (&cast.alice, &cast.bob, stage.number());
    let groups = vec![group("a", 1000, "uve", &[]), group("b", 1000, "uve", &[])];
    stage
        .act(
            alice,
            vec![any(&create_deployment(&alice.address, dseq, groups, 5_000_000))],
        )
        .await
        .succeeded();
    let first = bid_id(&alice.address, dseq, 1, 1, &bob.address);
    let second = bid_id(&alice.address, dseq, 2, 1, &bob.address);
    stage
        .act(
            bob,
            vec![any(&create_bid(&first, 1000)), any(&create_bid(&second, 1000))],
        )
        .await
        .succeeded();
    stage
        .act(alice, vec![any(&create_lease(&first))])
        .await
        .succeeded();
    stage.next_block().await;
    let other = stage
        .act(alice, vec![any(&create_lease(&second))])
        .await
        .succeeded();
    stage.next_block().await;
    let before = stage.balance(&bob.address).await;
    let paid = stage.act(bob, vec![any(&withdraw(&first))]).await.succeeded();
    let since_the_second = i128::from(paid.height - other.height) * 1000;
    let net = since_the_second - since_the_second * 2 / 100;
    assert_eq!(stage.balance(&bob.address).await, before - 25_000 + net);
}
