//! Signatures per second with keys in memory: the account key for transactions, the identity key for records.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use virtengine_benches::market::NOW;
use virtengine_keys::algorithm::verify;
use virtengine_keys::{Algorithm, KeyStore, Purpose};

/// About as long as the sign document of a bid.
const MESSAGE: [u8; 400] = [0x5a; 400];

fn sign(c: &mut Criterion) {
    let keys = KeyStore::memory();
    let mut group = c.benchmark_group("sign");
    group.throughput(Throughput::Elements(1));
    for (purpose, algorithm) in [
        (Purpose::Account, Algorithm::Secp256k1),
        (Purpose::Identity, Algorithm::Ed25519),
    ] {
        keys.generate(purpose, algorithm, NOW).expect("a key");
        let signer = keys.signer(purpose).expect("a signer");
        let sign = || {
            signer
                .sign(black_box(&MESSAGE))
                .now_or_never()
                .expect("memory answers at once")
                .expect("the key signs")
        };
        group.bench_function(format!("{purpose}, {algorithm}"), |b| b.iter(sign));
        let (key, signature) = (signer.public_key(), sign());
        verify(&key, &MESSAGE, &signature).expect("the signature is good");
        group.bench_function(format!("{purpose}, {algorithm}, checked"), |b| {
            b.iter(|| verify(&key, black_box(&MESSAGE), &signature));
        });
    }
    group.finish();
}

criterion_group!(benches, sign);
criterion_main!(benches);
