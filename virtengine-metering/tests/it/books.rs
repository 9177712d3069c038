//! What is planned, and that nothing is ever sent or paid twice.

use std::collections::BTreeMap;

use proptest::prelude::*;
use virtengine_metering::meter::Recorded;
use virtengine_metering::settlement::{
    Action, Books, BooksCommand, BooksRejected, Facts, Note, Plan, Policy, SettlementMode, plan,
};
use virtengine_provider_core::fraud::{Details, Flag, Verdict};
use virtengine_provider_core::id::Height;
use virtengine_provider_core::market::{Lease, LeaseState, SettlementEscrow};
use virtengine_provider_core::money::{Coin, Price};
use virtengine_provider_core::ports::chain::{Message, UsageOnChain};

use crate::support::{NOON, PROVIDER, TENANT, lease, s, signed_hours};

fn policy(mode: SettlementMode) -> Policy {
    Policy::new(mode, PROVIDER.parse().unwrap())
}

fn tell(books: &mut Books, command: &BooksCommand<'_>) {
    for event in books.decide(command).unwrap() {
        let text = serde_json::to_string(&event).unwrap();
        books.evolve(&serde_json::from_str(&text).unwrap());
        let once = books.clone();
        books.evolve(&event);
        assert_eq!(*books, once, "an event that is replayed changes nothing");
    }
}

fn book(recorded: &[Recorded]) -> Books {
    let mut books = Books::new(lease());
    for one in recorded {
        tell(
            &mut books,
            &BooksCommand::Book {
                signed: &one.signed,
                verdict: &one.verdict,
            },
        );
    }
    books
}

/// A chain that behaves as measured (spec/chain-node.md 2.4): it never refuses a duplicate.
#[derive(Debug, Clone)]
struct Chain {
    height: u64,
    lease: Lease,
    escrows: Vec<SettlementEscrow>,
    usage: Vec<UsageOnChain>,
    settled: u128,
}

impl Chain {
    fn new() -> Self {
        let price = Price::new("uve".parse().unwrap(), "500".parse().unwrap());
        let (state, created_at) = (LeaseState::Active, Height(10));
        let lease = Lease {
            id: lease(),
            state,
            price,
            created_at,
            closed_on: Height(0),
        };
        Self {
            height: 100,
            lease,
            escrows: vec![escrow(1_000_000_000)],
            usage: vec![],
            settled: 0,
        }
    }

    fn facts<'a>(&'a self, in_flight: &'a [Message]) -> Facts<'a> {
        Facts {
            now: s(NOON + 100_000),
            head: Height(self.height),
            as_of: Height(self.height),
            lease: &self.lease,
            payment_open: self.lease.state == LeaseState::Active,
            account_touched: None,
            escrows: &self.escrows,
            usage: &self.usage,
            in_flight,
        }
    }

    fn plan(&self, books: &Books, policy: &Policy) -> Plan {
        plan(books, policy, &self.facts(&[]))
    }

    /// Executes a transaction; the ids of its messages.
    fn execute(&mut self, messages: &[Message]) -> Vec<String> {
        self.height += 1;
        messages.iter().map(|message| self.execute_one(message)).collect()
    }

    fn execute_one(&mut self, message: &Message) -> String {
        match message {
            Message::RecordUsage {
                usage_units,
                usage_type,
                period_start,
                period_end,
                unit_price,
                signature,
                ..
            } => {
                let id = format!("usage-{}", self.usage.len() + 1);
                let cost = unit_price
                    .amount
                    .mul_div_floor((*usage_units).into(), 1)
                    .unwrap()
                    .floor();
                self.usage.push(UsageOnChain {
                    id: id.clone(),
                    usage_type: usage_type.clone(),
                    usage_units: *usage_units,
                    period_start: *period_start,
                    period_end: *period_end,
                    total_cost: vec![Coin::new(unit_price.denom.clone(), cost)],
                    settled: false,
                    signature: signature.clone(),
                });
                id
            }
            Message::SettleOrder { usage_record_ids, .. } => {
                assert!(!usage_record_ids.is_empty(), "settling everything charges twice");
                for usage in self
                    .usage
                    .iter_mut()
                    .filter(|usage| usage_record_ids.contains(&usage.id))
                {
                    assert!(!usage.settled, "settled twice");
                    usage.settled = true;
                    let balance = &mut self.escrows[0].balance[0].amount;
                    let paid = usage.total_cost[0].amount.min(*balance);
                    *balance -= paid;
                    self.settled += paid;
                }
                "settlement-1".to_owned()
            }
            _ => String::new(),
        }
    }
}

