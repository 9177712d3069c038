//! A hot key that acts and pays for a cold account (spec/chain.md D.5, spec/chain-node.md 1).

use virtengine_chain::proto::cosmos::authz::v1beta1::{GenericAuthorization, Grant};
use virtengine_chain::proto::cosmos::feegrant::v1beta1::BasicAllowance;

use crate::messages::*;
use crate::scenarios::{Cast, scenarios};
use crate::stage::Stage;
use crate::wallet::Wallet;

scenarios!(
    a_hot_key_bids_and_withdraws_for_the_provider_who_pays_the_fees,
    a_fee_needs_a_grant,
);

fn grant(from: &str, to: &str, message: &str) -> authz::MsgGrant {
    let allowed = GenericAuthorization {
        msg: message.to_owned(),
    };
    authz::MsgGrant {
        granter: from.to_owned(),
        grantee: to.to_owned(),
        grant: Some(Grant {
            authorization: Some(any(&allowed)),
            expiration: None,
        }),
    }
}

async fn a_hot_key_bids_and_withdraws_for_the_provider_who_pays_the_fees(stage: &Stage, cast: &Cast) {
    let (bob, hot) = (&cast.bob, Wallet::new(&format!("hot {}", stage.number())));
    stage
        .act(bob, vec![any(&send(&bob.address, &hot.address, 100_000))])
        .await
        .succeeded();
    let id = stage.order(cast).await;
    let exec = |message| authz::MsgExec {
        grantee: hot.address.clone(),
        msgs: vec![message],
    };
    let bid = vec![any(&exec(any(&create_bid(&id, 1))))];
    let log = format!(
        "failed to get grant with given granter: {}, grantee: {} & msgType: /virtengine.market.v1beta5.MsgCreateBid : authorization not found",
        bob.address, hot.address
    );
    stage.act(&hot, bid.clone()).await.failed("authz", 2, &log);
    let grants = ["MsgCreateBid", "MsgWithdrawLease"].map(|m| {
        any(&grant(
            &bob.address,
            &hot.address,
            &format!("/virtengine.market.v1beta5.{m}"),
        ))
    });
    stage.act(bob, grants.to_vec()).await.succeeded();
    let before = stage.balance(&bob.address).await;
    let seen = stage.act(&hot, bid).await.succeeded();
    assert_eq!(stage.balance(&bob.address).await, before - 500_000);
    assert_eq!(seen.attribute("EventBidCreated", "authz_msg_index"), "0");
    let response: authz::MsgExecResponse = seen.response(0);
    assert_eq!(response.results, [Vec::<u8>::new()]);

    let allowance = feegrant::MsgGrantAllowance {
        granter: bob.address.clone(),
        grantee: hot.address.clone(),
        allowance: Some(any(&BasicAllowance::default())),
    };
    stage.act(bob, vec![any(&allowance)]).await.succeeded();
    stage
        .act(&cast.alice, vec![any(&create_lease(&id))])
        .await
        .succeeded();
    stage.next_block().await;
    let before = (
        stage.balance(&hot.address).await,
        stage.balance(&bob.address).await,
    );
    let mut draft = stage.draft(&hot, vec![any(&exec(any(&withdraw(&id))))]).await;
    draft.granter.clone_from(&bob.address);
    let seen = stage.send(&draft.bytes(&hot, true)).await.succeeded();
    assert_eq!(seen.attribute("use_feegrant", "granter"), bob.address);
    assert_eq!(stage.balance(&hot.address).await, before.0);
    assert!(stage.balance(&bob.address).await > before.1 - 25_000);
}

async fn a_fee_needs_a_grant(stage: &Stage, cast: &Cast) {
    let mut draft = stage
        .draft(
            &cast.bob,
            vec![any(&send(&cast.bob.address, &cast.alice.address, 1))],
        )
        .await;
    draft.granter.clone_from(&cast.alice.address);
    let seen = stage.send(&draft.bytes(&cast.bob, true)).await;
    seen.refused("sdk", 38, " does not allow to pay fees for ")
        .log
        .contains("fee-grant not found: not found");
}
