//! Whatever messages come in whatever order: no coin is made or lost, no claim exceeds the pool, nothing panics the program.

use std::sync::Arc;

use proptest::prelude::*;
use prost::Message as _;

use crate::genesis::{Genesis, TEST_ACCOUNTS, TestAccount};
use crate::machine::Machine;
use crate::rules::accounts::ESCROW_POOL;
use crate::rules::bank;
use crate::state::address;
use crate::state::amount::{DENOM, dec_of};
use crate::state::context::Context;
use crate::state::failure::Failure;
use crate::state::gas::GasMeter;
use crate::state::store::{Overlay, Store, View as _, Writes};
use crate::state::time::BlockTime;
use crate::tx::message::Msg;
use crate::wire::coin::{Coin, DecCoin};
use crate::wire::{attr, bank as pb_bank, deposit, dv1, dv4, eid, et, ev1, mv1, mv5, res, sv1};

/// One step of a random life: a message or some blocks.
#[derive(Debug, Clone)]
enum Step {
    Say(Box<Msg>),
    Wait(u8),
}

fn named(name: &str) -> String {
    TestAccount::named(name).unwrap().address.to_owned()
}

fn coin(amount: u64) -> Coin {
    Coin {
        denom: DENOM.to_owned(),
        amount: amount.to_string(),
    }
}

fn put(amount: u64) -> Option<deposit::Deposit> {
    Some(deposit::Deposit {
        amount: Some(coin(amount)),
        sources: vec![1],
    })
}

fn price(scaled: u128) -> Option<DecCoin> {
    Some(DecCoin {
        denom: DENOM.to_owned(),
        amount: scaled.to_string(),
    })
}

fn value(n: u64) -> Option<res::ResourceValue> {
    Some(res::ResourceValue {
        val: n.to_string().into_bytes(),
    })
}

fn group(name: &str) -> dv4::GroupSpec {
    dv4::GroupSpec {
        name: name.to_owned(),
        requirements: Some(attr::PlacementRequirements::default()),
        resources: vec![dv4::ResourceUnit {
            resource: Some(res::Resources {
                id: 1,
                cpu: Some(res::Cpu {
                    units: value(10),
                    ..res::Cpu::default()
                }),
                memory: Some(res::Memory {
                    quantity: value(1 << 20),
                    ..res::Memory::default()
                }),
                storage: vec![res::Storage {
                    quantity: value(5 << 20),
                    ..res::Storage::default()
                }],
                gpu: Some(res::Gpu {
                    units: value(0),
                    ..res::Gpu::default()
                }),
                ..res::Resources::default()
            }),
            count: 1,
            price: price(200_000_000_000_000_000_000_000),
        }],
    }
}

fn bid_id() -> impl Strategy<Value = mv1::BidId> {
    (1..3_u64, 1..3_u32, 1..4_u32, 0..3_usize).prop_map(|(dseq, gseq, oseq, who)| mv1::BidId {
        owner: named("alice"),
        dseq,
        gseq,
        oseq,
        provider: named(["bob", "charlie", "operator"][who]),
        bseq: 0,
    })
}

fn group_id() -> impl Strategy<Value = Option<dv1::GroupId>> {
    (1..3_u64, 1..3_u32).prop_map(|(dseq, gseq)| {
        Some(dv1::GroupId {
            owner: named("alice"),
            dseq,
            gseq,
        })
    })
}

fn market_step() -> impl Strategy<Value = Msg> {
    let lease = |id: &mv1::BidId| Some(crate::state::keys::lease_of_bid(id));
    prop_oneof![
        (1..3_u64, 1..3_usize, 500_000..2_000_000_u64).prop_map(|(dseq, groups, amount)| {
            Msg::CreateDeployment(dv4::MsgCreateDeployment {
                id: Some(dv1::DeploymentId {
                    owner: named("alice"),
                    dseq,
                }),
                groups: (0..groups).map(|g| group(&g.to_string())).collect(),
                hash: vec![1; 32],
                deposit: put(amount),
            })
        }),
        // Fractions of a coin per block as well as a rate that overdraws at once.
        (bid_id(), 1..200_000_000_000_000_000_000_000_u128).prop_map(|(id, scaled)| {
            Msg::CreateBid(mv5::MsgCreateBid {
                id: Some(id),
                price: price(scaled),
                deposit: put(500_000),
                resources_offer: Vec::new(),
            })
        }),
        bid_id().prop_map(|id| Msg::CreateLease(mv5::MsgCreateLease { bid_id: Some(id) })),
        bid_id().prop_map(move |id| Msg::WithdrawLease(mv5::MsgWithdrawLease { id: lease(&id) })),
        bid_id().prop_map(|id| Msg::CloseBid(mv5::MsgCloseBid {
            id: Some(id),
            reason: 10_000
        })),
        bid_id().prop_map(move |id| Msg::CloseLease(mv5::MsgCloseLease {
            id: lease(&id),
            reason: 1
        })),
    ]
}

