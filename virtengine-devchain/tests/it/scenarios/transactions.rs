//! What every transaction must pass (spec/chain.md B.1, D, spec/chain-node.md 2.2, 2.3, 2.7).

use crate::messages::*;
use crate::scenarios::{Cast, scenarios};
use crate::stage::Stage;
use crate::wallet::Wallet;

scenarios!(
    a_transaction_is_refused_for_its_sequence_and_chain,
    a_transaction_is_refused_for_its_fee_and_gas,
    a_transaction_is_refused_for_its_form,
    a_failed_transaction_uses_fee_and_sequence_a_refused_one_does_not,
    one_failing_message_undoes_the_others,
    a_transaction_is_taken_once,
    the_eleventh_transaction_of_a_block_is_refused,
    an_account_without_coins_is_unknown,
    an_ed25519_account_signs,
    an_amino_json_signature_is_accepted,
    a_simulation_tells_gas_and_refusals,
);

fn transfer(cast: &Cast) -> Vec<prost_types::Any> {
    vec![any(&send(&cast.bob.address, &cast.alice.address, 1))]
}

async fn a_transaction_is_refused_for_its_sequence_and_chain(stage: &Stage, cast: &Cast) {
    let bob = &cast.bob;
    // So that there is a lower sequence.
    stage.act(bob, transfer(cast)).await.succeeded();
    let good = stage.draft(bob, transfer(cast)).await;
    for sequence in [good.sequence + 5, good.sequence - 1] {
        let mut draft = good.clone();
        // Else the lower one would be the transaction above, byte for byte.
        (draft.sequence, draft.memo) = (sequence, "again".to_owned());
        let log = format!(
            "account sequence mismatch, expected {}, got {sequence}: incorrect account sequence",
            good.sequence
        );
        stage.send(&draft.bytes(bob, true)).await.refused("sdk", 32, &log);
    }
    let mut draft = good.clone();
    draft.chain_id = "another".to_owned();
    stage.send(&draft.bytes(bob, true)).await.refused(
        "sdk",
        4,
        "signature verification failed; please verify account number (5) and chain-id (virtengine-localnet-1): (unable to verify single signer signature): unauthorized",
    );
    let mut draft = good;
    draft.account_number = 1;
    stage
        .send(&draft.bytes(bob, true))
        .await
        .refused("sdk", 4, "signature verification failed");
}

async fn a_transaction_is_refused_for_its_fee_and_gas(stage: &Stage, cast: &Cast) {
    let bob = &cast.bob;
    let good = stage.draft(bob, transfer(cast)).await;
    let mut draft = good.clone();
    (draft.fee, draft.gas) = (5, 200_000);
    stage.send(&draft.bytes(bob, true)).await.refused(
        "undefined",
        1,
        "insufficient fee: min gas prices 0.025000000000000000uve, got 0.000025000000000000uve",
    );
    draft.fee = 0;
    stage.send(&draft.bytes(bob, true)).await.refused(
        "undefined",
        1,
        "insufficient fee: min gas prices 0.025000000000000000uve, got ",
    );
    draft.gas = 0;
    // The node and the peer name another place, with the same gas.
    let none = stage.submit(&draft.bytes(bob, true)).await.unwrap();
    none.refused("sdk", 11, "; gasWanted: 0, gasUsed: 1000: out of gas");
    // Enough for the checks, too little for the message: it fails in the block.
    let mut draft = stage.draft(bob, transfer(cast)).await;
    let needed = stage
        .simulate(bob, &draft)
        .await
        .unwrap()
        .gas_info
        .unwrap()
        .gas_used;
    (draft.fee, draft.gas) = (10_000, needed - 6_000);
    let bytes = draft.bytes(bob, true);
    stage.submit(&bytes).await.unwrap();
    let seen = stage
        .landed(&bytes)
        .await
        .failed("sdk", 11, "out of gas in location: ");
    assert!(seen.gas_used > draft.gas);
}

