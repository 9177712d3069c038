use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::document::{Code, Cursor, Fields, Problems};
use crate::manifest::limits::PORTS_MAX;
use crate::manifest::model::{HttpOptions, WireExpose};
use crate::manifest::names::{at_most, label};
use crate::workload::{ExposeSpec, Protocol};

/// The ports in the order of the text, and the same in canonical order.
pub(super) fn ports(at: Cursor<'_, '_>, problems: &mut Problems) -> (Vec<ExposeSpec>, Vec<WireExpose>) {
    let (mut exposes, mut wire) = (Vec::new(), Vec::new());
    let Some(items) = at.list(problems) else {
        return (exposes, wire);
    };
    at_most(at, items.len(), PORTS_MAX, "ports", problems);
    let mut names = BTreeSet::new();
    for item in items.iter().take(PORTS_MAX) {
        let Some(fields) = item.map(problems) else {
            continue;
        };
        fields.only(
            &["name", "container_port", "protocol", "expose", "external_port"],
            problems,
        );
        if let Some(at) = fields.get("name")
            && let Some(name) = label(at, problems)
            && !names.insert(name)
        {
            problems.error(Code::DuplicateName, at, format!("port {name} is there twice"));
        }
        let Some(expose) = port(&fields, problems) else {
            continue;
        };
        let same = |other: &ExposeSpec| other.port == expose.port && other.protocol == expose.protocol;
        if exposes.iter().any(same) {
            let message = format!("port {} is there twice", expose.port);
            problems.error(
                Code::DuplicateName,
                fields.get("container_port").unwrap_or_else(|| item.here()),
                message,
            );
        }
        wire.push(wire_expose(&expose));
        exposes.push(expose);
    }
    wire.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    (exposes, wire)
}

fn port(fields: &Fields<'_, '_>, problems: &mut Problems) -> Option<ExposeSpec> {
    let port = fields
        .require("container_port", problems)
        .and_then(|at| at.port(problems));
    let protocols = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
    let protocol = match fields.get("protocol") {
        Some(at) => at.one_of(Code::InvalidValue, &protocols, problems),
        None => Some(Protocol::Tcp),
    };
    let global = fields
        .get("expose")
        .and_then(|at| at.boolean(problems))
        .unwrap_or(false);
    let external = match fields.get("external_port") {
        Some(at) => at.integer(0..=65_535, problems).and_then(|port| {
            if port > 0 && !global {
                problems.error(Code::InvalidValue, at, "an external port needs expose: true");
            }
            u16::try_from(port).ok()
        }),
        None => Some(0),
    };
    let (port, external) = (port?, external?);
    Some(ExposeSpec {
        port,
        external_port: if external == 0 { port } else { external },
        protocol: protocol?,
        global,
        to_services: Vec::new(),
        hosts: Vec::new(),
        ip: None,
    })
}

fn wire_expose(expose: &ExposeSpec) -> WireExpose {
    WireExpose {
        port: expose.port,
        external_port: if expose.external_port == expose.port {
            0
        } else {
            expose.external_port
        },
        protocol: expose.protocol,
        service: String::new(),
        global: expose.global,
        hosts: None,
        http: HttpOptions::default(),
        ip: String::new(),
        sequence_number: 0,
    }
}
