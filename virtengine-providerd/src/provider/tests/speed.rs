//! How fast a provider with many leases decides: `cargo test --release -p virtengine-providerd --lib speed -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{Observation, Phase};

use super::fixture::{
    at, cores, deployment, inventory, lease, lease_id, manifest, no_key, order_id, settings,
};
use super::market::block;
use crate::provider::{Comparison, Fact, Provider};

/// A provider with `count` leases whose workloads run.
fn busy(count: u64) -> Provider {
    let capacity = cores(count + 100);
    let mut provider = Provider::new(settings(capacity, no_key())).unwrap();
    provider
        .decide(Fact::Inventory(inventory(capacity)), at(0))
        .unwrap();
    let manifest = manifest(1, "nginx");
    for dseq in 0..count {
        let found = (
            lease(&lease_id(dseq), 1),
            deployment(&order_id(dseq).group, &manifest),
        );
        let seen = Comparison {
            leases: vec![found],
            ..Comparison::default()
        };
        provider.decide(Fact::Compared(Box::new(seen)), at(1)).unwrap();
        let (lease, manifest) = (lease_id(dseq), Box::new(manifest.clone()));
        provider
            .decide(Fact::Manifest { lease, manifest }, at(2))
            .unwrap();
        provider.decide(observed(dseq, 3), at(3)).unwrap();
    }
    provider
}

fn observed(dseq: u64, second: i64) -> Fact {
    Fact::Observed {
        workload: WorkloadId::of_lease(&lease_id(dseq)),
        observation: Observation {
            at: at(second),
            phase: Phase::Running,
            message: String::new(),
            services: Vec::new(),
            endpoints: Vec::new(),
        },
    }
}

/// As the desk does for each fact that comes alone: the clock, the fact, the next deadline.
fn decide(provider: &mut Provider, fact: Fact) -> usize {
    let tick = provider.decide(Fact::Tick, at(5)).unwrap();
    let decision = provider.decide(fact, at(5)).unwrap();
    let _ = provider.next_deadline();
    tick.events.len() + decision.events.len()
}

fn measured(provider: &mut Provider, facts: impl Iterator<Item = Fact>) -> Duration {
    let facts: Vec<Fact> = facts.collect();
    let count = u32::try_from(facts.len()).unwrap();
    let begin = Instant::now();
    for fact in facts {
        decide(provider, fact);
    }
    begin.elapsed() / count
}

#[test]
#[ignore = "a measurement"]
fn a_fact_among_a_thousand_leases() {
    for leases in [10, 1000] {
        let mut provider = busy(leases);
        let observing = measured(&mut provider, (0..5000).map(|n| observed(n % leases, 4)));
        let blocks = measured(&mut provider, (10..5010).map(|height| block(height, Vec::new())));
        println!("{leases} leases: observation {observing:?}, block {blocks:?}");
    }
}
