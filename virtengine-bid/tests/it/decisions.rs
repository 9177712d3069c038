//! The life of orders and bids, story by story.

use virtengine_bid::book::DECISIONS_KEPT;
use virtengine_bid::reason::{CloseWhy, DeferReason, GoneReason, HoldReason};
use virtengine_bid::{Bidder, Command, Event, PolicyError, Rejected};
use virtengine_provider_core::capacity::{Command as LedgerCommand, ReservationKey, ReservationKind};
use virtengine_provider_core::id::Height;
use virtengine_provider_core::market::{Bid, BidState, Lease, LeaseState, OrderState};
use virtengine_provider_core::ports::chain::{Message, RejectKind};
use virtengine_provider_core::units::Resources;

use crate::fixture::{Desk, cores, kinds, order, order_id, policy, price, rejection};

fn count(events: &[Event], kind: &str) -> usize {
    events.iter().filter(|event| event.kind() == kind).count()
}

fn bid_on_chain(dseq: u64) -> Bid {
    Bid {
        id: Desk::roomy().id(dseq),
        state: BidState::Open,
        price: price("3"),
        created_at: Height(5),
    }
}

#[test]
fn an_order_seen_again_is_decided_once() {
    let mut desk = Desk::bid(1);
    assert!(desk.see(order(1)).is_empty());
    assert!(desk.settle().is_empty());
    let mut dear = order(2);
    dear.spec.resources[0].price = price("1");
    desk.see(dear.clone());
    desk.settle();
    assert_eq!(desk.stage(2), "declined");
    assert!(desk.see(dear).is_empty());
}

#[test]
fn never_more_than_five_bids_are_in_flight() {
    let mut desk = Desk::roomy();
    for dseq in 1..=7 {
        desk.see(order(dseq));
    }
    let events = desk.settle();
    assert_eq!(count(&events, "bid_decided"), 5);
    assert!(events.iter().any(|event| matches!(
        event,
        Event::OrderDeferred {
            why: DeferReason::InFlight { max: 5 },
            ..
        }
    )));
    // Nothing to do by itself until an outcome is known.
    let expiry = desk.bidder.next_deadline(&desk.book, desk.now).unwrap();
    assert!(expiry.since(desk.now).as_secs() == 3600);
    desk.land(1);
    assert_eq!(count(&desk.settle(), "bid_decided"), 1);
    let id = desk.id(2);
    desk.ok(Command::BidUnknown { id, sending: 1 });
    assert!(desk.settle().is_empty(), "an unknown outcome keeps its place");
}

#[test]
fn a_token_is_taken_only_for_a_bid_that_is_sent() {
    let mut desk = Desk::roomy();
    for dseq in 1..=50 {
        let mut dear = order(dseq);
        dear.spec.resources[0].price = price("1");
        desk.see(dear);
    }
    desk.settle();
    assert_eq!(desk.bidder.status(&desk.book, desk.now).left_this_minute, 10);
    assert_eq!(desk.book.totals().declined, 50);
}

#[test]
fn retryable_rejections_are_sent_again_three_times_five_seconds_apart() {
    let mut desk = Desk::bid(1);
    for attempt in 2..=4 {
        let events = desk.reject(1, RejectKind::SequenceMismatch);
        assert_eq!(kinds(&events), ["bid_retry"]);
        assert!(desk.settle().is_empty(), "too early");
        assert!(desk.reject(1, RejectKind::Busy).is_empty(), "an old answer");
        desk.wait(4);
        assert!(desk.settle().is_empty(), "too early");
        desk.wait(1);
        let events = desk.settle();
        assert!(matches!(events[..], [Event::BidResent { attempt: a, .. }] if a == attempt));
        assert!(matches!(
            desk.bidder.message(&events[0]),
            Some(Message::CreateBid { .. })
        ));
    }
    let events = desk.reject(1, RejectKind::SequenceMismatch);
    assert_eq!(kinds(&events), ["capacity", "order_deferred"]);
    assert_eq!(desk.ledger.reserved(), Resources::ZERO);
    desk.wait(120);
    assert_eq!(count(&desk.settle(), "bid_decided"), 1);
}

#[test]
fn an_old_answer_says_nothing_about_the_sending_that_flies() {
    let mut desk = Desk::bid(1);
    let old = Command::BidRejected {
        id: desk.id(1),
        sending: 1,
        rejection: rejection(RejectKind::Busy),
    };
    desk.ok(old.clone());
    desk.wait(5).settle();
    assert_eq!(desk.sending(1), 2);
    assert!(desk.ok(old).is_empty());
    let id = desk.id(1);
    assert!(desk.ok(Command::BidUnknown { id, sending: 1 }).is_empty());
    assert_eq!(desk.stage(1), "submitting");
}

