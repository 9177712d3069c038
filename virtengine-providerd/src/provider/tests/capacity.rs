//! Capacity: what the operator configures, and workloads of the operator's own.

use virtengine_provider_core::capacity::{ReservationKey, ReservationKind};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::lifecycle::WorkloadState;
use virtengine_provider_core::ports::adapter::Phase;

use super::fixture::{at, calls, cores, manifest, no_key, provider, settings, txs};
use super::market::{block, created};
use super::workloads::{answer, seen};
use crate::provider::{Fact, Provider, Refused, Wish};

fn own(provider: &mut Provider, cores: u64) -> Result<WorkloadId, Refused> {
    let workload = WorkloadId::local(&cores.to_be_bytes());
    let manifest = Box::new(manifest(cores, "backup"));
    let wish = Wish::Deploy {
        manifest,
        workload: workload.clone(),
    };
    provider.decide(Fact::Operator(wish), at(1)).map(|_| workload)
}

#[test]
fn a_workload_of_the_operators_own_holds_capacity_is_metered_and_is_never_billed() {
    let mut provider = provider();
    let id = own(&mut provider, 4).unwrap();
    let key = ReservationKey::Workload(id.clone());
    assert_eq!(provider.ledger().get(&key).unwrap().kind, ReservationKind::Local);
    seen(&mut provider, &id, Phase::Running, 5);
    let tenancy = &provider.workloads()[&id];
    assert_eq!(tenancy.machine.state(), WorkloadState::Running);
    let subject = tenancy.metered.meter().subject().unwrap();
    assert!(subject.lease.is_none() && tenancy.metered.is_running());
    assert!(provider.leases_to_settle().is_empty());
}

#[test]
fn a_workload_of_the_operators_own_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut provider = provider();
    own(&mut provider, 7).unwrap();
    let before = provider.snapshot().unwrap();
    assert!(matches!(own(&mut provider, 4), Err(Refused::Capacity(_))));
    assert_eq!(provider.snapshot().unwrap(), before);
}

#[test]
fn its_capacity_is_free_only_when_the_back_end_says_that_it_is_gone() {
    let mut provider = provider();
    let id = own(&mut provider, 4).unwrap();
    let decision = provider
        .decide(Fact::Operator(Wish::Terminate(id.clone())), at(2))
        .unwrap();
    // It never ran: nothing is to be recorded. The deployment that was wanted is not made any more.
    let terminate = calls(&decision);
    assert_eq!(terminate.len(), 1);
    assert_eq!(terminate[0].1, "terminate");
    assert!(decision.done.iter().any(|id| id.contains("/deploy/")));
    answer(&mut provider, &id, &terminate[0].0, Ok(()), 3);
    assert_eq!(provider.ledger().iter().count(), 1);
    seen(&mut provider, &id, Phase::Unknown, 4);
    assert_eq!(provider.ledger().iter().count(), 1, "unknown is not gone");
    seen(&mut provider, &id, Phase::Gone, 5);
    assert_eq!(provider.ledger().iter().count(), 0);
}

#[test]
fn a_smaller_configuration_after_a_restart_stops_bids_and_takes_nothing_away() {
    let mut before = provider();
    own(&mut before, 7).unwrap();
    let mut provider = Provider::new(settings(cores(5), no_key())).unwrap();
    provider.restore(&before.snapshot().unwrap()).unwrap();
    provider.decide(Fact::Tick, at(2)).unwrap();
    assert!(provider.ledger().is_over_committed());
    assert_eq!(provider.workloads().len(), 1);
    let decision = provider.decide(block(5, vec![created(1)]), at(3)).unwrap();
    assert!(txs(&decision).is_empty());
}
