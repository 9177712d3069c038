//! Bids: the way of one order, and every reason to refuse a bid (spec/chain.md B.4, spec/chain-node.md 2.1).

use crate::messages::*;
use crate::scenarios::{Cast, scenarios};
use crate::stage::Stage;

scenarios!(
    an_order_is_bid_on_leased_used_settled_withdrawn_and_closed,
    a_bid_is_refused_for_its_price,
    a_bid_is_refused_for_its_deposit,
    a_bid_is_refused_for_its_identity,
    a_bid_is_refused_for_its_order,
    a_bid_is_refused_for_what_the_provider_cannot_do,
    only_the_first_losing_bid_is_refunded_and_nobody_is_told,
    heartbeats_must_count_up,
    listings_filter_and_page,
);

/// spec/chain.md E.4.
async fn an_order_is_bid_on_leased_used_settled_withdrawn_and_closed(stage: &Stage, cast: &Cast) {
    let (alice, bob) = (&cast.alice, &cast.bob);
    let id = stage.order(cast).await;
    let order = format!("{}/{}/1/1", alice.address, id.dseq);

    let before = stage.balance(&bob.address).await;
    let seen = stage.bid(bob, &id, 1).await.succeeded();
    assert_eq!(seen.module_events(), ["BidCreated"]);
    assert_eq!(
        seen.attribute("EventBidCreated", "price"),
        r#"{"denom":"uve","amount":"1.000000000000000000"}"#
    );
    assert_eq!(stage.balance(&bob.address).await, before - 25_000 - 500_000);

    let lease = stage.act(alice, vec![any(&create_lease(&id))]).await.succeeded();
    assert_eq!(lease.module_events(), ["LeaseCreated"]);

    let escrow = stage
        .act(
            alice,
            vec![any(&create_escrow(&alice.address, &order, 1_000_000))],
        )
        .await
        .succeeded();
    let escrow: sv1::MsgCreateEscrowResponse = escrow.response(0);
    let activate = activate_escrow(&alice.address, &escrow.escrow_id, &bob.address);
    stage.act(alice, vec![any(&activate)]).await.succeeded();

    let used = stage
        .act(bob, vec![any(&record_usage(&bob.address, &order, 3600))])
        .await
        .succeeded();
    let used: sv1::MsgRecordUsageResponse = used.response(0);
    assert_eq!(used.total_cost, "3600uve");

    let before = stage.balance(&bob.address).await;
    let settled = stage
        .act(
            bob,
            vec![any(&settle(&bob.address, &order, &[&used.usage_id], false))],
        )
        .await
        .succeeded();
    let settled: sv1::MsgSettleOrderResponse = settled.response(0);
    assert_eq!(
        (
            settled.total_amount.as_str(),
            settled.provider_share.as_str(),
            settled.platform_fee.as_str()
        ),
        ("3600uve", "3384uve", "180uve")
    );
    assert_eq!(stage.balance(&bob.address).await, before - 25_000 + 3384);

    let before = stage.balance(&bob.address).await;
    let paid = stage.act(bob, vec![any(&withdraw(&id))]).await.succeeded();
    let earned = i128::from(paid.height - lease.height);
    let fee = earned * 2 / 100;
    assert_eq!(stage.balance(&bob.address).await, before - 25_000 + earned - fee);

    let closed = stage
        .act(bob, vec![any(&close_bid(&id, 10_001))])
        .await
        .succeeded();
    assert_eq!(
        closed.module_events(),
        ["GroupPaused", "LeaseClosed", "BidClosed", "OrderClosed"]
    );
    assert_eq!(
        closed.attribute("EventLeaseClosed", "reason"),
        "\"lease_closed_reason_decommission\""
    );
    assert_eq!(
        stage.lease(&id).await.lease.unwrap().state(),
        mv1::lease::State::Closed
    );
}

async fn a_bid_is_refused_for_its_price(stage: &Stage, cast: &Cast) {
    let (bob, id) = (&cast.bob, stage.order(cast).await);
    stage
        .bid(bob, &id, 31)
        .await
        .failed("market", 4, "message index: 0: bid price above max order price");
    stage
        .bid(bob, &id, 0)
        .await
        .refused("market", 19, "invalid bid: zero price");
    let mut other = create_bid(&id, 1);
    other.price = Some(price(1, "uakt"));
    let panicked = stage.act(bob, vec![any(&other)]).await;
    panicked.failed(
        "undefined",
        111_222,
        "recovered: invalid coin denominations; uve, uakt",
    );
    let mut nil = create_bid(&id, 1);
    nil.price.as_mut().unwrap().amount.clear();
    let answer = stage.draft(bob, vec![any(&nil)]).await.bytes(bob, true);
    let seen = stage.submit(&answer).await.unwrap();
    seen.refused("undefined", 111_222, "nil pointer dereference");
    stage.bid(bob, &id, 30).await.succeeded();
}

