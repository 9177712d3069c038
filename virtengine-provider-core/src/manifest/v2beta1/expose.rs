use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Deref;

use super::service::check_service;
use crate::document::{Code, Cursor, Fields, Problems};
use crate::manifest::limits::{BODY_BYTES_MAX, HTTP_TIMEOUT_MS_MAX, PORTS_MAX};
use crate::manifest::model::{HttpOptions, WireExpose};
use crate::manifest::names::{at_most, is_host};
use crate::workload::{ExposeSpec, Protocol};

/// One rule of who may reach a port.
pub(super) struct Rule {
    pub(super) wire: WireExpose,
    /// Whether the text has no `to` at all, so that the rule stands for "the other services".
    pub(super) from_default: bool,
}

impl Deref for Rule {
    type Target = WireExpose;
    fn deref(&self) -> &WireExpose {
        &self.wire
    }
}

/// The rules in canonical order, and the same for the workload in the order of the text.
pub(super) fn exposes(
    at: Cursor<'_, '_>,
    siblings: &Fields<'_, '_>,
    endpoints: &BTreeSet<&str>,
    problems: &mut Problems,
) -> (Vec<Rule>, Vec<ExposeSpec>) {
    let (mut rules, mut specs): (Vec<Rule>, Vec<ExposeSpec>) = (Vec::new(), Vec::new());
    let Some(items) = at.list(problems) else {
        return (rules, specs);
    };
    at_most(at, items.len(), PORTS_MAX, "ports", problems);
    let (mut ports, mut hosts) = (BTreeSet::new(), BTreeSet::new());
    for item in items.iter().take(PORTS_MAX) {
        let Some(port) = port(item, problems) else {
            continue;
        };
        if !ports.insert((port.number, port.outside(), port.protocol == Protocol::Udp)) {
            problems.error(
                Code::DuplicateName,
                item,
                format!("port {} is there twice", port.number),
            );
        }
        for host in port.hosts.iter().flatten() {
            if !hosts.insert(host.clone()) {
                problems.error(Code::DuplicateName, item, format!("host {host} is there twice"));
            }
        }
        let targets = item.map(problems).as_ref().and_then(|fields| {
            fields
                .get("to")
                .map(|at| targets(at, siblings, endpoints, problems))
        });
        specs.extend(specs_of(&port, targets.as_deref().unwrap_or_default()));
        rules.extend(rules_of(&port, targets.as_deref().unwrap_or_default()));
    }
    rules.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    (rules, specs)
}

struct Port {
    number: u16,
    external: u16,
    protocol: Protocol,
    hosts: Option<Vec<String>>,
    http: HttpOptions,
}

impl Port {
    const fn outside(&self) -> u16 {
        if self.external == 0 {
            self.number
        } else {
            self.external
        }
    }
}

