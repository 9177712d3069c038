//! Counters.

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::Counters;

use crate::conformance::bench::Bench;
use crate::conformance::finding::{Finding, ensure};

/// Waits until the workload has used more CPU than now.
pub(crate) async fn rises(bench: &Bench<'_>, id: &WorkloadId) -> Finding<Counters> {
    let before = bench.adapter().usage(id).await?;
    let what = format!("more than {} CPU milliseconds", before.cpu_milli_seconds);
    bench
        .counted(id, &what, |now| {
            now.epoch != before.epoch || now.cpu_milli_seconds > before.cpu_milli_seconds
        })
        .await
}

/// The counters at the beginning and the end of a time in which a running workload would have used CPU, without having done so.
pub(crate) async fn is_at_rest(
    bench: &Bench<'_>,
    id: &WorkloadId,
    how: &str,
) -> Finding<(Counters, Counters)> {
    // What was used before may be counted late.
    bench.fixture.pass(bench.fixture.measurable()).await;
    let before = bench.adapter().usage(id).await?;
    bench.fixture.pass(bench.fixture.measurable()).await;
    let after = bench.adapter().usage(id).await?;
    ensure!(
        before.epoch == after.epoch && before.cpu_milli_seconds == after.cpu_milli_seconds,
        "a {how} workload goes on using CPU: {before:?}, later {after:?}"
    );
    Ok((before, after))
}

pub(crate) async fn a_running_workload_is_measured(bench: &mut Bench<'_>) -> Finding {
    let spec = bench.running().await?;
    let before = bench.adapter().usage(&spec.id).await?;
    let after = rises(bench, &spec.id).await?;
    ensure!(
        after.epoch == before.epoch,
        "the epoch changed while the workload ran on: {before:?}, later {after:?}"
    );
    ensure!(
        after.at > before.at,
        "the counters rose, but not the time at which they were read: {before:?}, later {after:?}"
    );
    bench.end(&spec.id).await
}

/// What happens to a workload while it is counted.
const EVENTS: [&str; 8] = [
    "nothing",
    "a pause",
    "a resume",
    "a restart of the adapter",
    "a stop",
    "a second restart of the adapter",
    "a deploy after the stop",
    "a third restart of the adapter",
];

pub(crate) async fn usage_never_decreases(bench: &mut Bench<'_>) -> Finding {
    let spec = bench.running().await?;
    let mut before = rises(bench, &spec.id).await?;
    for event in EVENTS {
        happens(bench, event, &spec.id).await?;
        if event == "a deploy after the stop" {
            bench.run(&spec).await?;
        }
        for _ in 0..3 {
            bench.fixture.pass(bench.fixture.measurable() / 8).await;
            let now = bench.adapter().usage(&spec.id).await?;
            ensure!(
                now.at >= before.at && (now.epoch != before.epoch || is_not_less(&now, &before)),
                "after {event} the counters fell within an epoch: {before:?} became {now:?}"
            );
            before = now;
        }
    }
    let after = rises(bench, &spec.id).await?;
    ensure!(
        after.epoch != before.epoch || is_not_less(&after, &before),
        "the counters fell within an epoch: {before:?} became {after:?}"
    );
    bench.end(&spec.id).await
}

async fn happens(bench: &mut Bench<'_>, event: &str, id: &WorkloadId) -> Finding {
    let can_pause = bench.adapter().capabilities().pause;
    match event {
        "a pause" if can_pause => bench.adapter().pause(id).await?,
        "a resume" if can_pause => bench.adapter().resume(id).await?,
        "a stop" => bench.adapter().stop(id).await?,
        event if event.ends_with("restart of the adapter") => bench.restart().await?,
        _ => {}
    }
    Ok(())
}

pub(crate) async fn usage_does_not_decrease_when_a_workload_is_killed(bench: &mut Bench<'_>) -> Finding {
    let kill = bench.fixture.kill()?;
    let spec = bench.running().await?;
    let mut before = rises(bench, &spec.id).await?;
    kill.kill_workload(&spec.id).await?;
    for _ in 0..8 {
        let now = bench.adapter().usage(&spec.id).await?;
        ensure!(
            now.epoch != before.epoch || is_not_less(&now, &before),
            "after a kill the counters fell within an epoch: {before:?} became {now:?}"
        );
        before = now;
        bench.fixture.pass(bench.fixture.measurable() / 8).await;
    }
    bench.end(&spec.id).await
}

const fn is_not_less(now: &Counters, before: &Counters) -> bool {
    now.cpu_milli_seconds >= before.cpu_milli_seconds
        && now.memory_byte_seconds >= before.memory_byte_seconds
        && now.storage_byte_seconds >= before.storage_byte_seconds
        && now.network_bytes_in >= before.network_bytes_in
        && now.network_bytes_out >= before.network_bytes_out
        && now.gpu_seconds >= before.gpu_seconds
}

pub(crate) async fn a_workload_made_anew_counts_in_a_new_epoch(bench: &mut Bench<'_>) -> Finding {
    let spec = bench.running().await?;
    let first = rises(bench, &spec.id).await?;
    bench.end(&spec.id).await?;
    bench.run(&spec).await?;
    let second = bench.adapter().usage(&spec.id).await?;
    ensure!(
        second.epoch != first.epoch,
        "the workload was made anew, but counts on in the same epoch: {first:?}, then {second:?}"
    );
    bench.end(&spec.id).await
}

pub(crate) async fn a_reset_of_the_counters_is_a_new_epoch(bench: &mut Bench<'_>) -> Finding {
    let reset = bench.fixture.reset()?;
    let spec = bench.running().await?;
    let before = rises(bench, &spec.id).await?;
    reset.reset_counters(&spec.id).await?;
    let after = bench.adapter().usage(&spec.id).await?;
    ensure!(
        after.epoch != before.epoch || is_not_less(&after, &before),
        "the back end counts from zero again in the same epoch: {before:?} became {after:?}"
    );
    bench.end(&spec.id).await
}
