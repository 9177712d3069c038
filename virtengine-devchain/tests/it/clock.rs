//! What time and genesis alone bring about, under virtual time.

use std::time::Duration;

use virtengine_devchain::{Config, Devchain, Genesis};

use crate::messages::*;
use crate::scenarios::Cast;
use crate::stage::{Seen, Stage};
use crate::wallet::Wallet;

struct Story {
    chain: Devchain,
    stage: Stage,
    cast: Cast,
}

impl Story {
    async fn begin(genesis: Genesis) -> Self {
        let chain = Devchain::start(Config::manual().genesis(genesis)).await.unwrap();
        Self {
            stage: Stage::new(&chain.rpc_url(), 1_000_000),
            chain,
            cast: Cast::new(),
        }
    }

    /// Sends and makes the block.
    async fn act(&self, wallet: &Wallet, messages: Vec<prost_types::Any>) -> Seen {
        let bytes = self.stage.draft(wallet, messages).await.bytes(wallet, true);
        let seen = self.stage.submit(&bytes).await.unwrap();
        if seen.code != 0 {
            return seen;
        }
        self.chain.advance().unwrap();
        self.stage.landed(&bytes).await
    }

    async fn escrow(&self, order: &str) {
        let (alice, bob) = (&self.cast.alice, &self.cast.bob);
        let made = self
            .act(alice, vec![any(&create_escrow(&alice.address, order, 10_000))])
            .await
            .succeeded();
        let made: sv1::MsgCreateEscrowResponse = made.response(0);
        let activate = activate_escrow(&alice.address, &made.escrow_id, &bob.address);
        self.act(alice, vec![any(&activate)]).await.succeeded();
    }
}

#[tokio::test]
async fn an_active_escrow_is_settled_after_a_period() {
    let mut genesis = Genesis::default();
    genesis.rules.settlement_period = 600;
    let story = Story::begin(genesis).await;
    let bob = &story.cast.bob;
    story.escrow("order").await;
    story
        .act(bob, vec![any(&record_usage(&bob.address, "order", 1000))])
        .await
        .succeeded();
    let before = story.stage.balance(&bob.address).await;
    story.chain.advance_by(Duration::from_secs(500)).unwrap();
    assert_eq!(story.stage.balance(&bob.address).await, before);
    let height = story.chain.advance_by(Duration::from_secs(200)).unwrap();
    assert_eq!(story.stage.balance(&bob.address).await, before + 940);
    let results = story
        .stage
        .rpc("block_results", serde_json::json!({"height": height.to_string()}))
        .await
        .unwrap();
    assert!(
        results["finalize_block_events"]
            .to_string()
            .contains("\"940uve\"")
    );
    // Nothing new was used: nothing more is settled.
    story.chain.advance_by(Duration::from_secs(5000)).unwrap();
    assert_eq!(story.stage.balance(&bob.address).await, before + 940);
}

#[tokio::test]
async fn an_expired_escrow_settles_nothing() {
    let story = Story::begin(Genesis::default()).await;
    let bob = &story.cast.bob;
    story.escrow("order").await;
    story
        .act(bob, vec![any(&record_usage(&bob.address, "order", 1))])
        .await
        .succeeded();
    let alice = &story.cast.alice;
    let late = vec![any(&create_escrow(&alice.address, "late", 10_000))];
    let late: sv1::MsgCreateEscrowResponse = story.act(alice, late).await.succeeded().response(0);
    // Just short of the period after which the chain settles by itself, then past both.
    story.chain.advance_by(Duration::from_secs(86_390)).unwrap();
    story.chain.advance_by(Duration::from_secs(100)).unwrap();
    let activate = activate_escrow(&alice.address, &late.escrow_id, &bob.address);
    story.act(alice, vec![any(&activate)]).await.failed(
        "settlement",
        1518,
        "has expired: escrow has expired",
    );
    let settle = vec![any(&settle(&bob.address, "order", &[], false))];
    story.act(bob, settle).await.failed(
        "settlement",
        1518,
        "escrow for order order has expired: escrow has expired",
    );
}

/// chain-recordings 401, 402: a chain that demands a second factor takes neither deployments nor withdrawals.
#[tokio::test]
async fn a_second_factor_cannot_be_given() {
    let mut genesis = Genesis::default();
    genesis.rules.mfa = true;
    let story = Story::begin(genesis).await;
    let (alice, bob) = (&story.cast.alice, &story.cast.bob);
    let deployment = create_deployment(
        &alice.address,
        1_000_000,
        vec![group("g", 30, "uve", &[])],
        5_000_000,
    );
    story.act(alice, vec![any(&deployment)]).await.refused(
        "mfa",
        1214,
        "MFA required for high_value_order. Required factors: veid+fido2: MFA verification required",
    );
    let id = bid_id(&alice.address, 1_000_000, 1, 1, &bob.address);
    story.act(bob, vec![any(&withdraw(&id))]).await.refused(
        "mfa",
        1214,
        "MFA required for medium_withdrawal. Required factors: fido2 or totp: MFA verification required",
    );
    story
        .act(bob, vec![any(&send(&bob.address, &alice.address, 20_000))])
        .await
        .succeeded();
}

/// spec/chain-recordings 334.
#[tokio::test]
async fn a_refund_returns_what_is_left() {
    let story = Story::begin(Genesis::default()).await;
    let (alice, bob) = (&story.cast.alice, &story.cast.bob);
    story.escrow("order").await;
    story
        .act(bob, vec![any(&record_usage(&bob.address, "order", 20))])
        .await
        .succeeded();
    story
        .act(bob, vec![any(&settle(&bob.address, "order", &[], false))])
        .await
        .succeeded();
    let refund = |sender: &str| sv1::MsgRefundEscrow {
        sender: sender.to_owned(),
        escrow_id: "escrow-1".to_owned(),
        reason: "done".to_owned(),
    };
    let charlie = &story.cast.charlie;
    story
        .act(charlie, vec![any(&refund(&charlie.address))])
        .await
        .failed("settlement", 1505, "unauthorized");
    let before = story.stage.balance(&alice.address).await;
    let seen = story
        .act(alice, vec![any(&refund(&alice.address))])
        .await
        .succeeded();
    let answer: sv1::MsgRefundEscrowResponse = seen.response(0);
    assert_eq!(answer.refunded_amount, "9980uve");
    assert_eq!(story.stage.balance(&alice.address).await, before + 9980 - 25_000);
    story.act(alice, vec![any(&refund(&alice.address))]).await.failed(
        "settlement",
        1503,
        "invalid state transition",
    );
}
