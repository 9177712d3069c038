//! Version `v1` (spec/reference.md §3.1): a list of services with networks, volumes, constraints and hooks beside it.

mod declared;
mod ports;
mod probe;
mod service;
mod storage;

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use self::declared::{Declared, constraints, networks, volumes};
use self::service::services;
use super::limits::ATTRIBUTES_MAX;
use super::model::Group;
use super::names;
use crate::document::{Cursor, Fields, Problems};
use crate::workload::Hooks;

const FIELDS: [&str; 8] = [
    "version",
    "name",
    "services",
    "networks",
    "volumes",
    "constraints",
    "lifecycle",
    "metadata",
];

/// The manifest as one group under its own name.
pub(super) fn read(root: &Fields<'_, '_>, problems: &mut Problems) -> Vec<Group> {
    root.only(&FIELDS, problems);
    let name = root
        .require("name", problems)
        .and_then(|at| names::label(at, problems));
    let declared = Declared {
        networks: root.get("networks").map(|at| networks(at, problems)),
        volumes: root.get("volumes").map(|at| volumes(at, problems)),
    };
    let attributes = root
        .get("constraints")
        .map_or_else(Vec::new, |at| constraints(at, problems));
    let hooks = root
        .get("lifecycle")
        .map_or_else(Hooks::default, |at| lifecycle(at, problems));
    if let Some(at) = root.get("metadata") {
        metadata(at, problems);
    }
    let services = root
        .require("services", problems)
        .map_or_else(Vec::new, |at| services(at, &declared, &hooks, problems));
    alloc::vec![Group {
        name: name.unwrap_or_default().to_owned(),
        attributes,
        signed_by_all_of: Vec::new(),
        signed_by_any_of: Vec::new(),
        services,
    }]
}

/// The manifest's hooks run around every service.
fn lifecycle(at: Cursor<'_, '_>, problems: &mut Problems) -> Hooks {
    let Some(fields) = at.map(problems) else {
        return Hooks::default();
    };
    fields.only(&["post_start", "pre_stop"], problems);
    Hooks {
        post_start: fields.get("post_start").and_then(|at| probe::hook(at, problems)),
        pre_stop: fields.get("pre_stop").and_then(|at| probe::hook(at, problems)),
    }
}

/// Labels for the author's own use: read, bounded, and otherwise left alone.
fn metadata(at: Cursor<'_, '_>, problems: &mut Problems) {
    let Some(fields) = at.map(problems) else {
        return;
    };
    names::at_most(at, fields.len(), ATTRIBUTES_MAX, "entries", problems);
    for (_, _, value) in fields.iter() {
        value.text(problems);
    }
}
