//! The daemon killed with -9 at every point where it writes: each kind of effect × each stage of it, on the memory and the local
//! back end. One round has all kinds of effects; it is lived once per stage, and in it the daemon is killed once per kind. After
//! each kill the next daemon goes on, and in the end everything happened exactly once.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside test functions"
)]

mod child;
mod judge;
mod keeper;
#[path = "../hardship/key.rs"]
mod key;
mod points;
#[path = "../common/ports.rs"]
mod ports;
mod remote;
mod round;
mod wiring;

use std::collections::BTreeSet;

use points::{KINDS, Stage, kinds_of};
use round::{Backend, Round};

/// Lives a round per stage, `ROUNDS_AT_ONCE` at a time.
async fn every_stage(backend: Backend) {
    let begun = std::time::Instant::now();
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(ROUNDS_AT_ONCE));
    let mut rounds = tokio::task::JoinSet::new();
    // For a look at one of them.
    let only = std::env::var("VIRTENGINE_TEST_CRASH_ONLY")
        .ok()
        .map(|name| Stage::named(&name));
    for stage in Stage::ALL
        .into_iter()
        .filter(|stage| only.is_none_or(|only| only == *stage))
    {
        let places = std::sync::Arc::clone(&places);
        rounds.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            (stage, Round::live(backend, stage).await)
        });
    }
    let mut points = 0;
    while let Some(lived) = rounds.join_next().await {
        let (stage, killed) = lived.unwrap();
        let expected: BTreeSet<&str> = KINDS.into_iter().filter(|kind| stage.is_of(kind)).collect();
        let kinds = kinds_of(&killed);
        assert_eq!(
            kinds.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            expected,
            "{backend:?}, {stage:?}: the daemon was not killed at every point"
        );
        println!(
            "{backend:?}, {}: {} points, {} kills",
            stage.name(),
            kinds.len(),
            killed.len()
        );
        points += kinds.len();
    }
    println!(
        "{backend:?}: {points} points = {} kinds of effects in {} stages, in {:.1} s",
        KINDS.len(),
        Stage::ALL.len(),
        begun.elapsed().as_secs_f64()
    );
}

const ROUNDS_AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_with_workloads_in_memory_everything_happens_once() {
    every_stage(Backend::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_with_real_processes_everything_happens_once() {
    every_stage(Backend::Local).await;
}

#[test]
#[ignore = "run as a child process by the other tests"]
fn child_that_is_killed() {
    child::run();
}
