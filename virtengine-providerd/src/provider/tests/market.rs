//! What blocks say: orders, bids, leases.

use virtengine_bid::book::{Outcome, Stage};
use virtengine_provider_core::id::Height;
use virtengine_provider_core::lease::Phase;
use virtengine_provider_core::market::{CloseReason, LeaseState, MarketEvent};
use virtengine_provider_core::ports::chain::{Block, RejectKind, TxOutcome};

use super::fixture::{
    at, calls, cores, deployment, inventory, landed, lease, lease_id, manifest, no_key, order, order_id,
    provider, rival, settings, signed, txs,
};
use super::world::chain::rejection;
use crate::provider::{Decision, Fact, Provider, Purpose};

/// A block with these events; orders and leases that they name are looked up here.
pub(crate) fn block(height: u64, events: Vec<MarketEvent>) -> Fact {
    let (mut orders, mut leases) = (Vec::new(), Vec::new());
    for event in &events {
        match event {
            MarketEvent::OrderCreated { id } => orders.push(order(id.clone(), &manifest(1, "nginx"), height)),
            MarketEvent::LeaseCreated { id, .. } if id.provider == super::fixture::us() => {
                let deployment = deployment(&id.order.group, &manifest(1, "nginx"));
                leases.push((lease(id, height), deployment));
            }
            _ => {}
        }
    }
    let block = Block {
        height: Height(height),
        time: at(0),
        events,
        txs: Vec::new(),
    };
    Fact::Block {
        block,
        orders,
        leases,
    }
}

pub(crate) fn created(dseq: u64) -> MarketEvent {
    MarketEvent::OrderCreated { id: order_id(dseq) }
}

pub(crate) fn won(dseq: u64) -> MarketEvent {
    MarketEvent::LeaseCreated {
        id: lease_id(dseq),
        price: super::fixture::price("3"),
    }
}

/// A bid of ours on order `dseq` that is on chain.
pub(crate) fn with_bid(provider: &mut Provider, dseq: u64, height: u64) {
    let decision = provider
        .decide(block(height, vec![created(dseq)]), at(1))
        .unwrap();
    let [(effect, Purpose::Bid { .. })] = &txs(&decision)[..] else {
        panic!("{decision:?}")
    };
    let effect = effect.clone();
    let tx = signed(effect.as_bytes(), 1, height + 10);
    provider
        .decide(
            Fact::TxSigned {
                effect: effect.clone(),
                tx,
            },
            at(2),
        )
        .unwrap();
    let outcome = landed(height + 1);
    provider
        .decide(Fact::TxSettled { effect, outcome }, at(3))
        .unwrap();
    let stage = &provider.book().entry(&order_id(dseq)).unwrap().stage;
    assert!(matches!(stage, Stage::Live { .. }), "{stage:?}");
}

/// A lease of ours.
pub(crate) fn with_lease(provider: &mut Provider, dseq: u64, height: u64) {
    with_bid(provider, dseq, height);
    provider
        .decide(block(height + 2, vec![won(dseq)]), at(4))
        .unwrap();
}

pub(crate) fn phase(provider: &Provider, dseq: u64) -> Phase {
    provider.leases()[&lease_id(dseq)].phase.clone()
}

fn closes(decision: &Decision) -> Vec<Purpose> {
    let is_close = |p: &Purpose| matches!(p, Purpose::CloseBid { .. } | Purpose::CloseLease { .. });
    txs(decision)
        .into_iter()
        .map(|(_, p)| p)
        .filter(is_close)
        .collect()
}

#[test]
fn bidding_is_held_until_the_first_inventory() {
    let mut provider = Provider::new(settings(cores(10), no_key())).unwrap();
    let decision = provider.decide(block(1, vec![created(1)]), at(1)).unwrap();
    assert!(txs(&decision).is_empty());
    assert!(
        provider.next_deadline().is_none_or(|due| due > at(1)),
        "and nobody is kept busy"
    );
    let decision = provider
        .decide(Fact::Inventory(inventory(cores(10))), at(2))
        .unwrap();
    assert!(matches!(&txs(&decision)[..], [(_, Purpose::Bid { .. })]));
}