fn other_step() -> impl Strategy<Value = Msg> {
    let order = (1..3_u8).prop_map(|n| format!("order-{n}"));
    let sender = prop_oneof![Just("alice"), Just("bob")].prop_map(named);
    prop_oneof![
        group_id().prop_map(|id| Msg::PauseGroup(dv4::MsgPauseGroup { id })),
        group_id().prop_map(|id| Msg::StartGroup(dv4::MsgStartGroup { id })),
        group_id().prop_map(|id| Msg::CloseGroup(dv4::MsgCloseGroup { id })),
        (1..3_u64).prop_map(|dseq| Msg::CloseDeployment(dv4::MsgCloseDeployment {
            id: Some(dv1::DeploymentId {
                owner: named("alice"),
                dseq
            })
        })),
        (1..3_u64, 1..3_000_000_u64).prop_map(|(dseq, amount)| Msg::AccountDeposit(ev1::MsgAccountDeposit {
            signer: named("operator"),
            id: Some(eid::Account {
                scope: 1,
                xid: format!("{}/{dseq}", named("alice"))
            }),
            deposit: put(amount),
        })),
        (order.clone(), 1..10_000_u64).prop_map(|(order_id, amount)| Msg::CreateEscrow(
            sv1::MsgCreateEscrow {
                sender: named("bob"),
                order_id,
                amount: vec![coin(amount)],
                expires_in: 3600,
            }
        )),
        (1..4_u8).prop_map(|n| Msg::ActivateEscrow(sv1::MsgActivateEscrow {
            sender: named("bob"),
            escrow_id: format!("escrow-{n}"),
            lease_id: "l".to_owned(),
            recipient: named("bob"),
        })),
        (order.clone(), 1..5000_u64, 1..3_000_000_000_000_000_000_u128).prop_map(
            |(order_id, units, scaled)| {
                Msg::RecordUsage(sv1::MsgRecordUsage {
                    sender: named("bob"),
                    order_id,
                    lease_id: "l".to_owned(),
                    usage_units: units,
                    usage_type: "cpu".to_owned(),
                    period_start: 1,
                    period_end: 2,
                    unit_price: price(scaled),
                    signature: vec![1],
                })
            }
        ),
        (order, sender, any::<bool>()).prop_map(|(order_id, sender, is_final)| Msg::SettleOrder(
            sv1::MsgSettleOrder {
                sender,
                order_id,
                usage_record_ids: Vec::new(),
                is_final
            }
        )),
        (1..4_u8).prop_map(|n| Msg::RefundEscrow(sv1::MsgRefundEscrow {
            sender: named("bob"),
            escrow_id: format!("escrow-{n}"),
            reason: String::new(),
        })),
        (1..1_000_000_u64).prop_map(|amount| Msg::Send(pb_bank::MsgSend {
            from_address: named("alice"),
            to_address: named("bob"),
            amount: vec![coin(amount)],
        })),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => market_step().prop_map(|m| Step::Say(Box::new(m))),
        2 => other_step().prop_map(|m| Step::Say(Box::new(m))),
        2 => (1..5_u8).prop_map(Step::Wait),
    ]
}

struct World {
    store: Store,
    writes: Writes,
    rules: Arc<crate::genesis::Rules>,
    height: i64,
}

impl World {
    fn new() -> Self {
        let genesis = Genesis::default();
        let machine = Machine::new(&genesis, BlockTime::default()).unwrap();
        Self {
            store: machine.store().clone(),
            writes: Writes::new(),
            rules: Arc::new(genesis.rules),
            height: 1,
        }
    }

