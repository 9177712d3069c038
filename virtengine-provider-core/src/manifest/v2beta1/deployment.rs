//! The join: which service runs where, with which profile, how often.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::placement::Placement;
use super::resources::{Asked, attribute_of};
use super::service::{Services, Stated, count, env_map};
use crate::document::{Code, Cursor, Problems, Scalar};
use crate::manifest::model::{Group, Mount, Service, Wire};
use crate::market::StorageVolume;
use crate::money::Price;
use crate::workload::{Hooks, RestartPolicy, ServiceKind, ServiceSpec, VolumeSpec};

/// What the deployment may refer to.
pub(super) struct Known<'a, 'c, 'd> {
    pub(super) services: &'a Services<'c, 'd>,
    pub(super) compute: &'a BTreeMap<&'d str, Asked>,
    pub(super) placements: &'a BTreeMap<&'d str, Placement<'d>>,
}

pub(super) fn groups(at: Cursor<'_, '_>, known: &Known<'_, '_, '_>, problems: &mut Problems) -> Vec<Group> {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    let Some(fields) = at.map(problems) else {
        return Vec::new();
    };
    if fields.is_empty() {
        problems.error(Code::RequiredField, at, "no service is deployed");
    }
    for (name, span, value) in fields.iter() {
        let service = known.services.get(name);
        match service {
            Some(service) => service.deployed.set(true),
            None => missing("service", name, &value, span, problems),
        }
        let Some(places) = value.map(problems) else {
            continue;
        };
        if places.is_empty() {
            problems.error(Code::RequiredField, value, "no placement is named");
        }
        for (place, span, value) in places.iter() {
            let placement = known.placements.get(place);
            if placement.is_none() {
                missing("placement", place, &value, span, problems);
            }
            let joined = join(value, name, service, placement, known, problems);
            if let (Some(joined), Some(placement)) = (joined, placement) {
                let group = groups
                    .entry(place)
                    .or_insert_with(|| empty_group(place, placement));
                group.services.push(joined);
            }
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    for group in &mut groups {
        group.services.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    }
    groups
}

fn missing(
    what: &str,
    name: &str,
    at: &Cursor<'_, '_>,
    span: crate::document::Span,
    problems: &mut Problems,
) {
    let message = format!("there is no {what} {}", Scalar::shown_text(name));
    problems.error_at(Code::UndefinedReference, &at.path, span, message, None);
}

fn empty_group(name: &str, placement: &Placement<'_>) -> Group {
    Group {
        name: name.to_owned(),
        attributes: placement.attributes.clone(),
        signed_by_all_of: placement.signed_by_all_of.clone(),
        signed_by_any_of: placement.signed_by_any_of.clone(),
        services: Vec::new(),
    }
}

/// One service at one placement.
fn join(
    at: Cursor<'_, '_>,
    name: &str,
    service: Option<&Stated<'_, '_>>,
    placement: Option<&Placement<'_>>,
    known: &Known<'_, '_, '_>,
    problems: &mut Problems,
) -> Option<Service> {
    let fields = at.map(problems)?;
    fields.only(&["profile", "count"], problems);
    let profile_at = fields.require("profile", problems);
    let profile = profile_at.and_then(|at| at.filled_text(problems));
    let asked = profile.and_then(|profile| known.compute.get(profile));
    if let (Some(at), Some(profile)) = (profile_at, profile) {
        let shown = Scalar::shown_text(profile);
        if asked.is_none() {
            problems.error(
                Code::UndefinedReference,
                at,
                format!("there is no compute profile {shown}"),
            );
        } else if placement.is_some_and(|placement| !placement.pricing.contains_key(profile)) {
            problems.error(
                Code::UndefinedReference,
                at,
                format!("the placement has no price for profile {shown}"),
            );
        }
    }
    let count = replicas(&fields, service, problems);
    let (service, asked) = (service?, asked?);
    agree(service, asked, at, problems);
    let price = placement?.pricing.get(profile?)?.clone();
    let volumes = volumes(service, asked, problems);
    Some(build(name, service, asked, count?, price?, volumes))
}

/// The count of the deployment, or that of the service; both given, they must agree.
fn replicas(
    fields: &crate::document::Fields<'_, '_>,
    service: Option<&Stated<'_, '_>>,
    problems: &mut Problems,
) -> Option<u32> {
    let at_service = service.and_then(|service| service.count);
    let Some(at) = fields.get("count") else {
        if at_service.is_none() {
            fields.require("count", problems);
        }
        return at_service;
    };
    let here = count(at, problems)?;
    if let (Some(service), Some(there)) = (service, at_service.filter(|there| *there != here)) {
        let message = format!("count {here} here, but {there} at the service");
        problems.error(Code::Conflict, at, message);
        let message = format!("count {there} here, but {here} under deployment");
        error_below(service.at, &["count"], Code::Conflict, &message, problems);
    }
    Some(here)
}

/// Reports at a value somewhere below `at`.
fn error_below(at: Cursor<'_, '_>, keys: &[&str], code: Code, message: &str, problems: &mut Problems) {
    let fields = at.map(problems);
    let inner = match (&fields, keys) {
        (Some(fields), [key, rest @ ..]) => fields.get(key).map(|inner| (inner, rest)),
        _ => None,
    };
    match inner {
        Some((inner, [])) => problems.error(code, inner, message.to_owned()),
        Some((inner, rest)) => error_below(inner, rest, code, message, problems),
        None => problems.error(code, at, message.to_owned()),
    }
}

/// What the service states about resources must be what its profile states; a difference is reported at both places.
fn agree(service: &Stated<'_, '_>, profile: &Asked, at: Cursor<'_, '_>, problems: &mut Problems) {
    let Some(stated) = &service.resources else {
        return;
    };
    let mut compare = |keys: &[&str], equal: bool, here: String, there: String| {
        if equal {
            return;
        }
        let what = keys.get(1).copied().unwrap_or_default();
        let message = format!("{what} {here} here, but {there} in the profile");
        error_below(service.at, keys, Code::Conflict, &message, problems);
        let message = format!("{what} {there} in the profile, but {here} at the service");
        problems.error(Code::Conflict, at, message);
    };
    let text = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    let same = |a: Option<u64>, b: Option<u64>| a.is_none() || b.is_none() || a == b;
    compare(
        &["resources", "cpu", "units"],
        same(stated.cpu_millis, profile.cpu_millis),
        text(stated.cpu_millis),
        text(profile.cpu_millis),
    );
    compare(
        &["resources", "memory", "size"],
        same(stated.memory_bytes, profile.memory_bytes),
        text(stated.memory_bytes),
        text(profile.memory_bytes),
    );
    let gpus = profile.gpus.or(Some(0));
    compare(
        &["resources", "gpu", "units"],
        same(stated.gpus, gpus),
        text(stated.gpus),
        text(gpus),
    );
    let storage_agrees = match (&stated.storage, &profile.storage) {
        (Some(stated), Some(profile)) => stated == profile,
        _ => true,
    };
    let shown = |volumes: &Option<Vec<StorageVolume>>| {
        let volumes = volumes.iter().flatten();
        let each = volumes.map(|volume| format!("{}: {}", volume.name, volume.bytes));
        each.collect::<Vec<_>>().join(", ")
    };
    compare(
        &["resources", "storage"],
        storage_agrees,
        shown(&stated.storage),
        shown(&profile.storage),
    );
}

/// The volumes of the profile with the mounts of the service.
fn volumes(service: &Stated<'_, '_>, asked: &Asked, problems: &mut Problems) -> Vec<VolumeSpec> {
    let storage = asked.storage.as_deref().unwrap_or_default();
    let mounts: &[Mount] = service.mounts.as_deref().unwrap_or_default();
    for mount in mounts {
        if !storage.iter().any(|volume| volume.name == mount.volume) {
            let message = format!("the profile has no volume {}", Scalar::shown_text(&mount.volume));
            error_below(
                service.at,
                &["params", "storage", &mount.volume],
                Code::UndefinedReference,
                &message,
                problems,
            );
        }
    }
    let volume = |volume: &StorageVolume| {
        let mount = mounts.iter().find(|mount| mount.volume == volume.name);
        let persistent = attribute_of(volume, "persistent") == Some("true");
        if persistent && mount.is_none() {
            let message = format!("the persistent volume {} has no mount", volume.name);
            let hint = format!("params: {{storage: {{{}: {{mount: /path}}}}}}", volume.name);
            problems.error_hint(Code::RequiredField, service.at, message, hint);
        }
        VolumeSpec {
            name: volume.name.clone(),
            bytes: volume.bytes,
            mount: mount.map(|mount| mount.path.clone()),
            persistent,
            class: attribute_of(volume, "class").map(ToOwned::to_owned),
            read_only: mount.is_some_and(|mount| mount.read_only),
        }
    };
    storage.iter().map(volume).collect()
}

fn build(
    name: &str,
    service: &Stated<'_, '_>,
    asked: &Asked,
    count: u32,
    price: Price,
    volumes: Vec<VolumeSpec>,
) -> Service {
    let wire = Wire {
        command_given: service.command.is_some(),
        args_given: service.args.is_some(),
        env: service.env.clone(),
        cpu_attributes: asked.cpu_attributes.clone(),
        memory_attributes: asked.memory_attributes.clone(),
        gpu_attributes: asked.gpu_attributes.clone(),
        storage: asked.storage.clone().unwrap_or_default(),
        exposes: service.exposes.iter().map(|rule| rule.wire.clone()).collect(),
        mounts: service.mounts.clone(),
        extended: false,
    };
    let models = asked.gpu_attributes.iter().map(|attribute| attribute.key.clone());
    let spec = ServiceSpec {
        name: name.to_owned(),
        image: service.image.clone(),
        kind: ServiceKind::Container,
        command: service.command.clone().unwrap_or_default(),
        args: service.args.clone().unwrap_or_default(),
        env: service.env.as_deref().map(env_map).unwrap_or_default(),
        count,
        cpu_millis: asked.cpu_millis.unwrap_or(0),
        memory_bytes: asked.memory_bytes.unwrap_or(0),
        gpus: asked.gpus.unwrap_or(0),
        gpu_models: models.collect(),
        volumes,
        exposes: service.exposed.clone(),
        restart: RestartPolicy::Always,
        health: None,
        hooks: Hooks::default(),
        credentials: service.credentials.clone(),
    };
    Service {
        spec,
        price: Some(price),
        wire,
    }
}