fn escrow(balance: u128) -> SettlementEscrow {
    SettlementEscrow {
        id: "escrow-1".to_owned(),
        order_id: lease().order.to_string(),
        lease_id: lease().to_string(),
        recipient: Some(PROVIDER.parse().unwrap()),
        state: "active".to_owned(),
        balance: vec![Coin::new("uve".parse().unwrap(), balance)],
        expires_at: NOON + 1_000_000,
    }
}

fn total(recorded: &[Recorded]) -> u128 {
    recorded
        .iter()
        .flat_map(|one| &one.signed.charges)
        .map(|one| one.charge.cost)
        .sum()
}

#[test]
fn records_go_on_chain_and_are_settled_by_their_ids() {
    let recorded = signed_hours(3);
    let (mut books, mut chain, policy) = (
        book(&recorded),
        Chain::new(),
        policy(SettlementMode::UsageRecords),
    );
    let plan = chain.plan(&books, &policy);
    let [Action::RecordUsage(messages)] = plan.actions.as_slice() else {
        panic!("{plan:?}")
    };
    assert_eq!(messages.len(), 20);
    let ids = chain.execute(messages);
    tell(
        &mut books,
        &BooksCommand::Landed {
            messages,
            response_ids: &ids,
            height: Height(chain.height),
        },
    );
    let plan = chain.plan(&books, &policy);
    let [Action::Settle(settle)] = plan.actions.as_slice() else {
        panic!("{plan:?}")
    };
    let Message::SettleOrder {
        usage_record_ids,
        is_final: false,
        ..
    } = settle
    else {
        panic!("{settle:?}")
    };
    assert_eq!(*usage_record_ids, ids);
    chain.execute(std::slice::from_ref(settle));
    tell(&mut books, &BooksCommand::Observe { usage: &chain.usage });
    assert!(books.is_finished());
    assert_eq!((chain.settled, books.unpaid()), (total(&recorded), 0));
    assert_eq!(chain.plan(&books, &policy), Plan::default());
}

#[test]
fn a_plan_is_the_same_until_something_lands() {
    let (books, chain, policy) = (book(&signed_hours(3)), Chain::new(), policy(SettlementMode::Both));
    let first = chain.plan(&books, &policy);
    assert_eq!(chain.plan(&books, &policy), first);
    assert_eq!(first.actions[0].id(), chain.plan(&books, &policy).actions[0].id());
    let in_flight: Vec<Message> = first.actions.iter().flat_map(|a| a.messages().to_vec()).collect();
    assert_eq!(plan(&books, &policy, &chain.facts(&in_flight)).actions, []);
}

#[test]
fn duplicate_is_error_wedge() {
    // The transaction landed, and nobody told us.
    let (mut books, mut chain, policy) = (
        book(&signed_hours(2)),
        Chain::new(),
        policy(SettlementMode::UsageRecords),
    );
    let Action::RecordUsage(messages) = chain.plan(&books, &policy).actions.remove(0) else {
        panic!()
    };
    chain.execute(&messages);
    assert!(matches!(
        chain.plan(&books, &policy).actions.as_slice(),
        [Action::Settle(_)]
    ));
    tell(&mut books, &BooksCommand::Observe { usage: &chain.usage });
    assert!(matches!(
        chain.plan(&books, &policy).actions.as_slice(),
        [Action::Settle(_)]
    ));
}

