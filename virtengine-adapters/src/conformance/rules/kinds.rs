//! Which kind of failure it was, and whether to try again.

use virtengine_provider_core::ports::adapter::{AdapterError, AdapterResult, ErrorKind, LogQuery, Retry};
use virtengine_provider_core::workload::WorkloadSpec;

use super::transport::able;
use crate::conformance::bench::Bench;
use crate::conformance::finding::{Finding, ensure};
use crate::conformance::fixture::Fault;

/// The calls that are made to fail, in an order in which each one has an effect.
const CALLS: [&str; 10] = [
    "inventory",
    "deploy",
    "observe",
    "list",
    "usage",
    "logs",
    "pause",
    "resume",
    "stop",
    "terminate",
];

async fn failures_are(bench: &mut Bench<'_>, fault: Fault, kind: ErrorKind, advice: &[Retry]) -> Finding {
    let faults = able(bench, fault)?;
    let spec = bench.running().await?;
    for call in CALLS {
        faults.arm(1, fault);
        let answer = calling(bench, call, &spec).await;
        let reached = faults.disarm();
        // A failure that did not come from the fault is not of its kind: undeclared, or in conflict with a call before that did
        // not take effect. A success has tried again by itself.
        if let (Err(error), true) = (answer, reached) {
            is_right(bench, &error, call, kind, advice)?;
        }
        if call == "resume" {
            bench.run(&spec).await?;
        }
    }
    // The last call that failed may have ended it all the same; the rules about ending are others.
    bench.put_away(&spec.id).await
}

pub(crate) async fn an_unavailable_back_end_is_said_to_be_unavailable(bench: &mut Bench<'_>) -> Finding {
    let advice = [Retry::Later, Retry::Unknown];
    failures_are(bench, Fault::Unavailable, ErrorKind::Unavailable, &advice).await
}

pub(crate) async fn a_lost_answer_is_said_to_be_unavailable(bench: &mut Bench<'_>) -> Finding {
    let advice = [Retry::Later, Retry::Unknown];
    failures_are(bench, Fault::LostAnswer, ErrorKind::Unavailable, &advice).await
}

pub(crate) async fn refused_credentials_are_said_to_be_denied(bench: &mut Bench<'_>) -> Finding {
    let advice = [Retry::Never, Retry::Later];
    failures_are(bench, Fault::Denied, ErrorKind::Denied, &advice).await
}

pub(crate) async fn a_back_end_that_asks_to_slow_down_is_said_to_limit(bench: &mut Bench<'_>) -> Finding {
    failures_are(bench, Fault::RateLimited, ErrorKind::RateLimited, &[Retry::Later]).await
}

async fn calling(bench: &Bench<'_>, call: &str, spec: &WorkloadSpec) -> AdapterResult<()> {
    let (adapter, id) = (bench.adapter(), &spec.id);
    match call {
        "inventory" => adapter.inventory().await.map(drop),
        "deploy" => adapter.deploy(spec).await,
        "observe" => adapter.observe(id).await.map(drop),
        "list" => adapter.list().await.map(drop),
        "usage" => adapter.usage(id).await.map(drop),
        "logs" => adapter.logs(id, &LogQuery::default()).await.map(drop),
        "pause" => adapter.pause(id).await,
        "resume" => adapter.resume(id).await,
        "stop" => adapter.stop(id).await,
        _ => adapter.terminate(id).await,
    }
}

fn is_right(
    bench: &Bench<'_>,
    error: &AdapterError,
    call: &str,
    kind: ErrorKind,
    advice: &[Retry],
) -> Finding {
    let said = format!("{error} (kind {:?}, retry {:?})", error.kind, error.retry);
    ensure!(
        error.kind == kind,
        "{call} failed with kind {kind:?}, but: {said}"
    );
    ensure!(
        advice.contains(&error.retry),
        "after a failure of kind {kind:?} the advice is one of {advice:?}, but: {said}"
    );
    ensure!(error.operation == call, "the call was {call}, but: {said}");
    let name = &bench.adapter().capabilities().name;
    ensure!(error.adapter == name, "the adapter is {name}, but: {said}");
    ensure!(
        !error.message.trim().is_empty(),
        "a failure of {call} says nothing to the operator"
    );
    Ok(())
}