fn port(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<Port> {
    let fields = at.map(problems)?;
    fields.only(&["port", "as", "proto", "accept", "http_options", "to"], problems);
    let number = fields.require("port", problems).and_then(|at| at.port(problems));
    let external = match fields.get("as") {
        // As in the chain's own tools, 0 means that nothing was said.
        Some(at) => at
            .integer(0..=65_535, problems)
            .and_then(|port| u16::try_from(port).ok()),
        None => Some(0),
    };
    let protocols = [
        ("tcp", Protocol::Tcp),
        ("udp", Protocol::Udp),
        ("TCP", Protocol::Tcp),
        ("UDP", Protocol::Udp),
    ];
    let protocol = match fields.get("proto") {
        Some(at) => at.one_of(Code::InvalidValue, &protocols, problems),
        None => Some(Protocol::Tcp),
    };
    let hosts = fields.get("accept").map(|at| hosts(at, problems));
    let http = fields
        .get("http_options")
        .map_or_else(HttpOptions::default, |at| http_options(at, problems));
    Some(Port {
        number: number?,
        external: external?,
        protocol: protocol?,
        hosts,
        http,
    })
}

fn hosts(at: Cursor<'_, '_>, problems: &mut Problems) -> Vec<String> {
    let Some(items) = at.list(problems) else {
        return Vec::new();
    };
    at_most(at, items.len(), PORTS_MAX, "hosts", problems);
    let mut hosts = Vec::new();
    for item in items.iter().take(PORTS_MAX) {
        let Some(host) = item.filled_text(problems) else {
            continue;
        };
        if is_host(host) {
            hosts.push(host.to_owned());
        } else if let Some(scalar) = item.scalar(problems) {
            let message = format!("{} is not a host name", scalar.shown());
            problems.error_hint(
                Code::InvalidValue,
                item,
                message,
                "lower case, for example app.example.com",
            );
        }
    }
    hosts
}

const HTTP_FIELDS: [&str; 6] = [
    "max_body_size",
    "read_timeout",
    "send_timeout",
    "next_tries",
    "next_timeout",
    "next_cases",
];

const NEXT_CASES: [&str; 10] = [
    "error", "timeout", "500", "502", "503", "504", "403", "404", "429", "off",
];

fn http_options(at: Cursor<'_, '_>, problems: &mut Problems) -> HttpOptions {
    let defaults = HttpOptions::default();
    let Some(fields) = at.map(problems) else {
        return defaults;
    };
    fields.only(&HTTP_FIELDS, problems);
    // As in the chain's own tools, 0 means that nothing was said.
    let mut number = |key: &str, most: u32, default: u32| {
        let given = fields.get(key).and_then(|at| at.integer32(0..=most, problems));
        given.filter(|number| *number > 0).unwrap_or(default)
    };
    let max_body_size = number("max_body_size", BODY_BYTES_MAX, defaults.max_body_size);
    let read_timeout = number("read_timeout", HTTP_TIMEOUT_MS_MAX, defaults.read_timeout);
    let send_timeout = number("send_timeout", HTTP_TIMEOUT_MS_MAX, defaults.send_timeout);
    let next_tries = number("next_tries", 100, defaults.next_tries);
    let next_timeout = number("next_timeout", HTTP_TIMEOUT_MS_MAX, defaults.next_timeout);
    let next_cases = fields
        .get("next_cases")
        .map(|at| next_cases(at, problems))
        .filter(|cases| !cases.is_empty())
        .unwrap_or(defaults.next_cases);
    HttpOptions {
        max_body_size,
        read_timeout,
        send_timeout,
        next_tries,
        next_timeout,
        next_cases,
    }
}

fn next_cases(at: Cursor<'_, '_>, problems: &mut Problems) -> Vec<String> {
    let Some(items) = at.list(problems) else {
        return Vec::new();
    };
    at_most(at, items.len(), NEXT_CASES.len(), "cases", problems);
    let allowed = NEXT_CASES.map(|case| (case, case));
    let known = items.iter().take(NEXT_CASES.len());
    let cases: Vec<&str> = known
        .filter_map(|item| item.one_of(Code::InvalidValue, &allowed, problems))
        .collect();
    if cases.len() > 1 && cases.contains(&"off") {
        problems.error(Code::Conflict, at, "off stands alone");
    }
    cases.into_iter().map(ToOwned::to_owned).collect()
}

/// One entry of `to`.
struct Target {
    service: Option<String>,
    global: bool,
    ip: Option<String>,
}

fn targets(
    at: Cursor<'_, '_>,
    siblings: &Fields<'_, '_>,
    endpoints: &BTreeSet<&str>,
    problems: &mut Problems,
) -> Vec<Target> {
    let Some(items) = at.list(problems) else {
        return Vec::new();
    };
    at_most(at, items.len(), PORTS_MAX, "targets", problems);
    let mut targets = Vec::new();
    for item in items.iter().take(PORTS_MAX) {
        let Some(fields) = item.map(problems) else {
            continue;
        };
        fields.only(&["service", "global", "ip"], problems);
        let service_at = fields.get("service");
        let service = service_at.and_then(|at| check_service(at, siblings, problems));
        let global = fields
            .get("global")
            .and_then(|at| at.boolean(problems))
            .unwrap_or(false);
        let ip_at = fields.get("ip");
        let ip = ip_at.and_then(|at| at.filled_text(problems));
        if let (Some(at), Some(name)) = (ip_at, ip) {
            if !endpoints.contains(name) {
                let message = format!(
                    "there is no endpoint {}",
                    crate::document::Scalar::shown_text(name)
                );
                problems.error_hint(
                    Code::UndefinedReference,
                    at,
                    message,
                    "declare it under endpoints",
                );
            }
            if !global {
                problems.error(Code::InvalidValue, at, "a leased address needs global: true");
            }
        }
        if !global && service_at.is_none() {
            problems.error_hint(
                Code::RequiredField,
                item,
                "does not say who may reach the port",
                "global: true or service: NAME",
            );
        }
        targets.push(Target {
            service: service.map(ToOwned::to_owned),
            global,
            ip: ip.map(ToOwned::to_owned),
        });
    }
    targets
}

fn rules_of(port: &Port, targets: &[Target]) -> Vec<Rule> {
    let rule = |target: Option<&Target>| Rule {
        wire: WireExpose {
            port: port.number,
            external_port: port.external,
            protocol: port.protocol,
            service: target.and_then(|t| t.service.clone()).unwrap_or_default(),
            global: target.is_some_and(|t| t.global),
            hosts: port.hosts.clone(),
            http: port.http.clone(),
            ip: target.and_then(|t| t.ip.clone()).unwrap_or_default(),
            sequence_number: 0,
        },
        from_default: target.is_none(),
    };
    if targets.is_empty() {
        return alloc::vec![rule(None)];
    }
    targets.iter().map(|target| rule(Some(target))).collect()
}

/// One entry per way in from outside, or one for the other services when there is none.
fn specs_of(port: &Port, targets: &[Target]) -> Vec<ExposeSpec> {
    let to_services: Vec<String> = targets
        .iter()
        .filter_map(|target| target.service.clone())
        .collect();
    let spec = |global: bool, ip: Option<String>| ExposeSpec {
        port: port.number,
        external_port: port.outside(),
        protocol: port.protocol,
        global,
        to_services: to_services.clone(),
        hosts: port.hosts.clone().unwrap_or_default(),
        ip,
    };
    let outside: Vec<ExposeSpec> = targets
        .iter()
        .filter(|target| target.global)
        .map(|target| spec(true, target.ip.clone()))
        .collect();
    if outside.is_empty() {
        return alloc::vec![spec(false, None)];
    }
    outside
}
