//! What no event told, the comparison finds.

use virtengine_bid::book::{ORDERS_WAITING_MAX, Stage};
use virtengine_provider_core::id::Height;
use virtengine_provider_core::lease::Phase;
use virtengine_provider_core::market::{Bid, BidState, CloseReason, LeaseState, MarketEvent, Order};
use virtengine_provider_core::ports::chain::{RejectKind, TxOutcome};
use virtengine_store::limits::COMMIT_ITEMS_MAX;

use super::fixture::{
    at, cores, deployment, inventory, lease, lease_id, manifest, no_key, order, order_id, price, provider,
    settings, txs,
};
use super::market::{block, phase, with_bid, with_lease};
use super::world::chain::rejection;
use crate::provider::{Comparison, Fact, Provider, Purpose};

fn bid(dseq: u64, state: BidState, height: u64) -> Bid {
    Bid {
        id: lease_id(dseq),
        state,
        price: price("3"),
        created_at: Height(height),
    }
}

fn stage(provider: &Provider, dseq: u64) -> Option<&Stage> {
    provider.book().entry(&order_id(dseq)).map(|entry| &entry.stage)
}

fn compared(provider: &mut Provider, seen: Comparison) -> Vec<Purpose> {
    let decision = provider.decide(Fact::Compared(Box::new(seen)), at(10)).unwrap();
    txs(&decision).into_iter().map(|(_, purpose)| purpose).collect()
}

#[test]
fn an_open_order_that_no_block_told_is_bid_on() {
    let mut provider = provider();
    let seen = Comparison {
        height: Height(9),
        open_orders: vec![order(order_id(1), &manifest(1, "nginx"), 3)],
        ..Comparison::default()
    };
    assert!(matches!(
        &compared(&mut provider, seen)[..],
        [Purpose::Bid { .. }]
    ));
}

#[test]
fn an_unknown_bid_is_adopted_with_its_capacity() {
    let mut provider = provider();
    let seen = Comparison {
        height: Height(9),
        open_orders: vec![order(order_id(1), &manifest(2, "nginx"), 3)],
        bids: vec![bid(1, BidState::Open, 4)],
        ..Comparison::default()
    };
    // The order is seen, and the bid on it, before anything is decided: no second bid.
    assert!(compared(&mut provider, seen).is_empty());
    assert!(matches!(stage(&provider, 1), Some(Stage::Live { .. })));
    assert_eq!(provider.ledger().reserved().cpu_millis, 2000);
}

#[test]
fn an_unknown_lease_is_adopted_with_its_capacity_and_awaits_its_manifest() {
    let mut provider = provider();
    let group = order_id(1).group;
    let seen = Comparison {
        height: Height(9),
        bids: vec![bid(1, BidState::Active, 4)],
        leases: vec![(lease(&lease_id(1), 5), deployment(&group, &manifest(3, "nginx")))],
        ..Comparison::default()
    };
    compared(&mut provider, seen);
    assert!(matches!(phase(&provider, 1), Phase::Awaiting { .. }));
    assert!(matches!(stage(&provider, 1), Some(Stage::Leased { .. })));
    assert_eq!(provider.ledger().reserved().cpu_millis, 3000);
}

#[test]
fn a_lease_that_only_a_query_shows_closed_is_closed() {
    let mut provider = provider();
    with_lease(&mut provider, 1, 5);
    let mut ended = lease(&lease_id(1), 7);
    ended.state = LeaseState::InsufficientFunds;
    let seen = Comparison {
        height: Height(9),
        ended_leases: vec![ended],
        ..Comparison::default()
    };
    compared(&mut provider, seen);
    let reason = CloseReason::InsufficientFunds;
    assert_eq!(phase(&provider, 1), Phase::Finished { at: at(10), reason });
    assert_eq!(provider.ledger().iter().count(), 0);
}

#[test]
fn a_lease_that_the_chain_does_not_list_is_no_evidence() {
    let mut provider = provider();
    with_lease(&mut provider, 1, 5);
    let mut active = lease(&lease_id(1), 7);
    active.state = LeaseState::Active;
    let seen = Comparison {
        height: Height(9),
        ended_leases: vec![active],
        ended_bids: vec![(lease_id(1), None)],
        ..Comparison::default()
    };
    compared(&mut provider, seen);
    assert!(matches!(phase(&provider, 1), Phase::Awaiting { .. }));
}

