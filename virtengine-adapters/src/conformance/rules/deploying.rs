//! Deploying.

use virtengine_provider_core::ports::adapter::Phase;

use crate::conformance::bench::Bench;
use crate::conformance::finding::{Finding, ensure};

pub(crate) async fn a_deployed_workload_becomes_running(bench: &mut Bench<'_>) -> Finding {
    let spec = bench.running().await?;
    let seen = bench.until(&spec.id, Phase::Running).await?;
    for service in &spec.services {
        let found: Vec<_> = seen.services.iter().filter(|s| s.name == service.name).collect();
        let [found] = found[..] else {
            let times = found.len();
            ensure!(false, "service {} is observed {times} times", service.name);
            continue;
        };
        ensure!(
            (found.wanted, found.ready) == (service.count, service.count),
            "the workload is running, but of service {} {} replicas of {} are ready ({} wanted)",
            service.name,
            found.ready,
            service.count,
            found.wanted
        );
        for expose in service.exposes.iter().filter(|expose| expose.global) {
            let endpoint = seen
                .endpoints
                .iter()
                .find(|endpoint| endpoint.service == service.name && endpoint.port == expose.port);
            ensure!(
                endpoint.is_some_and(|endpoint| !endpoint.host.is_empty() && endpoint.external_port != 0),
                "the workload is running, but nothing says where port {} of service {} is reached",
                expose.port,
                service.name
            );
        }
    }
    ensure!(
        bench.listed().await? == [spec.id.clone()],
        "the workload runs, but listed are {:?}",
        bench.listed().await?
    );
    bench.end(&spec.id).await
}

pub(crate) async fn deploying_again_is_the_same_workload(bench: &mut Bench<'_>) -> Finding {
    let spec = bench.running().await?;
    let footprint = bench.footprint(&spec.id).await?;
    let before = bench.until(&spec.id, Phase::Running).await?;
    let objects = bench.objects().await?;
    for _ in 0..2 {
        bench.run(&spec).await?;
        bench.is_one(&spec.id, &footprint).await?;
        let now = bench.objects().await?;
        ensure!(
            now == objects,
            "deploying again replaced objects: {objects:?} became {now:?}"
        );
    }
    let after = bench.until(&spec.id, Phase::Running).await?;
    ensure!(
        before.services == after.services,
        "deploying again disturbed the services: {:?} became {:?}",
        before.services,
        after.services
    );
    bench.end(&spec.id).await
}

pub(crate) async fn deploying_twice_at_the_same_time_is_one_workload(bench: &mut Bench<'_>) -> Finding {
    let footprint = bench.usual_footprint().await?;
    let spec = bench.spec();
    let adapter = bench.adapter();
    let (one, other) = tokio::join!(adapter.deploy(&spec), adapter.deploy(&spec));
    // One of the two may be told to come back; not both.
    one.or(other)?;
    bench.until(&spec.id, Phase::Running).await?;
    bench.is_one(&spec.id, &footprint).await?;
    bench.end(&spec.id).await
}

pub(crate) async fn workloads_do_not_depend_on_each_other(bench: &mut Bench<'_>) -> Finding {
    let (one, other) = (bench.running().await?, bench.running().await?);
    let mut untouched = bench.objects().await?;
    untouched.retain(|object| object.words.contains(other.id.as_str()));
    bench.adapter().terminate(&one.id).await?;
    let phase = bench.phase(&other.id).await?;
    ensure!(
        phase == Phase::Running,
        "another workload was terminated, and this one is {phase:?}"
    );
    let now = bench.objects().await?;
    ensure!(
        now == untouched,
        "another workload was terminated, and of this one {untouched:?} became {now:?}"
    );
    bench.end(&other.id).await
}
