//! The price of one order, and the same work as the reference provider does it (`peers/legacydec`).

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use virtengine_benches::market::{LARGE, REFERENCE, SMALL, Texts, rate, rate_at};

fn price(c: &mut Criterion) {
    let rate = rate();
    let mut group = c.benchmark_group("price");
    group.bench_function("one order", |b| b.iter(|| rate.price(black_box(&SMALL))));
    group.bench_function("the largest unit", |b| b.iter(|| rate.price(black_box(&LARGE))));
    group.bench_function("one order with its breakdown", |b| {
        b.iter(|| rate.quote(black_box(&SMALL)));
    });

    // With one block per hour the price is that of the reference, which has its own test: 0.0748 VIRT.
    let hourly = rate_at(Texts::default().parse(), Duration::from_secs(3600));
    let expected = "74800".parse().expect("a decimal");
    assert_eq!(hourly.price(&REFERENCE), Ok(expected));
    group.bench_function("peer: parsed prices", |b| {
        b.iter(|| hourly.price(black_box(&REFERENCE)));
    });
    group.bench_function("peer: prices from their texts", |b| {
        b.iter(|| {
            let prices = black_box(Texts::default()).parse();
            rate_at(prices, Duration::from_secs(3600)).price(black_box(&REFERENCE))
        });
    });
    group.finish();
}

criterion_group!(benches, price);
criterion_main!(benches);