#[test]
fn an_answer_from_before_our_transaction_is_not_acted_on() {
    let (mut books, mut chain, policy) = (
        book(&signed_hours(2)),
        Chain::new(),
        policy(SettlementMode::UsageRecords),
    );
    let before = chain.clone();
    let Action::RecordUsage(messages) = chain.plan(&books, &policy).actions.remove(0) else {
        panic!()
    };
    chain.execute(&messages);
    tell(
        &mut books,
        &BooksCommand::Landed {
            messages: &messages,
            response_ids: &[],
            height: Height(chain.height),
        },
    );
    let lagging = before.plan(&books, &policy);
    assert_eq!((lagging.actions, lagging.notes), (vec![], vec![Note::Stale]));
}

#[test]
fn without_an_escrow_records_wait_and_the_stream_is_withdrawn() {
    let (books, mut chain, policy) = (book(&signed_hours(2)), Chain::new(), policy(SettlementMode::Both));
    chain.escrows.clear();
    chain.height = 700;
    let plan = chain.plan(&books, &policy);
    assert_eq!(
        plan.actions,
        [Action::Withdraw(Message::WithdrawLease { id: lease() })]
    );
    assert_eq!((plan.notes, books.entries().count()), (vec![Note::NoEscrow], 3));
}

#[test]
fn foreign_escrows_are_refused() {
    let (books, mut chain, policy) = (
        book(&signed_hours(1)),
        Chain::new(),
        policy(SettlementMode::UsageRecords),
    );
    type Change = fn(&mut SettlementEscrow);
    let changes: [(&str, Change); 6] = [
        ("pays", |e| e.recipient = Some(TENANT.parse().unwrap())),
        ("of lease", |e| e.lease_id = "x".to_owned()),
        ("of order", |e| e.order_id = "x".to_owned()),
        ("state is refunded", |e| e.state = "refunded".to_owned()),
        ("state is active", |e| e.recipient = None),
        ("expired", |e| e.expires_at = NOON),
    ];
    for (why, change) in changes {
        chain.escrows = vec![escrow(1_000_000_000)];
        change(&mut chain.escrows[0]);
        let plan = chain.plan(&books, &policy);
        assert_eq!(plan.actions, [], "{why}");
        assert!(
            matches!(&plan.notes[0], Note::EscrowRefused { why: said, .. } if said.contains(why)),
            "{plan:?}"
        );
    }
}

#[test]
fn a_pending_escrow_of_ours_is_activated_once() {
    let (books, mut chain, policy) = (
        book(&signed_hours(1)),
        Chain::new(),
        policy(SettlementMode::UsageRecords),
    );
    chain.escrows[0] = SettlementEscrow {
        state: "pending".to_owned(),
        recipient: None,
        lease_id: String::new(),
        ..escrow(1000)
    };
    let plan_one = chain.plan(&books, &policy);
    let [Action::Activate(message)] = plan_one.actions.as_slice() else {
        panic!("{plan_one:?}")
    };
    let in_flight = [message.clone()];
    assert_eq!(plan(&books, &policy, &chain.facts(&in_flight)).actions, []);
    chain.lease.state = LeaseState::Closed;
    assert_eq!(chain.plan(&books, &policy).actions, []);
}

fn suspicious() -> Verdict {
    Verdict {
        valid: false,
        flags: vec![Flag::ExcessiveCpuUsage, Flag::ExcessiveMemoryUsage],
        score: 80,
        details: Details::default(),
    }
}

