//! The price of one order.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use virtengine_provider_core::pricing::{BlockTime, Denomination, Period, PriceTable, Rate};
use virtengine_provider_core::units::{GIB, Resources};

/// The prices of the training document, per hour, at 6 s blocks.
fn rate() -> Rate {
    let decimal = |text: &str| text.parse().expect("a decimal");
    let table = PriceTable {
        cpu_price_per_core: decimal("0.001"),
        memory_price_per_gb: decimal("0.0005"),
        storage_price_per_gb: decimal("0.0001"),
        gpu_price_per_hour: decimal("0.05"),
        network_price_per_gb: decimal("0"),
        min_bid_price: decimal("0.0001"),
        bid_markup_percent: decimal("10"),
        currency: "VIRT".to_owned(),
        per: Period::Hour,
    };
    let denom = "uve".parse().expect("a denomination");
    let money = Denomination {
        denom,
        display: "VIRT".to_owned(),
        exponent: 6,
    };
    let block_time = BlockTime::from_millis(6_000).expect("6 s is a block time");
    table
        .compile(&money, block_time)
        .expect("the prices can be computed")
}

fn price(c: &mut Criterion) {
    let rate = rate();
    let small = Resources {
        cpu_millis: 1_000,
        memory_bytes: 512 << 20,
        storage_bytes: GIB,
        gpus: 0,
    };
    let large = Resources {
        cpu_millis: 384_000,
        memory_bytes: 2_048 * GIB,
        storage_bytes: 32_768 * GIB,
        gpus: 24,
    };
    let mut group = c.benchmark_group("price");
    group.bench_function("one order", |b| b.iter(|| rate.price(black_box(&small))));
    group.bench_function("the largest unit", |b| b.iter(|| rate.price(black_box(&large))));
    group.bench_function("one order with its breakdown", |b| {
        b.iter(|| rate.quote(black_box(&small)))
    });
    group.finish();
}

criterion_group!(benches, price);
criterion_main!(benches);
