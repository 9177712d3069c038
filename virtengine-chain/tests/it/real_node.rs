//! The whole walk on a node that listens at `VE_TEST_CHAIN_RPC` (`peers/chain/up.sh`), when there is one.

use std::time::Duration;

use tokio::sync::Mutex;
use virtengine_chain::ChainConfig;

/// Both tests send from alice's account, which has one sequence.
static TURN: Mutex<()> = Mutex::const_new(());

/// Where the node listens. Without one these tests are skipped on a laptop, and fail in continuous integration.
fn node() -> Option<String> {
    let url = std::env::var("VE_TEST_CHAIN_RPC").ok();
    if url.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "VE_TEST_CHAIN_RPC is not set: start the peer with peers/chain/up.sh"
        );
        println!("skipped: VE_TEST_CHAIN_RPC is not set (peers/chain/up.sh)");
    }
    url
}

#[tokio::test]
async fn one_order_walks_from_its_creation_to_the_money_on_a_real_node() {
    let Some(url) = node() else { return };
    let _turn = TURN.lock().await;
    let mut config = ChainConfig::new("virtengine-localnet-1", url.parse().unwrap());
    config.poll_interval = Duration::from_millis(500);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    crate::walk::walk(config, now.as_secs()).await;
}

/// A Ledger signs JSON documents; the node must accept them for everything that a provider sends.
#[tokio::test]
async fn a_real_node_accepts_amino_json_signatures() {
    let Some(url) = node() else { return };
    let _turn = TURN.lock().await;
    let mut config = ChainConfig::new("virtengine-localnet-1", url.parse().unwrap());
    config.sign_mode = virtengine_chain::tx::SignMode::AminoJson;
    let client = virtengine_chain::ChainClient::new(config).unwrap();
    let alice = virtengine_chain::Pipeline::new(client, std::sync::Arc::new(crate::signer::TestKey::alice()))
        .unwrap();
    crate::walk::send_and_beat(&alice).await;
}

#[tokio::test]
async fn announcements_of_a_real_node_are_understood() {
    let Some(url) = node() else { return };
    crate::walk::follow_announcements(ChainConfig::new("virtengine-localnet-1", url.parse().unwrap())).await;
}
