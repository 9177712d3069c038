//! The price of one order.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use virtengine_benches::market::{LARGE, SMALL, rate};

fn price(c: &mut Criterion) {
    let rate = rate();
    let mut group = c.benchmark_group("price");
    group.bench_function("one order", |b| b.iter(|| rate.price(black_box(&SMALL))));
    group.bench_function("the largest unit", |b| b.iter(|| rate.price(black_box(&LARGE))));
    group.bench_function("one order with its breakdown", |b| {
        b.iter(|| rate.quote(black_box(&SMALL)))
    });
    group.finish();
}

criterion_group!(benches, price);
criterion_main!(benches);
