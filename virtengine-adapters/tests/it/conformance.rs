//! Rules for every adapter.

use std::time::Duration;

use async_trait::async_trait;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{Adapter, Counters, ErrorKind, LogQuery, Phase};
use virtengine_provider_core::workload::WorkloadSpec;

/// One back end under test.
#[async_trait]
pub(crate) trait Fixture: Send + Sync {
    fn adapter(&self) -> &dyn Adapter;
    /// A workload that becomes ready, uses CPU and writes a log line when it starts.
    fn spec(&self, name: &str) -> WorkloadSpec;
    /// Forgets the adapter and makes another one before the same back end.
    fn restart(&mut self);
    /// Lets time pass.
    async fn pass(&self, time: Duration);
    /// Ends one replica of the first service without asking anybody.
    async fn kill_a_replica(&self, id: &WorkloadId);
    /// What really exists of ours, whatever the adapter says.
    fn really_there(&self) -> usize;
}

async fn until(fixture: &dyn Fixture, id: &WorkloadId, phase: Phase) {
    for _ in 0..600 {
        let seen = fixture.adapter().observe(id).await.unwrap();
        if seen.phase == phase {
            return;
        }
        assert_ne!(seen.phase, Phase::Failed, "{seen:?}");
        fixture.pass(Duration::from_millis(50)).await;
    }
    panic!("never {phase:?}: {:?}", fixture.adapter().observe(id).await);
}

async fn running(fixture: &dyn Fixture, name: &str) -> WorkloadSpec {
    let spec = fixture.spec(name);
    fixture.adapter().deploy(&spec).await.unwrap();
    until(fixture, &spec.id, Phase::Running).await;
    spec
}

async fn nothing_is_left(fixture: &dyn Fixture) {
    assert_eq!(fixture.adapter().list().await.unwrap(), []);
    assert_eq!(fixture.really_there(), 0);
}

pub(crate) async fn deploying_twice_is_one_workload(fixture: &mut dyn Fixture) {
    let spec = running(fixture, "twice").await;
    let there = fixture.really_there();
    fixture.adapter().deploy(&spec).await.unwrap();
    until(fixture, &spec.id, Phase::Running).await;
    assert_eq!(
        fixture.adapter().list().await.unwrap(),
        std::slice::from_ref(&spec.id)
    );
    assert_eq!(fixture.really_there(), there);
    let seen = fixture.adapter().observe(&spec.id).await.unwrap();
    assert_eq!(
        (
            seen.services[0].wanted,
            seen.services[0].ready,
            seen.services[0].restarts
        ),
        (1, 1, 0)
    );
    fixture.adapter().terminate(&spec.id).await.unwrap();
    nothing_is_left(fixture).await;
}

pub(crate) async fn terminating_twice_or_something_unknown_is_success(fixture: &mut dyn Fixture) {
    let spec = running(fixture, "gone").await;
    fixture.adapter().terminate(&spec.id).await.unwrap();
    assert_eq!(
        fixture.adapter().observe(&spec.id).await.unwrap().phase,
        Phase::Gone
    );
    fixture.adapter().terminate(&spec.id).await.unwrap();
    fixture
        .adapter()
        .terminate(&WorkloadId::local(b"never seen"))
        .await
        .unwrap();
    nothing_is_left(fixture).await;
}

pub(crate) async fn terminating_during_a_deploy_leaves_nothing(fixture: &mut dyn Fixture) {
    let spec = fixture.spec("hasty");
    let adapter = fixture.adapter();
    let (_, ended) = tokio::join!(adapter.deploy(&spec), adapter.terminate(&spec.id));
    ended.unwrap();
    // Whichever came second counts; after one more request to end there is nothing.
    adapter.terminate(&spec.id).await.unwrap();
    nothing_is_left(fixture).await;
}

pub(crate) async fn a_dropped_call_leaves_what_can_be_found_and_removed(fixture: &mut dyn Fixture) {
    let spec = fixture.spec("dropped");
    let given_up = tokio::time::timeout(Duration::from_millis(1), fixture.adapter().deploy(&spec)).await;
    drop(given_up);
    fixture.adapter().deploy(&spec).await.unwrap();
    until(fixture, &spec.id, Phase::Running).await;
    let ending = tokio::time::timeout(Duration::from_millis(1), fixture.adapter().terminate(&spec.id)).await;
    drop(ending);
    fixture.adapter().terminate(&spec.id).await.unwrap();
    nothing_is_left(fixture).await;
}