#[test]
fn a_flagged_record_waits_for_the_operator() {
    let mut recorded = signed_hours(2);
    recorded[1].verdict = suspicious();
    let flags = recorded[1].verdict.flags.clone();
    let (mut books, chain, policy) = (
        book(&recorded),
        Chain::new(),
        policy(SettlementMode::UsageRecords),
    );
    let plan = chain.plan(&books, &policy);
    assert_eq!(plan.notes, [Note::Held { sequence: 2, flags }]);
    assert_eq!(plan.actions[0].messages().len(), 10);
    assert_eq!(
        books.decide(&BooksCommand::Release { sequence: 1 }),
        Err(BooksRejected::NotHeld(1))
    );
    tell(&mut books, &BooksCommand::Release { sequence: 2 });
    assert_eq!(chain.plan(&books, &policy).actions[0].messages().len(), 15);
}

#[test]
fn the_whole_escrow_is_taken_only_when_asked_for_and_all_is_on_chain() {
    let recorded = signed_hours(2);
    let (books, mut chain) = (book(&recorded), Chain::new());
    let mut policy = policy(SettlementMode::UsageRecords);
    let Action::RecordUsage(messages) = chain.plan(&books, &policy).actions.remove(0) else {
        panic!()
    };
    chain.execute(&messages[..14]);
    chain.lease.state = LeaseState::Closed;
    policy.final_settle = true;
    let is_final = |plan: &Plan| {
        plan.actions
            .iter()
            .any(|a| matches!(a, Action::Settle(Message::SettleOrder { is_final: true, .. })))
    };
    assert!(
        !is_final(&chain.plan(&books, &policy)),
        "one charge is not on chain"
    );
    chain.execute(&messages[14..]);
    assert!(is_final(&chain.plan(&books, &policy)));
    policy.final_settle = false;
    assert!(!is_final(&chain.plan(&books, &policy)), "nobody asked for it");
    policy.final_settle = true;
    chain.lease.state = LeaseState::Active;
    assert!(!is_final(&chain.plan(&books, &policy)), "the lease runs");
    chain.lease.state = LeaseState::Closed;
    let incomplete = book(&recorded[..2]);
    assert!(
        !is_final(&chain.plan(&incomplete, &policy)),
        "the final record is missing"
    );
}

#[test]
fn a_short_escrow_pays_whole_records_first() {
    let (mut books, mut chain, mut policy) = (
        book(&signed_hours(2)),
        Chain::new(),
        policy(SettlementMode::UsageRecords),
    );
    let Action::RecordUsage(messages) = chain.plan(&books, &policy).actions.remove(0) else {
        panic!()
    };
    chain.execute(&messages);
    chain.lease.state = LeaseState::Closed;
    chain.escrows[0].balance[0].amount = 1300;
    policy.settle_fee = 1000;
    let plan = chain.plan(&books, &policy);
    let [Action::Settle(Message::SettleOrder { usage_record_ids, .. })] = plan.actions.as_slice() else {
        panic!("{plan:?}")
    };
    let cost = |id: &String| chain.usage.iter().find(|u| u.id == *id).unwrap().total_cost[0].amount;
    assert!(usage_record_ids.iter().map(cost).sum::<u128>() <= 1300);
    assert!(matches!(
        plan.notes.as_slice(),
        [Note::EscrowShort { balance: 1300, .. }]
    ));
    tell(&mut books, &BooksCommand::Observe { usage: &chain.usage });
    chain.escrows[0].balance[0].amount = 0;
    assert_eq!(chain.plan(&books, &policy).actions, []);
}

