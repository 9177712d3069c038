//! The settlement module and its holes (spec/chain.md B.8, spec/chain-node.md 2.4, 2.9).

use crate::messages::*;
use crate::scenarios::{Cast, scenarios};
use crate::stage::Stage;

scenarios!(
    an_escrow_is_made_once_and_activated_once,
    usage_is_refused_for_its_form_and_sender,
    a_settlement_is_refused_for_its_records_and_sender,
    an_acknowledged_record_is_charged_twice_by_settle_all,
    a_final_settlement_takes_the_whole_balance,
    a_stranger_may_activate_an_escrow_and_take_the_money,
    settlements_show_in_queries,
);

fn order_of(stage: &Stage, cast: &Cast) -> String {
    format!("{}/{}/1/1", cast.alice.address, stage.number())
}

/// An active escrow of alice for bob; the order.
async fn active(stage: &Stage, cast: &Cast, amount: u64) -> String {
    let order = order_of(stage, cast);
    let alice = &cast.alice;
    let made = stage
        .act(alice, vec![any(&create_escrow(&alice.address, &order, amount))])
        .await
        .succeeded();
    let made: sv1::MsgCreateEscrowResponse = made.response(0);
    let activate = activate_escrow(&alice.address, &made.escrow_id, &cast.bob.address);
    stage.act(alice, vec![any(&activate)]).await.succeeded();
    order
}

async fn escrow_of(stage: &Stage, order: &str) -> sv1::EscrowAccount {
    let request = sv1::QueryEscrowsByOrderRequest {
        order_id: order.to_owned(),
    };
    let mut answer: sv1::QueryEscrowsByOrderResponse = stage
        .query("/virtengine.settlement.v1.Query/EscrowsByOrder", &request)
        .await
        .unwrap();
    answer.escrows.remove(0)
}

async fn an_escrow_is_made_once_and_activated_once(stage: &Stage, cast: &Cast) {
    let (alice, bob, order) = (&cast.alice, &cast.bob, order_of(stage, cast));
    let usage = vec![any(&record_usage(&bob.address, &order, 1))];
    stage.act(bob, usage.clone()).await.failed(
        "settlement",
        1501,
        &format!("no escrow found for order {order}: escrow not found"),
    );
    let mut short = create_escrow(&alice.address, &order, 1000);
    short.expires_in = 10;
    stage.act(alice, vec![any(&short)]).await.failed(
        "settlement",
        1500,
        "expires_in must be at least 3600 seconds",
    );
    short.expires_in = 31_536_001;
    stage.act(alice, vec![any(&short)]).await.failed(
        "settlement",
        1500,
        "expires_in cannot exceed 31536000 seconds",
    );
    short.expires_in = 0;
    stage.act(alice, vec![any(&short)]).await.refused(
        "settlement",
        2,
        "expires_in must be greater than zero",
    );
    let empty = sv1::MsgCreateEscrow {
        amount: Vec::new(),
        ..create_escrow(&alice.address, &order, 1)
    };
    stage
        .act(alice, vec![any(&empty)])
        .await
        .refused("settlement", 3, "amount must be valid and non-zero");
    let seen = stage
        .act(alice, vec![any(&create_escrow(&alice.address, &order, 1000))])
        .await
        .succeeded();
    // Its event has no type and nothing to say.
    assert!(
        seen.events
            .contains(&(String::new(), vec![("msg_index".to_owned(), "0".to_owned())]))
    );
    let made: sv1::MsgCreateEscrowResponse = seen.response(0);
    let again = vec![any(&create_escrow(&alice.address, &order, 1000))];
    stage
        .act(alice, again)
        .await
        .failed("settlement", 1502, "escrow already exists");
    stage.act(bob, usage).await.failed(
        "settlement",
        1505,
        "only the provider can record usage: unauthorized",
    );
    let nobody = activate_escrow(&alice.address, "escrow-999999999", &bob.address);
    stage.act(alice, vec![any(&nobody)]).await.failed(
        "settlement",
        1501,
        "escrow escrow-999999999 not found",
    );
    let activate = vec![any(&activate_escrow(
        &alice.address,
        &made.escrow_id,
        &bob.address,
    ))];
    stage.act(alice, activate.clone()).await.succeeded();
    stage.act(alice, activate).await.failed(
        "settlement",
        1503,
        "cannot activate escrow in state active: invalid state transition",
    );
    let escrow = escrow_of(stage, &order).await;
    assert_eq!(
        (escrow.state.as_str(), escrow.recipient.as_str()),
        ("active", bob.address.as_str())
    );
    assert_eq!(escrow.expires_at - escrow.created_at, 86_400);
}

