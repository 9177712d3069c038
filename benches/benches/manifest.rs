//! A manifest of the largest size, from its text to a checked one, and its hash.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use virtengine_benches::manifest::{v1, v2beta1};
use virtengine_provider_core::manifest::read;

fn manifest(c: &mut Criterion) {
    let mut group = c.benchmark_group("manifest");
    for (name, text) in [("v2beta1", v2beta1()), ("v1", v1())] {
        let valid = match read(text.as_bytes()) {
            Ok(valid) => valid,
            Err(problems) => panic!("{name}: {problems:?}"),
        };
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("{name}, 100 services, read and checked"), |b| {
            b.iter(|| read(black_box(text.as_bytes())));
        });
        group.bench_function(format!("{name}, 100 services, hashed"), |b| {
            b.iter(|| black_box(&valid).hash());
        });
    }
    group.finish();
}

criterion_group!(benches, manifest);
criterion_main!(benches);
