//! Objects of others. The runner plants one beside every rule; this one goes through a whole life.

use crate::conformance::bench::{Bench, fresh_id};
use crate::conformance::finding::{Finding, ensure};

pub(crate) async fn foreign_objects_are_never_touched(bench: &mut Bench<'_>) -> Finding {
    let foreign = bench.fixture.foreign()?;
    let spec = bench.running().await?;
    bench.adapter().stop(&spec.id).await?;
    bench.restart().await?;
    bench.run(&spec).await?;
    bench.put_away(&fresh_id()).await?;
    let listed = bench.listed().await?;
    ensure!(
        listed == [spec.id.clone()],
        "beside an object of others one workload was deployed, but listed are {listed:?}"
    );
    bench.end(&spec.id).await?;
    if let Some(harm) = foreign.harm().await? {
        ensure!(false, "{harm}");
    }
    Ok(())
}
