//! The whole walk on the embedded chain, and what it can do that a real node cannot on demand.

use std::time::Duration;

use virtengine_chain::ChainConfig;
use virtengine_devchain::{CHAIN_ID, Config, Devchain};

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
