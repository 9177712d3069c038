//! Leased addresses: declared by name at the top, used by exposes, numbered for the chain.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::service::Services;
use crate::document::{Code, Cursor, Fields, Problems, Scalar};
use crate::manifest::limits::SERVICES_MAX;
use crate::manifest::model::{Group, WireExpose, protocol_name};
use crate::manifest::names::at_most;

/// The names under `endpoints`.
pub(super) fn declared<'d>(at: Cursor<'_, 'd>, problems: &mut Problems) -> BTreeSet<&'d str> {
    let mut names = BTreeSet::new();
    let Some(fields) = at.map(problems) else {
        return names;
    };
    at_most(at, fields.len(), SERVICES_MAX, "endpoints", problems);
    for (name, span, value) in fields.iter() {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts || name.len() < 2 || name.len() > 63 || !name.bytes().all(legal) {
            let message = format!("{} is not a name of an endpoint", Scalar::shown_text(name));
            let hint = Some("a lower-case letter, then letters, digits, - and _".to_owned());
            problems.error_at(Code::InvalidName, &value.path, span, message, hint);
        }
        if let Some(inner) = value.map(problems) {
            inner.only(&["kind"], problems);
            if let Some(kind) = inner.require("kind", problems) {
                kind.one_of(Code::UnsupportedType, &[("ip", ())], problems);
            }
        }
        names.insert(name);
    }
    names
}

/// Reports declared endpoints that nothing uses, and two services that want the same port of one address.
pub(super) fn check_use(
    root: &Fields<'_, '_>,
    services: &Services<'_, '_>,
    declared: &BTreeSet<&str>,
    problems: &mut Problems,
) {
    let mut taken: BTreeMap<(&str, u16, &str), &str> = BTreeMap::new();
    for (name, service) in services {
        for expose in service.exposes.iter().filter(|expose| !expose.ip.is_empty()) {
            let outside = outside(expose);
            let key = (expose.ip.as_str(), outside, protocol_name(expose.protocol));
            if let Some(other) = taken.insert(key, name) {
                let message = format!(
                    "port {outside} of address {} is taken by service {other} already",
                    expose.ip
                );
                problems.error(Code::Conflict, service.at, message);
            }
        }
    }
    let used: BTreeSet<&str> = taken.keys().map(|(ip, ..)| *ip).collect();
    let Some(at) = root.get("endpoints") else {
        return;
    };
    for name in declared.difference(&used) {
        let message = format!("endpoint {name} is declared, but no service uses it");
        problems.error(Code::UndefinedReference, at, message);
    }
}

const fn outside(expose: &WireExpose) -> u16 {
    if expose.external_port == 0 {
        expose.port
    } else {
        expose.external_port
    }
}

/// Gives every used address its number, from 1. The numbers are part of the hash, so they follow the tools that tenants use:
/// one number per use, uses sorted by name, a rule between services counting as a use of the empty name, the last use of a
/// name deciding.
pub(super) fn number(services: &Services<'_, '_>, groups: &mut [Group]) {
    let mut uses: Vec<&str> = services
        .values()
        .filter(|service| service.deployed.get())
        .flat_map(|service| &service.exposes)
        .filter(|expose| !expose.from_default && (!expose.global || !expose.ip.is_empty()))
        .map(|expose| expose.ip.as_str())
        .collect();
    uses.sort_unstable();
    let numbers: BTreeMap<String, u32> = uses.into_iter().map(String::from).zip(1..).collect();
    for service in groups.iter_mut().flat_map(|group| &mut group.services) {
        for expose in &mut service.wire.exposes {
            if expose.global && !expose.ip.is_empty() {
                expose.sequence_number = numbers.get(&expose.ip).copied().unwrap_or(0);
            }
        }
    }
}
