//! What is not there.

use virtengine_provider_core::ports::adapter::{AdapterResult, ErrorKind, LogQuery, Phase, Retry};

use super::capability::is_unsupported;
use crate::conformance::bench::{Bench, fresh_id};
use crate::conformance::finding::{Finding, ensure};

pub(crate) async fn what_is_not_there_is_gone_or_not_found(bench: &mut Bench<'_>) -> Finding {
    let id = fresh_id();
    let adapter = bench.adapter();
    let seen = adapter.observe(&id).await?;
    ensure!(
        seen.phase == Phase::Gone && seen.services.is_empty() && seen.endpoints.is_empty(),
        "nobody ever deployed it, but observed is {seen:?}"
    );
    is_not_found(adapter.usage(&id).await, "usage")?;
    is_not_found(adapter.stop(&id).await, "stop")?;
    let logs = adapter.logs(&id, &LogQuery::default()).await;
    if adapter.capabilities().logs {
        is_not_found(logs, "logs")?;
    } else {
        is_unsupported(logs, "reading logs")?;
    }
    for (call, answer) in [
        ("pause", adapter.pause(&id).await),
        ("resume", adapter.resume(&id).await),
    ] {
        if adapter.capabilities().pause {
            is_not_found(answer, call)?;
        } else {
            is_unsupported(answer, call)?;
        }
    }
    bench.nothing_is_left().await
}

fn is_not_found<T: std::fmt::Debug>(answer: AdapterResult<T>, call: &str) -> Finding {
    let right = |kind, retry| (kind, retry) == (ErrorKind::NotFound, Retry::Never);
    ensure!(
        answer.as_ref().is_err_and(|error| right(error.kind, error.retry)),
        "the workload is not there, so {call} is not found (kind NotFound, retry Never), but the answer is {answer:?}"
    );
    Ok(())
}

pub(crate) async fn a_workload_that_vanished_is_gone(bench: &mut Bench<'_>) -> Finding {
    let vanish = bench.fixture.vanish()?;
    let footprint = bench.usual_footprint().await?;
    let spec = bench.running().await?;
    vanish.make_vanish(&spec.id).await?;
    bench.until(&spec.id, Phase::Gone).await?;
    is_not_found(bench.adapter().usage(&spec.id).await, "usage")?;
    let listed = bench.listed().await?;
    ensure!(
        listed.is_empty(),
        "the workload vanished, but listed are {listed:?}"
    );
    bench.run(&spec).await?;
    bench.is_one(&spec.id, &footprint).await?;
    vanish.make_vanish(&spec.id).await?;
    bench.end(&spec.id).await
}