#[test]
fn a_losing_bid_that_stays_open_is_closed() {
    let mut provider = provider();
    with_bid(&mut provider, 1, 5);
    let seen = Comparison {
        height: Height(20),
        bids: vec![bid(1, BidState::Open, 6)],
        ..Comparison::default()
    };
    assert!(matches!(
        &compared(&mut provider, seen)[..],
        [Purpose::CloseBid { .. }]
    ));
    assert_eq!(provider.ledger().iter().count(), 0);
}

#[test]
fn a_bid_on_an_order_that_is_younger_than_the_picture_is_left_alone() {
    let mut provider = provider();
    with_bid(&mut provider, 1, 5);
    let seen = Comparison {
        height: Height(6),
        bids: vec![bid(1, BidState::Open, 6)],
        ..Comparison::default()
    };
    assert!(compared(&mut provider, seen).is_empty());
    assert!(matches!(stage(&provider, 1), Some(Stage::Live { .. })));
}

#[test]
fn a_bid_that_was_refunded_without_an_event_is_over() {
    let mut provider = provider();
    with_bid(&mut provider, 1, 5);
    let seen = Comparison {
        height: Height(20),
        ended_bids: vec![(lease_id(1), Some(bid(1, BidState::Lost, 6)))],
        ..Comparison::default()
    };
    compared(&mut provider, seen);
    assert!(stage(&provider, 1).is_none());
    assert_eq!(provider.ledger().iter().count(), 0);
}

#[test]
fn an_old_picture_brings_no_ended_lease_and_no_closed_bid_back() {
    let mut provider = provider();
    with_lease(&mut provider, 1, 5);
    let reason = CloseReason::Owner;
    let closed = MarketEvent::LeaseClosed {
        id: lease_id(1),
        reason,
    };
    provider.decide(block(9, vec![closed]), at(6)).unwrap();
    let group = order_id(1).group;
    let seen = Comparison {
        height: Height(8),
        bids: vec![bid(1, BidState::Open, 6)],
        leases: vec![(lease(&lease_id(1), 7), deployment(&group, &manifest(1, "nginx")))],
        ..Comparison::default()
    };
    assert!(compared(&mut provider, seen).is_empty());
    assert!(stage(&provider, 1).is_none());
    assert_eq!(provider.ledger().iter().count(), 0);
    assert!(provider.knows_lease(&lease_id(1)), "it is not asked for again");
}

#[test]
fn a_manifest_that_was_announced_anew_unseen_is_the_one_that_is_awaited() {
    let mut provider = provider();
    with_lease(&mut provider, 1, 5);
    assert!(!provider.knows_lease(&lease_id(1)), "its deployment is asked for");
    let other = manifest(1, "caddy");
    let group = order_id(1).group;
    let picture = |height| Comparison {
        height: Height(height),
        leases: vec![(lease(&lease_id(1), 7), deployment(&group, &other))],
        ..Comparison::default()
    };
    let send = |provider: &mut Provider| {
        let (lease, manifest) = (lease_id(1), Box::new(other.clone()));
        provider.decide(Fact::Manifest { lease, manifest }, at(11))
    };
    compared(&mut provider, picture(6));
    assert!(send(&mut provider).is_err(), "a picture of the past says nothing");
    compared(&mut provider, picture(7));
    send(&mut provider).unwrap();
    assert!(matches!(phase(&provider, 1), Phase::Serving { .. }));
}

#[test]
fn a_close_that_the_chain_took_for_done_is_asked_for_again_while_the_lease_is_active() {
    let mut provider = provider();
    with_lease(&mut provider, 1, 5);
    let decision = provider.decide(Fact::Tick, at(200)).unwrap();
    let effect = txs(&decision)[0].0.clone();
    let group = order_id(1).group;
    let seen = Comparison {
        height: Height(30),
        leases: vec![(lease(&lease_id(1), 7), deployment(&group, &manifest(1, "nginx")))],
        ..Comparison::default()
    };
    assert!(
        compared(&mut provider, seen.clone()).is_empty(),
        "it is under way"
    );
    let outcome = TxOutcome::Rejected(rejection(RejectKind::StateChanged));
    provider
        .decide(Fact::TxSettled { effect, outcome }, at(201))
        .unwrap();
    assert!(matches!(
        &compared(&mut provider, seen)[..],
        [Purpose::CloseLease { .. }]
    ));
}

