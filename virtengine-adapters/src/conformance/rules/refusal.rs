//! What is refused.

use virtengine_provider_core::ports::adapter::{ErrorKind, Retry};
use virtengine_provider_core::workload::WorkloadSpec;

use super::capability::has_no_effect;
use crate::conformance::bench::Bench;
use crate::conformance::finding::{Finding, ensure};

pub(crate) async fn more_than_there_is_is_refused_without_effect(bench: &mut Bench<'_>) -> Finding {
    let mut spec = bench.spec();
    for service in &mut spec.services {
        service.memory_bytes = 1 << 60;
    }
    let answer = bench.adapter().deploy(&spec).await;
    let right = |kind| matches!(kind, ErrorKind::Exhausted | ErrorKind::Invalid);
    ensure!(
        answer.as_ref().is_err_and(|error| right(error.kind)),
        "a workload of 2^60 bytes of memory does not fit (kind Exhausted or Invalid), but the answer is {answer:?}"
    );
    has_no_effect(bench, "a workload that does not fit").await?;
    // Nor does it harm one that runs.
    let running = bench.running().await?;
    let objects = bench.objects().await?;
    let mut larger = running.clone();
    for service in &mut larger.services {
        service.memory_bytes = 1 << 60;
    }
    let answer = bench.adapter().deploy(&larger).await;
    ensure!(
        answer.as_ref().is_err_and(|error| right(error.kind)),
        "a workload that runs is asked to grow beyond what there is, but the answer is {answer:?}"
    );
    let now = bench.objects().await?;
    ensure!(
        now == objects,
        "growing was refused, but {objects:?} became {now:?}"
    );
    bench.end(&running.id).await
}

/// A workload whose memory is too much to be added up.
fn nonsense(bench: &mut Bench<'_>) -> WorkloadSpec {
    let mut spec = bench.spec();
    for service in &mut spec.services {
        service.memory_bytes = u64::MAX;
        service.count = 2;
    }
    spec
}

pub(crate) async fn nonsense_is_refused_without_effect(bench: &mut Bench<'_>) -> Finding {
    let spec = nonsense(bench);
    let answer = bench.adapter().deploy(&spec).await;
    let right = |kind, retry| (kind, retry) == (ErrorKind::Invalid, Retry::Never);
    ensure!(
        answer.as_ref().is_err_and(|error| right(error.kind, error.retry)),
        "the memory is too much to be added up (kind Invalid, retry Never), but the answer is {answer:?}"
    );
    has_no_effect(bench, "what cannot be added up").await
}

pub(crate) async fn nonsense_is_refused_before_the_first_call(bench: &mut Bench<'_>) -> Finding {
    let faults = bench.fixture.faults()?;
    let spec = nonsense(bench);
    let before = faults.calls();
    let answer = bench.adapter().deploy(&spec).await;
    let calls = faults.calls().saturating_sub(before);
    ensure!(
        calls == 0,
        "what can be told without the back end was answered {answer:?} after {calls} calls"
    );
    Ok(())
}
