//! Terminating.

use virtengine_provider_core::ports::adapter::{ErrorKind, Phase};

use crate::conformance::bench::{Bench, fresh_id};
use crate::conformance::finding::{Finding, ensure};

pub(crate) async fn a_terminated_workload_is_gone(bench: &mut Bench<'_>) -> Finding {
    for stopped_first in [false, true] {
        let spec = bench.running().await?;
        if stopped_first {
            bench.adapter().stop(&spec.id).await?;
        }
        bench.end(&spec.id).await?;
        let phase = bench.phase(&spec.id).await?;
        ensure!(
            phase == Phase::Gone,
            "the workload was terminated, but is said to be {phase:?}"
        );
        let usage = bench.adapter().usage(&spec.id).await;
        ensure!(
            usage
                .as_ref()
                .is_err_and(|error| error.kind == ErrorKind::NotFound),
            "the workload was terminated, but its usage is {usage:?}"
        );
    }
    Ok(())
}

pub(crate) async fn terminating_twice_or_something_unknown_is_success(bench: &mut Bench<'_>) -> Finding {
    let (spec, other) = (bench.running().await?, bench.running().await?);
    bench.adapter().terminate(&spec.id).await?;
    bench.adapter().terminate(&spec.id).await?;
    bench.adapter().terminate(&fresh_id()).await?;
    let phase = bench.phase(&other.id).await?;
    ensure!(
        phase == Phase::Running,
        "what is not there was terminated, and another workload is {phase:?}"
    );
    bench.keeps_earlier().await?;
    bench.end(&other.id).await
}

pub(crate) async fn terminating_during_a_deploy_ends_with_nothing(bench: &mut Bench<'_>) -> Finding {
    for _ in 0..3 {
        let spec = bench.spec();
        let adapter = bench.adapter();
        let (_, ended) = tokio::join!(adapter.deploy(&spec), adapter.terminate(&spec.id));
        // A back end that is busy with the deploy may say so; once it is over there is no excuse.
        drop(ended);
        bench.end_for_good(&spec.id).await?;
    }
    Ok(())
}
