//! What providers of other networks lost money by (spec/peers.md section 5): here it does not happen.

use virtengine_bid::book::ORDERS_WAITING_MAX;
use virtengine_bid::reason::{CloseWhy, DeclineReason, GoneReason};
use virtengine_bid::{Command, Event, Policy, Rejected};
use virtengine_provider_core::capacity::{
    Command as LedgerCommand, Rejected as Refused, ReservationKey, ReservationKind,
};
use virtengine_provider_core::id::{Address, Height};
use virtengine_provider_core::market::{Lease, LeaseState};
use virtengine_provider_core::money::Decimal;
use virtengine_provider_core::ports::chain::{Message, RejectKind};
use virtengine_provider_core::units::Resources;

use crate::fixture::{Desk, alice, cores, kinds, order, order_id, policy, price, rejection};

fn count(events: &[Event], kind: &str) -> usize {
    events.iter().filter(|event| event.kind() == kind).count()
}

#[test]
fn limits_hold_across_a_restart() {
    let mut desk = Desk::roomy();
    for dseq in 1..=10 {
        desk.see(order(dseq));
        desk.settle();
        desk.land(dseq);
    }
    let saved = serde_json::to_string(&desk.book).unwrap();
    desk.book = serde_json::from_str(&saved).unwrap();
    desk.see(order(11));
    assert_eq!(kinds(&desk.settle()), ["order_deferred"]);
    assert_eq!(desk.bidder.status(&desk.book, desk.now).left_this_minute, 0);
}

#[test]
fn order_full_of_bids() {
    let mut desk = Desk::roomy();
    desk.ok(Command::OrderSeen {
        order: Box::new(order(1)),
        bids: 19,
    });
    assert_eq!(
        kinds(&desk.ok(Command::RivalBid { order: order_id(1) })),
        ["rival_bid_seen"]
    );
    let events = desk.settle();
    assert!(matches!(
        events[..],
        [Event::OrderDeclined {
            reason: DeclineReason::OrderFull { bids: 20, max: 20 },
            ..
        }]
    ));
    assert!(desk.ok(Command::RivalBid { order: order_id(9) }).is_empty());
}

#[test]
fn deposit_locked_in_stale_bid() {
    let mut desk = Desk::bid(1);
    desk.land(1);
    desk.wait(899);
    assert!(desk.settle().is_empty());
    desk.wait(1);
    let events = desk.settle();
    assert!(matches!(
        events[..],
        [Event::BidCloseWanted {
            why: CloseWhy::Stale,
            ..
        }]
    ));
    assert!(matches!(
        desk.bidder.message(&events[0]),
        Some(Message::CloseBid { .. })
    ));
    // The tenant may still take it.
    assert_ne!(desk.ledger.reserved(), Resources::ZERO);
    let id = desk.id(1);
    let refused = |kind| Command::CloseRejected {
        id: id.clone(),
        rejection: rejection(kind),
    };
    assert!(desk.ok(refused(RejectKind::Busy)).is_empty());
    desk.wait(300);
    assert_eq!(kinds(&desk.settle()), ["bid_close_wanted"]);
    assert_eq!(
        kinds(&desk.ok(refused(RejectKind::AlreadyDone))),
        ["capacity", "bid_closed"]
    );
    assert_eq!(
        (desk.stage(1), desk.ledger.reserved()),
        ("closed", Resources::ZERO)
    );
}

#[test]
fn wallet_drain_by_failing_tx() {
    let mut desk = Desk::roomy();
    for dseq in 1..=5 {
        desk.see(order(dseq));
    }
    desk.settle();
    desk.reject(1, RejectKind::InsufficientFunds);
    desk.see(order(6));
    assert!(desk.settle().is_empty());
    assert!(!desk.bidder.status(&desk.book, desk.now).bidding);
    for dseq in 2..=5 {
        desk.land(dseq);
    }
    desk.wait(300);
    let events = desk.settle();
    assert_eq!(count(&events, "bidding_released"), 1);
    assert_eq!(count(&events, "bid_decided"), 2);
}

