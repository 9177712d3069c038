//! Gas comes near what a real node used (spec/chain-node.md 3, chain-recordings).

use virtengine_devchain::{Config, Devchain};

use crate::messages::*;
use crate::scenarios::Cast;
use crate::stage::Stage;

#[tokio::test]
async fn gas_used_is_near_the_measured() {
    let chain = Devchain::start(Config::every(std::time::Duration::from_millis(60)))
        .await
        .unwrap();
    let stage = Stage::new(&chain.rpc_url(), 1_000_000);
    let cast = Cast::new();
    let (alice, bob) = (&cast.alice, &cast.bob);
    let mut seen = Vec::new();
    let mut note = |what: &'static str, measured: u64, used: u64| seen.push((what, measured, used));

    let transfer = || vec![any(&send(&bob.address, &alice.address, 1))];
    note(
        "first send",
        78_979,
        stage.act(bob, transfer()).await.succeeded().gas_used,
    );
    note(
        "send",
        65_957,
        stage.act(bob, transfer()).await.succeeded().gas_used,
    );
    stage
        .act(alice, vec![any(&send(&alice.address, &bob.address, 1))])
        .await
        .succeeded();
    let id = bid_id(&alice.address, stage.number(), 1, 1, &bob.address);
    let deployment = create_deployment(
        &alice.address,
        id.dseq,
        vec![group("global", 30, "uve", &[])],
        5_000_000,
    );
    note(
        "deployment",
        111_345,
        stage
            .act(alice, vec![any(&deployment)])
            .await
            .succeeded()
            .gas_used,
    );
    note(
        "deployment again",
        51_201,
        stage.act(alice, vec![any(&deployment)]).await.gas_used,
    );
    note("bid", 107_540, stage.bid(bob, &id, 1).await.succeeded().gas_used);
    note("bid again", 59_995, stage.bid(bob, &id, 1).await.gas_used);
    note(
        "lease",
        122_381,
        stage
            .act(alice, vec![any(&create_lease(&id))])
            .await
            .succeeded()
            .gas_used,
    );
    stage.next_block().await;
    note(
        "withdraw",
        101_419,
        stage
            .act(bob, vec![any(&withdraw(&id))])
            .await
            .succeeded()
            .gas_used,
    );
    stage.next_block().await;
    note(
        "close active bid",
        179_401,
        stage
            .act(bob, vec![any(&close_bid(&id, 10_001))])
            .await
            .succeeded()
            .gas_used,
    );
    let start = dv4::MsgStartGroup {
        id: Some(group_id(&alice.address, id.dseq, 1)),
    };
    note(
        "start group",
        71_146,
        stage.act(alice, vec![any(&start)]).await.succeeded().gas_used,
    );
    let second = mv1::BidId {
        oseq: 2,
        ..id.clone()
    };
    stage.bid(bob, &second, 1).await.succeeded();
    stage
        .act(alice, vec![any(&create_lease(&second))])
        .await
        .succeeded();
    stage.next_block().await;
    note(
        "close lease",
        173_849,
        stage
            .act(alice, vec![any(&close_lease(&second))])
            .await
            .succeeded()
            .gas_used,
    );
    let third = mv1::BidId {
        oseq: 3,
        ..id.clone()
    };
    stage.bid(bob, &third, 1).await.succeeded();
    note(
        "close open bid",
        89_700,
        stage
            .act(bob, vec![any(&close_bid(&third, 10_001))])
            .await
            .succeeded()
            .gas_used,
    );
    let close = vec![any(&close_deployment(&alice.address, id.dseq))];
    note(
        "close deployment",
        112_570,
        stage.act(alice, close).await.succeeded().gas_used,
    );

    let order = format!("{}/1000000/1/1", alice.address);
    let made = stage
        .act(
            alice,
            vec![any(&create_escrow(&alice.address, &order, 1_000_000))],
        )
        .await
        .succeeded();
    note("create escrow", 108_187, made.gas_used);
    let made: sv1::MsgCreateEscrowResponse = made.response(0);
    let activate = activate_escrow(&alice.address, &made.escrow_id, &bob.address);
    note(
        "activate escrow",
        80_529,
        stage.act(alice, vec![any(&activate)]).await.succeeded().gas_used,
    );
    let used = stage
        .act(bob, vec![any(&record_usage(&bob.address, &order, 3600))])
        .await
        .succeeded();
    note("record usage", 123_022, used.gas_used);
    let used: sv1::MsgRecordUsageResponse = used.response(0);
    let settled = stage
        .act(
            bob,
            vec![any(&settle(&bob.address, &order, &[&used.usage_id], false))],
        )
        .await
        .succeeded();
    note("settle order", 861_004, settled.gas_used);
    note(
        "heartbeat",
        64_962,
        stage
            .act(bob, vec![any(&heartbeat(&bob.address, 1, 1))])
            .await
            .succeeded()
            .gas_used,
    );
    note(
        "heartbeat refused",
        46_348,
        stage
            .act(bob, vec![any(&heartbeat(&bob.address, 0, 1))])
            .await
            .gas_used,
    );

    for (what, measured, used) in seen {
        assert!(
            used * 100 > measured * 85 && used * 100 < measured * 115,
            "{what}: measured {measured}, used {used}"
        );
    }
}
