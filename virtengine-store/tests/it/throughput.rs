//! Many committers share syncs; readers do not hold them up; waiting is bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use virtengine_provider_core::ports::journal::{EventQuery, Journal};
use virtengine_store::{Options, SqliteJournal};

use crate::support::{events, open, run};

#[test]
fn concurrent_commits_share_their_syncs() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let journal = Arc::new(open(&directory.path().join("journal.db")));
        let begun = Instant::now();
        let mut tasks = Vec::new();
        for _ in 0..256 {
            let journal = Arc::clone(&journal);
            tasks.push(tokio::spawn(async move {
                for n in 0..20 {
                    journal.commit(events(n..n + 2)).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let (stats, took) = (journal.stats(), begun.elapsed());
        let rate = u128::from(stats.commits) * 1_000_000 / took.as_micros().max(1);
        println!(
            "{} commits, {} transactions, {took:?}: {rate} commits/s",
            stats.commits, stats.transactions
        );
        assert_eq!((stats.commits, stats.head.0), (5120, 10_240));
        assert!(stats.transactions * 4 < stats.commits, "{stats:?}");
        journal.verify().await.unwrap();
    });
}

#[test]
fn readers_do_not_hold_up_the_writer() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        let journal = open(&path);
        journal.commit(events(0..1000)).await.unwrap();
        let reader = rusqlite::Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        let before: i64 = reader
            .query_row("SELECT count(*) FROM events", [], |row| row.get(0))
            .unwrap();
        let commit = tokio::time::timeout(Duration::from_secs(2), journal.commit(events(0..1)));
        commit.await.expect("the writer waited for a reader").unwrap();
        let still: i64 = reader
            .query_row("SELECT count(*) FROM events", [], |row| row.get(0))
            .unwrap();
        assert_eq!((before, still), (1000, 1000));
        let all = EventQuery {
            limit: usize::MAX,
            ..EventQuery::default()
        };
        assert_eq!(journal.events(&all).await.unwrap().len(), 1001);
    });
}

#[test]
fn a_full_queue_makes_callers_wait_and_loses_none() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.queue_commits = 1;
        options.batch_commits = 2;
        let journal = Arc::new(SqliteJournal::open(directory.path().join("journal.db"), options).unwrap());
        let tasks: Vec<_> = (0..200)
            .map(|n| {
                let journal = Arc::clone(&journal);
                tokio::spawn(async move { journal.commit(events(n..n + 1)).await })
            })
            .collect();
        let mut positions = Vec::new();
        for task in tasks {
            positions.push(task.await.unwrap().unwrap().0);
        }
        positions.sort_unstable();
        assert_eq!(positions, (1..=200).collect::<Vec<_>>());
    });
}
