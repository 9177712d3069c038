use std::sync::Arc;

use tokio::time::Instant;
use virtengine_provider_core::id::WorkloadId;

use super::*;
use crate::provider::{Effect, Operation};

fn planned(id: &str, workload: &str, second: i64) -> Planned {
    Planned {
        id: id.to_owned(),
        not_before: Timestamp::from_seconds(second),
        effect: Effect::Infrastructure {
            workload: WorkloadId::local(workload.as_bytes()),
            operation: Operation::Stop,
        },
    }
}

fn at(second: i64) -> impl Fn() -> Timestamp {
    move || Timestamp::from_seconds(second)
}

/// The names of what may be begun now, all at once.
fn ready(outbox: &Outbox, second: i64) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(planned) = outbox.lock().take(Timestamp::from_seconds(second)) {
        names.push(planned.id);
    }
    names
}

#[test]
fn two_effects_of_one_subject_are_never_under_way_together_and_keep_their_order() {
    let outbox = Outbox::default();
    let (first, other) = (planned("1", "a", 0), planned("2", "b", 0));
    outbox.add(vec![first.clone(), planned("3", "a", 0), other]);
    let mut begun = ready(&outbox, 0);
    begun.sort();
    assert_eq!(begun, ["1", "2"]);
    outbox.remove(&["1".to_owned()]);
    assert!(
        ready(&outbox, 0).is_empty(),
        "its answer is durable, its carrying out is not over"
    );
    outbox.finished(&first.subject());
    assert_eq!(ready(&outbox, 0), ["3"]);
    assert_eq!(outbox.len(), 2);
}

#[test]
fn an_effect_that_was_given_up_for_now_is_begun_again() {
    let outbox = Outbox::default();
    let effect = planned("1", "a", 0);
    outbox.add(vec![effect.clone()]);
    assert_eq!(ready(&outbox, 0), ["1"]);
    outbox.finished(&effect.subject());
    assert_eq!(ready(&outbox, 0), ["1"]);
}

#[test]
fn an_effect_that_waits_is_replaced_in_its_place() {
    let outbox = Outbox::default();
    outbox.add(vec![planned("1", "a", 50), planned("2", "a", 0)]);
    assert!(ready(&outbox, 0).is_empty());
    outbox.add(vec![planned("1", "a", 0)]);
    assert_eq!(ready(&outbox, 0), ["1"]);
    assert_eq!(outbox.len(), 2);
}

#[test]
fn an_effect_that_is_no_longer_wanted_is_not_begun() {
    let outbox = Outbox::default();
    outbox.add(vec![planned("1", "a", 0), planned("2", "a", 0)]);
    outbox.remove(&["1".to_owned()]);
    assert_eq!(ready(&outbox, 0), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_before_its_moment_and_then_at_once() {
    let outbox = Arc::new(Outbox::default());
    outbox.add(vec![planned("1", "a", 30)]);
    let begin = Instant::now();
    let clock = move || Timestamp::from_millis(i64::try_from(begin.elapsed().as_millis()).unwrap());
    assert_eq!(outbox.next(clock).await.id, "1");
    let waited = begin.elapsed().as_secs();
    assert!((30..=31).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_hears_of_a_new_effect() {
    let outbox = Arc::new(Outbox::default());
    let waiting = tokio::spawn({
        let outbox = Arc::clone(&outbox);
        async move { outbox.next(at(0)).await.id }
    });
    tokio::task::yield_now().await;
    outbox.add(vec![planned("1", "a", 0)]);
    assert_eq!(waiting.await.unwrap(), "1");
}
