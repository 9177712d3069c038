//! Lives of a provider, by chance: `SEED=7 cargo test -p virtengine-providerd --lib one_life -- --nocapture` repeats one.

use proptest::prelude::*;

use super::world::World;
use super::world::chance::Faults;

#[test]
fn a_quiet_life_has_leases_that_end_paid() {
    let world = World::new(1, Faults::default()).live(1200);
    let settled = world.chain.usage.values().flatten().filter(|usage| usage.settled);
    assert!(settled.count() > 10, "usage was paid");
    assert!(world.accepted.len() >= 5, "workloads ran");
    assert!(world.records.len() >= 5, "usage was recorded");
}

#[test]
fn one_life() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let world = World::new(seed.unwrap_or(7), Faults::all()).live(800);
    assert!(world.crashes > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_everything_comes_to_its_end(seed: u64) {
        World::new(seed, Faults::all()).live(600);
    }

    #[test]
    fn a_provider_that_hears_of_no_block_lives_by_comparison_alone(seed: u64) {
        let faults = Faults { block_lost: 1000, ..Faults::default() };
        World::new(seed, faults).live(400);
    }

    #[test]
    fn a_provider_that_dies_all_the_time_finishes_what_it_began(seed: u64) {
        let faults = Faults { crash: 200, slow_tx: 300, call: 100, ..Faults::default() };
        World::new(seed, faults).live(400);
    }
}
