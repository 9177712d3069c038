//! Whether an order can be served at all: everything that it states is checked (spec/chain.md B.4).

use virtengine_provider_core::id::Address;
use virtengine_provider_core::market::{Attribute, GroupSpec, Order, ResourceUnit, StorageVolume};
use virtengine_provider_core::money::Decimal;
use virtengine_provider_core::units::Resources;

use crate::policy::Policy;
use crate::reason::DeclineReason;

/// What an order that can be served takes and pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// All units together.
    pub resources: Resources,
    /// The most that the tenant pays, per block: Σ unit price × count.
    pub max: Decimal,
}

/// What we offer, sorted so that an order is checked quickly.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    /// Sorted by key.
    attributes: Vec<Attribute>,
    /// Behind `capabilities/gpu/`, with the value `true`.
    gpus: Vec<String>,
    /// Behind `capabilities/storage/<n>/`, one list per `<n>`.
    storage: Vec<Vec<Attribute>>,
}

const GPU_PREFIX: &str = "capabilities/gpu/";
const STORAGE_PREFIX: &str = "capabilities/storage/";
const CPU_PREFIX: &str = "capabilities/cpu/";
const MEMORY_PREFIX: &str = "capabilities/memory/";

impl Offer {
    pub(crate) fn new(policy: &Policy) -> Self {
        let mut attributes = policy.profile.attributes.clone();
        attributes.sort();
        let gpus = attributes
            .iter()
            .filter(|attribute| attribute.value == "true")
            .filter_map(|attribute| attribute.key.strip_prefix(GPU_PREFIX))
            .map(str::to_owned)
            .collect();
        let mut groups: std::collections::BTreeMap<&str, Vec<Attribute>> = std::collections::BTreeMap::new();
        for attribute in &attributes {
            let group = attribute
                .key
                .strip_prefix(STORAGE_PREFIX)
                .and_then(|rest| rest.split_once('/'));
            if let Some((group, key)) = group {
                groups.entry(group).or_default().push(Attribute {
                    key: key.to_owned(),
                    value: attribute.value.clone(),
                });
            }
        }
        let storage = groups.into_values().collect();
        Self {
            attributes,
            gpus,
            storage,
        }
    }

    fn value_of(&self, key: &str) -> Option<&str> {
        let at = self
            .attributes
            .binary_search_by(|attribute| attribute.key.as_str().cmp(key))
            .ok()?;
        self.attributes.get(at).map(|attribute| attribute.value.as_str())
    }

    fn has(&self, wanted: &Attribute) -> bool {
        if wanted.key.contains('*') {
            return has(&self.attributes, wanted);
        }
        self.value_of(&wanted.key) == Some(wanted.value.as_str())
    }
}

/// Whether `order` can be served, and what it takes and pays.
///
/// # Errors
/// The first thing that stands against it.
pub(crate) fn check(policy: &Policy, offer: &Offer, order: &Order, bids: u32) -> Result<Fit, DeclineReason> {
    check_owner(policy, order.id.owner())?;
    if bids >= policy.order_max_bids {
        let max = policy.order_max_bids;
        return Err(DeclineReason::OrderFull { bids, max });
    }
    let max = price_ceiling(policy, &order.spec)?;
    check_attributes(policy, offer, &order.spec)?;
    for unit in &order.spec.resources {
        check_unit(policy, offer, unit)?;
    }
    let resources = order.spec.total().map_err(|overflow| DeclineReason::Malformed {
        what: overflow.to_string(),
    })?;
    Ok(Fit { resources, max })
}

fn check_owner(policy: &Policy, owner: &Address) -> Result<(), DeclineReason> {
    if *owner == policy.provider {
        return Err(DeclineReason::OwnOrder);
    }
    if policy.blocked_owners.contains(owner) {
        return Err(DeclineReason::OwnerBlocked);
    }
    if !policy.allowed_owners.is_empty() && !policy.allowed_owners.contains(owner) {
        return Err(DeclineReason::OwnerNotAllowed);
    }
    Ok(())
}