#[test]
fn an_attempt_that_costs_its_fee_is_given_up_after_the_retries() {
    let mut desk = Desk::bid(1);
    for _ in 0..3 {
        desk.reject(1, RejectKind::OutOfGas);
        desk.wait(5).settle();
    }
    assert_eq!(
        kinds(&desk.reject(1, RejectKind::OutOfGas)),
        ["capacity", "bid_failed"]
    );
    assert_eq!(
        (desk.stage(1), desk.ledger.reserved()),
        ("failed", Resources::ZERO)
    );
}

#[test]
fn final_rejections_are_not_sent_again() {
    for kind in [
        RejectKind::StateChanged,
        RejectKind::NotEligible,
        RejectKind::Invalid,
        RejectKind::Unauthorized,
    ] {
        let mut desk = Desk::bid(1);
        assert_eq!(kinds(&desk.reject(1, kind)), ["capacity", "bid_failed"]);
        assert_eq!(desk.ledger.reserved(), Resources::ZERO);
        assert!(desk.wait(10_000).settle().is_empty());
    }
}

#[test]
fn a_bid_that_exists_already_has_landed() {
    let mut desk = Desk::bid(1);
    assert_eq!(kinds(&desk.reject(1, RejectKind::AlreadyDone)), ["bid_landed"]);
    assert_eq!(desk.stage(1), "open");
}

#[test]
fn unknown_is_never_sent_again() {
    let mut desk = Desk::bid(1);
    let id = desk.id(1);
    assert_eq!(
        kinds(&desk.ok(Command::BidSent {
            id: id.clone(),
            sending: 1
        })),
        ["bid_sent"]
    );
    assert_eq!(
        kinds(&desk.ok(Command::BidUnknown {
            id: id.clone(),
            sending: 1
        })),
        ["bid_unresolved"]
    );
    assert!(desk.ok(Command::BidUnknown { id, sending: 1 }).is_empty());
    assert!(desk.wait(100_000).settle().is_empty());
    assert_eq!(desk.stage(1), "submitting");
    desk.land(1);
    assert_eq!(desk.stage(1), "open");
}

#[test]
fn a_won_bid_keeps_its_capacity_through_the_lease() {
    let mut desk = Desk::bid(1);
    desk.land(1);
    let id = desk.id(1);
    let won = Command::LeaseWon {
        id: id.clone(),
        price: price("2.75"),
    };
    assert_eq!(kinds(&desk.ok(won.clone())), ["capacity", "bid_won"]);
    assert!(desk.ok(won).is_empty());
    let key = ReservationKey::Order(order_id(1));
    assert_eq!(desk.ledger.get(&key).unwrap().kind, ReservationKind::Lease);
    // The lease's own end closes bid and order: neither frees the capacity of a workload that may still run.
    assert!(desk.ok(Command::BidClosed { id: id.clone() }).is_empty());
    assert!(
        desk.ok(Command::OrderGone {
            order: order_id(1),
            why: GoneReason::Closed
        })
        .is_empty()
    );
    assert_eq!(kinds(&desk.ok(Command::LeaseEnded { id })), ["lease_over"]);
    assert!(desk.ledger.get(&key).is_some());
    assert!(desk.wait(100_000).settle().is_empty());
}

#[test]
fn a_lease_that_comes_before_the_news_of_its_bid_is_won() {
    let mut desk = Desk::bid(1);
    let id = desk.id(1);
    desk.ok(Command::LeaseWon {
        id,
        price: price("2.75"),
    });
    assert_eq!(desk.stage(1), "won");
    assert!(desk.land(1).is_empty());
}

#[test]
fn a_lost_bid_frees_its_capacity_at_once_and_is_closed() {
    let mut desk = Desk::bid(1);
    desk.land(1);
    let events = desk.ok(Command::LeaseLost { order: order_id(1) });
    assert_eq!(kinds(&events), ["capacity", "bid_lost", "bid_close_wanted"]);
    assert_eq!(desk.ledger.reserved(), Resources::ZERO);
    let id = desk.id(1);
    assert_eq!(kinds(&desk.ok(Command::BidClosed { id })), ["bid_closed"]);
}

#[test]
fn an_order_that_goes_while_the_bid_flies_is_closed_when_it_lands() {
    let mut desk = Desk::bid(1);
    let gone = Command::OrderGone {
        order: order_id(1),
        why: GoneReason::DeploymentClosed,
    };
    assert_eq!(kinds(&desk.ok(gone.clone())), ["order_withdrawn"]);
    assert!(desk.ok(gone).is_empty());
    assert_eq!(
        kinds(&desk.land(1)),
        ["bid_landed", "capacity", "bid_lost", "bid_close_wanted"]
    );

    let mut desk = Desk::bid(1);
    desk.ok(Command::LeaseLost { order: order_id(1) });
    assert_eq!(
        kinds(&desk.reject(1, RejectKind::Busy)),
        ["capacity", "bid_failed"]
    );
}

