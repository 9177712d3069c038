//! Another adapter before the same back end.

use virtengine_provider_core::ports::adapter::Phase;

use crate::conformance::bench::Bench;
use crate::conformance::finding::{Finding, ensure};

pub(crate) async fn a_restart_finds_everything_of_ours(bench: &mut Bench<'_>) -> Finding {
    let (one, other) = (bench.running().await?, bench.running().await?);
    bench.adapter().stop(&other.id).await?;
    bench.restart().await?;
    let mut made = [one.id.clone(), other.id.clone()];
    made.sort();
    let listed = bench.listed().await?;
    ensure!(
        listed == made,
        "deployed were {made:?}, but listed after a restart are {listed:?}"
    );
    bench.keeps_earlier().await?;
    for (spec, expected) in [(&one, Phase::Running), (&other, Phase::Stopped)] {
        let phase = bench.phase(&spec.id).await?;
        ensure!(
            phase == expected,
            "before the restart the workload was {expected:?}, after it it is {phase:?}"
        );
        bench.adapter().terminate(&spec.id).await?;
    }
    bench.nothing_is_left().await
}

pub(crate) async fn what_was_deployed_before_a_restart_can_be_ended_after_it(
    bench: &mut Bench<'_>,
) -> Finding {
    let footprint = bench.usual_footprint().await?;
    let spec = bench.running().await?;
    bench.restart().await?;
    bench.run(&spec).await?;
    bench.is_one(&spec.id, &footprint).await?;
    bench.restart().await?;
    bench.adapter().stop(&spec.id).await?;
    bench.restart().await?;
    bench.run(&spec).await?;
    bench.is_one(&spec.id, &footprint).await?;
    bench.restart().await?;
    bench.end(&spec.id).await
}

pub(crate) async fn the_list_names_each_workload_once(bench: &mut Bench<'_>) -> Finding {
    let (one, other) = (bench.running().await?, bench.running().await?);
    bench.adapter().deploy(&one).await?;
    bench.adapter().stop(&other.id).await?;
    for restarted in [false, true] {
        if restarted {
            bench.restart().await?;
        }
        // Also what others deployed is named once.
        let mut all = bench.adapter().list().await?;
        all.sort();
        let twice = all.windows(2).find(|pair| pair[0] == pair[1]);
        ensure!(twice.is_none(), "listed more than once: {twice:?}");
    }
    bench.adapter().terminate(&one.id).await?;
    bench.end(&other.id).await
}
