//! Whatever happens in whatever order: limits hold, no order is lost, no order is bid on twice at a time, nothing is
//! over-committed, nothing leaks, and replay gives the same state.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use virtengine_bid::book::Stage;
use virtengine_bid::reason::{GoneReason, HoldReason};
use virtengine_bid::{Book, Command, Event, Rejected};
use virtengine_provider_core::capacity::{Command as LedgerCommand, ReservationKey, ReservationKind};
use virtengine_provider_core::id::{Height, OrderId};
use virtengine_provider_core::market::{Bid, BidState, Lease, LeaseState};
use virtengine_provider_core::ports::chain::RejectKind;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

use crate::fixture::{Desk, cores, order, order_id, policy, price, rejection};

/// What the chain knows of our bid on an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnChain {
    Flying,
    Open,
    Leased,
    Closed,
}

#[derive(Debug, Clone)]
enum Action {
    See(u64, u32),
    Settle,
    Wait(u64),
    Land(u64),
    Reject(u64, RejectKind),
    Unknown(u64),
    Gone(u64),
    Lost(u64),
    Won(u64),
    Close(u64),
    EndLease(u64),
    Adopt(u64),
    Free(u64),
    Resize(u64),
    Hold(bool),
    Withdraw(u64),
    Repeat,
    Restart,
}

fn any_action() -> impl Strategy<Value = Action> {
    let dseq = 1..=20_u64;
    let kind = prop::sample::select(vec![
        RejectKind::StateChanged,
        RejectKind::NotEligible,
        RejectKind::InsufficientFunds,
        RejectKind::OutOfGas,
        RejectKind::SequenceMismatch,
        RejectKind::TimedOut,
        RejectKind::Busy,
        RejectKind::Unauthorized,
    ]);
    prop_oneof![
        6 => (dseq.clone(), 1..4_u32).prop_map(|(dseq, count)| Action::See(dseq, count)),
        8 => Just(Action::Settle),
        4 => prop_oneof![0..20_u64, 0..1000_u64].prop_map(Action::Wait),
        5 => dseq.clone().prop_map(Action::Land),
        3 => (dseq.clone(), kind).prop_map(|(dseq, kind)| Action::Reject(dseq, kind)),
        1 => dseq.clone().prop_map(Action::Unknown),
        1 => dseq.clone().prop_map(Action::Gone),
        1 => dseq.clone().prop_map(Action::Lost),
        2 => dseq.clone().prop_map(Action::Won),
        2 => dseq.clone().prop_map(Action::Close),
        1 => dseq.clone().prop_map(Action::EndLease),
        1 => dseq.clone().prop_map(Action::Adopt),
        2 => dseq.clone().prop_map(Action::Free),
        1 => (0..14_u64).prop_map(Action::Resize),
        1 => any::<bool>().prop_map(Action::Hold),
        1 => dseq.prop_map(Action::Withdraw),
        2 => Just(Action::Repeat),
        1 => Just(Action::Restart),
    ]
}

struct World {
    desk: Desk,
    chain: BTreeMap<u64, OnChain>,
    sent: Vec<Timestamp>,
    seen: BTreeSet<OrderId>,
    last: Option<Command>,
}

impl World {
    fn new() -> Self {
        let mut policy = policy();
        policy.limits.max_bids_per_minute = 4;
        policy.limits.max_bids_per_hour = 9;
        policy.limits.max_concurrent_bids = 3;
        Self {
            desk: Desk::new(policy, cores(10)),
            chain: BTreeMap::new(),
            sent: Vec::new(),
            seen: BTreeSet::new(),
            last: None,
        }
    }

    fn act(&mut self, action: Action) {
        let before = self.desk.journal.len();
        match action {
            Action::Settle => {
                self.desk.settle();
            }
            Action::Wait(seconds) => {
                self.desk.wait(seconds);
            }
            Action::Resize(size) => self.ledger(&LedgerCommand::Configure {
                ceiling: cores(size),
                kept_back: Resources::ZERO,
            }),
            Action::Free(dseq) => {
                // The workload is gone: its lease has ended before.
                let key = ReservationKey::Order(order_id(dseq));
                let ended = self.desk.book.entry(&order_id(dseq)).is_none();
                let lease = self
                    .desk
                    .ledger
                    .get(&key)
                    .is_some_and(|held| held.kind == ReservationKind::Lease);
                if ended && lease {
                    self.ledger(&LedgerCommand::Free { key });
                }
            }
            Action::Restart => {
                let saved = serde_json::to_string(&self.desk.book).unwrap();
                let book: Book = serde_json::from_str(&saved).unwrap();
                assert_eq!(book, self.desk.book);
                self.desk.book = book;
            }
            Action::Repeat => {
                if let Some(command) = self.last.clone() {
                    self.tell(command);
                }
            }
            other => {
                if let Some(command) = self.command(other) {
                    self.last = Some(command.clone());
                    self.tell(command);
                }
            }
        }
        let new: Vec<Event> = self.desk.journal[before..].to_vec();
        self.follow(&new);
    }

