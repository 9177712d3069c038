//! Prints the open orders of a chain, then every order that opens or closes.
//!
//! ```text
//! cargo run -p virtengine-chain --example watch_orders
//! cargo run -p virtengine-chain --example watch_orders -- http://127.0.0.1:26657 virtengine-localnet-1
//! ```
//!
//! Without arguments it starts a chain of its own, orders something there, and ends when the order was seen.

use std::error::Error;
use std::time::Duration;

use virtengine_chain::{ChainClient, ChainConfig, Follower, FollowerEvent, Pipeline};
use virtengine_devchain::{CHAIN_ID, Config, Devchain, TestAccount};
use virtengine_keys::mnemonic::ACCOUNT_PATH;
use virtengine_keys::{KeyStore, Mnemonic, Purpose};
use virtengine_provider_core::id::{DeploymentId, OrderId};
use virtengine_provider_core::manifest;
use virtengine_provider_core::market::MarketEvent;
use virtengine_provider_core::ports::chain::{ChainQuery as _, Message, TxOutcome, TxSender as _};
use virtengine_provider_core::time::Timestamp;

const MANIFEST: &str = "
version: v2beta1
services:
  web: {image: shop/web, expose: [{port: 8080, as: 80, to: [{global: true}]}]}
profiles:
  compute:
    web: {resources: {cpu: {units: 500m}, memory: {size: 128Mi}, storage: {size: 256Mi}}}
  placement:
    local: {pricing: {web: {denom: uve, amount: 10000}}}
deployment:
  web: {local: {profile: web, count: 1}}
";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [endpoint, chain_id] = &arguments[..] {
        let client = ChainClient::new(ChainConfig::new(chain_id, endpoint.parse()?))?;
        return watch(client, None).await;
    }
    let chain = Devchain::start(Config::every(Duration::from_millis(200))).await?;
    println!("{CHAIN_ID} at {}", chain.rpc_url());
    let client = ChainClient::new(ChainConfig::new(CHAIN_ID, chain.rpc_url().parse()?))?;
    let order = order(&client).await?;
    tokio::time::timeout(Duration::from_secs(60), watch(client, Some(order))).await??;
    chain.stop().await;
    Ok(())
}

/// Follows the chain from its head on; until `wanted` has opened, when something is wanted.
async fn watch(client: ChainClient, wanted: Option<OrderId>) -> Result<(), Box<dyn Error>> {
    // The head first: what opens while the list is read comes again from the follower.
    let head = client.head().await?;
    for order in client.open_orders().await? {
        println!(
            "{} open since {}: {:?}",
            order.id,
            order.created_at,
            order.spec.total()?
        );
        if wanted.as_ref() == Some(&order.id) {
            return Ok(());
        }
    }
    let mut follower = Follower::new(client, head.height.plus(1));
    loop {
        match follower.next().await {
            Ok(FollowerEvent::Block(block)) => {
                for event in block.events {
                    match event {
                        MarketEvent::OrderCreated { id } => {
                            println!("{}: {id} opened", block.height);
                            if wanted.as_ref() == Some(&id) {
                                return Ok(());
                            }
                        }
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

/// Orders something as one of the chain's test accounts, and waits until the transaction is in a block.
async fn order(client: &ChainClient) -> Result<OrderId, Box<dyn Error>> {
    let account = TestAccount::named("alice").ok_or("no such test account")?;
    let keys = KeyStore::memory();
    let words = Mnemonic::parse(account.mnemonic)?;
    keys.import_mnemonic(Purpose::Account, &words, ACCOUNT_PATH, Timestamp::EPOCH)?;
    let pipeline = Pipeline::new(client.clone(), keys.signer(Purpose::Account)?)?;
    let manifest = manifest::read(MANIFEST.as_bytes()).map_err(|problems| format!("{problems:?}"))?;
    let id = DeploymentId::new(pipeline.address().clone(), 1_800_000_000);
    let message = Message::CreateDeployment {
        id: id.clone(),
        groups: manifest.group_specs(),
        hash: manifest.hash(),
        deposit: "5000000uve".parse()?,
    };
    let tx = pipeline.sign(&[message], Duration::from_secs(30)).await?;
    pipeline.broadcast(&tx).await?;
    loop {
        match pipeline.outcome(&tx).await? {
            TxOutcome::Landed { .. } => return Ok(OrderId::new(id.owner, id.dseq, 1, 1)),
            TxOutcome::Unknown => tokio::time::sleep(Duration::from_millis(100)).await,
            refused => return Err(format!("{refused:?}").into()),
        }
    }
}