/// Σ unit price × count, all in the money that we take.
fn price_ceiling(policy: &Policy, spec: &GroupSpec) -> Result<Decimal, DeclineReason> {
    let malformed = |what: &str| DeclineReason::Malformed {
        what: what.to_owned(),
    };
    let accepted = &policy.denomination.denom;
    let mut sum = 0_u128;
    for unit in &spec.resources {
        if unit.price.denom != *accepted {
            return Err(DeclineReason::Denom {
                asked: unit.price.denom.clone(),
                accepted: accepted.clone(),
            });
        }
        sum = unit
            .price
            .amount
            .scaled()
            .checked_mul(u128::from(unit.count))
            .and_then(|price| sum.checked_add(price))
            .ok_or_else(|| malformed("its price is too large to be represented"))?;
    }
    if spec.resources.iter().all(|unit| unit.count == 0) {
        return Err(malformed("it asks for nothing"));
    }
    Ok(Decimal::from_scaled(sum))
}

fn check_attributes(policy: &Policy, offer: &Offer, spec: &GroupSpec) -> Result<(), DeclineReason> {
    let regions = &policy.profile.regions;
    let region = spec.attributes.iter().find(|wanted| wanted.key == "region");
    if let Some(region) = region
        && !regions.is_empty()
        && !regions.contains(&region.value)
    {
        return Err(DeclineReason::Region {
            region: region.value.clone(),
        });
    }
    // With auditors named, what they have signed counts instead of what we say.
    let audited = |auditor: &Address| {
        policy
            .profile
            .audited
            .get(auditor)
            .is_some_and(|signed| spec.attributes.iter().all(|wanted| has(signed, wanted)))
    };
    let missing: Vec<&Address> = spec
        .signed_by_all_of
        .iter()
        .filter(|auditor| !audited(auditor))
        .collect();
    if !missing.is_empty() {
        return Err(DeclineReason::NotAudited {
            auditors: missing.into_iter().cloned().collect(),
            all: true,
        });
    }
    if !spec.signed_by_any_of.is_empty() && !spec.signed_by_any_of.iter().any(audited) {
        return Err(DeclineReason::NotAudited {
            auditors: spec.signed_by_any_of.clone(),
            all: false,
        });
    }
    if !spec.signed_by_all_of.is_empty() || !spec.signed_by_any_of.is_empty() {
        return Ok(());
    }
    match spec.attributes.iter().find(|wanted| !offer.has(wanted)) {
        None => Ok(()),
        Some(wanted) => Err(DeclineReason::Attribute {
            key: wanted.key.clone(),
            value: wanted.value.clone(),
        }),
    }
}

fn check_unit(policy: &Policy, offer: &Offer, unit: &ResourceUnit) -> Result<(), DeclineReason> {
    let profile = &policy.profile;
    for wanted in &unit.cpu_attributes {
        let is_ours = (wanted.key == "arch" && profile.architectures.contains(&wanted.value))
            || offers(offer, CPU_PREFIX, wanted);
        if !is_ours {
            let (key, value) = (wanted.key.clone(), wanted.value.clone());
            return Err(DeclineReason::Cpu { key, value });
        }
    }
    for wanted in &unit.memory_attributes {
        if !offers(offer, MEMORY_PREFIX, wanted) {
            let (key, value) = (wanted.key.clone(), wanted.value.clone());
            return Err(DeclineReason::Memory { key, value });
        }
    }
    if unit.gpus > 0 && !unit.gpu_attributes.is_empty() && !has_gpu(offer, &unit.gpu_attributes) {
        return Err(DeclineReason::Gpu {
            wanted: unit
                .gpu_attributes
                .iter()
                .map(|wanted| wanted.key.clone())
                .collect(),
        });
    }
    for volume in &unit.storage {
        check_volume(policy, offer, volume)?;
    }
    for endpoint in &unit.endpoints {
        if !profile.endpoints.contains(&endpoint.kind) {
            return Err(DeclineReason::Endpoint { kind: endpoint.kind });
        }
    }
    Ok(())
}

/// `capabilities/<what>/<key>` = value.
fn offers(offer: &Offer, prefix: &str, wanted: &Attribute) -> bool {
    offer.attributes.iter().any(|ours| {
        ours.value == wanted.value
            && ours
                .key
                .strip_prefix(prefix)
                .is_some_and(|key| matches_glob(&wanted.key, key))
    })
}