    /// A lease that the book cannot place is looked up and adopted, as its answer asks.
    fn tell(&mut self, command: Command) {
        let won = match &command {
            Command::LeaseWon { id, price } => Some((id.clone(), price.clone())),
            _ => None,
        };
        let answer = self.desk.tell(command);
        if let (Some((id, price)), Err(Rejected::Unknown { .. })) = (won, answer) {
            let lease = Lease {
                id,
                state: LeaseState::Active,
                price,
                created_at: Height(4),
                closed_on: Height(0),
            };
            let resources = cores(1);
            self.desk.ok(Command::AdoptLease { lease, resources });
        }
    }

    fn ledger(&mut self, command: &LedgerCommand) {
        for change in self.desk.ledger.decide(command, self.desk.now).unwrap() {
            let event = Event::Capacity { change };
            virtengine_bid::evolve(&mut self.desk.book, &mut self.desk.ledger, &event);
            self.desk.journal.push(event);
        }
    }

    /// Only what can be true on the chain that `self.chain` describes.
    fn command(&mut self, action: Action) -> Option<Command> {
        let id = |dseq| self.desk.id(dseq);
        let state = |dseq: u64| self.chain.get(&dseq).copied();
        Some(match action {
            Action::See(dseq, count) => {
                let mut order = order(dseq);
                order.spec.resources[0].count = count;
                self.seen.insert(order.id.clone());
                Command::OrderSeen {
                    order: Box::new(order),
                    bids: 0,
                }
            }
            Action::Land(dseq) if state(dseq) == Some(OnChain::Flying) => {
                let id = id(dseq);
                self.chain.insert(dseq, OnChain::Open);
                Command::BidLanded {
                    id,
                    height: Height(3),
                }
            }
            Action::Reject(dseq, kind) if state(dseq) == Some(OnChain::Flying) => {
                let id = id(dseq);
                self.chain.remove(&dseq);
                Command::BidRejected {
                    id,
                    sending: self.desk.sending(dseq),
                    rejection: rejection(kind),
                }
            }
            other => return self.later(other),
        })
    }

    /// What comes after a bid has landed, and what may arrive at any time.
    fn later(&mut self, action: Action) -> Option<Command> {
        let id = |dseq| self.desk.id(dseq);
        let state = |dseq: u64| self.chain.get(&dseq).copied();
        Some(match action {
            Action::Unknown(dseq) => Command::BidUnknown {
                id: id(dseq),
                sending: self.desk.sending(dseq),
            },
            Action::Gone(dseq) => Command::OrderGone {
                order: order_id(dseq),
                why: GoneReason::Closed,
            },
            Action::Lost(dseq) if state(dseq) != Some(OnChain::Leased) => Command::LeaseLost {
                order: order_id(dseq),
            },
            Action::Won(dseq) if state(dseq) == Some(OnChain::Open) => {
                let id = id(dseq);
                self.chain.insert(dseq, OnChain::Leased);
                Command::LeaseWon {
                    id,
                    price: price("2.75"),
                }
            }
            Action::Close(dseq) if state(dseq) == Some(OnChain::Open) => {
                let id = id(dseq);
                self.chain.insert(dseq, OnChain::Closed);
                Command::BidClosed { id }
            }
            Action::EndLease(dseq) if state(dseq) == Some(OnChain::Leased) => {
                let id = id(dseq);
                self.chain.insert(dseq, OnChain::Closed);
                Command::LeaseEnded { id }
            }
            // A bid that the book lost, made by an earlier installation.
            Action::Adopt(dseq) if state(dseq).is_none() || state(dseq) == Some(OnChain::Open) => {
                let id = id(dseq);
                self.chain.insert(dseq, OnChain::Open);
                Command::AdoptBid {
                    bid: Bid {
                        id,
                        state: BidState::Open,
                        price: price("3"),
                        created_at: Height(2),
                    },
                    resources: cores(1),
                    order_open: true,
                }
            }
            Action::Hold(true) => Command::Hold {
                reason: HoldReason::Operator,
                until: None,
            },
            Action::Hold(false) => Command::Release {
                reason: HoldReason::Operator,
            },
            Action::Withdraw(dseq) => Command::Withdraw {
                order: order_id(dseq),
            },
            _ => return None,
        })
    }