#[test]
fn a_block_that_comes_twice_changes_nothing() {
    let mut provider = provider();
    provider.decide(block(5, vec![created(1)]), at(1)).unwrap();
    let before = provider.snapshot().unwrap();
    let decision = provider
        .decide(block(5, vec![created(1), created(2)]), at(1))
        .unwrap();
    assert!(decision.events.is_empty() && decision.cursor.is_none());
    assert_eq!(provider.snapshot().unwrap(), before);
}

#[test]
fn a_bid_that_a_rival_beats_is_closed_and_its_capacity_is_free() {
    let mut provider = provider();
    with_bid(&mut provider, 1, 5);
    assert_eq!(provider.ledger().reserved().cpu_millis, 1000);
    let id = virtengine_provider_core::id::LeaseId::new(order_id(1), rival());
    let price = super::fixture::price("1");
    let lost = block(8, vec![MarketEvent::LeaseCreated { id, price }]);
    let decision = provider.decide(lost, at(5)).unwrap();
    assert!(matches!(&closes(&decision)[..], [Purpose::CloseBid { .. }]));
    assert_eq!(provider.ledger().reserved().cpu_millis, 0);
}

#[test]
fn a_bid_that_wins_while_it_is_being_closed_is_not_closed_any_more() {
    let mut provider = provider();
    with_bid(&mut provider, 1, 5);
    // No tenant took it in time, so its close is wanted; but the tenant was faster than we.
    let stale = provider.decide(Fact::Tick, at(500)).unwrap();
    let [(close, Purpose::CloseBid { .. })] = &txs(&stale)[..] else {
        panic!("{stale:?}")
    };
    let won = provider.decide(block(9, vec![won(1)]), at(501)).unwrap();
    assert!(won.done.contains(close), "{won:?}");
    // It was being signed at that moment: nobody may send it.
    let tx = signed(b"close", 2, 20);
    let effect = close.clone();
    provider.decide(Fact::TxSigned { effect, tx }, at(502)).unwrap();
    assert_eq!(provider.signed_tx(close), None);
    assert_eq!(provider.unsettled_txs(), []);
}

#[test]
fn a_close_that_nobody_takes_is_not_asked_for_again_and_again() {
    let mut provider = provider();
    with_bid(&mut provider, 1, 5);
    let deployment = order_id(1).deployment().clone();
    let gone = block(8, vec![MarketEvent::DeploymentClosed { id: deployment }]);
    assert_eq!(closes(&provider.decide(gone, at(5)).unwrap()).len(), 1);
    // The chain is away for a day.
    for minute in 1..1440 {
        let decision = provider.decide(Fact::Tick, at(minute * 60)).unwrap();
        assert!(closes(&decision).is_empty());
    }
    let effect = provider
        .txs()
        .iter()
        .find(|(_, tx)| tx.outcome.is_none())
        .unwrap()
        .0
        .clone();
    let outcome = TxOutcome::Rejected(rejection(RejectKind::Busy));
    provider
        .decide(Fact::TxSettled { effect, outcome }, at(86_400))
        .unwrap();
    let decision = provider.decide(Fact::Tick, at(86_800)).unwrap();
    assert_eq!(
        closes(&decision).len(),
        1,
        "once it was refused it is asked for again"
    );
}

#[test]
fn a_lease_that_ended_in_its_own_block_is_never_served() {
    let mut provider = provider();
    with_bid(&mut provider, 1, 5);
    let closed = MarketEvent::LeaseClosed {
        id: lease_id(1),
        reason: CloseReason::Owner,
    };
    let Fact::Block {
        block,
        orders,
        mut leases,
    } = block(8, vec![won(1), closed])
    else {
        panic!()
    };
    leases[0].0.state = LeaseState::Closed;
    let fact = Fact::Block {
        block,
        orders,
        leases,
    };
    provider.decide(fact, at(5)).unwrap();
    // Known, because its payment stream may go on (spec/chain-node.md 2.5), and over.
    assert!(matches!(phase(&provider, 1), Phase::Finished { .. }));
    assert_eq!(provider.ledger().iter().count(), 0);
    let refused = provider.decide(
        Fact::Manifest {
            lease: lease_id(1),
            manifest: Box::new(manifest(1, "nginx")),
        },
        at(6),
    );
    assert!(refused.is_err());
    assert_eq!(provider.leases_to_settle(), [lease_id(1)]);
}