#[test]
fn rate_limited_is_forgotten() {
    let mut desk = Desk::new(policy(), cores(100_000));
    for dseq in 1..=300 {
        desk.see(order(dseq));
    }
    let mut bids = Vec::new();
    let mut rounds = 0;
    while desk.book.tally().fresh + desk.book.tally().deferred > 0 {
        for event in desk.settle() {
            if let Event::BidDecided { order, at, .. } = event {
                desk.land(order.group.deployment.dseq);
                bids.push(at);
            }
        }
        let next = desk.bidder.next_deadline(&desk.book, desk.now).unwrap();
        if next > desk.now {
            desk.now = next;
        }
        rounds += 1;
        assert!(
            rounds < 2000,
            "no progress: {:?}",
            desk.bidder.status(&desk.book, desk.now)
        );
    }
    // 100 an hour: those not decided within their hour expired, which is a decision too.
    let totals = desk.book.totals();
    assert_eq!(totals.bids + totals.expired, 300);
    assert!(totals.bids >= 100, "{totals:?}");
    for (i, at) in bids.iter().enumerate() {
        let within = |seconds| {
            bids[..=i]
                .iter()
                .filter(|b| at.since(**b).as_secs() < seconds)
                .count()
        };
        assert!(within(60) <= 10 && within(3600) <= 100);
    }
}

#[test]
fn bid_spam_8160_per_day() {
    let mut spam = policy();
    spam.order_time_to_live = std::time::Duration::from_secs(600);
    let mut desk = Desk::new(spam, cores(1_000_000));
    let mut bids = 0;
    for minute in 0..24 * 60 {
        for dseq in 0..3 {
            desk.see(order(minute * 3 + dseq + 1));
        }
        if minute % 240 == 239 {
            let saved = serde_json::to_string(&desk.book).unwrap();
            desk.book = serde_json::from_str(&saved).unwrap();
        }
        for event in desk.settle() {
            if let Event::BidDecided { order, .. } = event {
                bids += 1;
                desk.land(order.group.deployment.dseq);
            }
        }
        desk.journal.clear();
        desk.wait(60);
    }
    assert!((2000..=2400).contains(&bids), "{bids}");
}

#[test]
fn order_queue_full_drops() {
    let mut desk = Desk::roomy();
    for dseq in 1..=5_000 {
        desk.see(order(dseq));
    }
    desk.settle();
    let tally = desk.book.tally();
    assert_eq!((tally.in_flight, tally.deferred, tally.fresh), (5, 4_995, 0));
}

#[test]
fn a_full_book_refuses_so_that_the_order_is_offered_again() {
    let mut desk = Desk::roomy();
    let mut one = order(0);
    for dseq in 1..=u64::try_from(ORDERS_WAITING_MAX).unwrap() {
        one.id.group.deployment.dseq = dseq;
        desk.see(one.clone());
        desk.journal.clear();
    }
    let more = || Command::OrderSeen {
        order: Box::new(order(0)),
        bids: 0,
    };
    assert!(matches!(desk.tell(more()), Err(Rejected::Full { .. })));
    desk.ok(Command::OrderGone {
        order: order_id(9),
        why: GoneReason::Closed,
    });
    assert_eq!(kinds(&desk.ok(more())), ["order_seen"]);
}

#[test]
fn same_bid_id_for_all_providers() {
    let mut other = policy();
    other.provider = Address::from_bytes("ve", &[7; 20]).unwrap();
    let bid = |policy: Policy| {
        let mut desk = Desk::new(policy, cores(10));
        desk.see(order(1));
        let events = desk.settle();
        events
            .iter()
            .find_map(|event| desk.bidder.message(event))
            .unwrap()
    };
    let (Message::CreateBid { id: ours, .. }, Message::CreateBid { id: theirs, .. }) =
        (bid(policy()), bid(other))
    else {
        panic!("not bids");
    };
    assert_eq!(ours.order, theirs.order);
    assert_ne!(ours, theirs);
}