#[test]
fn a_waiting_order_that_goes_is_a_journaled_end() {
    let mut desk = Desk::roomy();
    desk.see(order(1));
    assert_eq!(
        kinds(&desk.ok(Command::LeaseLost { order: order_id(1) })),
        ["order_expired"]
    );
    assert!(desk.settle().is_empty());
}

#[test]
fn an_order_without_room_waits_and_is_bid_on_when_room_appears() {
    let mut desk = Desk::new(policy(), cores(1));
    desk.see(order(1));
    desk.see(order(2));
    let events = desk.settle();
    assert_eq!(
        (count(&events, "bid_decided"), count(&events, "order_deferred")),
        (1, 1)
    );
    assert!(desk.settle().is_empty(), "no room, no events");
    desk.wait(10).reject(1, RejectKind::NotEligible);
    assert_eq!(count(&desk.settle(), "bid_decided"), 1);
    assert_eq!(desk.stage(2), "submitting");
}

#[test]
fn waiting_for_room_does_not_fill_the_journal() {
    let mut desk = Desk::new(policy(), cores(1));
    desk.see(order(1));
    desk.settle();
    desk.land(1);
    let id = desk.id(1);
    desk.ok(Command::LeaseWon {
        id,
        price: price("2.75"),
    });
    desk.see(order(2));
    let mut deferrals = 0;
    for _ in 0..3600 {
        deferrals += count(&desk.settle(), "order_deferred");
        desk.wait(1);
    }
    desk.settle();
    assert_eq!(desk.stage(2), "expired");
    assert!(deferrals <= 11, "{deferrals}");
}

#[test]
fn a_shrunken_capacity_stops_bidding_and_frees_nothing() {
    let mut desk = Desk::new(policy(), cores(4));
    desk.see(order(1));
    desk.settle();
    desk.land(1);
    let smaller = LedgerCommand::Configure {
        ceiling: Resources::ZERO,
        kept_back: Resources::ZERO,
    };
    for change in desk.ledger.decide(&smaller, desk.now).unwrap() {
        desk.ledger.evolve(&change);
    }
    let held = desk.ledger.reserved();
    desk.see(order(2));
    desk.settle();
    assert_eq!((desk.stage(1), desk.ledger.reserved()), ("open", held));
    assert_eq!(desk.stage(2), "declined");
}

#[test]
fn holds_collect_orders_and_release_decides_them() {
    let mut desk = Desk::roomy();
    let hold = Command::Hold {
        reason: HoldReason::ChainUnreachable,
        until: None,
    };
    assert_eq!(kinds(&desk.ok(hold.clone())), ["bidding_held"]);
    assert!(desk.ok(hold).is_empty());
    desk.see(order(1));
    assert!(desk.settle().is_empty());
    assert_eq!(desk.stage(1), "pending");
    let release = Command::Release {
        reason: HoldReason::ChainUnreachable,
    };
    desk.ok(release.clone());
    assert!(desk.ok(release).is_empty());
    assert_eq!(count(&desk.settle(), "bid_decided"), 1);
}

#[test]
fn a_bid_found_on_chain_is_adopted_and_not_made_again() {
    let mut desk = Desk::roomy();
    desk.see(order(1));
    let adopt = Command::AdoptBid {
        bid: bid_on_chain(1),
        resources: cores(1),
        order_open: true,
    };
    assert_eq!(kinds(&desk.ok(adopt.clone())), ["capacity", "bid_adopted"]);
    assert!(desk.ok(adopt.clone()).is_empty());
    assert!(desk.settle().is_empty());
    assert_eq!((desk.stage(1), desk.ledger.reserved()), ("open", cores(1)));
    // While our own transaction is unresolved, the same bid resolves it.
    let mut desk = Desk::bid(1);
    assert_eq!(kinds(&desk.ok(adopt)), ["bid_landed"]);
}

