//! From the manifest to the tear-down.

use std::time::Duration;

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::lease::Phase as LeasePhase;
use virtengine_provider_core::lifecycle::WorkloadState;
use virtengine_provider_core::market::{CloseReason, MarketEvent};
use virtengine_provider_core::ports::adapter::{AdapterError, ErrorKind, Observation, Phase, Retry};

use super::fixture::{at, calls, lease_id, manifest, provider, txs};
use super::market::{block, phase, with_lease};
use super::world::backend::error;
use crate::provider::{Decision, Fact, Provider, Purpose, Wish};

pub(super) fn id() -> WorkloadId {
    WorkloadId::of_lease(&lease_id(1))
}

/// A lease whose workload is to be deployed: the effect of that.
pub(super) fn deploying(provider: &mut Provider) -> String {
    with_lease(provider, 1, 5);
    let (lease, manifest) = (lease_id(1), Box::new(manifest(1, "nginx")));
    let decision = provider
        .decide(Fact::Manifest { lease, manifest }, at(5))
        .unwrap();
    let [(effect, "deploy", _)] = &calls(&decision)[..] else {
        panic!("{decision:?}")
    };
    effect.clone()
}

pub(super) fn answer(
    provider: &mut Provider,
    id: &WorkloadId,
    effect: &str,
    result: Result<(), AdapterError>,
    second: i64,
) -> Decision {
    let (effect, workload) = (effect.to_owned(), id.clone());
    provider
        .decide(
            Fact::Answered {
                effect,
                workload,
                result,
            },
            at(second),
        )
        .unwrap()
}

pub(super) fn seen(provider: &mut Provider, id: &WorkloadId, phase: Phase, second: i64) -> Decision {
    let observation = Observation {
        at: at(second),
        phase,
        message: String::new(),
        services: Vec::new(),
        endpoints: Vec::new(),
    };
    let workload = id.clone();
    provider
        .decide(
            Fact::Observed {
                workload,
                observation,
            },
            at(second),
        )
        .unwrap()
}

fn state(provider: &Provider) -> WorkloadState {
    provider.workloads()[&id()].machine.state()
}

fn closes_lease(decision: &Decision) -> bool {
    txs(decision)
        .iter()
        .any(|(_, p)| matches!(p, Purpose::CloseLease { .. }))
}

#[test]
fn a_manifest_that_asks_for_more_than_was_ordered_is_refused() {
    let mut provider = provider();
    with_lease(&mut provider, 1, 5);
    let before = provider.snapshot().unwrap();
    let (lease, manifest) = (lease_id(1), Box::new(manifest(2, "nginx")));
    let refused = provider
        .decide(Fact::Manifest { lease, manifest }, at(5))
        .unwrap_err();
    assert!(refused.to_string().contains("not what was ordered"), "{refused}");
    assert_eq!(provider.snapshot().unwrap(), before);
}

#[test]
fn an_adapter_that_fails_is_asked_again_with_growing_pauses_and_new_names() {
    let mut provider = provider();
    let mut effect = deploying(&mut provider);
    let mut names = vec![effect.clone()];
    for pause in [1, 2, 4, 8] {
        let failed = Err(error(ErrorKind::Unavailable, Retry::Later));
        let decision = answer(&mut provider, &id(), &effect, failed, 10);
        let [(again, "deploy", when)] = &calls(&decision)[..] else {
            panic!("{decision:?}")
        };
        assert_eq!(*when, at(10).plus(Duration::from_secs(pause)));
        assert!(decision.done.contains(&effect));
        assert!(!names.contains(again));
        effect.clone_from(again);
        names.push(effect.clone());
    }
    // An answer to an earlier call says nothing about the present one.
    let decision = answer(&mut provider, &id(), &names[0], Ok(()), 11);
    assert!(decision.events.is_empty());
}

#[test]
fn a_deployment_that_is_refused_for_good_gives_the_lease_up_at_once() {
    let mut provider = provider();
    let effect = deploying(&mut provider);
    let never = Err(error(ErrorKind::Invalid, Retry::Never));
    let decision = answer(&mut provider, &id(), &effect, never, 10);
    assert_eq!(state(&provider), WorkloadState::Failed);
    assert!(closes_lease(&decision));
    let reason = provider.leases()[&lease_id(1)].reason();
    assert_eq!(reason, Some(CloseReason::Unstable));
}

/// It breaks: seen twice over the grace period.
fn breaks(provider: &mut Provider, second: i64) -> Decision {
    seen(provider, &id(), Phase::Failed, second);
    seen(provider, &id(), Phase::Failed, second + 30)
}

