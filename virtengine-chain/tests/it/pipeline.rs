//! Transactions: sequences, fees, outcomes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use virtengine_chain::account::{address_of, verifies};
use virtengine_chain::proto::cosmos::authz::v1beta1::{MsgExec, MsgExecResponse};
use virtengine_chain::proto::cosmos::tx::v1beta1::{SignDoc, TxRaw};
use virtengine_chain::proto::virtengine::settlement::v1::MsgRecordUsageResponse;
use virtengine_chain::{ChainClient, ChainConfig, Pipeline};
use virtengine_provider_core::id::{Address, Height, LeaseId};
use virtengine_provider_core::money::{Decimal, Price};
use virtengine_provider_core::ports::chain::{
    ChainError, Message, RejectKind, SignedTx, TxOutcome, TxSender as _,
};
use virtengine_provider_core::ports::signer::Signer as _;

use prost::Message as _;

use crate::fake_node::{CHAIN_ID, FakeNode, Fault, GAS, auth_of, body_of, config, data};
use crate::signer::TestKey;

const ALICE: &str = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f";

fn pipeline_with(config: ChainConfig) -> Pipeline {
    Pipeline::new(ChainClient::new(config).unwrap(), Arc::new(TestKey::bob())).unwrap()
}

pub(crate) fn pipeline(nodes: &[&FakeNode]) -> Pipeline {
    pipeline_with(config(nodes))
}

fn bob() -> Address {
    address_of(&TestKey::bob().public_key(), "ve").unwrap()
}

fn send(amount: u32) -> Message {
    Message::BankSend {
        to: ALICE.parse().unwrap(),
        amount: format!("{amount}uve").parse().unwrap(),
    }
}

fn withdraw(dseq: u64) -> Message {
    let id: LeaseId = format!("{ALICE}/{dseq}/1/1/{}", bob()).parse().unwrap();
    Message::WithdrawLease { id }
}

fn usage() -> Message {
    Message::RecordUsage {
        order_id: "o".to_owned(),
        lease_id: "l".to_owned(),
        usage_units: 1,
        usage_type: "cpu".to_owned(),
        period_start: 1,
        period_end: 2,
        unit_price: Price::new("uve".parse().unwrap(), Decimal::from_scaled(5)),
        signature: vec![1],
    }
}

pub(crate) async fn sign(pipeline: &Pipeline, amount: u32) -> SignedTx {
    pipeline.sign(&[send(amount)], Duration::ZERO).await.unwrap()
}