async fn usage_is_refused_for_its_form_and_sender(stage: &Stage, cast: &Cast) {
    let (bob, order) = (&cast.bob, active(stage, cast, 1000).await);
    let good = || record_usage(&bob.address, &order, 1);
    let act = async |message: sv1::MsgRecordUsage| stage.act(bob, vec![any(&message)]).await;
    let mut m = good();
    m.period_end = m.period_start;
    act(m).await.refused(
        "settlement",
        5,
        "period_end must be after period_start: invalid usage record",
    );
    let mut m = good();
    m.signature.clear();
    act(m)
        .await
        .refused("settlement", 6, "signature cannot be empty: invalid signature");
    let mut m = good();
    m.usage_units = 0;
    act(m).await.refused(
        "settlement",
        5,
        "usage_units must be greater than zero: invalid usage record",
    );
    let mut m = good();
    m.unit_price.as_mut().unwrap().denom.clear();
    act(m)
        .await
        .failed("undefined", 111_222, "recovered: invalid denom: ");
    let mut m = good();
    m.unit_price.as_mut().unwrap().amount.clear();
    act(m).await.failed(
        "undefined",
        111_222,
        "recovered: runtime error: invalid memory address or nil pointer dereference",
    );
    let theirs = record_usage(&cast.operator.address, &order, 1);
    stage.act(&cast.operator, vec![any(&theirs)]).await.failed(
        "settlement",
        1505,
        "only the provider can record usage",
    );
    // The same period twice is no problem for the chain.
    let two = stage.act(bob, vec![any(&good()), any(&good())]).await.succeeded();
    let (first, second): (sv1::MsgRecordUsageResponse, sv1::MsgRecordUsageResponse) =
        (two.response(0), two.response(1));
    assert_ne!(first.usage_id, second.usage_id);
}

async fn a_settlement_is_refused_for_its_records_and_sender(stage: &Stage, cast: &Cast) {
    let (bob, order) = (&cast.bob, active(stage, cast, 1000).await);
    let all = vec![any(&settle(&bob.address, &order, &[], false))];
    stage
        .act(bob, all)
        .await
        .failed("settlement", 1506, "no usage to settle: invalid settlement");
    let unknown = vec![any(&settle(&bob.address, &order, &["usage-1-1"], false))];
    stage.act(bob, unknown).await.failed(
        "settlement",
        1513,
        "usage record usage-1-1 not found: usage record not found",
    );
    let used: sv1::MsgRecordUsageResponse = stage
        .act(bob, vec![any(&record_usage(&bob.address, &order, 10))])
        .await
        .succeeded()
        .response(0);
    let theirs = vec![any(&settle(
        &cast.operator.address,
        &order,
        &[&used.usage_id],
        false,
    ))];
    stage.act(&cast.operator, theirs).await.failed(
        "settlement",
        1505,
        "not authorized to settle order: unauthorized",
    );
    let other = active(stage, cast, 1000).await;
    let crossed = vec![any(&settle(&bob.address, &other, &[&used.usage_id], false))];
    stage.act(bob, crossed).await.failed(
        "settlement",
        1512,
        "belongs to different order: invalid usage record",
    );
    let good = vec![any(&settle(&bob.address, &order, &[&used.usage_id], false))];
    let seen = stage.act(bob, good.clone()).await.succeeded();
    assert_eq!(seen.events.iter().filter(|(kind, _)| kind.is_empty()).count(), 3);
    stage
        .act(bob, good)
        .await
        .failed("settlement", 1515, "already settled: usage already settled");
    let nothing = sv1::MsgSettleOrder {
        order_id: String::new(),
        ..settle(&bob.address, &order, &[], false)
    };
    stage.act(bob, vec![any(&nothing)]).await.refused(
        "settlement",
        4,
        "order_id cannot be empty: invalid settlement",
    );
}

/// spec/chain-node.md 2.4.
async fn an_acknowledged_record_is_charged_twice_by_settle_all(stage: &Stage, cast: &Cast) {
    let (alice, bob, order) = (&cast.alice, &cast.bob, active(stage, cast, 5000).await);
    let used: sv1::MsgRecordUsageResponse = stage
        .act(bob, vec![any(&record_usage(&bob.address, &order, 10))])
        .await
        .succeeded()
        .response(0);
    let acknowledge = |sender: &str| sv1::MsgAcknowledgeUsage {
        sender: sender.to_owned(),
        usage_id: used.usage_id.clone(),
        signature: vec![1],
    };
    stage
        .act(bob, vec![any(&acknowledge(&bob.address))])
        .await
        .failed(
            "settlement",
            1505,
            "only the customer can acknowledge usage: unauthorized",
        );
    let seen = stage
        .act(alice, vec![any(&acknowledge(&alice.address))])
        .await
        .succeeded();
    assert!(seen.events.iter().all(|(kind, _)| !kind.is_empty()));
    let request = sv1::QueryUsageRecordsByOrderRequest {
        order_id: order.clone(),
    };
    let listed: sv1::QueryUsageRecordsByOrderResponse = stage
        .query("/virtengine.settlement.v1.Query/UsageRecordsByOrder", &request)
        .await
        .unwrap();
    assert_eq!(listed.usage_records.len(), 2);
    assert_eq!(listed.usage_records[0].usage_id, listed.usage_records[1].usage_id);
    let seen = stage
        .act(alice, vec![any(&settle(&alice.address, &order, &[], false))])
        .await
        .succeeded();
    let settled: sv1::MsgSettleOrderResponse = seen.response(0);
    assert_eq!(
        (settled.total_amount.as_str(), settled.provider_share.as_str()),
        ("20uve", "19uve")
    );
}

