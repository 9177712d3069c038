//! What a deployment's groups must satisfy (spec/chain.md B.6).

use std::collections::BTreeSet;

use crate::state::amount::{Dec, dec_of, is_denom};
use crate::state::failure::Failure;
use crate::wire::coin::DecCoin;
use crate::wire::{dv4, res};

const MIB: i128 = 1 << 20;
const CPU_MILLIS: (i128, i128) = (10, 384_000);
const MEMORY_BYTES: (i128, i128) = (MIB, 2 << 40);
const STORAGE_BYTES: (i128, i128) = (5 * MIB, 32 << 40);
const GPU_UNITS: (i128, i128) = (0, 24);
/// Highest unit price in whole coins.
const PRICE_MAX: i128 = 10_000_000;

/// The price of one block of everything in the group: Σ unit price × count. Different denominations panic, as in the node.
pub(crate) fn group_price(spec: &dv4::GroupSpec) -> Result<(String, Dec), Failure> {
    let mut sum: Option<(String, Dec)> = None;
    for unit in &spec.resources {
        let price = unit.price.clone().unwrap_or_default();
        let cost = dec_of(&price.amount)?.mul_whole(i128::from(unit.count))?;
        sum = Some(match sum {
            None => (price.denom, cost),
            Some((denom, total)) => {
                same_denom(&denom, &price.denom)?;
                (denom, total.add(cost)?)
            }
        });
    }
    Ok(sum.unwrap_or_default())
}

/// Panics with the node's text when two denominations meet.
pub(crate) fn same_denom(left: &str, right: &str) -> Result<(), Failure> {
    if left == right {
        return Ok(());
    }
    Err(Failure::panic(format!(
        "invalid coin denominations; {left}, {right}"
    )))
}

/// Go's `DecCoin.IsValid`.
pub(crate) fn is_valid_price(price: &DecCoin) -> Result<bool, Failure> {
    Ok(is_denom(&price.denom) && !dec_of(&price.amount)?.is_negative())
}

fn value(value: Option<&res::ResourceValue>) -> i128 {
    value
        .and_then(|v| core::str::from_utf8(&v.val).ok())
        .and_then(|t| t.parse().ok())
        .unwrap_or(0)
}

/// GPUs of a unit.
pub(crate) fn gpus(gpu: &res::Gpu) -> i128 {
    value(gpu.units.as_ref())
}

fn within(n: i128, (least, most): (i128, i128)) -> bool {
    (least..=most).contains(&n)
}

fn check_unit(group: &str, unit: &dv4::ResourceUnit) -> Result<DecCoin, Failure> {
    let lost = |text: String| Failure::Lost(text);
    let resources = unit.resource.clone().unwrap_or_default();
    let id = resources.id;
    let (Some(cpu), Some(memory), Some(gpu)) = (&resources.cpu, &resources.memory, &resources.gpu) else {
        return Err(lost(format!("group {group}: unit {id} is incomplete")));
    };
    if unit.count == 0 || resources.storage.is_empty() {
        return Err(lost(format!("group {group}: unit {id} is incomplete")));
    }
    let legal = within(value(cpu.units.as_ref()), CPU_MILLIS)
        && within(value(memory.quantity.as_ref()), MEMORY_BYTES)
        && within(gpus(gpu), GPU_UNITS)
        && resources
            .storage
            .iter()
            .all(|s| within(value(s.quantity.as_ref()), STORAGE_BYTES));
    if !legal {
        return Err(lost(format!("group {group}: unit {id} is outside the limits")));
    }
    let price = unit.price.clone().unwrap_or_default();
    if !is_valid_price(&price)? || dec_of(&price.amount)?.trunc() > PRICE_MAX {
        return Err(lost(format!("group {group}: invalid price")));
    }
    Ok(price)
}

/// The stateless checks of the groups of a deployment. The texts are this chain's own: the node's were not recorded.
pub(crate) fn check(groups: &[dv4::GroupSpec]) -> Result<(), Failure> {
    let mut names = BTreeSet::new();
    let mut denom: Option<String> = None;
    for group in groups {
        let name = &group.name;
        if name.is_empty() || !names.insert(name) {
            return Err(Failure::Lost(format!(
                "group name {name:?} is empty or used twice"
            )));
        }
        if group.resources.is_empty() {
            return Err(Failure::Lost(format!("group {name} has no resources")));
        }
        let mut ids = BTreeSet::new();
        for unit in &group.resources {
            let id = unit.resource.as_ref().map_or(0, |r| r.id);
            if id == 0 || !ids.insert(id) {
                return Err(Failure::Lost(format!(
                    "group {name}: resource id {id} is zero or used twice"
                )));
            }
            let price = check_unit(name, unit)?;
            if denom.get_or_insert_with(|| price.denom.clone()) != &price.denom {
                return Err(Failure::Lost("denominations must be consistent".to_owned()));
            }
        }
    }
    Ok(())
}