async fn a_bid_is_refused_for_its_deposit(stage: &Stage, cast: &Cast) {
    let (bob, id) = (&cast.bob, stage.order(cast).await);
    let with = |amount, denom: &str| mv5::MsgCreateBid {
        deposit: Some(deposit(amount, denom)),
        ..create_bid(&id, 1)
    };
    stage.act(bob, vec![any(&with(499_999, "uve"))]).await.failed(
        "undefined",
        1,
        "deposit invalid: mininum:500000uve received:{499999uve [balance]}",
    );
    stage.act(bob, vec![any(&with(500_000, "uakt"))]).await.failed(
        "undefined",
        1,
        "received:{500000uakt [balance]}",
    );
    let mut none = create_bid(&id, 1);
    none.deposit.as_mut().unwrap().sources.clear();
    stage.act(bob, vec![any(&none)]).await.refused(
        "virtengine",
        4,
        "empty deposit sources: invalid deposit source",
    );
    let too_much = with(200_000_000_000, "uve");
    stage
        .act(bob, vec![any(&too_much)])
        .await
        .failed("escrow", 16, "invalid deposit");
}

async fn a_bid_is_refused_for_its_identity(stage: &Stage, cast: &Cast) {
    let (alice, bob, id) = (&cast.alice, &cast.bob, stage.order(cast).await);
    stage
        .bid(alice, &id, 1)
        .await
        .refused("sdk", 36, "BidID: self-bid: conflict");
    let mut numbered = id.clone();
    numbered.bseq = 1;
    stage
        .bid(bob, &numbered, 1)
        .await
        .refused("sdk", 36, "BidID: invalid bseq: conflict");
    stage
        .bid(&cast.validator, &id, 1)
        .await
        .failed("market", 30, "unknown provider");
    stage.bid(bob, &id, 1).await.succeeded();
    stage
        .bid(bob, &id, 1)
        .await
        .failed("market", 21, "invalid bid: bid exists from provider");
}

async fn a_bid_is_refused_for_its_order(stage: &Stage, cast: &Cast) {
    let (alice, bob, id) = (&cast.alice, &cast.bob, stage.order(cast).await);
    let mut unknown = id.clone();
    unknown.oseq = 9;
    stage
        .bid(bob, &unknown, 1)
        .await
        .failed("market", 15, "invalid order: order not found");
    stage.bid(bob, &id, 1).await.succeeded();
    stage.act(alice, vec![any(&create_lease(&id))]).await.succeeded();
    stage
        .bid(&cast.operator, &id, 1)
        .await
        .failed("market", 23, "order active");
    stage.act(alice, vec![any(&close_lease(&id))]).await.succeeded();
    stage
        .bid(&cast.operator, &id, 1)
        .await
        .failed("market", 24, "order closed");
}

async fn a_bid_is_refused_for_what_the_provider_cannot_do(stage: &Stage, cast: &Cast) {
    let (alice, bob) = (&cast.alice, &cast.bob);
    let (good, bad) = (stage.number(), stage.number());
    for (dseq, region) in [(good, "local"), (bad, "mars")] {
        let groups = vec![group("global", 30, "uve", &[("region", region)])];
        let message = create_deployment(&alice.address, dseq, groups, 5_000_000);
        stage.act(alice, vec![any(&message)]).await.succeeded();
    }
    let wanted = bid_id(&alice.address, bad, 1, 1, &bob.address);
    stage
        .bid(bob, &wanted, 1)
        .await
        .failed("market", 5, "attribute mismatch");
    let fine = bid_id(&alice.address, good, 1, 1, &bob.address);
    let mut offer = create_bid(&fine, 1);
    let unit = group("x", 1, "uve", &[]).resources.remove(0).resource;
    offer.resources_offer = vec![mv5::ResourceOffer {
        resources: unit,
        count: 2,
    }];
    stage
        .act(bob, vec![any(&offer)])
        .await
        .failed("market", 32, "capabilities mismatch");
    offer.resources_offer[0].count = 1;
    stage.act(bob, vec![any(&offer)]).await.succeeded();
}

/// spec/chain-node.md 1.
async fn only_the_first_losing_bid_is_refunded_and_nobody_is_told(stage: &Stage, cast: &Cast) {
    let id = stage.order(cast).await;
    for provider in [&cast.bob, &cast.charlie, &cast.operator] {
        stage.bid(provider, &id, 1).await.succeeded();
    }
    let before = (
        stage.balance(&cast.operator.address).await,
        stage.balance(&cast.charlie.address).await,
    );
    let seen = stage
        .act(&cast.alice, vec![any(&create_lease(&id))])
        .await
        .succeeded();
    assert_eq!(seen.module_events(), ["LeaseCreated"]);
    let after = (
        stage.balance(&cast.operator.address).await,
        stage.balance(&cast.charlie.address).await,
    );
    assert_eq!((after.0 - before.0, after.1 - before.1), (500_000, 0));
    assert_eq!(stage.bid_state(&id, &cast.operator).await, mv5::bid::State::Lost);
    assert_eq!(stage.bid_state(&id, &cast.charlie).await, mv5::bid::State::Open);

    let of = |provider: &str| mv1::BidId {
        provider: provider.to_owned(),
        ..id.clone()
    };
    let lost = close_bid(&of(&cast.operator.address), 10_001);
    stage
        .act(&cast.operator, vec![any(&lost)])
        .await
        .failed("market", 8, "unknown lease for bid");
    let stuck = close_bid(&of(&cast.charlie.address), 10_001);
    let closed = stage.act(&cast.charlie, vec![any(&stuck)]).await.succeeded();
    assert_eq!(closed.module_events(), ["BidClosed"]);
    assert_eq!(
        stage.balance(&cast.charlie.address).await,
        after.1 + 500_000 - 25_000
    );
}

