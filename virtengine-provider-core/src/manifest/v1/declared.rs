use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::ops::RangeInclusive;

use crate::document::{Code, Cursor, Problems};
use crate::manifest::limits::{ATTRIBUTES_MAX, SERVICES_MAX};
use crate::manifest::names::{at_most, label};
use crate::market::Attribute;

/// What services may refer to. `None` when the manifest has no such section.
pub(super) struct Declared<'d> {
    pub(super) networks: Option<Vec<&'d str>>,
    pub(super) volumes: Option<BTreeMap<&'d str, Volume>>,
}

/// One declared volume.
#[derive(Clone)]
pub(super) struct Volume {
    pub(super) bytes: u64,
    pub(super) persistent: bool,
    pub(super) class: Option<String>,
}

pub(super) fn networks<'d>(at: Cursor<'_, 'd>, problems: &mut Problems) -> Vec<&'d str> {
    let Some(items) = at.list(problems) else {
        return Vec::new();
    };
    at_most(at, items.len(), SERVICES_MAX, "networks", problems);
    let (mut names, mut ranges) = (Vec::new(), Vec::new());
    for item in items.iter().take(SERVICES_MAX) {
        let Some(fields) = item.map(problems) else {
            continue;
        };
        fields.only(&["name", "type", "cidr"], problems);
        if let Some(at) = fields.require("name", problems)
            && let Some(name) = label(at, problems)
        {
            if names.contains(&name) {
                problems.error(
                    Code::DuplicateName,
                    at,
                    format!("network {name} is declared twice"),
                );
            }
            names.push(name);
        }
        if let Some(at) = fields.get("type") {
            at.one_of(Code::InvalidValue, &[("private", ()), ("public", ())], problems);
        }
        if let Some(at) = fields.get("cidr") {
            cidr(at, &mut ranges, problems);
        }
    }
    if !names.is_empty() {
        problems.notice(
            Code::NotCarriedOut,
            at,
            "networks are checked, but the services of a lease always share one private network",
            None,
        );
    }
    names
}

/// Checks a CIDR block and that it overlaps none of `before`.
fn cidr(at: Cursor<'_, '_>, before: &mut Vec<RangeInclusive<IpAddr>>, problems: &mut Problems) {
    let Some(scalar) = at.scalar(problems) else {
        return;
    };
    let Some(range) = address_range(&scalar.text) else {
        let message = format!("{} is not a block of addresses", scalar.shown());
        problems.error_hint(
            Code::InvalidValue,
            at,
            message,
            "address of the network, slash, prefix length, for example 10.10.0.0/24",
        );
        return;
    };
    let overlaps =
        |other: &RangeInclusive<IpAddr>| range.start() <= other.end() && other.start() <= range.end();
    if before.iter().any(overlaps) {
        let message = format!("{} overlaps another network", scalar.shown());
        problems.error(Code::Conflict, at, message);
    }
    before.push(range);
}

/// First and last address of a block whose host bits are all zero.
fn address_range(text: &str) -> Option<RangeInclusive<IpAddr>> {
    let (address, prefix) = text.split_once('/')?;
    let prefix: u32 = prefix
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| prefix.parse().ok())
        .flatten()?;
    match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(first) => {
            let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
            let bits = first.to_bits();
            let legal = prefix <= 32 && bits & host == 0;
            legal.then(|| IpAddr::V4(first)..=IpAddr::V4((bits | host).into()))
        }
        IpAddr::V6(first) => {
            let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
            let bits = first.to_bits();
            let legal = prefix <= 128 && bits & host == 0;
            legal.then(|| IpAddr::V6(first)..=IpAddr::V6((bits | host).into()))
        }
    }
}

pub(super) fn volumes<'d>(at: Cursor<'_, 'd>, problems: &mut Problems) -> BTreeMap<&'d str, Volume> {
    let mut volumes = BTreeMap::new();
    let Some(items) = at.list(problems) else {
        return volumes;
    };
    at_most(at, items.len(), SERVICES_MAX, "volumes", problems);
    for item in items.iter().take(SERVICES_MAX) {
        let Some(fields) = item.map(problems) else {
            continue;
        };
        fields.only(&["name", "type", "size", "storage_class"], problems);
        let name_at = fields.require("name", problems);
        let name = name_at.and_then(|at| label(at, problems));
        let kinds = [("persistent", true), ("ephemeral", false)];
        let persistent = fields
            .require("type", problems)
            .and_then(|at| at.one_of(Code::UnsupportedType, &kinds, problems));
        let bytes = fields
            .require("size", problems)
            .and_then(|at| positive_bytes(at, problems));
        let class = fields
            .get("storage_class")
            .and_then(|at| label(at, problems))
            .map(ToOwned::to_owned);
        let (Some(name_at), Some(name)) = (name_at, name) else {
            continue;
        };
        let volume = Volume {
            bytes: bytes.unwrap_or(0),
            persistent: persistent.unwrap_or(false),
            class,
        };
        if volumes.insert(name, volume).is_some() {
            problems.error(
                Code::DuplicateName,
                name_at,
                format!("volume {name} is declared twice"),
            );
        }
    }
    volumes
}

/// Bytes above zero.
pub(super) fn positive_bytes(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<u64> {
    let bytes = at.bytes(problems)?;
    if bytes == 0 {
        problems.error(Code::InvalidValue, at, "must be above zero");
        return None;
    }
    Some(bytes)
}

const CONSTRAINTS: [&str; 7] = [
    "region",
    "regions",
    "max_latency_ms",
    "required_tags",
    "excluded_tags",
    "affinity",
    "anti_affinity",
];

/// The region becomes an attribute that the provider must have. The rest is checked and said not to be carried out: the market
/// has no words for it.
pub(super) fn constraints(at: Cursor<'_, '_>, problems: &mut Problems) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    let Some(fields) = at.map(problems) else {
        return attributes;
    };
    fields.only(&CONSTRAINTS, problems);
    if let Some(value) = fields.get("region").and_then(|at| at.filled_text(problems)) {
        attributes.push(Attribute {
            key: "region".to_owned(),
            value: value.to_owned(),
        });
    }
    if let Some(at) = fields.get("max_latency_ms") {
        at.integer(0..=3_600_000, problems);
    }
    for key in ["regions", "required_tags", "excluded_tags"] {
        if let Some(items) = fields.get(key).and_then(|at| at.list(problems)) {
            for item in items.iter().take(ATTRIBUTES_MAX) {
                item.filled_text(problems);
            }
        }
    }
    for key in ["affinity", "anti_affinity"] {
        if let Some(at) = fields.get(key) {
            affinity(at, problems);
        }
    }
    for (key, _, value) in fields.iter() {
        if key != "region" && CONSTRAINTS.contains(&key) && !value.is_null() {
            let message = format!("{key} is checked, but the market cannot express it");
            problems.notice(Code::NotCarriedOut, value, message, None);
        }
    }
    attributes
}

fn affinity(at: Cursor<'_, '_>, problems: &mut Problems) {
    let Some(items) = at.list(problems) else {
        return;
    };
    at_most(at, items.len(), ATTRIBUTES_MAX, "rules", problems);
    for item in items.iter().take(ATTRIBUTES_MAX) {
        let Some(fields) = item.map(problems) else {
            continue;
        };
        fields.only(&["type", "key", "value"], problems);
        if let Some(at) = fields.require("type", problems) {
            at.one_of(
                Code::InvalidValue,
                &[("host", ()), ("zone", ()), ("region", ())],
                problems,
            );
        }
        for key in ["key", "value"] {
            if let Some(at) = fields.get(key) {
                at.text(problems);
            }
        }
    }
}