#[test]
fn usage_that_is_not_ours_is_named_and_never_settled() {
    let (books, mut chain, policy) = (
        book(&signed_hours(1)),
        Chain::new(),
        policy(SettlementMode::UsageRecords),
    );
    let Action::RecordUsage(messages) = chain.plan(&books, &policy).actions.remove(0) else {
        panic!()
    };
    chain.execute(&messages);
    let twice = chain.execute(&messages[..1]).remove(0);
    let Message::RecordUsage { mut signature, .. } = messages[0].clone() else {
        panic!()
    };
    signature[0] ^= 1;
    chain.usage.push(UsageOnChain {
        id: "usage-99".to_owned(),
        signature,
        ..chain.usage[0].clone()
    });
    chain.lease.state = LeaseState::Closed;
    let plan = chain.plan(&books, &policy);
    assert!(plan.notes.contains(&Note::ForeignUsage {
        usage_id: "usage-99".to_owned()
    }));
    assert!(plan.notes.contains(&Note::DoubleUsage {
        usage_id: twice.clone()
    }));
    let [Action::Settle(Message::SettleOrder { usage_record_ids, .. })] = plan.actions.as_slice() else {
        panic!("{plan:?}")
    };
    assert!(!usage_record_ids.contains(&"usage-99".to_owned()) && !usage_record_ids.contains(&twice));
}

#[test]
fn withdrawals_keep_their_distance() {
    let (mut books, mut chain) = (Books::new(lease()), Chain::new());
    let mut policy = policy(SettlementMode::LeaseStream);
    let wants = |books: &Books, chain: &Chain, policy: &Policy| !chain.plan(books, policy).actions.is_empty();
    chain.height = 609;
    assert!(!wants(&books, &chain, &policy));
    chain.height = 610;
    assert!(wants(&books, &chain, &policy));
    let touched = Facts {
        account_touched: Some(Height(610)),
        ..chain.facts(&[])
    };
    assert_eq!(plan(&books, &policy, &touched).actions, []);
    let mut neighbour = lease();
    neighbour.order.oseq = 2;
    let in_flight = [Message::WithdrawLease { id: neighbour }];
    assert_eq!(plan(&books, &policy, &chain.facts(&in_flight)).actions, []);
    let messages = [Message::WithdrawLease { id: lease() }];
    tell(
        &mut books,
        &BooksCommand::Landed {
            messages: &messages,
            response_ids: &[],
            height: Height(611),
        },
    );
    chain.height = 1210;
    assert!(!wants(&books, &chain, &policy));
    chain.height = 1211;
    assert!(wants(&books, &chain, &policy));
    policy.withdraw_min = 300_001;
    assert!(!wants(&books, &chain, &policy), "worth less than its fee");
    policy.withdraw_min = 300_000;
    assert!(wants(&books, &chain, &policy));
    chain.lease.state = LeaseState::Closed;
    assert!(!wants(&books, &chain, &policy));
}

#[test]
fn records_are_booked_once_and_in_order() {
    let recorded = signed_hours(3);
    let mut books = book(&recorded[..2]);
    let again = BooksCommand::Book {
        signed: &recorded[0].signed,
        verdict: &recorded[0].verdict,
    };
    assert_eq!(books.decide(&again), Ok(vec![]));
    let skipped = BooksCommand::Book {
        signed: &recorded[3].signed,
        verdict: &recorded[3].verdict,
    };
    assert_eq!(
        books.decide(&skipped),
        Err(BooksRejected::Gap {
            expected: 3,
            found: 4
        })
    );
    tell(
        &mut books,
        &BooksCommand::Book {
            signed: &recorded[2].signed,
            verdict: &recorded[2].verdict,
        },
    );
    assert_eq!(books.unpaid(), total(&recorded[..3]));
}

/// Everything is on chain, and nothing of it is paid.
fn all_on_chain(hours: i64) -> (Vec<Recorded>, Books, Chain, Policy) {
    let recorded = signed_hours(hours);
    let (mut books, mut chain) = (book(&recorded), Chain::new());
    let policy = policy(SettlementMode::UsageRecords);
    for action in chain.plan(&books, &policy).actions {
        land(&mut books, &mut chain, &action, true);
    }
    tell(&mut books, &BooksCommand::Observe { usage: &chain.usage });
    (recorded, books, chain, policy)
}

fn settles(plan: &Plan) -> bool {
    plan.actions
        .iter()
        .any(|action| matches!(action, Action::Settle(_)))
}

