//! What was acknowledged is there after any end of the process; what was not is there whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use virtengine_provider_core::ports::journal::{Commit, Journal};

use crate::support::{effect, event, open, run};

const CHILD_PATH: &str = "VIRTENGINE_STORE_TEST_JOURNAL";

/// Commit `n` has three events and one effect, all named `n`: half of it would be seen.
fn numbered(n: u64) -> Commit {
    let mut one = event(n);
    one.subject = format!("commit/{n}");
    let effects = vec![effect(&format!("effect/{n}"), &n.to_string())];
    Commit {
        events: vec![one.clone(), one.clone(), one],
        effects,
        cursor: Some(n),
        ..Commit::default()
    }
}

/// Not a test by itself: the process that `a_killed_process_loses_nothing_that_was_acknowledged` kills.
#[test]
#[ignore = "run as a child process by another test"]
fn child_that_commits_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD_PATH) else {
        return;
    };
    run(async {
        let journal = Arc::new(open(Path::new(&path)));
        let start = journal
            .recover()
            .await
            .unwrap()
            .cursor
            .map_or(0, |_| journal.stats().head.0 / 3);
        let mut tasks = Vec::new();
        for lane in 0..8 {
            let journal = Arc::clone(&journal);
            tasks.push(tokio::spawn(async move {
                for step in 0.. {
                    let n = start * 1000 + step * 8 + lane;
                    journal.commit(numbered(n)).await.unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "acknowledged {n}").unwrap();
                    out.flush().unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

fn kill_after(path: &Path, acknowledgements: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "durability::child_that_commits_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(CHILD_PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    let number = |line: String| {
        line.split_once("acknowledged ")
            .and_then(|(_, n)| n.trim().parse::<u64>().ok())
    };
    while seen.len() < acknowledgements {
        let line = lines.next().expect("the child ended early").unwrap();
        seen.extend(number(line));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it wrote before it died counts too; the last line may be torn.
    let mut rest: Vec<_> = lines.map_while(Result::ok).collect();
    rest.pop();
    seen.extend(rest.into_iter().filter_map(number));
    seen
}

#[test]
fn a_killed_process_loses_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let mut acknowledged = Vec::new();
    for round in 1..=4 {
        acknowledged.extend(kill_after(&path, 37 * round));
        run(async {
            let journal = open(&path);
            journal.verify().await.unwrap();
            let recovered = journal.recover().await.unwrap();
            let mut found: BTreeMap<u64, usize> = BTreeMap::new();
            for (_, stored) in &recovered.events {
                let n = stored.subject.strip_prefix("commit/").unwrap().parse().unwrap();
                *found.entry(n).or_default() += 1;
            }
            assert!(
                found.values().all(|count| *count == 3),
                "a commit is there in part or twice"
            );
            assert!(
                acknowledged.iter().all(|n| found.contains_key(n)),
                "an acknowledged commit is missing"
            );
            assert_eq!(recovered.outbox.len(), found.len());
            journal.close().await;
        });
    }
}

#[test]
fn power_cut_corrupts_db() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        let journal = open(&path);
        for n in 0..12 {
            journal.commit(numbered(n)).await.unwrap();
        }
        let main = fs::read(&path).unwrap();
        let log = fs::read(directory.path().join("journal.db-wal")).unwrap();
        journal.close().await;
        let mut reached = std::collections::BTreeSet::new();
        // The write-ahead log torn at many lengths, and with rubbish after the tear.
        for (step, length) in (0..=log.len()).step_by(1531).chain([log.len()]).enumerate() {
            let torn = directory.path().join(format!("torn-{step}"));
            fs::create_dir(&torn).unwrap();
            fs::write(torn.join("journal.db"), &main).unwrap();
            let mut tail = log[..length].to_vec();
            tail.extend(vec![0xA5; (step % 3) * 700]);
            fs::write(torn.join("journal.db-wal"), tail).unwrap();
            let journal = open(&torn.join("journal.db"));
            let recovered = journal.recover().await.unwrap();
            assert_eq!(recovered.events.len() % 3, 0, "half a commit");
            let commits = recovered.events.len() / 3;
            assert_eq!(recovered.outbox.len(), commits);
            assert_eq!(recovered.cursor, u64::try_from(commits).unwrap().checked_sub(1));
            journal.verify().await.unwrap();
            journal.commit(numbered(99)).await.unwrap();
            reached.insert(commits);
        }
        assert_eq!((reached.first(), reached.last()), (Some(&0), Some(&12)));
    });
}

#[test]
fn a_caller_that_goes_away_harms_nobody() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let journal = Arc::new(open(&directory.path().join("journal.db")));
        for n in 0..50 {
            let other = Arc::clone(&journal);
            let task = tokio::spawn(async move { other.commit(numbered(n)).await });
            if n % 2 == 0 {
                task.abort();
                let _ = task.await;
            } else {
                task.await.unwrap().unwrap();
            }
        }
        let recovered = journal.recover().await.unwrap();
        assert_eq!(recovered.events.len(), recovered.outbox.len() * 3);
        assert!(recovered.outbox.len() >= 25);
        journal.verify().await.unwrap();
    });
}
