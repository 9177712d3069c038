//! Endpoints that fail in every way.

use std::time::Duration;

use crate::support::{Set, Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smoke() {
    let stage = Stage::set(Set::default()).await;
    let life = stage.start().await;
    let lease = stage.serve(&life, &stage.tenant(0), 1000).await;
    println!("{lease} {:?}", life.chain_health().await);
    life.chain_is(&["up"], Duration::from_secs(5)).await;
    println!("{:?}", life.operator.status().await.unwrap());
    life.stop().await;
    stage.strike().await;
}