#[test]
fn an_escrow_that_holds_less_than_the_fee_is_not_settled() {
    let (recorded, books, mut chain, policy) = all_on_chain(3);
    assert!(total(&recorded) > policy.settle_min && settles(&chain.plan(&books, &policy)));
    for state in [LeaseState::Active, LeaseState::Closed] {
        chain.lease.state = state;
        // 94 % of it are 24,999: one less than the fee.
        chain.escrows[0].balance[0].amount = 26_595;
        let short = chain.plan(&books, &policy);
        assert!(!settles(&short), "{state:?}: {short:?}");
        assert!(
            short
                .notes
                .iter()
                .any(|note| matches!(note, Note::EscrowShort { .. }))
        );
    }
    chain.escrows[0].balance[0].amount = 1_000_000;
    chain.lease.state = LeaseState::Active;
    assert!(settles(&chain.plan(&books, &policy)));
}

#[test]
fn what_is_settled_at_the_end_is_worth_its_fee() {
    let (recorded, books, mut chain, mut policy) = all_on_chain(1);
    chain.lease.state = LeaseState::Closed;
    let ours = total(&recorded) * 94 / 100;
    policy.settle_fee = ours;
    assert!(settles(&chain.plan(&books, &policy)));
    policy.settle_fee = ours + 1;
    let waits = chain.plan(&books, &policy);
    let note = Note::NotWorthItsFee {
        escrow_id: "escrow-1".to_owned(),
        collectible: ours,
        fee: ours + 1,
    };
    assert_eq!((waits.actions, waits.notes), (vec![], vec![note]));
    policy.settle_min = total(&recorded);
    assert!(
        settles(&chain.plan(&books, &policy)),
        "the operator's least counts when it is lower"
    );
}

#[test]
fn small_charges_do_not_stand_in_the_way_of_large_ones() {
    let (recorded, books, mut chain, mut policy) = all_on_chain(3);
    chain.lease.state = LeaseState::Closed;
    let costs = recorded
        .iter()
        .flat_map(|one| &one.signed.charges)
        .map(|one| one.charge.cost);
    let largest = costs.max().unwrap();
    assert!(
        books.entries().next().unwrap().1.charges[0].0.charge.cost < largest,
        "the oldest is smaller"
    );
    policy.settled_per_tx = 1;
    policy.settle_fee = largest * 94 / 100;
    let plan = chain.plan(&books, &policy);
    let [Action::Settle(Message::SettleOrder { usage_record_ids, .. })] = plan.actions.as_slice() else {
        panic!("{plan:?}")
    };
    let named = chain
        .usage
        .iter()
        .find(|usage| usage.id == usage_record_ids[0])
        .unwrap();
    assert_eq!((usage_record_ids.len(), named.total_cost[0].amount), (1, largest));
}

#[test]
fn usage_that_an_escrow_cannot_pay_is_not_put_on_chain() {
    let recorded = signed_hours(3);
    let (mut books, mut chain) = (book(&recorded), Chain::new());
    let policy = policy(SettlementMode::UsageRecords);
    let first = recorded[0]
        .signed
        .charges
        .iter()
        .map(|one| one.charge.cost)
        .sum::<u128>();
    for (balance, records) in [
        (0, 0),
        (policy.record_fee - 1, 0),
        (first, 1),
        (first + policy.record_fee, 2),
    ] {
        chain.escrows[0].balance[0].amount = balance;
        let wanted: Vec<Message> = chain
            .plan(&books, &policy)
            .actions
            .iter()
            .flat_map(|a| a.messages().to_vec())
            .collect();
        assert_eq!(wanted.len(), records * 5, "the escrow holds {balance}");
        assert_eq!(
            plan(&books, &policy, &chain.facts(&wanted)).actions,
            [],
            "nothing more while these are under way"
        );
    }
    // What is on chain already has the first claim on the escrow.
    chain.escrows[0].balance[0].amount = first;
    let action = chain.plan(&books, &policy).actions.remove(0);
    land(&mut books, &mut chain, &action, true);
    assert_eq!(chain.plan(&books, &policy).actions, []);
    chain.escrows[0].balance[0].amount = first * 2;
    assert_eq!(chain.plan(&books, &policy).actions[0].messages().len(), 5);
}

