//! Prices and decides one order, without a runtime, a chain or a daemon: `cargo run -p virtengine-bid --example price_an_order`.

use std::error::Error;
use std::time::Duration;

use virtengine_bid::core::capacity::Ledger;
use virtengine_bid::core::id::{Height, OrderId};
use virtengine_bid::core::market::{GroupSpec, Order, OrderState, ResourceUnit, StorageVolume};
use virtengine_bid::core::money::{Decimal, Price};
use virtengine_bid::core::pricing::{BlockTime, Denomination, Period, PriceTable};
use virtengine_bid::core::time::Timestamp;
use virtengine_bid::core::units::{GIB, Resources};
use virtengine_bid::explain::explain;
use virtengine_bid::strategy::CostPlus;
use virtengine_bid::{Bidder, Book, Command, Event, Policy, evolve};

fn main() -> Result<(), Box<dyn Error>> {
    let provider = "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq".parse()?;
    let policy = Policy::new(
        provider,
        prices()?,
        Denomination {
            denom: "uve".parse()?,
            display: "VIRT".to_owned(),
            exponent: 6,
        },
        BlockTime::try_from(Duration::from_secs(6))?,
        "500000uve".parse()?,
    );
    let bidder = Bidder::new(policy, Box::new(CostPlus::default()))?;

    // What there is to sell, and what the bidder knows: nothing yet.
    let everything = Resources {
        cpu_millis: 124_000,
        memory_bytes: 496 * GIB,
        storage_bytes: 9_900 * GIB,
        gpus: 8,
    };
    let mut ledger = Ledger::new(everything, Resources::ZERO);
    let mut book = Book::new();
    let now = Timestamp::from_seconds(1_764_000_000);

    let order = order()?;
    let id = order.id.clone();
    let seen = Command::OrderSeen {
        order: Box::new(order),
        bids: 0,
    };
    for event in bidder.decide(&book, &ledger, seen, now)? {
        evolve(&mut book, &mut ledger, &event);
    }
    for event in bidder.settle(&mut book, &mut ledger, now, 100) {
        if let Event::BidDecided { price, .. } = &event {
            println!("bid {price} per block");
        }
        if let Some(message) = bidder.message(&event) {
            println!("send {message:?}");
        }
    }
    for sentence in explain(&book, &id).unwrap_or_default() {
        println!("  {sentence}");
    }
    println!("still free: {:?}", ledger.available());
    Ok(())
}

fn prices() -> Result<PriceTable, Box<dyn Error>> {
    Ok(PriceTable {
        cpu_price_per_core: "0.001".parse()?,
        memory_price_per_gb: "0.0005".parse()?,
        storage_price_per_gb: "0.0001".parse()?,
        gpu_price_per_hour: "0.05".parse()?,
        network_price_per_gb: Decimal::ZERO,
        min_bid_price: "0.0001".parse()?,
        bid_markup_percent: "10.0".parse()?,
        currency: "VIRT".to_owned(),
        per: Period::Hour,
    })
}

fn order() -> Result<Order, Box<dyn Error>> {
    let tenant = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f".parse()?;
    let web = ResourceUnit {
        id: 1,
        count: 3,
        cpu_millis: 1000,
        memory_bytes: GIB / 2,
        storage: vec![StorageVolume {
            name: "default".to_owned(),
            bytes: GIB,
            attributes: Vec::new(),
        }],
        gpus: 0,
        gpu_attributes: Vec::new(),
        cpu_attributes: Vec::new(),
        memory_attributes: Vec::new(),
        endpoints: Vec::new(),
        price: Price::new("uve".parse()?, "1000".parse()?),
    };
    Ok(Order {
        id: OrderId::new(tenant, 1_000_000, 1, 1),
        state: OrderState::Open,
        spec: GroupSpec {
            name: "default".to_owned(),
            attributes: Vec::new(),
            signed_by_all_of: Vec::new(),
            signed_by_any_of: Vec::new(),
            resources: vec![web],
        },
        created_at: Height(7),
    })
}
