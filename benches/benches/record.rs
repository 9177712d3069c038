//! Usage: one reading of counters; one record, from the last reading of its window to the checked signature.

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use virtengine_benches::market::NOW;
use virtengine_benches::metered::Metered;
use virtengine_keys::{Algorithm, KeyStore, Purpose, Signer};
use virtengine_metering::signed::{Draft, SignedRecord};

fn record(c: &mut Criterion) {
    let keys = KeyStore::memory();
    keys.generate(Purpose::Identity, Algorithm::Ed25519, NOW)
        .expect("a key");
    let signer = keys.signer(Purpose::Identity).expect("a signer");
    let mut group = c.benchmark_group("record");
    let metered = Metered::new(false);
    group.bench_function("one reading", |b| b.iter(|| metered.sample()));
    group.bench_function("drafted", |b| b.iter(|| metered.draft()));
    let draft = metered.draft();
    group.bench_function("signing bytes", |b| b.iter(|| draft.signing_messages()));
    group.bench_function("drafted and signed", |b| {
        b.iter(|| signatures_of(&metered.draft(), signer.as_ref()));
    });
    group.bench_function("drafted, signed and checked", |b| {
        b.iter(|| signed(&metered, signer.as_ref()));
    });
    let metered = Metered::new(true);
    let signatures = 1 + metered.draft().charges.len();
    group.bench_function(
        format!("drafted, signed and checked, with charges ({signatures} signatures)"),
        |b| b.iter(|| signed(&metered, signer.as_ref())),
    );
    group.finish();
}

fn signed(metered: &Metered, signer: &dyn Signer) -> SignedRecord {
    let draft = metered.draft();
    let signatures = signatures_of(&draft, signer);
    draft
        .sign(&signer.public_key(), &signatures)
        .expect("the signatures are good")
}

fn signatures_of(draft: &Draft, signer: &dyn Signer) -> Vec<Vec<u8>> {
    let messages = draft.signing_messages();
    let signatures = messages.iter().map(|message| {
        let signature = signer
            .sign(message)
            .now_or_never()
            .expect("memory answers at once");
        signature.expect("the key signs")
    });
    signatures.collect()
}

criterion_group!(benches, record);
criterion_main!(benches);
