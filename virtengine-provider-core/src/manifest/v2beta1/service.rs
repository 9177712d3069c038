use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

use super::expose::{Rule, exposes};
use super::resources::{Asked, partial};
use crate::document::{Code, Cursor, Fields, Problems, Scalar};
use crate::manifest::limits::{REPLICAS_MAX, SERVICES_MAX, VOLUMES_MAX, WORDS_MAX};
use crate::manifest::model::Mount;
use crate::manifest::names::{
    at_most, check_key, is_env_name, is_image_reference, is_mount_path, word, words,
};
use crate::workload::{ExposeSpec, ImageCredentials};

const FIELDS: [&str; 10] = [
    "image",
    "command",
    "args",
    "env",
    "expose",
    "params",
    "credentials",
    "dependencies",
    "count",
    "resources",
];

/// A service as the text states it, before it is joined with a profile.
pub(super) struct Stated<'c, 'd> {
    /// Where it stands.
    pub(super) at: Cursor<'c, 'd>,
    pub(super) image: String,
    pub(super) command: Option<Vec<String>>,
    pub(super) args: Option<Vec<String>>,
    pub(super) env: Option<Vec<String>>,
    pub(super) exposes: Vec<Rule>,
    pub(super) exposed: Vec<ExposeSpec>,
    pub(super) mounts: Option<Vec<Mount>>,
    pub(super) credentials: Option<ImageCredentials>,
    /// Stated at the service; must agree with the deployment.
    pub(super) count: Option<u32>,
    /// Stated at the service; must agree with the profile.
    pub(super) resources: Option<Asked>,
    /// Whether the deployment uses it.
    pub(super) deployed: Cell<bool>,
}

/// The services by name.
pub(super) type Services<'c, 'd> = BTreeMap<&'d str, Stated<'c, 'd>>;

pub(super) fn services<'c, 'd>(
    fields: &'c Fields<'_, 'd>,
    endpoints: &BTreeSet<&str>,
    problems: &mut Problems,
) -> Services<'c, 'd> {
    if fields.is_empty() {
        fields.error(Code::RequiredField, problems, "at least one service is needed");
    }
    if fields.len() > SERVICES_MAX {
        let message = format!("{} services are more than {SERVICES_MAX}", fields.len());
        fields.error(Code::MaxExceeded, problems, message);
    }
    let mut services = BTreeMap::new();
    for (name, span, at) in fields.iter().take(SERVICES_MAX) {
        check_key(name, &at.path, span, problems);
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            let message = format!("{name} begins with a digit");
            problems.error_at(Code::InvalidName, &at.path, span, message, None);
        }
        if let Some(service) = service(at, fields, endpoints, problems) {
            services.insert(name, service);
        }
    }
    services
}

fn service<'c, 'd>(
    at: Cursor<'c, 'd>,
    siblings: &Fields<'_, '_>,
    endpoints: &BTreeSet<&str>,
    problems: &mut Problems,
) -> Option<Stated<'c, 'd>> {
    let fields = at.map(problems)?;
    fields.only(&FIELDS, problems);
    let image = fields
        .require("image", problems)
        .and_then(|at| image(at, problems));
    let (rules, exposed) = fields
        .get("expose")
        .map_or_else(Default::default, |at| exposes(at, siblings, endpoints, problems));
    if let Some(at) = fields.get("dependencies") {
        dependencies(at, siblings, problems);
    }
    Some(Stated {
        at,
        image: image.unwrap_or_default(),
        command: fields.get("command").and_then(|at| words(at, problems)),
        args: fields.get("args").and_then(|at| words(at, problems)),
        env: fields.get("env").map(|at| env(at, problems)),
        exposes: rules,
        exposed,
        mounts: fields.get("params").map(|at| params(at, problems)),
        credentials: fields.get("credentials").and_then(|at| credentials(at, problems)),
        count: fields.get("count").and_then(|at| count(at, problems)),
        resources: fields.get("resources").map(|at| partial(at, problems)),
        deployed: Cell::new(false),
    })
}

