//! A chain with a home directory is the same chain after a restart, and equal chains have equal hashes.

use std::time::Duration;

use virtengine_devchain::{BlockTime, Config, Devchain, Genesis, StartError};

use crate::messages::*;
use crate::scenarios::Cast;
use crate::stage::Stage;

fn genesis() -> Genesis {
    let mut genesis = Genesis::default();
    genesis.time = Some(BlockTime {
        seconds: 1_700_000_000,
        nanos: 0,
    });
    genesis
}

/// Bob sends alice one coin in the next block.
async fn send_one(chain: &Devchain) -> Vec<u8> {
    let (stage, cast) = (Stage::new(&chain.rpc_url(), 0), Cast::new());
    let message = any(&send(&cast.bob.address, &cast.alice.address, 1));
    let bytes = stage.draft(&cast.bob, vec![message]).await.bytes(&cast.bob, true);
    assert_eq!(stage.submit(&bytes).await.unwrap().code, 0);
    chain.advance().unwrap();
    bytes
}

#[tokio::test]
async fn a_restarted_chain_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let config = || Config::manual().genesis(genesis()).home(dir.path());
    let chain = Devchain::start(config()).await.unwrap();
    let sent = send_one(&chain).await;
    chain.advance_blocks(5).unwrap();
    let (height, time, hash) = (chain.height(), chain.time(), chain.app_hash());
    // Not stopped: dropped, as a killed process would leave it.
    drop(chain);
    let chain = Devchain::start(config()).await.unwrap();
    assert_eq!(
        (chain.height(), chain.time(), chain.app_hash()),
        (height, time, hash)
    );
    let stage = Stage::new(&chain.rpc_url(), 0);
    stage.landed(&sent).await.succeeded();
    assert_eq!(
        stage.submit(&sent).await.unwrap_err().data,
        "tx already exists in cache"
    );
    send_one(&chain).await;
    assert_eq!(chain.height(), height + 1);
    chain.stop().await;
    assert_eq!(Devchain::start(config()).await.unwrap().height(), height + 1);
}

#[tokio::test]
async fn a_changed_transaction_in_the_file_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let config = || Config::manual().genesis(genesis()).home(dir.path());
    let chain = Devchain::start(config()).await.unwrap();
    send_one(&chain).await;
    chain.advance().unwrap();
    drop(chain);
    let path = dir.path().join("blocks.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let without: Vec<String> = text
        .lines()
        .map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["txs"] = serde_json::json!([]);
            format!("{line}\n")
        })
        .collect();
    std::fs::write(&path, without.concat()).unwrap();
    let refused = Devchain::start(config()).await.unwrap_err();
    assert!(matches!(refused, StartError::Home(_)));
    assert!(refused.to_string().contains("block 3 is damaged"), "{refused}");
}

#[tokio::test]
async fn equal_transactions_at_equal_times_give_equal_hashes() {
    let (first, second, other) = (
        Devchain::start(Config::manual().genesis(genesis()))
            .await
            .unwrap(),
        Devchain::start(Config::manual().genesis(genesis()))
            .await
            .unwrap(),
        Devchain::start(Config::manual().genesis(genesis()))
            .await
            .unwrap(),
    );
    for chain in [&first, &second, &other] {
        send_one(chain).await;
    }
    assert_eq!(first.app_hash(), second.app_hash());
    send_one(&other).await;
    assert_ne!(first.app_hash(), other.app_hash());
}

#[tokio::test]
async fn a_chain_that_cannot_start_says_why() {
    let taken = Devchain::start(Config::manual()).await.unwrap();
    let address = taken.rpc_url().trim_start_matches("http://").parse().unwrap();
    let refused = Devchain::start(Config::manual().listen(address))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains(&address.to_string()), "{refused}");
    let refused = Devchain::start(Config::every(Duration::from_millis(1)))
        .await
        .unwrap_err();
    assert!(matches!(refused, StartError::Pace(_)));
    let mut broken = genesis();
    broken.accounts[0].amount = "many".to_owned();
    let refused = Devchain::start(Config::manual().genesis(broken))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("\"many\""), "{refused}");
}

#[tokio::test]
async fn a_paused_chain_makes_no_blocks_and_goes_on_later() {
    let chain = Devchain::start(Config::every(Duration::from_millis(50)))
        .await
        .unwrap();
    chain.wait_height(2).await;
    chain.pause(true);
    // A block may be under way; after two periods none is.
    tokio::time::sleep(Duration::from_millis(120)).await;
    let height = chain.height();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(chain.height(), height);
    chain.pause(false);
    chain.next_block().await.unwrap();
}

#[tokio::test]
async fn block_time_never_goes_back() {
    let chain = Devchain::start(Config::manual().genesis(genesis()))
        .await
        .unwrap();
    let now = chain.time();
    assert!(chain.advance_to(now).is_err());
    chain.advance_by(Duration::from_secs(100_000)).unwrap();
    assert_eq!(chain.time().seconds, now.seconds + 100_000);
}