async fn heartbeats_must_count_up(stage: &Stage, cast: &Cast) {
    let bob = &cast.bob;
    // The peer remembers earlier runs.
    let next = stage.number();
    let beat = |class, sequence| vec![any(&heartbeat(&bob.address, class, sequence))];
    let seen = stage.act(bob, beat(1, next)).await.succeeded();
    assert_eq!(
        seen.attribute("resource_heartbeat", "inventory_id"),
        format!("{}-1", bob.address)
    );
    stage
        .act(bob, beat(1, next))
        .await
        .failed("resources", 7, "stale heartbeat");
    stage.act(bob, beat(0, next + 1)).await.failed(
        "resources",
        1,
        "resource class required: invalid resource request",
    );
    stage
        .act(bob, beat(1, 0))
        .await
        .failed("resources", 1, "sequence must be positive");
    let answer: rv1::MsgProviderHeartbeatResponse =
        stage.act(bob, beat(1, next + 1)).await.succeeded().response(0);
    assert_eq!((answer.accepted, answer.sequence_ack), (true, next + 1));
}

/// spec/chain-node.md 2.6.
async fn listings_filter_and_page(stage: &Stage, cast: &Cast) {
    use virtengine_chain::proto::cosmos::base::query::v1beta1::PageRequest;
    let (alice, dseq) = (&cast.alice, stage.number());
    let groups = (0..3).map(|i| group(&format!("g{i}"), 30, "uve", &[])).collect();
    stage
        .act(
            alice,
            vec![any(&create_deployment(&alice.address, dseq, groups, 5_000_000))],
        )
        .await
        .succeeded();
    let orders = "/virtengine.market.v1beta5.Query/Orders";
    let ask = |state: &str, page: Option<PageRequest>| mv5::QueryOrdersRequest {
        filters: Some(mv5::OrderFilters {
            owner: alice.address.clone(),
            dseq,
            state: state.to_owned(),
            ..Default::default()
        }),
        pagination: page,
    };
    let first = PageRequest {
        limit: 2,
        ..Default::default()
    };
    let page: mv5::QueryOrdersResponse = stage.query(orders, &ask("open", Some(first))).await.unwrap();
    let pagination = page.pagination.unwrap();
    assert_eq!((page.orders.len(), pagination.total), (2, 2));
    let second = PageRequest {
        key: pagination.next_key,
        limit: 2,
        ..Default::default()
    };
    let page: mv5::QueryOrdersResponse = stage.query(orders, &ask("open", Some(second))).await.unwrap();
    assert_eq!(page.orders.len(), 1);
    assert!(page.pagination.unwrap().next_key.is_empty());

    let bad = stage
        .query::<_, mv5::QueryOrdersResponse>(orders, &ask("closing", None))
        .await
        .unwrap_err();
    assert_eq!((bad.0.as_str(), bad.1), ("sdk", 18));
    assert!(bad.2.contains("invalid state value"), "{}", bad.2);
    let offset = PageRequest {
        offset: 1,
        ..Default::default()
    };
    let bad = stage
        .query::<_, mv5::QueryOrdersResponse>(orders, &ask("", Some(offset)))
        .await
        .unwrap_err();
    assert!(
        bad.2.contains("if offset is set, filter.state must be provided"),
        "{}",
        bad.2
    );

    let id = bid_id(&alice.address, dseq, 1, 7, &cast.bob.address);
    let missing = stage
        .query::<_, mv5::QueryOrderResponse>(
            "/virtengine.market.v1beta5.Query/Order",
            &mv5::QueryOrderRequest {
                id: Some(order_id(&id)),
            },
        )
        .await
        .unwrap_err();
    assert_eq!((missing.0.as_str(), missing.1), ("sdk", 22));
    assert!(
        missing.2.contains("invalid order: order not found"),
        "{}",
        missing.2
    );
    let future = stage
        .query_at::<_, mv5::QueryOrdersResponse>(orders, &ask("open", None), 1_000_000_000)
        .await
        .unwrap_err();
    assert_eq!((future.0.as_str(), future.1), ("sdk", 26));
    let nowhere = stage
        .query::<_, mv5::QueryOrdersResponse>("/nope", &ask("open", None))
        .await
        .unwrap_err();
    assert_eq!((nowhere.0.as_str(), nowhere.1), ("sdk", 6));
    let unknown = pv4::QueryProviderRequest {
        owner: alice.address.clone(),
    };
    let unknown = stage
        .query::<_, pv4::QueryProviderResponse>("/virtengine.provider.v1beta4.Query/Provider", &unknown)
        .await
        .unwrap_err();
    assert!(
        unknown.2.contains("invalid provider: address not found"),
        "{}",
        unknown.2
    );
}