pub(crate) fn rejected(error: ChainError) -> RejectKind {
    match error {
        ChainError::Rejected(rejection) => rejection.kind,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_transaction_is_simulated_priced_and_signed() {
    let node = FakeNode::start().await;
    let pipeline = pipeline(&[&node]);
    assert_eq!(pipeline.address(), &bob());
    let tx = sign(&pipeline, 1).await;
    let gas = GAS * 160 / 100;
    assert_eq!((tx.sequence, tx.timeout_height), (7, Height(120)));
    assert_eq!(tx.fee.to_string(), format!("{}uve", gas * 25 / 1000));
    let (body, auth) = (body_of(&tx.tx_raw), auth_of(&tx.tx_raw));
    assert_eq!(body.timeout_height, 120);
    assert_eq!(auth.fee.unwrap().gas_limit, gas);
    let raw = TxRaw::decode(tx.tx_raw.as_slice()).unwrap();
    let document = SignDoc {
        body_bytes: raw.body_bytes,
        auth_info_bytes: raw.auth_info_bytes,
        chain_id: CHAIN_ID.to_owned(),
        account_number: 5,
    };
    assert!(verifies(
        &TestKey::bob().public_key(),
        &document.encode_to_vec(),
        &raw.signatures[0]
    ));
    assert_eq!(
        node.calls("broadcast_tx_sync"),
        0,
        "nothing is sent before it is durable"
    );
    pipeline.broadcast(&tx).await.unwrap();
    assert_eq!(pipeline.outcome(&tx).await.unwrap(), TxOutcome::Unknown);
    node.advance();
    let outcome = pipeline.outcome(&tx).await.unwrap();
    assert!(
        matches!(
            outcome,
            TxOutcome::Landed {
                height: Height(101),
                gas_used: 90_000,
                ..
            }
        ),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn the_timeout_is_given_in_blocks_of_the_measured_length() {
    let node = FakeNode::start().await;
    let pipeline = pipeline(&[&node]);
    // 100 ms per block by configuration.
    let tx = pipeline
        .sign(&[send(1)], Duration::from_millis(950))
        .await
        .unwrap();
    assert_eq!(tx.timeout_height, Height(110));
    let tx = pipeline.sign(&[send(1)], Duration::from_millis(1)).await.unwrap();
    assert_eq!(tx.timeout_height, Height(102));
}

#[tokio::test]
async fn several_transactions_line_up_in_one_block() {
    let node = FakeNode::start().await;
    let pipeline = pipeline(&[&node]);
    let first = sign(&pipeline, 1).await;
    let second = sign(&pipeline, 2).await;
    assert_eq!((first.sequence, second.sequence), (7, 8));
    pipeline.broadcast(&first).await.unwrap();
    pipeline.broadcast(&second).await.unwrap();
    let third = sign(&pipeline, 3).await;
    assert_eq!(third.sequence, 9);
    pipeline.broadcast(&third).await.unwrap();
    node.advance();
    for tx in [&first, &second, &third] {
        assert!(matches!(
            pipeline.outcome(tx).await.unwrap(),
            TxOutcome::Landed { .. }
        ));
    }
}

#[tokio::test]
async fn concurrent_callers_never_share_a_sequence() {
    let node = FakeNode::start().await;
    let pipeline = Arc::new(pipeline(&[&node]));
    let signing = (1..=8).map(|amount| {
        let pipeline = Arc::clone(&pipeline);
        tokio::spawn(async move { sign(&pipeline, amount).await.sequence })
    });
    let mut sequences = Vec::new();
    for task in signing.collect::<Vec<_>>() {
        sequences.push(task.await.unwrap());
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (7..15).collect::<Vec<_>>());
}

#[tokio::test]
async fn sequence_shift_by_outside_send() {
    let node = FakeNode::start().await;
    let pipeline = pipeline(&[&node]);
    let tx = sign(&pipeline, 1).await;
    pipeline.broadcast(&tx).await.unwrap();
    node.advance();
    pipeline.outcome(&tx).await.unwrap();
    // Somebody sends three transactions with the same key.
    node.chain().committed += 3;
    let tx = sign(&pipeline, 2).await;
    assert_eq!(tx.sequence, 11);
    // And one more between signing and sending: certainly refused, so it may be signed again at once.
    node.chain().committed += 1;
    assert_eq!(
        rejected(pipeline.broadcast(&tx).await.unwrap_err()),
        RejectKind::SequenceMismatch
    );
    let tx = sign(&pipeline, 2).await;
    assert_eq!(tx.sequence, 12);
    pipeline.broadcast(&tx).await.unwrap();
    node.advance();
    assert!(matches!(
        pipeline.outcome(&tx).await.unwrap(),
        TxOutcome::Landed { .. }
    ));
    assert_eq!(node.chain().landed.len(), 2, "each landed once");
}

#[tokio::test]
async fn soft_failed_but_landed() {
    let node = FakeNode::start().await;
    let first_life = pipeline(&[&node]);
    let tx = sign(&first_life, 1).await;
    first_life.broadcast(&tx).await.unwrap();
    first_life.broadcast(&tx).await.unwrap();
    node.advance();
    node.chain().cached.clear();
    // After a restart nobody knows that it was sent: sending it again is refused for its sequence, which proves nothing.
    let second_life = pipeline(&[&node]);
    second_life.broadcast(&tx).await.unwrap();
    assert!(matches!(
        second_life.outcome(&tx).await.unwrap(),
        TxOutcome::Landed { .. }
    ));
    assert_eq!(node.chain().landed.len(), 1);
}

#[tokio::test]
async fn a_transaction_without_an_answer_stays_unknown_until_it_cannot_land() {
    let node = FakeNode::start().await;
    let pipeline = pipeline(&[&node]);
    let tx = sign(&pipeline, 1).await;
    node.fault("broadcast_tx_sync", Fault::Hang);
    assert!(pipeline.broadcast(&tx).await.unwrap_err().is_retryable());
    node.heal();
    assert_eq!(pipeline.outcome(&tx).await.unwrap(), TxOutcome::Unknown);
    node.chain().height = tx.timeout_height.0;
    assert_eq!(
        pipeline.outcome(&tx).await.unwrap(),
        TxOutcome::Unknown,
        "it may be in this very block"
    );
    node.chain().height += 1;
    let outcome = pipeline.outcome(&tx).await.unwrap();
    assert!(
        matches!(&outcome, TxOutcome::Rejected(rejection) if rejection.kind == RejectKind::TimedOut),
        "the sequence is unused, so it is in no block: {outcome:?}"
    );
    // Its sequence is free again.
    tokio::time::sleep(Duration::from_millis(110)).await;
    assert_eq!(sign(&pipeline, 1).await.sequence, tx.sequence);
}

#[tokio::test]
async fn a_used_sequence_is_no_proof_so_the_index_must_have_caught_up() {
    let node = FakeNode::start().await;
    let pipeline = pipeline(&[&node]);
    let tx = sign(&pipeline, 1).await;
    node.chain().committed += 1;
    node.chain().height = tx.timeout_height.0 + 1;
    assert_eq!(pipeline.outcome(&tx).await.unwrap(), TxOutcome::Unknown);
    node.chain().height += 1;
    assert!(matches!(
        pipeline.outcome(&tx).await.unwrap(),
        TxOutcome::Rejected(_)
    ));
    // An endpoint whose history begins too late would not know.
    node.chain().lowest = 50;
    assert_eq!(pipeline.outcome(&tx).await.unwrap(), TxOutcome::Unknown);
}

#[tokio::test]
async fn a_refused_fee_raises_the_price_of_the_next_one() {
    let node = FakeNode::start().await;
    node.chain().min_price_thousandths = 60;
    let pipeline = pipeline(&[&node]);
    let cheap = sign(&pipeline, 1).await;
    assert_eq!(
        rejected(pipeline.broadcast(&cheap).await.unwrap_err()),
        RejectKind::FeeTooLow
    );
    assert_eq!(pipeline.gas_price().to_string(), "0.06");
    let dear = sign(&pipeline, 1).await;
    assert_eq!((dear.sequence, dear.fee.amount), (cheap.sequence, 9600));
    pipeline.broadcast(&dear).await.unwrap();
}

#[tokio::test]
async fn the_price_never_passes_its_cap() {
    let node = FakeNode::start().await;
    node.chain().min_price_thousandths = 900;
    let pipeline = pipeline(&[&node]);
    for _ in 0..4 {
        let tx = sign(&pipeline, 1).await;
        assert!(tx.fee.amount <= 40_000, "{}", tx.fee);
        assert_eq!(
            rejected(pipeline.broadcast(&tx).await.unwrap_err()),
            RejectKind::FeeTooLow
        );
        node.advance();
    }
    assert_eq!(pipeline.gas_price().to_string(), "0.25");
}

#[tokio::test]
async fn a_refused_simulation_sends_nothing() {
    let node = FakeNode::start().await;
    node.chain().refuse_type = Some(("/cosmos.bank.v1beta1.MsgSend", "order active"));
    let pipeline = pipeline(&[&node]);
    let error = pipeline.sign(&[send(1)], Duration::ZERO).await.unwrap_err();
    assert_eq!(rejected(error), RejectKind::StateChanged);
    node.chain().refuse_type = None;
    assert_eq!(sign(&pipeline, 1).await.sequence, 7);
}

#[tokio::test]
async fn a_withdrawal_in_the_block_of_the_last_one_waits_for_the_next() {
    let node = FakeNode::start().await;
    let words = "recovered: couldn't find payment aid:<scope:deployment xid:\"x/1\" >";
    node.chain().refuse_type = Some(("/virtengine.market.v1beta5.MsgWithdrawLease", words));
    let error = pipeline(&[&node])
        .sign(&[withdraw(1)], Duration::ZERO)
        .await
        .unwrap_err();
    assert!(error.is_retryable());
    assert_eq!(rejected(error), RejectKind::NextBlock);
}

#[tokio::test]
async fn a_failure_in_the_block_uses_the_sequence() {
    let node = FakeNode::start().await;
    let failed =
        json!({"code": 11, "codespace": "sdk", "log": "out of gas in location: X", "gas_used": "160001"});
    node.chain().deliver = Some(failed);
    let pipeline = pipeline(&[&node]);
    let tx = sign(&pipeline, 1).await;
    pipeline.broadcast(&tx).await.unwrap();
    node.advance();
    let outcome = pipeline.outcome(&tx).await.unwrap();
    assert!(matches!(outcome, TxOutcome::Rejected(rejection) if rejection.kind == RejectKind::OutOfGas));
    let next = sign(&pipeline, 1).await;
    assert_eq!(next.sequence, 8);
    assert_eq!(
        auth_of(&next.tx_raw).fee.unwrap().gas_limit,
        GAS * 210 / 100,
        "and more gas the next time"
    );
}

#[tokio::test]
async fn at_most_five_transactions_go_into_one_block() {
    let node = FakeNode::start().await;
    let pipeline = Arc::new(pipeline(&[&node]));
    for amount in 1..=5 {
        let tx = sign(&pipeline, amount).await;
        pipeline.broadcast(&tx).await.unwrap();
    }
    let sixth = sign(&pipeline, 6).await;
    let sending = tokio::spawn({
        let (pipeline, sixth) = (Arc::clone(&pipeline), sixth.clone());
        async move { pipeline.broadcast(&sixth).await }
    });
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(node.calls("broadcast_tx_sync"), 5, "the sixth waits");
    node.advance();
    sending.await.unwrap().unwrap();
    assert_eq!(node.calls("broadcast_tx_sync"), 6);
}

#[tokio::test]
async fn an_account_without_coins_is_said_to_be_so() {
    let node = FakeNode::start().await;
    let missing = |_: &[u8], _| crate::fake_node::refusal("sdk", 22, "account ve1x not found: key not found");
    let path = "/cosmos.auth.v1beta1.Query/AccountInfo";
    node.chain().queries.insert(path.to_owned(), Arc::new(missing));
    let error = pipeline(&[&node])
        .sign(&[send(1)], Duration::ZERO)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("has never received coins"), "{error}");
    assert_eq!(rejected(error), RejectKind::InsufficientFunds);
}

#[tokio::test]
async fn a_batch_leaves_out_what_would_fail() {
    let node = FakeNode::start().await;
    node.chain().refuse_type = Some(("/virtengine.market.v1beta5.MsgWithdrawLease", "lease not active"));
    let pipeline = pipeline(&[&node]);
    let batch = pipeline
        .batch(&[usage(), withdraw(1), usage(), withdraw(2)])
        .await
        .unwrap();
    assert_eq!(batch.groups, [vec![0, 2]]);
    let refused: Vec<_> = batch
        .refused
        .iter()
        .map(|(index, rejection)| (*index, rejection.kind))
        .collect();
    assert_eq!(
        refused,
        [(1, RejectKind::StateChanged), (3, RejectKind::StateChanged)]
    );
}

#[tokio::test]
async fn a_hot_key_acts_for_the_account_that_granted() {
    let node = FakeNode::start().await;
    let mut config = config(&[&node]);
    let granter: Address = ALICE.parse().unwrap();
    config.granter = Some(granter.clone());
    config.fee_granter = Some(granter.clone());
    let pipeline = pipeline_with(config);
    assert_eq!(
        (pipeline.address(), pipeline.signing_address()),
        (&granter, &bob())
    );
    let tx = pipeline.sign(&[usage(), send(1)], Duration::ZERO).await.unwrap();
    let body = body_of(&tx.tx_raw);
    assert_eq!(body.messages.len(), 1);
    assert_eq!(body.messages[0].type_url, "/cosmos.authz.v1beta1.MsgExec");
    let exec = MsgExec::decode(body.messages[0].value.as_slice()).unwrap();
    assert_eq!((exec.grantee, exec.msgs.len()), (bob().to_string(), 2));
    assert_eq!(auth_of(&tx.tx_raw).fee.unwrap().granter, ALICE);
    let recorded = MsgRecordUsageResponse {
        usage_id: "usage-1-1".to_owned(),
        ..MsgRecordUsageResponse::default()
    };
    let answer = MsgExecResponse {
        results: vec![recorded.encode_to_vec(), Vec::new()],
    };
    let answers = vec![prost_types::Any {
        type_url: "/cosmos.authz.v1beta1.MsgExecResponse".to_owned(),
        value: answer.encode_to_vec(),
    }];
    node.chain().deliver = Some(json!({"code": 0, "gas_used": "1", "data": data(answers)}));
    pipeline.broadcast(&tx).await.unwrap();
    node.advance();
    let TxOutcome::Landed { response_ids, .. } = pipeline.outcome(&tx).await.unwrap() else {
        panic!("it landed")
    };
    assert_eq!(response_ids, ["usage-1-1", ""]);
}

#[tokio::test]
async fn one_that_waits_for_a_block_that_does_not_come_is_sent_again_without_being_refused() {
    let node = FakeNode::start().await;
    let mut config = config(&[&node]);
    config.txs_per_block = 2;
    let pipeline = pipeline_with(config);
    let tx = sign(&pipeline, 1).await;
    for _ in 0..10 {
        pipeline.broadcast(&tx).await.unwrap();
    }
    assert_eq!(pipeline.outcome(&tx).await.unwrap(), TxOutcome::Unknown);
    // It took one place of the two.
    let second = sign(&pipeline, 2).await;
    pipeline.broadcast(&second).await.unwrap();
    let third = sign(&pipeline, 3).await;
    let refused = pipeline.broadcast(&third).await.unwrap_err();
    assert_eq!(rejected(refused), RejectKind::RateLimited);
}
