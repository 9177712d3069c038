//! Pausing.

use virtengine_provider_core::ports::adapter::{ErrorKind, Phase};

use super::capability::{is_unsupported, undeclared};
use super::usage::{is_at_rest, rises};
use crate::conformance::bench::Bench;
use crate::conformance::finding::{Finding, ensure};

pub(crate) async fn pausing_works_or_is_refused(bench: &mut Bench<'_>) -> Finding {
    let spec = bench.running().await?;
    let objects = bench.objects().await?;
    if !bench.adapter().capabilities().pause {
        is_unsupported(bench.adapter().pause(&spec.id).await, "pausing")?;
        is_unsupported(bench.adapter().resume(&spec.id).await, "resuming")?;
        let (phase, now) = (bench.phase(&spec.id).await?, bench.objects().await?);
        ensure!(
            phase == Phase::Running && now == objects,
            "pausing was refused, but the workload is {phase:?}, and {objects:?} became {now:?}"
        );
        return bench.end(&spec.id).await;
    }
    for _ in 0..2 {
        bench.adapter().pause(&spec.id).await?;
        bench.until(&spec.id, Phase::Paused).await?;
    }
    is_at_rest(bench, &spec.id, "paused").await?;
    for _ in 0..2 {
        bench.adapter().resume(&spec.id).await?;
        bench.until(&spec.id, Phase::Running).await?;
    }
    rises(bench, &spec.id).await?;
    bench.adapter().stop(&spec.id).await?;
    for (call, answer) in [
        ("pause", bench.adapter().pause(&spec.id).await),
        ("resume", bench.adapter().resume(&spec.id).await),
    ] {
        ensure!(
            answer
                .as_ref()
                .is_err_and(|error| error.kind == ErrorKind::Conflict),
            "the workload is stopped, so {call} is a conflict, but the answer is {answer:?}"
        );
    }
    bench.end(&spec.id).await
}

pub(crate) async fn a_paused_workload_can_be_stopped_and_ended(bench: &mut Bench<'_>) -> Finding {
    if !bench.adapter().capabilities().pause {
        return Err(undeclared("pausing"));
    }
    let spec = bench.running().await?;
    bench.adapter().pause(&spec.id).await?;
    bench.adapter().stop(&spec.id).await?;
    bench.until(&spec.id, Phase::Stopped).await?;
    bench.run(&spec).await?;
    bench.adapter().pause(&spec.id).await?;
    bench.run(&spec).await?;
    bench.adapter().pause(&spec.id).await?;
    bench.end(&spec.id).await
}
