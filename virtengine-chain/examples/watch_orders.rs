//! Prints the open orders of a chain, then every order that opens or closes.
//!
//! `cargo run -p virtengine-chain --example watch_orders -- http://127.0.0.1:26657 virtengine-localnet-1`

use std::error::Error;

use virtengine_chain::{ChainClient, ChainConfig, Follower, FollowerEvent};
use virtengine_provider_core::market::MarketEvent;
use virtengine_provider_core::ports::chain::ChainQuery as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments
        .next()
        .unwrap_or_else(|| "http://127.0.0.1:26657".to_owned());
    let chain_id = arguments
        .next()
        .unwrap_or_else(|| "virtengine-localnet-1".to_owned());
    let client = ChainClient::new(ChainConfig::new(chain_id, endpoint.parse()?))?;

    // The head first: what opens while the list is read comes again from the follower.
    let head = client.head().await?;
    for order in client.open_orders().await? {
        println!(
            "{} open since {}: {:?}",
            order.id,
            order.created_at,
            order.spec.total()?
        );
    }
    let mut follower = Follower::new(client, head.height.plus(1));
    loop {
        match follower.next().await {
            Ok(FollowerEvent::Block(block)) => {
                for event in block.events {
                    match event {
                        MarketEvent::OrderCreated { id } => println!("{}: {id} opened", block.height),
                        MarketEvent::OrderClosed { id } => println!("{}: {id} closed", block.height),
                        _ => {}
                    }
                }
            }
            Ok(FollowerEvent::Gap { from, to }) => println!("blocks {from} to {to} are gone"),
            // The follower pauses by itself before it tries again.
            Err(error) => eprintln!("{error}"),
        }
    }
}
