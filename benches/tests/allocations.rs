//! The price of an order is computed without any allocation.

use std::alloc::System;
use std::hint::black_box;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use virtengine_benches::market::{LARGE, SMALL, rate};
use virtengine_provider_core::units::Resources;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What `work` allocates. Nothing else runs: this binary has one test.
fn allocated<T>(work: impl FnOnce() -> T) -> Stats {
    let region = Region::new(ALLOCATOR);
    black_box(work());
    region.change()
}

#[test]
fn a_price_is_computed_without_any_allocation() {
    let rate = rate();
    let beyond = Resources {
        memory_bytes: u64::MAX,
        storage_bytes: u64::MAX,
        ..LARGE
    };
    for resources in [Resources::ZERO, SMALL, LARGE, beyond] {
        assert_eq!(allocated(|| rate.price(black_box(&resources))), Stats::default());
        assert_eq!(allocated(|| rate.quote(black_box(&resources))), Stats::default());
    }
    // The counter does count.
    assert_eq!(allocated(|| Vec::<u8>::with_capacity(64)).allocations, 1);
}
