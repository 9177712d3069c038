//! Identity score and messages that the chain cannot take (spec/chain.md B.2, F.1).

use crate::messages::*;
use crate::scenarios::{Cast, scenarios};
use crate::stage::Stage;

scenarios!(
    a_withdrawal_needs_an_identity_score,
    provider_messages_cannot_be_decoded,
);

async fn a_withdrawal_needs_an_identity_score(stage: &Stage, cast: &Cast) {
    let id = stage.order(cast).await;
    let log = "VEID tier unverified below required basic for Medium withdrawal (1,000-10,000 VE) requires single strong factor: unauthorized";
    for wallet in [&cast.charlie, &cast.validator] {
        let of = mv1::BidId {
            provider: wallet.address.clone(),
            ..id.clone()
        };
        stage
            .act(wallet, vec![any(&withdraw(&of))])
            .await
            .refused("sdk", 4, log);
        // Wrapped in an execution for oneself it goes past the gate and fails on the lease.
        let exec = authz::MsgExec {
            grantee: wallet.address.clone(),
            msgs: vec![any(&withdraw(&of))],
        };
        stage
            .act(wallet, vec![any(&exec)])
            .await
            .failed("market", 7, "unknown lease");
    }
}

async fn provider_messages_cannot_be_decoded(stage: &Stage, cast: &Cast) {
    let owner = &cast.bob.address;
    let create = pv4::MsgCreateProvider {
        owner: owner.clone(),
        host_uri: "https://example.com".to_owned(),
        attributes: Vec::new(),
        info: Some(Default::default()),
    };
    let delete = pv4::MsgDeleteProvider { owner: owner.clone() };
    for (message, name) in [
        (any(&create), "MsgCreateProvider"),
        (any(&delete), "MsgDeleteProvider"),
    ] {
        let bytes = stage.draft(&cast.bob, vec![message]).await.bytes(&cast.bob, true);
        let seen = stage.submit(&bytes).await.unwrap();
        // The peer's code is sdk/2, the node's undefined/1; the text is the same.
        assert_ne!(seen.code, 0);
        let log =
            format!("no cosmos.msg.v1.signer option found for message virtengine.provider.v1beta4.{name}");
        assert!(seen.log.contains(&log), "{}", seen.log);
    }
}