#[test]
fn usage_that_nobody_will_settle_is_not_put_on_chain() {
    let recorded = signed_hours(1);
    let (books, mut chain) = (book(&recorded), Chain::new());
    let mut policy = policy(SettlementMode::UsageRecords);
    policy.settle_fee = total(&recorded);
    assert_eq!(
        chain.plan(&books, &policy).actions.len(),
        1,
        "more may come while the lease runs"
    );
    chain.lease.state = LeaseState::Closed;
    assert_eq!(chain.plan(&books, &policy).actions, []);
    policy.settle_fee /= 2;
    assert_eq!(chain.plan(&books, &policy).actions.len(), 1);
}

#[test]
fn a_released_record_is_sent_once_and_paid_once_after_its_successors() {
    let mut recorded = signed_hours(3);
    recorded[1].verdict = suspicious();
    let (mut books, mut chain, policy) = (
        book(&recorded),
        Chain::new(),
        policy(SettlementMode::UsageRecords),
    );
    let held = |books: &Books| {
        books
            .held()
            .map(|(sequence, held)| (sequence, held.score))
            .collect::<Vec<_>>()
    };
    for _ in 0..4 {
        for action in chain.plan(&books, &policy).actions {
            land(&mut books, &mut chain, &action, true);
        }
        tell(&mut books, &BooksCommand::Observe { usage: &chain.usage });
    }
    let flagged = recorded[1].signed.charges.clone();
    assert_eq!((held(&books), chain.usage.len()), (vec![(2, 80)], 15));
    assert_eq!(
        books.unpaid(),
        flagged.iter().map(|one| one.charge.cost).sum::<u128>()
    );
    assert!(!books.is_finished(), "what is held is not forgotten");
    // A daemon that restarts still knows what it holds.
    books = serde_json::from_str(&serde_json::to_string(&books).unwrap()).unwrap();
    tell(&mut books, &BooksCommand::Release { sequence: 2 });
    assert_eq!(held(&books), []);
    assert_eq!(
        books.decide(&BooksCommand::Release { sequence: 2 }),
        Err(BooksRejected::NotHeld(2)),
        "a second release changes nothing"
    );
    // Booked again, e.g. when the journal is read anew, it is not held again.
    let again = BooksCommand::Book {
        signed: &recorded[1].signed,
        verdict: &recorded[1].verdict,
    };
    assert_eq!(books.decide(&again), Ok(vec![]));
    chain.lease.state = LeaseState::Closed;
    for _ in 0..4 {
        for action in chain.plan(&books, &policy).actions {
            land(&mut books, &mut chain, &action, true);
        }
        tell(&mut books, &BooksCommand::Observe { usage: &chain.usage });
    }
    let mut signatures: Vec<&[u8]> = chain
        .usage
        .iter()
        .map(|usage| usage.signature.as_slice())
        .collect();
    signatures.sort_unstable();
    signatures.dedup();
    assert_eq!(
        (chain.usage.len(), signatures.len()),
        (20, 20),
        "no gap and no duplicate"
    );
    assert_eq!(
        (chain.settled, books.unpaid(), books.is_finished()),
        (total(&recorded), 0, true)
    );
}

