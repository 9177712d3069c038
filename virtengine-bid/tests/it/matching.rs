//! Everything that an order states is checked.

use virtengine_bid::reason::DeclineReason;
use virtengine_bid::{Event, Policy, Profile};
use virtengine_provider_core::market::{Endpoint, EndpointKind, Order};

use crate::fixture::{ALICE, Desk, alice, attribute, bob, cores, order, policy, price, unit};

/// The answer of a provider with `change`d policy to a `change`d order: the reason to decline, or `None` for a bid.
fn answer(
    change_policy: impl FnOnce(&mut Policy),
    change_order: impl FnOnce(&mut Order),
) -> Option<DeclineReason> {
    let (mut policy, mut order) = (policy(), order(1));
    policy.profile = profile();
    change_policy(&mut policy);
    change_order(&mut order);
    let mut desk = Desk::new(policy, cores(100));
    desk.see(order);
    let mut reasons = desk.settle().into_iter().filter_map(|event| match event {
        Event::OrderDeclined { reason, .. } => Some(Some(reason)),
        Event::BidDecided { .. } => Some(None),
        _ => None,
    });
    let answer = reasons.next().expect("neither declined nor bid");
    assert_eq!(reasons.next(), None, "decided twice");
    answer
}

fn profile() -> Profile {
    Profile {
        attributes: vec![
            attribute("region", "us-east"),
            attribute("tier", "community"),
            attribute("capabilities/gpu/vendor/nvidia/model/a100", "true"),
            attribute("capabilities/gpu/vendor/nvidia/model/a100/ram/80Gi", "true"),
            attribute("capabilities/storage/1/class", "beta2"),
            attribute("capabilities/storage/1/persistent", "true"),
            attribute("capabilities/storage/2/class", "ram"),
            attribute("capabilities/storage/2/persistent", "false"),
        ],
        ..Profile::default()
    }
}

fn same(_: &mut Policy) {}

#[test]
fn an_order_without_wishes_is_bid_on() {
    assert_eq!(answer(same, |_| {}), None);
}

#[test]
fn attributes_compare_key_by_glob_and_value_exactly() {
    let check = |key: &str, value: &str, bid: bool| {
        let answer = answer(same, |order| order.spec.attributes = vec![attribute(key, value)]);
        assert_eq!(answer.is_none(), bid, "{key}={value}");
        if let Some(reason) = answer {
            let (key, value) = (key.to_owned(), value.to_owned());
            assert_eq!(reason, DeclineReason::Attribute { key, value });
        }
    };
    check("region", "us-east", true);
    check("region", "us-*", false);
    check("region", "US-EAST", false);
    check("reg*", "us-east", true);
    check("tier", "community", true);
    check("feature", "x", false);
}

#[test]
fn a_region_that_is_not_served_is_declined_by_name() {
    let serve = |policy: &mut Policy| policy.profile.regions = vec!["eu-west".to_owned()];
    let wants = |order: &mut Order| order.spec.attributes = vec![attribute("region", "us-east")];
    let region = "us-east".to_owned();
    assert_eq!(answer(serve, wants), Some(DeclineReason::Region { region }));
    assert_eq!(answer(serve, |_| {}), None);
}

#[test]
fn auditors_must_have_signed_what_is_wanted() {
    let wants = |any: bool| {
        move |order: &mut Order| {
            order.spec.attributes = vec![attribute("region", "us-east")];
            let by = if any {
                &mut order.spec.signed_by_any_of
            } else {
                &mut order.spec.signed_by_all_of
            };
            by.push(alice());
        }
    };
    let audited = |key: &'static str| {
        move |policy: &mut Policy| {
            policy
                .profile
                .audited
                .insert(alice(), vec![attribute(key, "us-east")]);
        }
    };
    for any in [true, false] {
        let auditors = vec![alice()];
        let missing = Some(DeclineReason::NotAudited { auditors, all: !any });
        assert_eq!(answer(same, wants(any)), missing);
        assert_eq!(answer(audited("zone"), wants(any)), missing);
        assert_eq!(answer(audited("region"), wants(any)), None);
    }
    assert!(answer(same, wants(true)).unwrap().to_string().contains(ALICE));
}

#[test]
fn one_of_the_wanted_gpus_must_be_there() {
    let check = |wanted: &[&str], bid: bool| {
        let answer = answer(
            |policy| policy.prices.gpu_price_per_hour = policy.prices.cpu_price_per_core,
            |order| {
                order.spec.resources[0].gpus = 1;
                order.spec.resources[0].gpu_attributes =
                    wanted.iter().map(|key| attribute(key, "true")).collect();
            },
        );
        // There is no GPU to give in this ledger: a match is too large for it.
        match answer {
            Some(DeclineReason::TooLarge { .. }) => assert!(bid, "{wanted:?}"),
            Some(DeclineReason::Gpu { .. }) => assert!(!bid, "{wanted:?}"),
            other => panic!("{other:?}"),
        }
    };
    check(&[], true);
    check(&["vendor/nvidia/model/a100"], true);
    check(
        &["vendor/amd/model/mi100", "vendor/nvidia/model/a100/ram/80Gi"],
        true,
    );
    check(&["vendor/nvidia/model/*"], true);
    check(&["vendor/nvidia/model/h100"], false);
    check(&["vendor/nvidia/model/a100/ram/40Gi"], false);
}

