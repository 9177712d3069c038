//! A whole decision on one order: match, price, room, limits, reservation and bid. It must cost the same however many leases and
//! open orders there are.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use virtengine_benches::market::{Market, NOW, order, seen};
use virtengine_bid::Event;

/// Leases and open orders: a small provider, a large one, and ten times that.
const SIZES: [(u64, u64); 3] = [(1, 10), (1_000, 10_000), (10_000, 90_000)];
/// So many decisions are timed in one go; then the market is put back to what it was.
const LOT: u64 = 500;

fn decide(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide");
    for (leases, orders) in SIZES {
        let mut market = Market::new(leases, orders);
        let size = format!("{leases} leases, {orders} orders");
        let bid = market.decide();
        assert!(
            matches!(bid.as_slice(), [Event::Capacity { .. }, Event::BidDecided { .. }]),
            "a reservation and a bid, not {bid:?}"
        );
        group.bench_function(BenchmarkId::new("a bid", &size), |b| b.iter(|| market.decide()));
        group.bench_function(
            BenchmarkId::new("a bid and its effect on the state", &size),
            |b| {
                b.iter_custom(|bids| applied(&mut market, bids));
            },
        );
        group.bench_function(BenchmarkId::new("an order that is seen", &size), |b| {
            let order = order(leases + orders);
            b.iter_batched(
                || seen(order.clone()),
                |command| {
                    market
                        .bidder
                        .decide(&market.book, &market.ledger, black_box(command), NOW)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// The time of `bids` decisions that are applied.
fn applied(market: &mut Market, bids: u64) -> Duration {
    let lot = LOT.min(market.book.tally().fresh as u64);
    let mut time = Duration::ZERO;
    let mut left = bids;
    while left > 0 {
        let mut decided = Vec::with_capacity(2 * LOT as usize);
        let begun = Instant::now();
        for _ in 0..left.min(lot) {
            let Market { bidder, book, ledger } = market;
            decided.append(&mut black_box(bidder.settle(book, ledger, NOW, 1)));
        }
        time += begun.elapsed();
        left -= left.min(lot);
        market.take_back(&decided);
    }
    time
}

criterion_group!(benches, decide);
criterion_main!(benches);