#[test]
fn a_stream_that_ran_dry_is_withdrawn_so_that_the_chain_ends_the_lease() {
    // The account is not asked; see spec/chain.md B.5: only a touch makes the chain notice an overdraft.
    let (books, mut chain) = (Books::new(lease()), Chain::new());
    let policy = policy(SettlementMode::LeaseStream);
    chain.height = 1_000_000;
    chain.escrows.clear();
    let withdrawal = [Action::Withdraw(Message::WithdrawLease { id: lease() })];
    assert_eq!(chain.plan(&books, &policy).actions, withdrawal);
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Lands, and we hear of it.
    Lands,
    /// Lands, and we do not hear of it.
    LandsUnnoticed,
    /// Never lands.
    Lost,
    /// Is still under way when the next plan is made, and lands then.
    Slow,
    /// The daemon restarts in between.
    Restart,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn every_charge_is_recorded_and_paid_exactly_once(
        fates in prop::collection::vec(
            prop_oneof![
                Just(Fate::Lands), Just(Fate::LandsUnnoticed), Just(Fate::Lost), Just(Fate::Slow), Just(Fate::Restart)
            ],
            0..20,
        ),
        hours in 1..8_i64,
        flagged in prop::collection::vec(any::<bool>(), 8),
        released_at in 0..20_usize,
    ) {
        let mut recorded = signed_hours(hours);
        for (one, _) in recorded.iter_mut().zip(&flagged).filter(|(_, flagged)| **flagged) {
            one.verdict = suspicious();
        }
        let (mut books, mut chain) = (book(&recorded), Chain::new());
        let mut policy = policy(SettlementMode::UsageRecords);
        policy.records_per_tx = 7;
        policy.settled_per_tx = 9;
        policy.settle_fee = 1;
        chain.lease.state = LeaseState::Closed;
        let mut slow: Vec<Action> = Vec::new();
        let calm = std::iter::repeat_n(Fate::Lands, 40);
        for (round, fate) in fates.into_iter().chain(calm).enumerate() {
            if round == released_at {
                let held: Vec<u64> = books.held().map(|(sequence, _)| sequence).collect();
                prop_assert_eq!(held.len(), recorded.iter().filter(|one| !one.verdict.valid).count());
                for sequence in held {
                    tell(&mut books, &BooksCommand::Release { sequence });
                }
            }
            if round < released_at {
                let sent = |signature: &Vec<u8>| chain.usage.iter().any(|usage| usage.signature == *signature);
                let mut flagged = recorded.iter().filter(|one| !one.verdict.valid).flat_map(|one| &one.signed.charges);
                prop_assert!(!flagged.any(|charge| sent(&charge.signature)), "sent before its release");
            }
            let in_flight: Vec<Message> = slow.iter().flat_map(|a| a.messages().to_vec()).collect();
            let wanted = plan(&books, &policy, &chain.facts(&in_flight)).actions;
            for action in core::mem::take(&mut slow) {
                land(&mut books, &mut chain, &action, true);
            }
            for action in wanted {
                match fate {
                    Fate::Lands => land(&mut books, &mut chain, &action, true),
                    Fate::LandsUnnoticed => land(&mut books, &mut chain, &action, false),
                    Fate::Slow => slow.push(action),
                    Fate::Lost => {}
                    Fate::Restart => {
                        let text = serde_json::to_string(&books).unwrap();
                        books = serde_json::from_str(&text).unwrap();
                    }
                }
            }
            tell(&mut books, &BooksCommand::Observe { usage: &chain.usage });
        }
        let mut times: BTreeMap<&[u8], u32> = BTreeMap::new();
        for usage in &chain.usage {
            *times.entry(usage.signature.as_slice()).or_default() += 1;
        }
        prop_assert!(times.values().all(|n| *n == 1), "a charge is on chain twice");
        prop_assert_eq!(times.len(), recorded.iter().map(|one| one.signed.charges.len()).sum::<usize>());
        prop_assert_eq!(chain.settled, total(&recorded));
        prop_assert!(books.is_finished());
    }
}

fn land(books: &mut Books, chain: &mut Chain, action: &Action, noticed: bool) {
    let ids = chain.execute(action.messages());
    if noticed {
        let (messages, height) = (action.messages(), Height(chain.height));
        tell(
            books,
            &BooksCommand::Landed {
                messages,
                response_ids: &ids,
                height,
            },
        );
    }
}