#[test]
fn what_a_volume_wants_must_be_in_one_kind_of_storage() {
    let check = |wanted: &[(&str, &str)], missing: Option<&str>| {
        let answer = answer(same, |order| {
            order.spec.resources[0].storage[0].attributes =
                wanted.iter().map(|(key, value)| attribute(key, value)).collect();
        });
        match answer {
            None => assert_eq!(missing, None, "{wanted:?}"),
            Some(DeclineReason::Storage { key, .. }) => assert_eq!(Some(key.as_str()), missing),
            other => panic!("{other:?}"),
        }
    };
    check(&[("class", "beta2"), ("persistent", "true")], None);
    check(&[("class", "ram"), ("persistent", "false")], None);
    check(&[("class", "ram"), ("persistent", "true")], Some("class"));
    check(&[("persistent", "true"), ("class", "beta3")], Some("class"));
    let volatile = |policy: &mut Policy| policy.profile.persistent_storage = false;
    let wants = |order: &mut Order| {
        order.spec.resources[0].storage[0].attributes =
            vec![attribute("class", "beta2"), attribute("persistent", "true")];
    };
    assert!(matches!(
        answer(volatile, wants),
        Some(DeclineReason::Storage { .. })
    ));
}

#[test]
fn cpu_memory_and_endpoints_are_checked_too() {
    let arm = |order: &mut Order| order.spec.resources[0].cpu_attributes = vec![attribute("arch", "arm64")];
    assert!(matches!(answer(same, arm), Some(DeclineReason::Cpu { .. })));
    let amd = |order: &mut Order| order.spec.resources[0].cpu_attributes = vec![attribute("arch", "amd64")];
    assert_eq!(answer(same, amd), None);
    let ecc = |order: &mut Order| order.spec.resources[0].memory_attributes = vec![attribute("ecc", "true")];
    assert!(matches!(answer(same, ecc), Some(DeclineReason::Memory { .. })));
    let has_ecc = |policy: &mut Policy| {
        policy
            .profile
            .attributes
            .push(attribute("capabilities/memory/ecc", "true"));
    };
    assert_eq!(answer(has_ecc, ecc), None);
    let address = |order: &mut Order| {
        order.spec.resources[0].endpoints = vec![Endpoint {
            kind: EndpointKind::LeasedIp,
            sequence_number: 1,
        }];
    };
    let kind = EndpointKind::LeasedIp;
    assert_eq!(answer(same, address), Some(DeclineReason::Endpoint { kind }));
    let has_addresses = |policy: &mut Policy| policy.profile.endpoints.push(EndpointKind::LeasedIp);
    assert_eq!(answer(has_addresses, address), None);
}

#[test]
fn owners_are_checked() {
    assert_eq!(
        answer(|policy| policy.provider = alice(), |_| {}),
        Some(DeclineReason::OwnOrder)
    );
    let block = |policy: &mut Policy| {
        policy.blocked_owners.insert(alice());
    };
    assert_eq!(answer(block, |_| {}), Some(DeclineReason::OwnerBlocked));
    let only_bob = |policy: &mut Policy| {
        policy.allowed_owners.insert(bob());
    };
    assert_eq!(answer(only_bob, |_| {}), Some(DeclineReason::OwnerNotAllowed));
    let only_alice = |policy: &mut Policy| {
        policy.allowed_owners.insert(alice());
    };
    assert_eq!(answer(only_alice, |_| {}), None);
}

#[test]
fn other_money_is_declined() {
    let other = |order: &mut Order| {
        order.spec.resources.push(unit());
        order.spec.resources[1].price.denom = "uakt".parse().unwrap();
    };
    assert!(matches!(answer(same, other), Some(DeclineReason::Denom { .. })));
}

#[test]
fn senseless_orders_are_declined_not_crashed_on() {
    let malformed = |change: fn(&mut Order)| {
        let answer = answer(same, change);
        assert!(
            matches!(answer, Some(DeclineReason::Malformed { .. })),
            "{answer:?}"
        );
    };
    malformed(|order| order.spec.resources.clear());
    malformed(|order| order.spec.resources[0].count = 0);
    malformed(|order| {
        order.spec.resources[0].cpu_millis = u64::MAX;
        order.spec.resources[0].count = u32::MAX;
    });
    malformed(|order| {
        order.spec.resources[0].price = price("340282366920938463463");
        order.spec.resources[0].count = 2;
    });
}

#[test]
fn an_order_larger_than_the_whole_house_is_declined() {
    let large = |order: &mut Order| {
        order.spec.resources[0].cpu_millis = 100_001;
        order.spec.resources[0].price = price("1000");
    };
    assert!(matches!(
        answer(same, large),
        Some(DeclineReason::TooLarge { .. })
    ));
}
