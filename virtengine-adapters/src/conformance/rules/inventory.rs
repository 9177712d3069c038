//! What there is.

use virtengine_provider_core::ports::adapter::Inventory;
use virtengine_provider_core::units::Resources;

use crate::conformance::bench::Bench;
use crate::conformance::finding::{Break, Finding, ensure};

/// How often a workload comes and goes. Others on the back end also come and go, but not every time just when ours does.
const ROUNDS: usize = 3;

pub(crate) async fn our_own_workloads_are_not_foreign_use(bench: &mut Bench<'_>) -> Finding {
    // For each resource, whether it followed our workload every time so far.
    let (mut follows_use, mut follows_capacity) = ([true; 4], [true; 4]);
    let mut total = Resources::ZERO;
    for _ in 0..ROUNDS {
        let without = bench.adapter().inventory().await?;
        let spec = bench.running().await?;
        total = spec
            .total()
            .map_err(|overflow| Break::Broken(format!("the fixture's workload: {overflow}")))?;
        bench.fixture.pass(bench.fixture.measurable()).await;
        let with = bench.adapter().inventory().await?;
        bench.end(&spec.id).await?;
        let after = bench.adapter().inventory().await?;
        let both = |more: &Resources, less: &Resources| grew_by(more, less, &total);
        let was = |i: &Inventory| (i.foreign_use, i.capacity);
        let ((use_0, has_0), (use_1, has_1), (use_2, has_2)) = (was(&without), was(&with), was(&after));
        merge(&mut follows_use, both(&use_1, &use_0), both(&use_1, &use_2));
        merge(&mut follows_capacity, both(&has_0, &has_1), both(&has_2, &has_1));
    }
    for (index, name) in NAMES.iter().enumerate() {
        ensure!(
            !follows_use[index],
            "use by others rises by the {name} of our own workload whenever it runs, and falls when it ends ({total:?})"
        );
        ensure!(
            !follows_capacity[index],
            "the capacity falls by the {name} of our own workload whenever it runs, and rises when it ends ({total:?})"
        );
    }
    Ok(())
}

const NAMES: [&str; 4] = ["cpu", "memory", "storage", "gpus"];

const fn each(resources: &Resources) -> [u64; 4] {
    [
        resources.cpu_millis,
        resources.memory_bytes,
        resources.storage_bytes,
        resources.gpus,
    ]
}

/// For each resource of which `total` has some, whether `more` is `less` and at least that much.
fn grew_by(more: &Resources, less: &Resources, total: &Resources) -> [bool; 4] {
    let (more, less, total) = (each(more), each(less), each(total));
    std::array::from_fn(|i| total[i] > 0 && more[i] >= less[i].saturating_add(total[i]))
}

fn merge(so_far: &mut [bool; 4], came: [bool; 4], went: [bool; 4]) {
    for (index, follows) in so_far.iter_mut().enumerate() {
        *follows = *follows && came[index] && went[index];
    }
}