async fn a_transaction_is_refused_for_its_form(stage: &Stage, cast: &Cast) {
    let bob = &cast.bob;
    // The mempool checks at the newest height, the block at the one after: a timeout at height 1 must be past for both.
    while stage.height().await < 2 {
        stage.next_block().await;
    }
    let good = stage.draft(bob, transfer(cast)).await;
    let mut draft = good.clone();
    draft.memo = "x".repeat(300);
    stage.send(&draft.bytes(bob, true)).await.refused(
        "sdk",
        12,
        "maximum number of characters is 256 but received 300 characters: memo too large",
    );
    let mut draft = good.clone();
    draft.timeout_height = 1;
    stage
        .send(&draft.bytes(bob, true))
        .await
        .refused("sdk", 30, "timeout height: 1: tx timeout height");
    let mut draft = good.clone();
    draft.unordered = true;
    let unordered = stage.submit(&draft.bytes(bob, true)).await.unwrap();
    unordered.refused("sdk", 37, "feature not supported");
    let mut draft = good.clone();
    draft.extra_body = vec![0x48, 1];
    stage.send(&draft.bytes(bob, true)).await.refused(
        "sdk",
        2,
        "errUnknownField \"*tx.TxBody\": {TagNum: 9, WireType:\"varint\"}",
    );
    let mut draft = good.clone();
    draft.messages[0].value.extend([0x78, 1]);
    stage.send(&draft.bytes(bob, true)).await.refused(
        "sdk",
        2,
        "errUnknownField \"*types.MsgSend\": {TagNum: 15, WireType:\"varint\"}",
    );
    let mut draft = good.clone();
    draft.messages[0].type_url = "/virtengine.nope.v1.MsgX".to_owned();
    stage.send(&draft.bytes(bob, true)).await.refused(
        "sdk",
        2,
        "unable to resolve type URL /virtengine.nope.v1.MsgX",
    );
    let mut draft = good.clone();
    draft.messages.clear();
    let empty = stage.submit(&draft.bytes(bob, true)).await.unwrap();
    assert_ne!(empty.code, 0);
    stage.send(&[0]).await.refused("sdk", 2, "tx parse error");
    // A field that is not critical passes.
    let mut draft = good;
    draft.extra_body = vec![0x88, 0x40, 1];
    stage.send(&draft.bytes(bob, true)).await.succeeded();
}

async fn a_failed_transaction_uses_fee_and_sequence_a_refused_one_does_not(stage: &Stage, cast: &Cast) {
    let bob = &cast.bob;
    let (_, sequence) = stage.account(&bob.address).await;
    let before = stage.balance(&bob.address).await;
    let unknown = bid_id(&cast.alice.address, stage.number(), 1, 1, &bob.address);
    let seen = stage
        .bid(bob, &unknown, 1)
        .await
        .failed("market", 15, "order not found");
    let kinds: Vec<&str> = seen.events.iter().map(|(k, _)| k.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "coin_spent",
            "coin_received",
            "transfer",
            "message",
            "tx",
            "tx",
            "tx"
        ]
    );
    assert_eq!(stage.account(&bob.address).await.1, sequence + 1);
    assert_eq!(stage.balance(&bob.address).await, before - 25_000);
    stage
        .bid(bob, &unknown, 0)
        .await
        .refused("market", 19, "zero price");
    assert_eq!(stage.account(&bob.address).await.1, sequence + 1);
    assert_eq!(stage.balance(&bob.address).await, before - 25_000);
}

async fn one_failing_message_undoes_the_others(stage: &Stage, cast: &Cast) {
    let (bob, id) = (&cast.bob, stage.order(cast).await);
    let unknown = mv1::BidId {
        oseq: 9,
        ..id.clone()
    };
    let both = vec![any(&create_bid(&id, 1)), any(&create_bid(&unknown, 1))];
    let seen =
        stage
            .act(bob, both)
            .await
            .failed("market", 15, "message index: 1: invalid order: order not found");
    assert!(seen.module_events().is_empty() && seen.responses.is_empty());
    stage.bid(bob, &id, 1).await.succeeded();
}

/// spec/chain-node.md 2.7: over this RPC a second copy is an error object.
async fn a_transaction_is_taken_once(stage: &Stage, cast: &Cast) {
    let bob = &cast.bob;
    let bytes = stage.draft(bob, transfer(cast)).await.bytes(bob, true);
    assert_eq!(stage.submit(&bytes).await.unwrap().code, 0);
    let again = stage.submit(&bytes).await.unwrap_err();
    assert_eq!(
        (again.code, again.data.as_str()),
        (-32603, "tx already exists in cache")
    );
    stage.landed(&bytes).await.succeeded();
    assert_eq!(
        stage.submit(&bytes).await.unwrap_err().data,
        "tx already exists in cache"
    );
    // One that failed in a block may come again, and then its sequence is old.
    let unknown = bid_id(&cast.alice.address, stage.number(), 1, 1, &bob.address);
    let failing = stage
        .draft(bob, vec![any(&create_bid(&unknown, 1))])
        .await
        .bytes(bob, true);
    stage.send(&failing).await.failed("market", 15, "order not found");
    stage
        .submit(&failing)
        .await
        .unwrap()
        .refused("sdk", 32, "account sequence mismatch");
}

async fn the_eleventh_transaction_of_a_block_is_refused(stage: &Stage, cast: &Cast) {
    let bob = &cast.bob;
    // The burst must fall between two blocks; when one comes in between, try again.
    for _ in 0..20 {
        let mut draft = stage.draft(bob, transfer(cast)).await;
        let began = stage.next_block().await;
        draft.sequence = stage.account(&bob.address).await.1;
        let mut sent = Vec::new();
        let mut last = None;
        for _ in 0..11 {
            let bytes = draft.bytes(bob, true);
            let seen = stage.submit(&bytes).await.unwrap();
            if seen.code != 0 {
                last = Some((sent.len(), seen));
                break;
            }
            sent.push(bytes);
            draft.sequence += 1;
        }
        let ended = stage.height().await;
        for bytes in &sent {
            stage.landed(bytes).await;
        }
        if ended == began {
            let (taken, seen) = last.expect("eleven in one height");
            assert_eq!(taken, 10);
            let log = format!(
                "account {} has 10 transactions in this block, limit is 10: account rate limited: too many transactions in this block",
                bob.address
            );
            seen.refused("ratelimit", 1, &log);
            return;
        }
    }
    panic!("no burst fell between two blocks");
}

