//! Calls that nobody waits for any more.

use crate::conformance::bench::Bench;
use crate::conformance::finding::{Finding, ensure};
use crate::conformance::polled::polled;

/// After how many polls a call is dropped: each moment at first, then ever later.
fn moments() -> impl Iterator<Item = usize> {
    (1..=16).chain((5..16).map(|power| 1 << power))
}

pub(crate) async fn a_deploy_given_up_midway_can_be_done_again(bench: &mut Bench<'_>) -> Finding {
    let footprint = bench.usual_footprint().await?;
    for polls in moments() {
        let spec = bench.spec();
        let ended = polled(bench.adapter().deploy(&spec), polls).await;
        if polls % 2 == 0 {
            bench.restart().await?;
        }
        bench.run(&spec).await?;
        bench.is_one(&spec.id, &footprint).await?;
        bench.end(&spec.id).await?;
        if let Some(answer) = ended {
            return Ok(answer?);
        }
        // Given up for good.
        let spec = bench.spec();
        let _ = polled(bench.adapter().deploy(&spec), polls).await;
        bench.end_for_good(&spec.id).await?;
    }
    ensure!(false, "a deploy does not end, however often it is polled");
    Ok(())
}

pub(crate) async fn a_terminate_given_up_midway_can_be_done_again(bench: &mut Bench<'_>) -> Finding {
    for polls in moments() {
        let spec = bench.running().await?;
        let ended = polled(bench.adapter().terminate(&spec.id), polls).await;
        if polls % 2 == 0 {
            bench.restart().await?;
        }
        bench.end(&spec.id).await?;
        if let Some(answer) = ended {
            return Ok(answer?);
        }
    }
    ensure!(false, "a terminate does not end, however often it is polled");
    Ok(())
}