async fn a_final_settlement_takes_the_whole_balance(stage: &Stage, cast: &Cast) {
    let (bob, order) = (&cast.bob, active(stage, cast, 100_000).await);
    stage
        .act(bob, vec![any(&record_usage(&bob.address, &order, 200))])
        .await
        .succeeded();
    let before = stage.balance(&bob.address).await;
    stage
        .act(bob, vec![any(&settle(&bob.address, &order, &[], true))])
        .await
        .succeeded();
    assert_eq!(stage.balance(&bob.address).await, before - 25_000 + 94_000);
    let escrow = escrow_of(stage, &order).await;
    assert_eq!(
        (escrow.state.as_str(), escrow.closure_reason.as_str()),
        ("released", "final settlement")
    );
    assert!(escrow.balance.is_empty());
    let late = vec![any(&record_usage(&bob.address, &order, 1))];
    stage.act(bob, late).await.failed(
        "settlement",
        1519,
        &format!("escrow for order {order} is not active: escrow not active"),
    );
}

async fn a_stranger_may_activate_an_escrow_and_take_the_money(stage: &Stage, cast: &Cast) {
    let (alice, thief, order) = (&cast.alice, &cast.charlie, order_of(stage, cast));
    let made: sv1::MsgCreateEscrowResponse = stage
        .act(alice, vec![any(&create_escrow(&alice.address, &order, 1000))])
        .await
        .succeeded()
        .response(0);
    let activate = activate_escrow(&thief.address, &made.escrow_id, &thief.address);
    stage.act(thief, vec![any(&activate)]).await.succeeded();
    stage
        .act(thief, vec![any(&record_usage(&thief.address, &order, 1000))])
        .await
        .succeeded();
    let before = stage.balance(&thief.address).await;
    stage
        .act(thief, vec![any(&settle(&thief.address, &order, &[], false))])
        .await
        .succeeded();
    assert_eq!(stage.balance(&thief.address).await, before - 25_000 + 940);
}

async fn settlements_show_in_queries(stage: &Stage, cast: &Cast) {
    let (bob, order) = (&cast.bob, active(stage, cast, 1000).await);
    let used: sv1::MsgRecordUsageResponse = stage
        .act(bob, vec![any(&record_usage(&bob.address, &order, 10))])
        .await
        .succeeded()
        .response(0);
    let done: sv1::MsgSettleOrderResponse = stage
        .act(
            bob,
            vec![any(&settle(&bob.address, &order, &[&used.usage_id], false))],
        )
        .await
        .succeeded()
        .response(0);
    let listed: sv1::QuerySettlementsByOrderResponse = stage
        .query(
            "/virtengine.settlement.v1.Query/SettlementsByOrder",
            &sv1::QuerySettlementsByOrderRequest {
                order_id: order.clone(),
            },
        )
        .await
        .unwrap();
    assert_eq!(listed.settlements[0].settlement_id, done.settlement_id);
    assert_eq!(listed.settlements[0].validator_fee, []);
    let payouts: sv1::QueryPayoutsByProviderResponse = stage
        .query(
            "/virtengine.settlement.v1.Query/PayoutsByProvider",
            &sv1::QueryPayoutsByProviderRequest {
                provider: bob.address.clone(),
            },
        )
        .await
        .unwrap();
    let payout = payouts
        .payouts
        .iter()
        .find(|p| p.settlement_id == done.settlement_id)
        .unwrap();
    assert_eq!(
        (payout.state.as_str(), payout.net_amount[0].amount.as_str()),
        ("completed", "10")
    );
    let summary: sv1::QueryUsageSummaryResponse = stage
        .query(
            "/virtengine.settlement.v1.Query/UsageSummary",
            &sv1::QueryUsageSummaryRequest {
                order_id: order,
                ..Default::default()
            },
        )
        .await
        .unwrap();
    // Listed twice by the order, counted once here.
    assert_eq!(summary.summary.unwrap().total_usage_units, 10);
}