#[test]
fn an_adopted_bid_without_room_or_order_is_closed() {
    let mut desk = Desk::new(policy(), cores(1));
    let adopt = |open| Command::AdoptBid {
        bid: bid_on_chain(1),
        resources: cores(2),
        order_open: open,
    };
    assert_eq!(
        kinds(&desk.ok(adopt(true))),
        ["capacity", "bid_adopted", "bid_close_wanted"]
    );
    assert!(desk.ledger.is_over_committed());
    let id = desk.id(1);
    desk.ok(Command::BidClosed { id });
    assert!(!desk.ledger.is_over_committed());
    let mut desk = Desk::new(policy(), cores(1));
    assert_eq!(kinds(&desk.ok(adopt(false))), ["bid_adopted", "bid_close_wanted"]);
    assert_eq!(desk.ledger.reserved(), Resources::ZERO);
}

#[test]
fn a_lease_found_on_chain_is_adopted_with_its_capacity() {
    let mut desk = Desk::new(policy(), cores(1));
    let id = desk.id(1);
    let won = Command::LeaseWon {
        id: id.clone(),
        price: price("3"),
    };
    assert_eq!(desk.tell(won), Err(Rejected::Unknown { id: id.clone() }));
    let lease = Lease {
        id: id.clone(),
        state: LeaseState::Active,
        price: price("3"),
        created_at: Height(1),
        closed_on: Height(0),
    };
    let adopt = Command::AdoptLease {
        lease,
        resources: cores(2),
    };
    assert_eq!(kinds(&desk.ok(adopt.clone())), ["capacity", "lease_adopted"]);
    assert!(desk.ok(adopt).is_empty());
    assert_eq!((desk.stage(1), desk.ledger.reserved()), ("won", cores(2)));
    assert_eq!(kinds(&desk.ok(Command::LeaseEnded { id })), ["lease_over"]);
}

#[test]
fn facts_about_other_providers_are_refused() {
    let mut desk = Desk::bid(1);
    let mut id = desk.id(1);
    id.provider = crate::fixture::alice();
    let landed = Command::BidLanded {
        id: id.clone(),
        height: Height(1),
    };
    assert_eq!(desk.tell(landed), Err(Rejected::NotOurs { id }));
}

#[test]
fn declined_orders_can_be_reconsidered_but_closed_bids_cannot() {
    let mut desk = Desk::roomy();
    let mut dear = order(1);
    dear.spec.resources[0].price = price("1");
    desk.see(dear.clone());
    desk.settle();
    let reconsider = |order| Command::Reconsider {
        order: Box::new(order),
        bids: 0,
    };
    assert_eq!(kinds(&desk.ok(reconsider(dear))), ["order_seen"]);
    desk.settle();
    assert_eq!(desk.stage(1), "declined");

    let mut desk = Desk::bid(2);
    desk.land(2);
    let id = desk.id(2);
    desk.ok(Command::BidClosed { id });
    assert!(desk.ok(reconsider(order(2))).is_empty());
    let mut closed = order(3);
    closed.state = OrderState::Closed;
    assert!(desk.see(closed).is_empty());
}

#[test]
fn the_operator_can_take_back_orders_and_bids() {
    let mut desk = Desk::roomy();
    let withdraw = |dseq| Command::Withdraw {
        order: order_id(dseq),
    };
    desk.see(order(1));
    assert_eq!(kinds(&desk.ok(withdraw(1))), ["order_declined"]);
    desk.see(order(2));
    desk.settle();
    assert_eq!(kinds(&desk.ok(withdraw(2))), ["order_withdrawn"]);
    let landed = desk.land(2);
    assert!(matches!(
        landed[3],
        Event::BidCloseWanted {
            why: CloseWhy::Operator,
            ..
        }
    ));
    desk.see(order(3));
    desk.settle();
    desk.land(3);
    assert_eq!(kinds(&desk.ok(withdraw(3))), ["bid_close_wanted"]);
}

#[test]
fn the_book_forgets_the_oldest_decisions() {
    let mut desk = Desk::roomy();
    let most = u64::try_from(DECISIONS_KEPT).unwrap();
    for dseq in 1..=most + 5 {
        let mut dear = order(dseq);
        dear.spec.resources[0].price = price("1");
        desk.see(dear);
        desk.settle();
        desk.journal.clear();
    }
    assert_eq!(desk.stage(5), "unknown");
    assert_eq!(desk.stage(6), "declined");
    assert_eq!(desk.book.records().count(), DECISIONS_KEPT);
    assert_eq!(*desk.book.records().next().unwrap().0, order_id(most + 5));
    assert_eq!(desk.book.totals().declined, most + 5);
}

#[test]
fn a_limit_of_zero_is_refused_by_name() {
    let mut none = policy();
    none.limits.max_bids_per_hour = 0;
    let error = Bidder::new(none, Box::new(virtengine_bid::strategy::CostPlus::default())).unwrap_err();
    assert!(matches!(
        error,
        PolicyError::ZeroLimit {
            field: "bid_engine.max_bids_per_hour"
        }
    ));
}