/// One of the wanted models is enough.
fn has_gpu(offer: &Offer, wanted: &[Attribute]) -> bool {
    wanted
        .iter()
        .filter(|wanted| wanted.value == "true")
        .any(|wanted| offer.gpus.iter().any(|ours| matches_glob(&wanted.key, ours)))
}

/// All that a volume wants must be in one group of storage that we offer.
fn check_volume(policy: &Policy, offer: &Offer, volume: &StorageVolume) -> Result<(), DeclineReason> {
    let missing = |wanted: &Attribute| DeclineReason::Storage {
        volume: volume.name.clone(),
        key: wanted.key.clone(),
        value: wanted.value.clone(),
    };
    let is_persistent = |wanted: &&Attribute| wanted.key == "persistent" && wanted.value == "true";
    if let Some(wanted) = volume.attributes.iter().find(is_persistent)
        && !policy.profile.persistent_storage
    {
        return Err(missing(wanted));
    }
    let fits = |group: &&Vec<Attribute>| volume.attributes.iter().all(|wanted| has(group, wanted));
    if volume.attributes.is_empty() || offer.storage.iter().any(|group| fits(&group)) {
        return Ok(());
    }
    // Name the first thing that no group has; if each thing is somewhere, but not together, the first one.
    let nowhere = |wanted: &&Attribute| !offer.storage.iter().any(|group| has(group, wanted));
    let wanted = volume
        .attributes
        .iter()
        .find(nowhere)
        .or_else(|| volume.attributes.first());
    wanted.map_or(Ok(()), |wanted| Err(missing(wanted)))
}

fn has(ours: &[Attribute], wanted: &Attribute) -> bool {
    ours.iter()
        .any(|ours| ours.value == wanted.value && matches_glob(&wanted.key, &ours.key))
}

/// Whether `key` matches `pattern`, in which `*` stands for any characters except `/`.
#[must_use]
pub fn matches_glob(pattern: &str, key: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == key;
    };
    let Some(rest) = key.strip_prefix(head) else {
        return false;
    };
    // Between two stars the leftmost match is as good as any: what follows can only gain room by it. That holds as long as
    // no `/` is skipped, so the search stays within the segment.
    let (mut tail, mut rest) = (tail, rest);
    loop {
        let reach = rest.find('/').unwrap_or(rest.len());
        let Some((part, next)) = tail.split_once('*') else {
            return rest
                .strip_suffix(tail)
                .is_some_and(|skipped| !skipped.contains('/'));
        };
        let Some(at) = rest.find(part).filter(|at| *at <= reach) else {
            return false;
        };
        rest = rest.get(at.saturating_add(part.len())..).unwrap_or_default();
        tail = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::matches_glob;

    #[test]
    fn a_star_stays_within_its_segment() {
        for (pattern, key, expected) in [
            ("region", "region", true),
            ("region", "regions", false),
            ("reg*", "region", true),
            ("*", "region", true),
            ("*", "", true),
            ("*", "a/b", false),
            ("vendor/nvidia/model/*", "vendor/nvidia/model/a100", true),
            (
                "vendor/nvidia/model/*",
                "vendor/nvidia/model/a100/ram/80Gi",
                false,
            ),
            ("vendor/*/model/a100", "vendor/nvidia/model/a100", true),
            ("vendor/*/model/*", "vendor/nvidia/model/a100", true),
            ("vendor/*/a100", "vendor/nvidia/model/a100", false),
            ("*a*a", "banana", true),
            ("*a*b", "banana", false),
            ("**", "banana", true),
        ] {
            assert_eq!(matches_glob(pattern, key), expected, "{pattern} {key}");
        }
    }

    /// By definition: a star is nothing, or any character but `/` and then a star.
    fn by_definition(pattern: &[u8], key: &[u8]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                by_definition(rest, key)
                    || key
                        .split_first()
                        .is_some_and(|(c, key)| *c != b'/' && by_definition(pattern, key))
            }
            (Some((p, pattern)), Some((k, key))) => p == k && by_definition(pattern, key),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn globs_agree_with_their_definition(pattern in "[ab/*]{0,10}", key in "[ab/]{0,12}") {
            prop_assert_eq!(matches_glob(&pattern, &key), by_definition(pattern.as_bytes(), key.as_bytes()));
        }
    }
}