pub(crate) async fn a_stopped_workload_starts_again_and_goes_on_counting(fixture: &mut dyn Fixture) {
    let spec = running(fixture, "again").await;
    fixture.pass(Duration::from_millis(300)).await;
    fixture.adapter().stop(&spec.id).await.unwrap();
    fixture.adapter().stop(&spec.id).await.unwrap();
    let seen = fixture.adapter().observe(&spec.id).await.unwrap();
    assert_eq!((seen.phase, seen.services[0].ready), (Phase::Stopped, 0));
    let stopped = fixture.adapter().usage(&spec.id).await.unwrap();
    assert!(stopped.cpu_milli_seconds > 0);
    fixture.pass(Duration::from_millis(300)).await;
    let later = fixture.adapter().usage(&spec.id).await.unwrap();
    assert_eq!(
        later.cpu_milli_seconds, stopped.cpu_milli_seconds,
        "compute is free"
    );
    fixture.adapter().deploy(&spec).await.unwrap();
    until(fixture, &spec.id, Phase::Running).await;
    fixture.pass(Duration::from_millis(300)).await;
    let after = fixture.adapter().usage(&spec.id).await.unwrap();
    assert_eq!(after.epoch, stopped.epoch);
    assert!(after.cpu_milli_seconds > stopped.cpu_milli_seconds);
    fixture.adapter().terminate(&spec.id).await.unwrap();
    nothing_is_left(fixture).await;
}

pub(crate) async fn a_paused_workload_uses_no_cpu_until_it_is_resumed(fixture: &mut dyn Fixture) {
    let spec = running(fixture, "pause").await;
    let adapter = fixture.adapter();
    adapter.pause(&spec.id).await.unwrap();
    adapter.pause(&spec.id).await.unwrap();
    assert_eq!(adapter.observe(&spec.id).await.unwrap().phase, Phase::Paused);
    let paused = adapter.usage(&spec.id).await.unwrap();
    fixture.pass(Duration::from_millis(1500)).await;
    let later = adapter.usage(&spec.id).await.unwrap();
    assert_eq!(later.cpu_milli_seconds, paused.cpu_milli_seconds);
    adapter.resume(&spec.id).await.unwrap();
    adapter.resume(&spec.id).await.unwrap();
    until(fixture, &spec.id, Phase::Running).await;
    for _ in 0..50 {
        fixture.pass(Duration::from_millis(100)).await;
        if adapter.usage(&spec.id).await.unwrap().cpu_milli_seconds > later.cpu_milli_seconds {
            break;
        }
    }
    assert!(adapter.usage(&spec.id).await.unwrap().cpu_milli_seconds > later.cpu_milli_seconds);
    adapter.stop(&spec.id).await.unwrap();
    assert_eq!(
        adapter.pause(&spec.id).await.unwrap_err().kind,
        ErrorKind::Conflict
    );
    assert_eq!(
        adapter.resume(&spec.id).await.unwrap_err().kind,
        ErrorKind::Conflict
    );
    adapter.terminate(&spec.id).await.unwrap();
    nothing_is_left(fixture).await;
}

pub(crate) async fn a_paused_workload_can_be_stopped_and_removed(fixture: &mut dyn Fixture) {
    let spec = running(fixture, "frozen").await;
    fixture.adapter().pause(&spec.id).await.unwrap();
    fixture.adapter().stop(&spec.id).await.unwrap();
    assert_eq!(
        fixture.adapter().observe(&spec.id).await.unwrap().phase,
        Phase::Stopped
    );
    fixture.adapter().deploy(&spec).await.unwrap();
    until(fixture, &spec.id, Phase::Running).await;
    fixture.adapter().pause(&spec.id).await.unwrap();
    fixture.adapter().terminate(&spec.id).await.unwrap();
    nothing_is_left(fixture).await;
}

pub(crate) async fn usage_never_decreases(fixture: &mut dyn Fixture) {
    let spec = running(fixture, "rising").await;
    let mut before = Counters::default();
    for step in 0..6 {
        fixture.pass(Duration::from_millis(150)).await;
        match step {
            1 | 3 => fixture.kill_a_replica(&spec.id).await,
            2 => fixture.restart(),
            4 => fixture.adapter().stop(&spec.id).await.unwrap(),
            5 => fixture.adapter().deploy(&spec).await.unwrap(),
            _ => {}
        }
        let now = fixture.adapter().usage(&spec.id).await.unwrap();
        assert!(before.epoch == 0 || now.epoch == before.epoch);
        assert!(now.at >= before.at && now.cpu_milli_seconds >= before.cpu_milli_seconds);
        assert!(now.memory_byte_seconds >= before.memory_byte_seconds);
        assert!(now.storage_byte_seconds >= before.storage_byte_seconds);
        assert!(now.network_bytes_in >= before.network_bytes_in);
        assert!(now.network_bytes_out >= before.network_bytes_out);
        before = now;
    }
    assert!(before.cpu_milli_seconds > 0);
    fixture.adapter().terminate(&spec.id).await.unwrap();
    nothing_is_left(fixture).await;
}

pub(crate) async fn a_workload_made_anew_counts_in_a_new_epoch(fixture: &mut dyn Fixture) {
    let spec = running(fixture, "anew").await;
    let first = fixture.adapter().usage(&spec.id).await.unwrap();
    fixture.adapter().terminate(&spec.id).await.unwrap();
    fixture.pass(Duration::from_millis(5)).await;
    fixture.adapter().deploy(&spec).await.unwrap();
    let second = fixture.adapter().usage(&spec.id).await.unwrap();
    assert_ne!(first.epoch, second.epoch);
    fixture.adapter().terminate(&spec.id).await.unwrap();
    nothing_is_left(fixture).await;
}