#[test]
fn a_lease_whose_bid_was_forgotten_is_reserved_before_it_is_served() {
    let mut provider = provider();
    provider.decide(block(8, vec![won(1)]), at(5)).unwrap();
    assert_eq!(provider.ledger().reserved().cpu_millis, 1000);
    assert!(matches!(phase(&provider, 1), Phase::Awaiting { .. }));
}

#[test]
fn no_manifest_in_time_closes_the_lease_for_that_reason() {
    let mut provider = provider();
    with_lease(&mut provider, 1, 5);
    let deadline = provider.next_deadline().unwrap();
    assert!(deadline <= at(124));
    let decision = provider.decide(Fact::Tick, at(124)).unwrap();
    assert!(matches!(&closes(&decision)[..], [Purpose::CloseLease { .. }]));
    assert_eq!(
        provider.leases()[&lease_id(1)].reason(),
        Some(CloseReason::ManifestTimeout)
    );
    let effect = txs(&decision)[0].0.clone();
    let message = &provider.txs()[&effect].messages[0];
    let said = format!("{message:?}");
    assert!(said.contains("ManifestTimeout"), "{said}");
    // Refused: asked for again, later.
    let outcome = TxOutcome::Rejected(rejection(RejectKind::Busy));
    let decision = provider
        .decide(Fact::TxSettled { effect, outcome }, at(130))
        .unwrap();
    assert_eq!(closes(&decision).len(), 1);
    assert_eq!(decision.effects[0].not_before, at(140));
}

#[test]
fn a_closed_lease_is_over_and_its_order_is_remembered() {
    let mut provider = provider();
    with_lease(&mut provider, 1, 5);
    let reason = CloseReason::Owner;
    let closed = MarketEvent::LeaseClosed {
        id: lease_id(1),
        reason,
    };
    let decision = provider.decide(block(9, vec![closed]), at(6)).unwrap();
    assert!(calls(&decision).is_empty(), "nothing ran");
    assert!(matches!(
        phase(&provider, 1),
        Phase::Finished {
            reason: CloseReason::Owner,
            ..
        }
    ));
    let record = provider.book().record(&order_id(1)).unwrap();
    assert_eq!(record.outcome, Outcome::LeaseOver);
}

#[test]
fn rate_limits_survive_a_restart_by_snapshot_and_by_replay() {
    let stocked = || {
        let mut provider = Provider::new(settings(cores(50), no_key())).unwrap();
        provider
            .decide(Fact::Inventory(inventory(cores(50))), at(0))
            .unwrap();
        provider
    };
    let (mut live, mut events) = (stocked(), Vec::new());
    for dseq in 0..30 {
        let decision = live.decide(block(dseq + 1, vec![created(dseq)]), at(1)).unwrap();
        let wanted = txs(&decision);
        events.extend(decision.events);
        // Each is taken at once, so that no place is held by a bid in flight.
        for (effect, _) in wanted {
            let outcome = landed(dseq + 2);
            events.extend(
                live.decide(Fact::TxSettled { effect, outcome }, at(1))
                    .unwrap()
                    .events,
            );
        }
    }
    assert_eq!(live.book().window().in_last_minute(at(2)), 10);
    let mut restored = Provider::new(live.settings().clone()).unwrap();
    restored.restore(&live.snapshot().unwrap()).unwrap();
    let mut replayed = stocked();
    events.iter().for_each(|event| replayed.evolve(event));
    for mut provider in [restored, replayed] {
        assert_eq!(provider.book().window().in_last_minute(at(2)), 10);
        let decision = provider.decide(block(50, vec![created(77)]), at(3)).unwrap();
        assert!(txs(&decision).is_empty(), "the eleventh bid of a minute waits");
        assert!(!txs(&provider.decide(Fact::Tick, at(62)).unwrap()).is_empty());
    }
}