#[test]
fn soft_failed_but_landed() {
    let mut desk = Desk::bid(1);
    desk.reject(1, RejectKind::TimedOut);
    // It had landed after all, and its block is read before the next attempt is due.
    assert_eq!(kinds(&desk.land(1)), ["bid_landed"]);
    assert!(desk.wait(60).settle().is_empty());
    assert_eq!(desk.stage(1), "open");
    assert!(desk.ledger.get(&ReservationKey::Order(order_id(1))).is_some());
}

#[test]
fn restart_double_counts_leases() {
    let mut desk = Desk::bid(1);
    let id = desk.id(1);
    desk.ok(Command::LeaseWon {
        id: id.clone(),
        price: price("2.75"),
    });
    let (before, ledger) = (
        desk.ledger.reserved(),
        serde_json::to_string(&desk.ledger).unwrap(),
    );
    desk.ledger = serde_json::from_str(&ledger).unwrap();
    // After a start every lease is found on chain once more.
    let lease = Lease {
        id,
        state: LeaseState::Active,
        price: price("2.75"),
        created_at: Height(1),
        closed_on: Height(0),
    };
    let resources = order(1).spec.total().unwrap();
    assert!(desk.ok(Command::AdoptLease { lease, resources }).is_empty());
    assert_eq!(desk.ledger.reserved(), before);
}

#[test]
fn capacity_underflow() {
    let mut desk = Desk::new(policy(), cores(4));
    let lease = LedgerCommand::Adopt {
        key: ReservationKey::Order(order_id(7)),
        resources: cores(6),
        kind: ReservationKind::Lease,
    };
    for change in desk.ledger.decide(&lease, desk.now).unwrap() {
        desk.ledger.evolve(&change);
    }
    assert_eq!(
        (
            desk.ledger.available().cpu_millis,
            desk.ledger.is_over_committed()
        ),
        (0, true)
    );
    desk.see(order(1));
    assert_eq!(kinds(&desk.settle()), ["order_deferred"]);
    let bid = LedgerCommand::Reserve {
        key: ReservationKey::Order(order_id(8)),
        resources: cores(1),
        kind: ReservationKind::Bid,
    };
    assert!(matches!(
        desk.ledger.decide(&bid, desk.now),
        Err(Refused::NoRoom { .. })
    ));
}

#[test]
fn replica_count_ignored() {
    let desk = Desk::roomy();
    let price_of = |count| {
        let mut many = order(1);
        many.spec.resources[0].count = count;
        desk.bidder.rate().price(&many.spec.total().unwrap()).unwrap()
    };
    assert_eq!(price_of(7).scaled(), 7 * price_of(1).scaled());
}

#[test]
fn gpu_is_free() {
    let desk = Desk::roomy();
    let gpu = Resources {
        gpus: 1,
        ..Resources::ZERO
    };
    // 0.05 VIRT per hour is 83.33 uve per block, and the markup on it.
    let price = desk.bidder.rate().price(&gpu).unwrap();
    assert_eq!(price, "91.666666666666666667".parse::<Decimal>().unwrap());
}

#[test]
fn the_orders_of_a_closed_deployment_are_found_and_dropped() {
    let mut desk = Desk::roomy();
    for (dseq, gseq) in [(1, 1), (1, 2), (2, 1)] {
        let mut one = order(dseq);
        one.id.group.gseq = gseq;
        desk.see(one);
    }
    let deployment = order_id(1).group.deployment;
    let orders: Vec<_> = desk.book.orders_of(&deployment).cloned().collect();
    assert_eq!(orders.len(), 2);
    assert!(
        orders
            .iter()
            .all(|order| order.owner() == &alice() && order.deployment().dseq == 1)
    );
}

#[test]
fn the_list_of_bids_is_newest_first_and_as_long_as_asked() {
    let mut desk = Desk::roomy();
    for dseq in 1..=3 {
        desk.see(order(dseq));
        desk.settle();
        desk.land(dseq);
        desk.wait(1);
    }
    let id = desk.id(3);
    desk.ok(Command::BidClosed { id });
    let bids = desk.book.bids(2);
    let lines: Vec<_> = bids
        .iter()
        .map(|bid| (bid.order.group.deployment.dseq, bid.state))
        .collect();
    assert_eq!(lines, [(3, "closed"), (2, "open")]);
}