    fn with<T>(&mut self, work: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let mut ctx = Context {
            store: Overlay::new(&self.store, core::mem::take(&mut self.writes)),
            gas: GasMeter::unlimited(),
            events: Vec::new(),
            height: self.height,
            time: BlockTime {
                seconds: self.height * 1000,
                nanos: 0,
            },
            rules: Arc::clone(&self.rules),
        };
        let out = work(&mut ctx);
        self.writes = ctx.store.into_writes();
        out
    }

    fn live(&mut self, step: Step) {
        match step {
            Step::Wait(blocks) => {
                self.height += i64::from(blocks);
                self.with(|ctx| ctx.atomically(crate::rules::settlement::end_block))
                    .unwrap();
            }
            Step::Say(message) => {
                let done = message
                    .check()
                    .and_then(|()| self.with(|ctx| ctx.atomically(|ctx| message.run(ctx))));
                if let Err(Failure::Panic(text)) = done {
                    // The only panic that these messages may provoke.
                    assert!(text.contains("couldn't find payment"), "{text}");
                }
            }
        }
    }
}

/// Every coin that anybody has.
fn supply(ctx: &Context<'_>) -> i128 {
    ctx.store
        .scan(b"balance/")
        .values()
        .map(|v| core::str::from_utf8(v).unwrap().parse::<i128>().unwrap())
        .sum()
}

/// What accounts and payments claim of the escrow pool, checked one by one, scaled by 10¹⁸.
fn claims(ctx: &mut Context<'_>) -> i128 {
    let mut total = 0;
    for account in ctx.list::<et::Account>(b"account/").unwrap() {
        let state = account.state.unwrap();
        let funds = dec_of(&state.funds[0].amount).unwrap();
        let deposits: i128 = state
            .deposits
            .iter()
            .map(|d| dec_of(&d.balance.clone().unwrap().amount).unwrap().scaled())
            .sum();
        match state.state() {
            et::State::Open => assert_eq!(funds.scaled(), deposits, "an open account holds its deposits"),
            et::State::Closed => assert_eq!(deposits, 0, "a closed account holds nothing"),
            other => {
                assert_eq!(other, et::State::Overdrawn);
                assert!(!funds.is_positive() && deposits == 0, "an overdrawn account owes");
            }
        }
        total += deposits;
    }
    for payment in ctx.list::<et::Payment>(b"payment/").unwrap() {
        let balance = dec_of(&payment.state.unwrap().balance.unwrap().amount).unwrap();
        assert!(!balance.is_negative());
        total += balance.scaled();
    }
    total
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn coins_are_conserved_and_claims_are_covered(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        let all = i128::try_from(TEST_ACCOUNTS.len()).unwrap() * 100_000_000_000;
        for step in steps {
            world.live(step);
            world.with(|ctx| {
                assert_eq!(supply(ctx), all);
                let pool = bank::balance(ctx, &address::of_module(ESCROW_POOL), DENOM).unwrap();
                assert!(claims(ctx) <= pool * 1_000_000_000_000_000_000);
            });
        }
    }

    #[test]
    fn random_bytes_never_panic_the_machine(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut machine = Machine::new(&Genesis::default(), BlockTime::default()).unwrap();
        prop_assert_ne!(machine.check(&bytes, crate::ante::Mode::Check).code, 0);
        machine.simulate(&bytes);
        machine.query("/virtengine.market.v1beta5.Query/Orders", &bytes, 0);
    }

    #[test]
    fn a_damaged_transaction_is_refused(at in 0..300_usize, byte in any::<u8>(), cut in 0..400_usize) {
        let mut bytes = hex::decode(crate::tx::decode::BID_TX).unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(cut.max(1));
        let mut machine = Machine::new(&Genesis::default(), BlockTime::default()).unwrap();
        // Undamaged it is refused too: its sequence is 7.
        prop_assert_ne!(machine.check(&bytes, crate::ante::Mode::Check).code, 0);
        machine.block(BlockTime { seconds: 1, nanos: 0 }, vec![bytes.into()]);
    }

    #[test]
    fn random_groups_are_checked_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = dv4::MsgCreateDeployment::decode(bytes.as_slice()) {
            let _refused = Msg::CreateDeployment(message).check();
        }
    }
}
