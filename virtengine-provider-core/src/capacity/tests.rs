use alloc::string::ToString;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::ports::adapter::Inventory;
use crate::time::Timestamp;
use crate::units::Resources;

const NOW: Timestamp = Timestamp::EPOCH;

fn cores(cores: u64) -> Resources {
    Resources {
        cpu_millis: cores * 1000,
        ..Resources::ZERO
    }
}

fn inventory(capacity: u64, foreign: u64) -> Inventory {
    Inventory {
        capacity: cores(capacity),
        foreign_use: cores(foreign),
    }
}

fn key(n: u8) -> ReservationKey {
    ReservationKey::Workload(crate::id::WorkloadId::local(&[n]))
}

fn order_key(dseq: u64) -> ReservationKey {
    let owner = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f".parse().unwrap();
    ReservationKey::Order(crate::id::OrderId::new(owner, dseq, 1, 1))
}

fn apply(ledger: &mut Ledger, command: &Command) -> Result<Vec<Event>, Rejected> {
    let events = ledger.decide(command, NOW)?;
    for event in &events {
        ledger.evolve(event);
    }
    Ok(events)
}

fn reserve(key: ReservationKey, resources: Resources) -> Command {
    Command::Reserve {
        key,
        resources,
        kind: ReservationKind::Bid,
    }
}

#[test]
fn the_last_core_is_sold_once() {
    let mut ledger = Ledger::new(cores(4), cores(1));
    assert_eq!(ledger.available(), cores(3));
    assert!(apply(&mut ledger, &reserve(key(1), cores(3))).is_ok());
    let refused = apply(&mut ledger, &reserve(key(2), cores(1)));
    assert!(matches!(refused, Err(Rejected::NoRoom { .. })));
    apply(&mut ledger, &Command::Free { key: key(1) }).unwrap();
    assert!(apply(&mut ledger, &reserve(key(2), cores(3))).is_ok());
}

