//! The whole daemon, in a process of its own, on the embedded chain: how long after its block an order has our bid under way,
//! what 1,000 leases cost in memory, and how soon a daemon that has them decides again after a start. What was measured is
//! printed; criterion has no part in it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program that measures, and ends when something is not as it should be"
)]

mod child;
mod figures;
mod market;
#[path = "../../../virtengine-providerd/tests/crash/remote.rs"]
mod remote;

use std::time::{Duration, Instant};

use figures::{Spread, resident_mib};
use market::Market;

/// How much is measured.
struct Size {
    orders: u64,
    leases: u64,
}

fn main() {
    if let Some(home) = std::env::var_os(child::HOME) {
        return child::run(std::path::Path::new(&home));
    }
    // Run by the tests, it only shows that it works.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let size = if is_bench {
        Size {
            orders: 500,
            leases: 1000,
        }
    } else {
        Size { orders: 3, leases: 2 }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(measure(&size));
}

async fn measure(size: &Size) {
    let market = Market::open().await;
    let daemon = market.start();
    market.is_up().await;
    let quiet = latency(&market, 1_000_000, size.orders).await;
    println!("daemon/order in its block → bid in the mempool: {quiet}");
    println!("daemon/resident with 0 leases: {} MiB", resident_mib(daemon.id()));
    let begun = Instant::now();
    market.lease(2_000_000, size.leases).await;
    println!(
        "daemon/{} leases from order to running workload: {:.1} s",
        size.leases,
        begun.elapsed().as_secs_f64()
    );
    println!(
        "daemon/resident with {} leases: {} MiB",
        size.leases,
        resident_mib(daemon.id())
    );
    let busy = latency(&market, 3_000_000, size.orders).await;
    println!("daemon/the same beside {} leases: {busy}", size.leases);
    daemon.end();
    first_decision(&market, size).await;
}

/// An order in a block that the daemon hears of, until our bid waits for the next block: one after the other.
async fn latency(market: &Market, first: u64, orders: u64) -> Spread {
    let mut spread = Spread::default();
    market.hold_blocks(true).await;
    for dseq in first..first + orders {
        market.submit_order(dseq).await;
        let begun = Instant::now();
        market.make_block();
        market.bid_waits().await;
        spread.add(begun.elapsed());
        market.make_block();
        // The daemon hears of its bid before the next order comes.
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    market.hold_blocks(false).await;
    spread
}

/// From the start of the process until the bid on an order that came while it was away.
async fn first_decision(market: &Market, size: &Size) {
    let mut spread = Spread::default();
    for start in 0..size.orders.min(10) {
        market.hold_blocks(true).await;
        market.submit_order(4_000_000 + start).await;
        market.make_block();
        let begun = Instant::now();
        let daemon = market.start();
        market.bid_waits().await;
        spread.add(begun.elapsed());
        if start == 0 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            println!(
                "daemon/resident after a start with {} leases: {} MiB",
                size.leases,
                resident_mib(daemon.id())
            );
        }
        market.hold_blocks(false).await;
        daemon.end();
    }
    println!(
        "daemon/start of the process → first bid, {} leases: {spread}",
        size.leases
    );
}