fn image(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<String> {
    let image = at.filled_text(problems)?;
    if !is_image_reference(image) {
        let message = format!("{} is not an image", at.scalar(problems)?.shown());
        problems.error_hint(
            Code::InvalidValue,
            at,
            message,
            "for example registry.example.com/team/app:1.2",
        );
        return None;
    }
    Some(image.to_owned())
}

/// How many replicas.
pub(super) fn count(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<u32> {
    let count = at.integer32(1..=u32::MAX, problems)?;
    if count > REPLICAS_MAX {
        let message = format!("{count} replicas are more than {REPLICAS_MAX}");
        problems.error(Code::MaxExceeded, at, message);
        return None;
    }
    Some(count)
}

/// `NAME=value` or `NAME` alone, in the order of the text, because the order is part of the hash.
fn env(at: Cursor<'_, '_>, problems: &mut Problems) -> Vec<String> {
    let Some(items) = at.list(problems) else {
        return Vec::new();
    };
    at_most(at, items.len(), WORDS_MAX, "variables", problems);
    let mut names = BTreeSet::new();
    let mut lines = Vec::new();
    for item in items.iter().take(WORDS_MAX) {
        let Some(line) = word(item, problems) else {
            continue;
        };
        let name = env_name(&line);
        // The value may be a secret: only the name is repeated.
        let shown = Scalar::shown_text(name);
        if !is_env_name(name) {
            problems.error_hint(
                Code::InvalidName,
                item,
                format!("{shown} is not a name of a variable"),
                "NAME=value; letters, digits, - . _ and no digit first",
            );
        } else if !names.insert(name.to_owned()) {
            problems.error(
                Code::DuplicateName,
                item,
                format!("variable {shown} is there twice"),
            );
        }
        lines.push(line);
    }
    lines
}

fn env_name(line: &str) -> &str {
    line.split_once('=').map_or(line, |(name, _)| name)
}

/// The variables as a map; a name without a value is empty.
pub(super) fn env_map(lines: &[String]) -> BTreeMap<String, String> {
    let pair = |line: &String| {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        (name.to_owned(), value.to_owned())
    };
    lines.iter().map(pair).collect()
}

fn params(at: Cursor<'_, '_>, problems: &mut Problems) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    let Some(fields) = at.map(problems) else {
        return mounts;
    };
    fields.only(&["storage"], problems);
    let Some(storage_at) = fields.get("storage") else {
        return mounts;
    };
    let Some(storage) = storage_at.map(problems) else {
        return mounts;
    };
    at_most(storage_at, storage.len(), VOLUMES_MAX, "volumes", problems);
    for (volume, _, value) in storage.iter().take(VOLUMES_MAX) {
        let Some(fields) = value.map(problems) else {
            continue;
        };
        fields.only(&["mount", "readOnly", "read_only"], problems);
        let path_at = fields.require("mount", problems);
        let path = path_at.and_then(|at| at.text(problems));
        if let (Some(at), Some(path)) = (path_at, path) {
            if !is_mount_path(path) {
                let message = "not an absolute path below the root";
                problems.error_hint(Code::InvalidValue, at, message, "for example /var/lib/data");
            } else if mounts.iter().any(|other| other.path == path) {
                problems.error(Code::DuplicateName, at, format!("{path} is mounted twice"));
            }
        }
        let read_only = fields.get("readOnly").or_else(|| fields.get("read_only"));
        mounts.push(Mount {
            volume: volume.to_owned(),
            path: path.unwrap_or_default().to_owned(),
            read_only: read_only.and_then(|at| at.boolean(problems)).unwrap_or(false),
        });
    }
    mounts.sort_by(|a, b| a.volume.cmp(&b.volume));
    mounts
}

fn credentials(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<ImageCredentials> {
    let fields = at.map(problems)?;
    fields.only(&["host", "email", "username", "password"], problems);
    let mut required = |key: &str| {
        let at = fields.require(key, problems);
        at.and_then(|at| at.filled_text(problems)).map(ToOwned::to_owned)
    };
    let (host, username, password) = (required("host"), required("username"), required("password"));
    let email = fields.get("email").and_then(|at| at.text(problems));
    Some(ImageCredentials {
        host: host?,
        username: username?,
        email: email.unwrap_or_default().to_owned(),
        password: password?,
    })
}

/// An old list of services that must run beside this one. All services of a group do, so that there is nothing to carry out.
fn dependencies(at: Cursor<'_, '_>, siblings: &Fields<'_, '_>, problems: &mut Problems) {
    let Some(items) = at.list(problems) else {
        return;
    };
    at_most(at, items.len(), SERVICES_MAX, "dependencies", problems);
    for item in items.iter().take(SERVICES_MAX) {
        let Some(fields) = item.map(problems) else {
            continue;
        };
        fields.only(&["service"], problems);
        if let Some(at) = fields.require("service", problems) {
            check_service(at, siblings, problems);
        }
    }
}

/// A name of another service.
pub(super) fn check_service<'d>(
    at: Cursor<'_, 'd>,
    siblings: &Fields<'_, '_>,
    problems: &mut Problems,
) -> Option<&'d str> {
    let name = at.filled_text(problems)?;
    if !siblings.iter().any(|(other, ..)| other == name) {
        let message = format!("there is no service {}", at.scalar(problems)?.shown());
        problems.error(Code::UndefinedReference, at, message);
        return None;
    }
    Some(name)
}

/// Reports a host name that two services want.
pub(super) fn check_hosts(services: &Services<'_, '_>, problems: &mut Problems) {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, service) in services {
        for host in service.exposed.iter().flat_map(|expose| &expose.hosts) {
            let other = taken.insert(host, name);
            if let Some(other) = other.filter(|other| other != name) {
                let message = format!("host {host} is taken by service {other} already");
                problems.error(Code::DuplicateName, service.at, message);
            }
        }
    }
}

/// Says when nothing can be reached from outside, and when a service is not deployed anywhere.
pub(super) fn check_reachable(at: Cursor<'_, '_>, services: &Services<'_, '_>, problems: &mut Problems) {
    let mut rules = services.values().flat_map(|service| &service.exposes);
    if !services.is_empty() && !rules.any(|rule| rule.global) {
        problems.notice(
            Code::NoGlobalService,
            at,
            "no service is reachable from outside",
            Some("add to: [{global: true}] at a port".to_owned()),
        );
    }
    for (name, service) in services {
        if !service.deployed.get() {
            let message = format!("service {name} has no place under deployment and will not run");
            problems.notice(Code::NotCarriedOut, service.at, message, None);
        }
    }
}