#[test]
fn a_workload_that_breaks_is_deployed_three_times_again_and_then_given_up_as_unstable() {
    let mut provider = provider();
    deploying(&mut provider);
    let mut now = 10;
    for redeploy in 1..=3 {
        // It comes up for a moment each time: that is not soundness.
        seen(&mut provider, &id(), Phase::Running, now);
        assert!(
            !closes_lease(&breaks(&mut provider, now + 10)),
            "redeployment {redeploy}"
        );
        assert_eq!(state(&provider), WorkloadState::Failed);
        let due = provider.next_deadline().unwrap();
        assert!(due > at(now + 40) && due < at(now + 60));
        now += 100;
        let decision = provider.decide(Fact::Tick, at(now)).unwrap();
        assert!(calls(&decision).iter().any(|(_, name, _)| *name == "deploy"));
    }
    assert!(closes_lease(&breaks(&mut provider, now + 10)));
    let reason = provider.leases()[&lease_id(1)].reason();
    assert_eq!(reason, Some(CloseReason::Unstable));
}

#[test]
fn a_workload_that_ran_well_for_long_is_forgiven_its_past() {
    let mut provider = provider();
    deploying(&mut provider);
    let mut now = 10;
    for _ in 0..8 {
        seen(&mut provider, &id(), Phase::Running, now);
        assert!(!closes_lease(&breaks(&mut provider, now + 700)));
        now += 800;
        provider.decide(Fact::Tick, at(now)).unwrap();
        assert_eq!(state(&provider), WorkloadState::Deploying);
    }
}

#[test]
fn the_operator_who_terminates_a_workload_closes_its_lease() {
    let mut provider = provider();
    deploying(&mut provider);
    let decision = provider
        .decide(Fact::Operator(Wish::Terminate(id())), at(10))
        .unwrap();
    assert!(closes_lease(&decision));
    let reason = provider.leases()[&lease_id(1)].reason();
    assert_eq!(reason, Some(CloseReason::Decommission));
}

#[test]
fn a_lease_that_ends_while_its_workload_is_deployed_is_not_deployed_any_more() {
    let mut provider = provider();
    let deploy = deploying(&mut provider);
    let reason = CloseReason::Owner;
    let closed = block(
        9,
        vec![MarketEvent::LeaseClosed {
            id: lease_id(1),
            reason,
        }],
    );
    let decision = provider.decide(closed, at(10)).unwrap();
    assert!(decision.done.contains(&deploy));
    assert_eq!(
        calls(&decision).iter().map(|call| call.1).collect::<Vec<_>>(),
        ["terminate"]
    );
}

/// A workload whose lease has ended and whose removal is wanted: the effect of that.
fn ending(provider: &mut Provider) -> String {
    deploying(provider);
    let reason = CloseReason::Owner;
    let closed = block(
        9,
        vec![MarketEvent::LeaseClosed {
            id: lease_id(1),
            reason,
        }],
    );
    let decision = provider.decide(closed, at(10)).unwrap();
    calls(&decision)[0].0.clone()
}

#[test]
fn removing_is_never_given_up_however_the_back_end_puts_it() {
    let mut provider = provider();
    let mut effect = ending(&mut provider);
    for _ in 0..20 {
        let never = Err(error(ErrorKind::Conflict, Retry::Never));
        let decision = answer(&mut provider, &id(), &effect, never, 11);
        let [(again, "terminate", _)] = &calls(&decision)[..] else {
            panic!("{decision:?}")
        };
        effect.clone_from(again);
    }
    assert!(matches!(phase(&provider, 1), LeasePhase::Closed { .. }));
}

#[test]
fn what_the_back_end_still_has_is_removed_again_until_it_is_gone() {
    let mut provider = provider();
    let effect = ending(&mut provider);
    answer(&mut provider, &id(), &effect, Ok(()), 11);
    assert!(
        calls(&seen(&mut provider, &id(), Phase::Stopping, 30)).is_empty(),
        "it may take a while"
    );
    let decision = seen(&mut provider, &id(), Phase::Running, 80);
    let [(again, "terminate", _)] = &calls(&decision)[..] else {
        panic!("{decision:?}")
    };
    assert_ne!(*again, effect);
    assert!(
        calls(&seen(&mut provider, &id(), Phase::Running, 85)).is_empty(),
        "once at a time"
    );
    answer(&mut provider, &id(), again, Ok(()), 90);
    seen(&mut provider, &id(), Phase::Gone, 95);
    assert!(matches!(phase(&provider, 1), LeasePhase::Finished { .. }));
    assert_eq!(provider.ledger().iter().count(), 0);
}
