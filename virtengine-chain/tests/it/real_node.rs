//! The whole walk on a node that listens at `VE_TEST_CHAIN_RPC` (`cargo xtask peers`), when there is one.

use std::time::Duration;

use virtengine_chain::ChainConfig;

#[tokio::test]
async fn one_order_walks_from_its_creation_to_the_money_on_a_real_node() {
    let Ok(url) = std::env::var("VE_TEST_CHAIN_RPC") else {
        println!("skipped: VE_TEST_CHAIN_RPC is not set");
        return;
    };
    let mut config = ChainConfig::new("virtengine-localnet-1", url.parse().unwrap());
    config.poll_interval = Duration::from_millis(500);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    crate::walk::walk(config, now.as_secs()).await;
}