#[test]
fn a_huge_market_comes_in_pieces_that_a_commit_can_hold() {
    let mut provider = provider();
    let open_orders: Vec<_> = (0..5000)
        .map(|dseq| order(order_id(dseq), &manifest(1, "nginx"), 3))
        .collect();
    let seen = Comparison {
        height: Height(9),
        open_orders,
        ..Comparison::default()
    };
    for round in 1..=3 {
        let fact = Fact::Compared(Box::new(seen.clone()));
        let decision = provider.decide(fact, at(10 + round)).unwrap();
        assert!(decision.events.len() + decision.effects.len() < 5000);
    }
    assert_eq!(provider.book().totals().seen, 5000);
}

#[test]
fn an_order_that_the_old_prices_declined_is_bid_on_by_the_new_ones() {
    let mut dear = settings(cores(10), no_key());
    dear.policy.prices.cpu_price_per_core = "100000".parse().unwrap();
    let mut provider = Provider::new(dear).unwrap();
    provider
        .decide(Fact::Inventory(inventory(cores(10))), at(1))
        .unwrap();
    let open = order(order_id(1), &manifest(1, "nginx"), 5);
    let picture = || {
        Fact::Compared(Box::new(Comparison {
            height: Height(6),
            open_orders: vec![open.clone()],
            ..Comparison::default()
        }))
    };
    assert!(
        txs(&provider.decide(picture(), at(2)).unwrap()).is_empty(),
        "too dear"
    );
    provider.reconfigure(settings(cores(10), no_key())).unwrap();
    let decision = provider.decide(picture(), at(3)).unwrap();
    assert!(
        matches!(&txs(&decision)[..], [(_, Purpose::Bid { .. })]),
        "{decision:?}"
    );
    assert!(
        txs(&provider.decide(picture(), at(4)).unwrap()).is_empty(),
        "once"
    );
}

/// A provider whose book is as full as it gets, of orders that nothing has been decided on.
fn full_book() -> Provider {
    // Nothing is bid on before the back ends say what they have.
    let mut provider = Provider::new(settings(cores(10), no_key())).unwrap();
    let template = order(order_id(0), &manifest(1, "nginx"), 3);
    let waiting = u64::try_from(ORDERS_WAITING_MAX).unwrap();
    let dseqs: Vec<u64> = (1..=waiting).collect();
    for some in dseqs.chunks(2000) {
        let with_id = |dseq: &u64| Order {
            id: order_id(*dseq),
            ..template.clone()
        };
        // As old as the orders in it: what it does not show may be younger.
        let seen = Comparison {
            height: Height(3),
            open_orders: some.iter().map(with_id).collect(),
            ..Comparison::default()
        };
        provider.decide(Fact::Compared(Box::new(seen)), at(1)).unwrap();
    }
    assert_eq!(provider.book().entries().count(), ORDERS_WAITING_MAX);
    provider
}

/// A decision that the journal refuses for its size would stop the desk for ever.
#[test]
fn a_full_book_that_ends_at_once_fits_into_one_commit() {
    let mut provider = full_book();
    let waiting = u64::try_from(ORDERS_WAITING_MAX).unwrap();
    let close = |dseq| MarketEvent::DeploymentClosed {
        id: order_id(dseq).deployment().clone(),
    };
    let events = (1..=waiting).map(close).collect();
    let decision = provider.decide(block(9, events), at(2)).unwrap();
    let items = decision.events.len() + decision.effects.len() + decision.done.len();
    assert!(items >= ORDERS_WAITING_MAX, "{items}: not all of them ended");
    assert!(items <= COMMIT_ITEMS_MAX, "{items} do not fit into one commit");
    assert_eq!(provider.book().entries().count(), 0);
}
