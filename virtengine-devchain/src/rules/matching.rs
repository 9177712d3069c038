//! Whether a provider fits an order: offer, attributes, capabilities (spec/chain.md B.4, 7–10).

use std::collections::BTreeMap;

use crate::rules::group_limits::gpus;
use crate::wire::{attr, dv4, mv5, res};

/// Whether each offered unit is one of the order, with the same count. An empty offer is fine.
pub(crate) fn offer_fits(offer: &[mv5::ResourceOffer], spec: &dv4::GroupSpec) -> bool {
    if offer.is_empty() {
        return true;
    }
    let counts: BTreeMap<u32, u32> = spec
        .resources
        .iter()
        .map(|u| (u.resource.as_ref().map_or(0, |r| r.id), u.count))
        .collect();
    offer.len() == spec.resources.len()
        && offer
            .iter()
            .all(|o| counts.get(&o.resources.as_ref().map_or(0, |r| r.id)) == Some(&o.count))
}

/// Whether every wanted attribute is among the provider's. There is no audit module here, so an order that asks for an auditor
/// matches nobody.
pub(crate) fn requirements_met(want: &attr::PlacementRequirements, have: &[attr::Attribute]) -> bool {
    let audited = want
        .signed_by
        .as_ref()
        .is_some_and(|s| !s.all_of.is_empty() || !s.any_of.is_empty());
    !audited && want.attributes.iter().all(|w| has(have, &w.key, &w.value))
}

fn has(have: &[attr::Attribute], pattern: &str, value: &str) -> bool {
    have.iter()
        .any(|h| h.value == value && (h.key == pattern || glob(pattern.as_bytes(), h.key.as_bytes())))
}

/// Shell-like matching: `*` is any run without `/`, `?` one character without it.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob(rest, text)
                || text
                    .split_first()
                    .is_some_and(|(c, tail)| *c != b'/' && glob(pattern, tail))
        }
        (Some((b'?', rest)), Some((c, tail))) => *c != b'/' && glob(rest, tail),
        (Some((p, rest)), Some((c, tail))) => p == c && glob(rest, tail),
        _ => false,
    }
}

/// Whether the provider's `capabilities/…` attributes cover storage classes and GPU models of the order.
pub(crate) fn capable(spec: &dv4::GroupSpec, have: &[attr::Attribute]) -> bool {
    spec.resources
        .iter()
        .filter_map(|u| u.resource.as_ref())
        .all(|r| r.storage.iter().all(|s| storage_capable(s, have)) && gpu_capable(r.gpu.as_ref(), have))
}

fn gpu_capable(gpu: Option<&res::Gpu>, have: &[attr::Attribute]) -> bool {
    let Some(gpu) = gpu.filter(|g| gpus(g) > 0 && !g.attributes.is_empty()) else {
        return true;
    };
    gpu.attributes
        .iter()
        .any(|a| has(have, &format!("capabilities/gpu/{}", a.key), "true"))
}

fn storage_capable(volume: &res::Storage, have: &[attr::Attribute]) -> bool {
    if volume.attributes.is_empty() {
        return true;
    }
    let mut classes: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for attribute in have {
        let mut parts = attribute.key.splitn(4, '/');
        if (parts.next(), parts.next()) == (Some("capabilities"), Some("storage"))
            && let (Some(class), Some(key)) = (parts.next(), parts.next())
        {
            classes.entry(class).or_default().insert(key, &attribute.value);
        }
    }
    classes.values().any(|class| {
        volume
            .attributes
            .iter()
            .all(|a| class.get(a.key.as_str()) == Some(&a.value.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(list: &[(&str, &str)]) -> Vec<attr::Attribute> {
        list.iter()
            .map(|(k, v)| attr::Attribute {
                key: (*k).to_owned(),
                value: (*v).to_owned(),
            })
            .collect()
    }

    #[test]
    fn a_key_may_be_a_glob() {
        let have = attributes(&[("region/eu", "yes")]);
        assert!(has(&have, "region/*", "yes"));
        assert!(!has(&have, "region*", "yes"));
        assert!(!has(&have, "region/*", "no"));
    }

    #[test]
    fn a_storage_class_needs_all_its_keys_in_one_place() {
        let volume = res::Storage {
            attributes: attributes(&[("class", "beta2"), ("persistent", "true")]),
            ..res::Storage::default()
        };
        let split = attributes(&[
            ("capabilities/storage/1/class", "beta2"),
            ("capabilities/storage/2/persistent", "true"),
        ]);
        let whole = attributes(&[
            ("capabilities/storage/1/class", "beta2"),
            ("capabilities/storage/1/persistent", "true"),
        ]);
        assert!(!storage_capable(&volume, &split));
        assert!(storage_capable(&volume, &whole));
    }
}