#[test]
fn a_bid_that_becomes_a_lease_is_not_counted_twice() {
    let mut ledger = Ledger::new(cores(4), cores(0));
    apply(&mut ledger, &reserve(order_key(7), cores(2))).unwrap();
    apply(&mut ledger, &Command::Convert { key: order_key(7) }).unwrap();
    assert_eq!(ledger.available(), cores(2));
    assert_eq!(ledger.reserved_as(ReservationKind::Lease), cores(2));
    assert_eq!(ledger.reserved_as(ReservationKind::Bid), Resources::ZERO);
    assert!(
        apply(&mut ledger, &Command::Convert { key: order_key(7) })
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_shrunken_capacity_frees_nothing_and_sells_nothing() {
    let mut ledger = Ledger::new(cores(8), cores(0));
    apply(&mut ledger, &reserve(key(1), cores(6))).unwrap();
    apply(&mut ledger, &Command::Observe(inventory(4, 0))).unwrap();
    assert!(ledger.is_over_committed());
    assert_eq!(
        (ledger.reserved(), ledger.available()),
        (cores(6), Resources::ZERO)
    );
    assert!(apply(&mut ledger, &reserve(key(2), Resources::ZERO)).is_err());
    apply(&mut ledger, &Command::Observe(inventory(8, 0))).unwrap();
    assert!(!ledger.is_over_committed());
    assert!(apply(&mut ledger, &reserve(key(2), cores(2))).is_ok());
}

#[test]
fn a_lease_on_chain_is_held_even_when_there_is_no_room() {
    let mut ledger = Ledger::new(cores(1), cores(0));
    let adopt = Command::Adopt {
        key: order_key(1),
        resources: cores(5),
        kind: ReservationKind::Lease,
    };
    apply(&mut ledger, &adopt).unwrap();
    assert!(ledger.is_over_committed());
    assert_eq!(ledger.available(), Resources::ZERO);
}

#[test]
fn sums_beyond_the_type_are_refused() {
    let mut ledger = Ledger::new(cores(1), cores(0));
    let most = Resources {
        cpu_millis: u64::MAX,
        ..Resources::ZERO
    };
    let adopt = |n, resources| Command::Adopt {
        key: key(n),
        resources,
        kind: ReservationKind::Lease,
    };
    apply(&mut ledger, &adopt(1, most)).unwrap();
    assert_eq!(apply(&mut ledger, &adopt(2, cores(1))), Err(Rejected::Overflow));
}

#[test]
fn a_repeated_report_is_no_event() {
    let mut ledger = Ledger::new(cores(8), cores(0));
    let observe = Command::Observe(inventory(8, 1));
    assert_eq!(apply(&mut ledger, &observe).unwrap().len(), 1);
    assert!(apply(&mut ledger, &observe).unwrap().is_empty());
    let configure = Command::Configure {
        ceiling: cores(8),
        kept_back: cores(0),
    };
    assert!(apply(&mut ledger, &configure).unwrap().is_empty());
}

#[test]
fn only_the_unexplained_difference_is_an_alert() {
    assert!(differences(&cores(8), &inventory(16, 0)).is_empty());
    let foreign = differences(&cores(8), &inventory(8, 2));
    assert_eq!((foreign.len(), foreign[0].is_alert()), (1, false));
    let lost = differences(&cores(8), &inventory(6, 0));
    assert_eq!((lost[0].configured, lost[0].observed), (8000, 6000));
    assert!(lost[0].is_alert());
    assert!(
        lost[0]
            .to_string()
            .contains("8000 millicores configured but 6000 millicores observed")
    );
}

#[test]
fn keys_survive_their_text_form() {
    for key in [key(1), order_key(3)] {
        assert_eq!(key.to_string().parse::<ReservationKey>().unwrap(), key);
    }
    assert!("a/b".parse::<ReservationKey>().is_err());
}

fn any_command() -> impl Strategy<Value = Command> {
    let resources = (0..6_u64, 0..4_u64).prop_map(|(cpu, gpus)| Resources {
        cpu_millis: cpu * 1000,
        gpus,
        ..Resources::ZERO
    });
    let kind = prop_oneof![
        Just(ReservationKind::Bid),
        Just(ReservationKind::Lease),
        Just(ReservationKind::Local)
    ];
    prop_oneof![
        5 => (0..8_u8, resources.clone(), kind).prop_map(|(n, resources, kind)| Command::Reserve {
            key: key(n),
            resources,
            kind
        }),
        2 => (0..8_u8).prop_map(|n| Command::Convert { key: key(n) }),
        3 => (0..8_u8).prop_map(|n| Command::Free { key: key(n) }),
        1 => resources.prop_map(|ceiling| Command::Configure {
            ceiling,
            kept_back: Resources::ZERO
        }),
    ]
}

proptest! {
    #[test]
    fn reservations_never_exceed_what_there_was_room_for(
        commands in proptest::collection::vec(any_command(), 0..60)
    ) {
        let full = Resources { cpu_millis: 10_000, gpus: 6, ..Resources::ZERO };
        let mut ledger = Ledger::new(full, Resources::ZERO);
        let mut journal = Vec::new();
        for command in &commands {
            let before = ledger.reserved();
            let events = apply(&mut ledger, command).unwrap_or_default();
            if ledger.reserved() != before && !matches!(command, Command::Free { .. }) {
                prop_assert!(ledger.reserved().fits_in(&ledger.capacity()));
            }
            let sum = ledger.iter().try_fold(Resources::ZERO, |sum, (_, held)| sum.checked_add(&held.resources));
            prop_assert_eq!(sum, Ok(ledger.reserved()));
            // A replayed event changes nothing.
            let after = ledger.clone();
            for event in events.iter().filter(|event| !matches!(event, Event::CapacityConfigured { .. })) {
                ledger.evolve(event);
            }
            prop_assert_eq!(&after, &ledger);
            journal.extend(events);
        }
        let mut replayed = Ledger::new(full, Resources::ZERO);
        for event in &journal {
            replayed.evolve(event);
        }
        prop_assert_eq!(&replayed, &ledger);
        let text = serde_json::to_string(&ledger).unwrap();
        prop_assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
    }
}
