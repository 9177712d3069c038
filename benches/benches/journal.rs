//! Durable decisions per second: each commit is one event and one effect, and returns after its fsync.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use virtengine_provider_core::ports::journal::{Commit, Journal, StoredEffect, StoredEvent};
use virtengine_provider_core::time::Timestamp;
use virtengine_store::{Options, SqliteJournal};

/// Decisions that are made at once, as when a block brings many orders.
const CONCURRENT: u64 = 500;

/// Each decision finishes the effect of an earlier one, so that the outbox keeps its size.
fn decision(number: u64) -> Commit {
    let payload = br#"{"order":"owner/1/1/1","price":"0.5uve"}"#.to_vec();
    let (at, subject) = (Timestamp::EPOCH, format!("order-{number}"));
    Commit {
        events: vec![StoredEvent {
            at,
            kind: "bid_decided".into(),
            subject: subject.clone(),
            payload: payload.clone(),
        }],
        effects: vec![StoredEffect {
            id: subject.clone(),
            kind: "send_tx".into(),
            subject,
            not_before: at,
            payload,
        }],
        done: vec![format!("order-{}", number.saturating_sub(CONCURRENT))],
        cursor: None,
    }
}

async fn all_at_once(journal: Arc<SqliteJournal>, first: u64) {
    let mut commits = JoinSet::new();
    for number in first..first + CONCURRENT {
        let journal = Arc::clone(&journal);
        commits.spawn(async move {
            journal
                .commit(decision(number))
                .await
                .expect("the commit is durable")
        });
    }
    commits.join_all().await;
}

fn append(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let journal = SqliteJournal::open(folder.path().join("journal"), Options::default()).expect("a journal");
    let journal = Arc::new(journal);
    let mut next = 1;
    let mut group = c.benchmark_group("journal");
    group.sample_size(20);
    group.throughput(Throughput::Elements(1));
    group.bench_function("one decision", |b| {
        b.iter(|| {
            next += 1;
            let committed = runtime.block_on(journal.commit(decision(next)));
            committed.expect("the commit is durable")
        });
    });
    group.throughput(Throughput::Elements(CONCURRENT));
    group.bench_function("500 decisions at once", |b| {
        b.iter(|| {
            next += CONCURRENT;
            runtime.block_on(all_at_once(Arc::clone(&journal), next));
        });
    });
    group.finish();
    let stats = journal.stats();
    println!(
        "journal on {}: {} decisions in {} transactions, each with its sync",
        folder.path().display(),
        stats.commits,
        stats.transactions
    );
}

criterion_group!(benches, append);
criterion_main!(benches);