    /// Sends what the events ask to be sent.
    fn follow(&mut self, events: &[Event]) {
        for event in events {
            let (Event::BidDecided { order, at, .. } | Event::BidResent { order, at, .. }) = event else {
                continue;
            };
            let before = self.chain.insert(order.group.deployment.dseq, OnChain::Flying);
            assert_eq!(before, None, "a second bid on {order}");
            self.sent.push(*at);
            assert!(
                self.desk.ledger.reserved().fits_in(&self.desk.ledger.capacity()),
                "over-committed by {event:?}"
            );
        }
    }

    fn check(&self) {
        let desk = &self.desk;
        if let Some(last) = self.sent.last() {
            let within = |seconds: u64| {
                self.sent
                    .iter()
                    .rev()
                    .take_while(|sent| last.since(**sent).as_secs() < seconds)
                    .count()
            };
            assert!(within(60) <= 4 && within(3600) <= 9, "limits: {:?}", self.sent);
        }
        let tally = desk.book.tally();
        assert!(tally.in_flight <= 3);
        for order in &self.seen {
            let known = desk.book.entry(order).is_some() || desk.book.record(order).is_some();
            assert!(known, "{order} is lost");
        }
        let mut counts = BTreeMap::new();
        for (order, entry) in desk.book.entries() {
            *counts.entry(entry.stage.as_str()).or_insert(0_usize) += 1;
            let held = desk
                .ledger
                .get(&ReservationKey::Order(order.clone()))
                .map(|held| held.kind);
            match &entry.stage {
                Stage::Waiting(_) => assert_eq!(held, None, "{order} holds capacity while it waits"),
                Stage::InFlight { .. } | Stage::Retrying { .. } | Stage::Live { .. } => {
                    assert_eq!(
                        held,
                        Some(ReservationKind::Bid),
                        "{order} {}",
                        entry.stage.as_str()
                    );
                }
                Stage::Leased { .. } => assert_eq!(held, Some(ReservationKind::Lease), "{order}"),
                Stage::Closing { .. } => assert_ne!(held, Some(ReservationKind::Lease), "{order}"),
            }
        }
        for (stage, count) in [
            ("pending", tally.fresh),
            ("deferred", tally.deferred),
            ("submitting", tally.in_flight),
            ("retrying", tally.retrying),
            ("open", tally.live),
            ("closing", tally.closing),
            ("won", tally.leased),
        ] {
            assert_eq!(counts.get(stage).copied().unwrap_or(0), count, "{stage}");
        }
        self.check_capacity_and_chain();
    }

    fn check_capacity_and_chain(&self) {
        let desk = &self.desk;
        for (key, held) in desk.ledger.iter() {
            let ReservationKey::Order(order) = key else {
                panic!("{key}")
            };
            if held.kind == ReservationKind::Bid {
                assert!(
                    desk.book
                        .entry(order)
                        .is_some_and(|entry| entry.stage.bid().is_some()),
                    "{key} leaks"
                );
            }
        }
        // What flies or is open on chain is in the book.
        for (dseq, on_chain) in &self.chain {
            let stage = desk.stage(*dseq);
            match on_chain {
                OnChain::Flying => assert_eq!(stage, "submitting", "{dseq}"),
                OnChain::Open => assert!(matches!(stage, "open" | "closing"), "{dseq} {stage}"),
                OnChain::Leased => assert_eq!(stage, "won", "{dseq}"),
                OnChain::Closed => assert!(matches!(stage, "closed" | "lease over"), "{dseq} {stage}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn nothing_that_can_happen_breaks_a_promise(actions in prop::collection::vec(any_action(), 0..120)) {
        let mut world = World::new();
        for action in actions {
            world.act(action);
            world.check();
        }
        // Left to itself, with the chain answering, everything comes to an end or to rest.
        for _ in 0..400 {
            world.act(Action::Hold(false));
            world.act(Action::Settle);
            for dseq in 1..=20 {
                world.act(Action::Land(dseq));
                if world.desk.stage(dseq) == "closing" {
                    world.act(Action::Close(dseq));
                }
            }
            world.check();
            match world.desk.bidder.next_deadline(&world.desk.book, world.desk.now) {
                Some(next) if next > world.desk.now => world.desk.now = next,
                Some(_) => {}
                None => break,
            }
        }
        let tally = *world.desk.book.tally();
        prop_assert_eq!(tally.fresh + tally.deferred + tally.in_flight + tally.retrying + tally.live + tally.closing, 0);
        // The journal is the state.
        let (mut book, mut ledger) = (Book::new(), world.desk.start.clone());
        for event in &world.desk.journal {
            let text = serde_json::to_string(event).unwrap();
            let event: Event = serde_json::from_str(&text).unwrap();
            virtengine_bid::evolve(&mut book, &mut ledger, &event);
        }
        prop_assert_eq!(&book, &world.desk.book);
        prop_assert_eq!(&ledger, &world.desk.ledger);
    }
}