/// spec/chain-node.md 2.3: the log holds raw bytes, which JSON shows as U+FFFD.
async fn an_account_without_coins_is_unknown(stage: &Stage, cast: &Cast) {
    let poor = Wallet::new(&format!("poor {}", stage.number()));
    let draft = crate::wallet::Draft::new(vec![any(&send(&poor.address, &cast.bob.address, 1))], 0, 0);
    let seen = stage.submit(&draft.bytes(&poor, true)).await.unwrap();
    let seen = seen.refused("sdk", 9, "fee payer address: ");
    assert!(
        seen.log.ends_with(" does not exist: unknown address"),
        "{}",
        seen.log
    );
    stage
        .act(
            &cast.bob,
            vec![any(&send(&cast.bob.address, &poor.address, 10_000))],
        )
        .await
        .succeeded();
    let seen = stage
        .act(&poor, vec![any(&send(&poor.address, &cast.bob.address, 1))])
        .await;
    seen.refused(
        "sdk",
        5,
        "spendable balance 10000uve is smaller than 25000uve: insufficient funds",
    );
}

async fn an_ed25519_account_signs(stage: &Stage, cast: &Cast) {
    let wallet = Wallet::ed25519(&format!("identity {}", stage.number()));
    stage
        .act(
            &cast.bob,
            vec![any(&send(&cast.bob.address, &wallet.address, 100_000))],
        )
        .await
        .succeeded();
    let back = vec![any(&send(&wallet.address, &cast.bob.address, 1))];
    stage.act(&wallet, back).await.succeeded();
    assert_eq!(stage.balance(&wallet.address).await, 74_999);
}

/// spec/chain-node.md 2.2.
async fn a_simulation_tells_gas_and_refusals(stage: &Stage, cast: &Cast) {
    let (bob, id) = (&cast.bob, stage.order(cast).await);
    let mut draft = stage.draft(bob, vec![any(&create_bid(&id, 1))]).await;
    let answer = stage.simulate(bob, &draft).await.unwrap();
    let gas = answer.gas_info.unwrap();
    assert_eq!(gas.gas_wanted, u64::MAX);
    assert!((60_000..200_000).contains(&gas.gas_used), "{}", gas.gas_used);
    assert_eq!(
        answer.result.unwrap().msg_responses[0].type_url,
        "/virtengine.market.v1beta5.MsgCreateBidResponse"
    );
    draft.sequence += 3;
    let log = stage.simulate(bob, &draft).await.unwrap_err();
    let expected = format!(
        "account sequence mismatch, expected {}, got {}: incorrect account sequence",
        draft.sequence - 3,
        draft.sequence
    );
    assert!(
        log.contains(&expected) && log.contains("with gas used: '"),
        "{log}"
    );
    let unknown = mv1::BidId { oseq: 9, ..id };
    let draft = stage.draft(bob, vec![any(&create_bid(&unknown, 1))]).await;
    let log = stage.simulate(bob, &draft).await.unwrap_err();
    assert!(
        log.contains("failed to execute message; message index: 0: invalid order: order not found ["),
        "{log}"
    );
    assert!(log.contains("] with gas used: '"), "{log}");
}

/// spec/chain-node.md 2.9a: the mode of a Ledger.
async fn an_amino_json_signature_is_accepted(stage: &Stage, cast: &Cast) {
    let (bob, id) = (&cast.bob, stage.order(cast).await);
    let mut draft = stage.draft(bob, transfer(cast)).await;
    draft.amino = Some(format!(
        r#"[{{"type":"cosmos-sdk/MsgSend","value":{{"amount":[{{"amount":"1","denom":"uve"}}],"from_address":"{}","to_address":"{}"}}}}]"#,
        bob.address, cast.alice.address
    ));
    stage.send(&draft.bytes(bob, true)).await.succeeded();
    let bid = |kind: &str| {
        format!(
            r#"[{{"type":"{kind}","value":{{"deposit":{{"amount":{{"amount":"500000","denom":"uve"}},"sources":[1]}},"id":{{"dseq":"{}","gseq":1,"oseq":1,"owner":"{}","provider":"{}"}},"price":{{"amount":"1.000000000000000000","denom":"uve"}}}}}}]"#,
            id.dseq, id.owner, id.provider
        )
    };
    let mut draft = stage.draft(bob, vec![any(&create_bid(&id, 1))]).await;
    draft.amino = Some(bid("virtengine.market.v1beta5.MsgCreateBid"));
    stage
        .send(&draft.bytes(bob, true))
        .await
        .refused("sdk", 4, "signature verification failed");
    draft.amino = Some(bid("/virtengine.market.v1beta5.MsgCreateBid"));
    stage.send(&draft.bytes(bob, true)).await.succeeded();
}
