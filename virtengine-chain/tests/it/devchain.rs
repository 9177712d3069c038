//! The whole walk on the embedded chain, and what it can do that a real node cannot on demand.

use std::sync::Arc;
use std::time::Duration;

use virtengine_chain::{ChainClient, ChainConfig, Follower, FollowerEvent, Pipeline};
use virtengine_devchain::{CHAIN_ID, Config, Devchain, Fault, FaultKind};
use virtengine_provider_core::id::Height;
use virtengine_provider_core::ports::chain::{ChainQuery as _, Message, TxOutcome, TxSender as _};

use crate::signer::TestKey;

fn config(chain: &Devchain) -> ChainConfig {
    let mut config = ChainConfig::new(CHAIN_ID, chain.rpc_url().parse().unwrap());
    config.poll_interval = Duration::from_millis(100);
    config.block_time = Duration::from_millis(100);
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn one_order_walks_from_its_creation_to_the_money_on_the_embedded_chain() {
    let chain = Devchain::start(Config::every(Duration::from_millis(100)))
        .await
        .unwrap();
    crate::walk::walk(config(&chain), 1_000_000).await;
    chain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn announcements_of_the_embedded_chain_are_understood() {
    let chain = Devchain::start(Config::every(Duration::from_millis(100)))
        .await
        .unwrap();
    crate::walk::follow_announcements(config(&chain)).await;
}

fn send() -> Message {
    Message::BankSend {
        to: "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f".parse().unwrap(),
        amount: "7uve".parse().unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_answer_was_lost_lands_once() {
    let chain = Devchain::start(Config::manual()).await.unwrap();
    let client = ChainClient::new(config(&chain)).unwrap();
    let pipeline = Pipeline::new(client.clone(), Arc::new(TestKey::bob())).unwrap();
    let denom = "uve".parse().unwrap();
    let alice = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f".parse().unwrap();
    let before = client.balance(&alice, &denom).await.unwrap().amount;
    let tx = pipeline.sign(&[send()], Duration::ZERO).await.unwrap();
    chain
        .faults()
        .inject(Fault::new(FaultKind::LoseAnswer).on("broadcast_tx_sync").times(1));
    assert!(pipeline.broadcast(&tx).await.unwrap_err().is_retryable());
    assert_eq!(pipeline.outcome(&tx).await.unwrap(), TxOutcome::Unknown);
    // Sending the same again is safe, before and after it has landed, also by a process that knows nothing of the first time.
    pipeline.broadcast(&tx).await.unwrap();
    chain.advance().unwrap();
    let restarted = Pipeline::new(client.clone(), Arc::new(TestKey::bob())).unwrap();
    restarted.broadcast(&tx).await.unwrap();
    chain.advance().unwrap();
    assert!(matches!(
        restarted.outcome(&tx).await.unwrap(),
        TxOutcome::Landed { .. }
    ));
    assert_eq!(client.balance(&alice, &denom).await.unwrap().amount, before + 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_come_in_order_through_a_storm_of_faults() {
    let chain = Devchain::start(Config::manual()).await.unwrap();
    let second = chain.extra_endpoint().await.unwrap();
    let mut config = config(&chain);
    config.endpoints.push(second.rpc_url().parse().unwrap());
    config.request_timeout = Duration::from_millis(300);
    for faults in [chain.faults(), second.faults()] {
        faults.seed(7);
        faults.inject(Fault::new(FaultKind::Drop).per_mille(80));
        faults.inject(Fault::new(FaultKind::Status(502)).per_mille(80));
        faults.inject(Fault::new(FaultKind::Hang).per_mille(20));
    }
    chain.advance_blocks(40).unwrap();
    let mut follower = Follower::new(ChainClient::new(config).unwrap(), Height(1));
    let (mut next, mut errors) = (1, 0);
    let all = async {
        while next <= 41 {
            match follower.next().await {
                Ok(FollowerEvent::Block(block)) => {
                    assert_eq!(block.height, Height(next));
                    next += 1;
                }
                Ok(FollowerEvent::Gap { from, to }) => panic!("gap {from} to {to}"),
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    errors += 1;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("the storm is survived");
    println!("{errors} errors on the way");
}
