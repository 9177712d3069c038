//! Transactions whose sequence somebody else uses.

use std::time::Duration;

use virtengine_chain::Pipeline;
use virtengine_provider_core::ports::chain::{RejectKind, SignedTx, TxOutcome, TxSender as _};

use crate::fake_node::FakeNode;
use crate::pipeline::{pipeline, rejected, sign};

/// What the daemon does with a transaction that was not sent yet or is not known to have landed: send, look, send again.
async fn send_and_look(pipeline: &Pipeline, tx: &SignedTx) -> TxOutcome {
    match pipeline.broadcast(tx).await {
        Ok(()) => {}
        Err(error) => assert_eq!(rejected(error), RejectKind::SequenceMismatch),
    }
    pipeline.outcome(tx).await.unwrap()
}

/// Somebody else's transaction with the next sequence lands.
fn use_sequence(node: &FakeNode) {
    let mut chain = node.chain();
    chain.height += 1;
    chain.committed += 1;
}

#[tokio::test]
async fn one_whose_sequence_somebody_else_used_is_given_up_long_before_its_timeout() {
    let node = FakeNode::start().await;
    let (signed, restarted) = (pipeline(&[&node]), pipeline(&[&node]));
    let tx = sign(&signed, 1).await;
    use_sequence(&node);
    // Sent before or not: who signed it knows that, a daemon that was restarted does not.
    for pipeline in [&signed, &restarted] {
        let height = node.chain().height;
        assert_eq!(send_and_look(pipeline, &tx).await, TxOutcome::Unknown);
        node.chain().height += 1;
        // The index may be as far behind as that.
        assert_eq!(send_and_look(pipeline, &tx).await, TxOutcome::Unknown);
        node.chain().height += 1;
        let outcome = send_and_look(pipeline, &tx).await;
        let TxOutcome::Rejected(rejection) = outcome else {
            panic!("{outcome:?} at {}", node.chain().height)
        };
        assert_eq!(rejection.kind, RejectKind::SequenceMismatch, "{rejection}");
        assert!(rejection.log.contains("sequence 7"), "{rejection}");
        assert!(height + 2 < tx.timeout_height.0);
        tokio::time::sleep(Duration::from_millis(110)).await;
        assert_eq!(sign(pipeline, 1).await.sequence, 8);
    }
}

#[tokio::test]
async fn a_sequence_that_is_only_taken_in_a_mempool_is_not_used_yet() {
    let node = FakeNode::start().await;
    let (pipeline, other) = (pipeline(&[&node]), pipeline(&[&node]));
    let (tx, theirs) = (sign(&pipeline, 1).await, sign(&other, 2).await);
    other.broadcast(&theirs).await.unwrap();
    for _ in 0..4 {
        assert_eq!(send_and_look(&pipeline, &tx).await, TxOutcome::Unknown);
        node.chain().height += 1;
    }
    // The mempool loses theirs, and ours gets in after all.
    node.chain().mempool.clear();
    pipeline.broadcast(&tx).await.unwrap();
    node.advance();
    let outcome = pipeline.outcome(&tx).await.unwrap();
    assert!(matches!(outcome, TxOutcome::Landed { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_used_sequence_proves_nothing_where_the_index_does_not_reach_back() {
    let node = FakeNode::start().await;
    let pipeline = pipeline(&[&node]);
    let tx = sign(&pipeline, 1).await;
    node.chain().lowest = 50;
    use_sequence(&node);
    for _ in 0..5 {
        assert_eq!(send_and_look(&pipeline, &tx).await, TxOutcome::Unknown);
        node.chain().height += 1;
    }
}

#[tokio::test]
async fn one_that_landed_unseen_is_found_although_its_sequence_is_used() {
    let node = FakeNode::start().await;
    let first_life = pipeline(&[&node]);
    let tx = sign(&first_life, 1).await;
    first_life.broadcast(&tx).await.unwrap();
    node.advance();
    node.chain().cached.clear();
    // The index has not come to its block yet.
    let landed = std::mem::take(&mut node.chain().landed);
    let second_life = pipeline(&[&node]);
    assert_eq!(send_and_look(&second_life, &tx).await, TxOutcome::Unknown);
    node.chain().height += 2;
    node.chain().landed = landed;
    let outcome = send_and_look(&second_life, &tx).await;
    assert!(matches!(outcome, TxOutcome::Landed { .. }), "{outcome:?}");
}