pub(crate) async fn everything_is_found_after_a_restart(fixture: &mut dyn Fixture) {
    let (one, two) = (running(fixture, "one").await, running(fixture, "two").await);
    fixture.adapter().stop(&two.id).await.unwrap();
    fixture.restart();
    let mut ids = vec![one.id.clone(), two.id.clone()];
    ids.sort();
    assert_eq!(fixture.adapter().list().await.unwrap(), ids);
    assert_eq!(
        fixture.adapter().observe(&one.id).await.unwrap().phase,
        Phase::Running
    );
    assert_eq!(
        fixture.adapter().observe(&two.id).await.unwrap().phase,
        Phase::Stopped
    );
    for id in ids {
        fixture.adapter().terminate(&id).await.unwrap();
    }
    nothing_is_left(fixture).await;
}

pub(crate) async fn what_is_not_there_is_not_found(fixture: &mut dyn Fixture) {
    let id = WorkloadId::local(b"nobody");
    let adapter = fixture.adapter();
    assert_eq!(adapter.observe(&id).await.unwrap().phase, Phase::Gone);
    assert_eq!(adapter.usage(&id).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(adapter.stop(&id).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(adapter.pause(&id).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(adapter.resume(&id).await.unwrap_err().kind, ErrorKind::NotFound);
    let logs = adapter.logs(&id, &LogQuery::default()).await;
    assert_eq!(logs.unwrap_err().kind, ErrorKind::NotFound);
    nothing_is_left(fixture).await;
}

pub(crate) async fn logs_go_on_after_a_position(fixture: &mut dyn Fixture) {
    let spec = running(fixture, "talk").await;
    let query = |after, tail| LogQuery {
        service: Some(spec.services[0].name.clone()),
        replica: Some(0),
        after,
        tail,
    };
    let first = fixture
        .adapter()
        .logs(&spec.id, &query(None, None))
        .await
        .unwrap();
    let last = first.last().unwrap().position;
    assert!(
        fixture
            .adapter()
            .logs(&spec.id, &query(Some(last), None))
            .await
            .unwrap()
            .is_empty()
    );
    fixture.adapter().stop(&spec.id).await.unwrap();
    fixture.restart();
    fixture.adapter().deploy(&spec).await.unwrap();
    until(fixture, &spec.id, Phase::Running).await;
    let fresh = fixture
        .adapter()
        .logs(&spec.id, &query(Some(last), None))
        .await
        .unwrap();
    assert!(!fresh.is_empty() && fresh.iter().all(|line| line.position > last));
    let tail = fixture
        .adapter()
        .logs(&spec.id, &query(None, Some(1)))
        .await
        .unwrap();
    assert_eq!(tail.as_slice(), &fresh[fresh.len() - 1..]);
    let mut other = query(None, None);
    other.service = Some("other".to_owned());
    assert!(fixture.adapter().logs(&spec.id, &other).await.unwrap().is_empty());
    fixture.adapter().terminate(&spec.id).await.unwrap();
    nothing_is_left(fixture).await;
}

pub(crate) async fn what_is_not_declared_is_refused_without_effect(fixture: &mut dyn Fixture) {
    let mut spec = fixture.spec("gpu");
    spec.services[0].gpus = 1;
    let answer = fixture.adapter().deploy(&spec).await;
    if fixture.adapter().capabilities().gpus {
        answer.unwrap();
        fixture.adapter().terminate(&spec.id).await.unwrap();
    } else {
        assert_eq!(answer.unwrap_err().kind, ErrorKind::Unsupported);
    }
    nothing_is_left(fixture).await;
}

pub(crate) async fn more_than_there_is_is_refused_without_effect(fixture: &mut dyn Fixture) {
    let mut spec = fixture.spec("huge");
    spec.services[0].memory_bytes = 1 << 60;
    let refused = fixture.adapter().deploy(&spec).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Exhausted, "{refused}");
    spec.services[0].memory_bytes = u64::MAX;
    spec.services[0].count = 2;
    let refused = fixture.adapter().deploy(&spec).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
    nothing_is_left(fixture).await;
}

/// One test per rule.
macro_rules! conformance {
    ($fixture:expr) => {
        crate::conformance::conformance!($fixture;
            deploying_twice_is_one_workload
            terminating_twice_or_something_unknown_is_success
            terminating_during_a_deploy_leaves_nothing
            a_dropped_call_leaves_what_can_be_found_and_removed
            a_stopped_workload_starts_again_and_goes_on_counting
            a_paused_workload_uses_no_cpu_until_it_is_resumed
            a_paused_workload_can_be_stopped_and_removed
            usage_never_decreases
            a_workload_made_anew_counts_in_a_new_epoch
            everything_is_found_after_a_restart
            what_is_not_there_is_not_found
            logs_go_on_after_a_position
            what_is_not_declared_is_refused_without_effect
            more_than_there_is_is_refused_without_effect
        );
    };
    ($fixture:expr; $($rule:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            // Without a back end the rule is skipped, and the fixture has said why.
            let Some(mut fixture) = $fixture else { return };
            crate::conformance::$rule(&mut fixture).await;
        }
    )*};
}
pub(crate) use conformance;
