//! Stopping: compute is free, data are kept.

use virtengine_provider_core::ports::adapter::Phase;

use super::usage::is_at_rest;
use crate::conformance::bench::Bench;
use crate::conformance::finding::{Finding, ensure};

pub(crate) async fn a_stopped_workload_uses_no_compute(bench: &mut Bench<'_>) -> Finding {
    let spec = bench.running().await?;
    bench.adapter().stop(&spec.id).await?;
    let seen = bench.adapter().observe(&spec.id).await?;
    let ready: u32 = seen.services.iter().map(|service| service.ready).sum();
    ensure!(
        seen.phase == Phase::Stopped && ready == 0,
        "stop has returned, but the workload is {:?} with {ready} replicas ready",
        seen.phase
    );
    let (before, after) = is_at_rest(bench, &spec.id, "stopped").await?;
    ensure!(
        before.memory_byte_seconds == after.memory_byte_seconds,
        "a stopped workload goes on using memory: {before:?}, later {after:?}"
    );
    // Twice is no harm.
    bench.adapter().stop(&spec.id).await?;
    bench.until(&spec.id, Phase::Stopped).await?;
    bench.end(&spec.id).await
}

pub(crate) async fn a_stopped_workload_starts_again_when_it_is_deployed(bench: &mut Bench<'_>) -> Finding {
    let spec = bench.running().await?;
    let footprint = bench.footprint(&spec.id).await?;
    for _ in 0..2 {
        bench.adapter().stop(&spec.id).await?;
        bench.run(&spec).await?;
        bench.is_one(&spec.id, &footprint).await?;
    }
    bench.end(&spec.id).await
}

pub(crate) async fn stopping_keeps_data(bench: &mut Bench<'_>) -> Finding {
    let data = bench.fixture.data()?;
    if !bench.adapter().capabilities().persistent_storage {
        let words = "the adapter does not declare that data outlive a stop".to_owned();
        return Err(crate::conformance::finding::Break::NotApplicable(words));
    }
    let spec = bench.running().await?;
    data.write(&spec.id, "kept over a stop").await?;
    bench.adapter().stop(&spec.id).await?;
    bench.restart().await?;
    bench.run(&spec).await?;
    ensure!(
        data.holds(&spec.id, "kept over a stop").await?,
        "the workload was stopped and deployed again, and its data are lost"
    );
    bench.end(&spec.id).await
}
