//! The canonical form of a manifest (spec/chain.md D.7): compact JSON of the groups with sorted keys, as Go writes it. Its
//! SHA-256 is what the tenant announces on chain, so every byte counts.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write as _;

use super::model::{Group, HttpOptions, Mount, Service, WireExpose, protocol_name};
use crate::market::{Attribute, Endpoint, EndpointKind, StorageVolume};
use crate::workload::ServiceSpec;

pub(super) fn json(groups: &[Group]) -> String {
    let mut out = Writer(String::with_capacity(1024));
    out.list(groups, Writer::group);
    out.0
}

struct Writer(String);

impl Writer {
    fn raw(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// A number or a boolean after its key. Writing to a `String` cannot fail.
    fn plain(&mut self, key: &str, value: impl ToString) {
        let _ = write!(self.0, "\"{key}\":{}", value.to_string());
    }

    fn pair(&mut self, key: &str, value: &str) {
        let _ = write!(self.0, "\"{key}\":");
        self.text(value);
    }

    /// Go escapes what could end a script element, and the two line separators of JavaScript.
    fn text(&mut self, text: &str) {
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' => self.raw("\\\""),
                '\\' => self.raw("\\\\"),
                '\n' => self.raw("\\n"),
                '\r' => self.raw("\\r"),
                '\t' => self.raw("\\t"),
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                    let _ = write!(self.0, "\\u{:04x}", u32::from(c));
                }
                _ => self.0.push(c),
            }
        }
        self.0.push('"');
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.0.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            write(self, item);
        }
        self.0.push(']');
    }

    fn texts(&mut self, items: Option<&[String]>) {
        match items {
            Some(items) => self.list(items, |out, item| out.text(item)),
            None => self.raw("null"),
        }
    }

    fn group(&mut self, group: &Group) {
        self.raw("{");
        self.pair("name", &group.name);
        self.raw(",\"services\":");
        self.list(&group.services, |out, service| {
            let id = position_of(service, group);
            out.service(service, id);
        });
        self.raw("}");
    }

    fn service(&mut self, service: &Service, id: usize) {
        let (spec, wire) = (&service.spec, &service.wire);
        self.raw("{\"args\":");
        self.texts(wire.args_given.then_some(&*spec.args));
        self.raw(",\"command\":");
        self.texts(wire.command_given.then_some(&*spec.command));
        self.raw(",");
        self.plain("count", spec.count);
        self.raw(",\"credentials\":");
        self.credentials(spec);
        self.raw(",\"env\":");
        self.texts(wire.env.as_deref());
        self.raw(",\"expose\":");
        self.list(&wire.exposes, Self::expose);
        if wire.extended {
            self.extension(spec);
        }
        self.raw(",");
        self.pair("image", &spec.image);
        self.raw(",");
        self.pair("name", &spec.name);
        if let Some(mounts) = &wire.mounts {
            self.raw(",\"params\":{\"storage\":");
            if mounts.is_empty() {
                self.raw("null");
            } else {
                self.list(mounts, Self::mount);
            }
            self.raw("}");
        }
        self.raw(",\"resources\":");
        self.resources(service, id);
        self.raw("}");
    }

    fn credentials(&mut self, spec: &ServiceSpec) {
        let Some(credentials) = &spec.credentials else {
            return self.raw("null");
        };
        self.raw("{");
        self.pair("email", &credentials.email);
        self.raw(",");
        self.pair("host", &credentials.host);
        self.raw(",");
        self.pair("password", &credentials.password);
        self.raw(",");
        self.pair("username", &credentials.username);
        self.raw("}");
    }

    fn expose(&mut self, expose: &WireExpose) {
        self.raw("{");
        self.plain("endpointSequenceNumber", expose.sequence_number);
        self.raw(",");
        self.plain("externalPort", expose.external_port);
        self.raw(",");
        self.plain("global", expose.global);
        self.raw(",\"hosts\":");
        self.texts(expose.hosts.as_deref());
        self.raw(",\"httpOptions\":");
        self.http(&expose.http);
        self.raw(",");
        self.pair("ip", &expose.ip);
        self.raw(",");
        self.plain("port", expose.port);
        self.raw(",");
        self.pair("proto", protocol_name(expose.protocol));
        self.raw(",");
        self.pair("service", &expose.service);
        self.raw("}");
    }

    fn http(&mut self, http: &HttpOptions) {
        self.raw("{");
        self.plain("maxBodySize", http.max_body_size);
        self.raw(",\"nextCases\":");
        self.texts(Some(&http.next_cases));
        self.raw(",");
        self.plain("nextTimeout", http.next_timeout);
        self.raw(",");
        self.plain("nextTries", http.next_tries);
        self.raw(",");
        self.plain("readTimeout", http.read_timeout);
        self.raw(",");
        self.plain("sendTimeout", http.send_timeout);
        self.raw("}");
    }

    /// What a v1 manifest says and the chain's schema has no place for: it must be bound by the hash all the same.
    fn extension(&mut self, spec: &ServiceSpec) {
        let said = serde_json::json!({
            "health": spec.health,
            "hooks": spec.hooks,
            "kind": spec.kind,
            "restart": spec.restart,
        });
        // The map of `serde_json` is sorted; no feature of this workspace changes that.
        self.raw(",\"extension\":");
        self.raw(&said.to_string());
    }

    fn mount(&mut self, mount: &Mount) {
        self.raw("{");
        self.pair("mount", &mount.path);
        self.raw(",");
        self.pair("name", &mount.volume);
        self.raw(",");
        self.plain("readOnly", mount.read_only);
        self.raw("}");
    }

    fn resources(&mut self, service: &Service, id: usize) {
        let (spec, wire) = (&service.spec, &service.wire);
        self.raw("{\"cpu\":{");
        self.attributes(&wire.cpu_attributes);
        self.value("units", spec.cpu_millis);
        self.raw("},\"endpoints\":");
        self.list(&wire.endpoints(), Self::endpoint);
        self.raw(",\"gpu\":{");
        self.attributes(&wire.gpu_attributes);
        self.value("units", spec.gpus);
        self.raw("},");
        self.plain("id", id);
        self.raw(",\"memory\":{");
        self.attributes(&wire.memory_attributes);
        self.value("size", spec.memory_bytes);
        self.raw("}");
        if !wire.storage.is_empty() {
            self.raw(",\"storage\":");
            self.list(&wire.storage, Self::volume);
        }
        self.raw("}");
    }

    fn value(&mut self, key: &str, value: u64) {
        self.raw(&format!("\"{key}\":{{\"val\":\"{value}\"}}"));
    }

    /// With its comma: attributes sort before everything that can follow them.
    fn attributes(&mut self, attributes: &[Attribute]) {
        if attributes.is_empty() {
            return;
        }
        self.raw("\"attributes\":");
        self.list(attributes, |out, attribute| {
            out.raw("{");
            out.pair("key", &attribute.key);
            if !attribute.value.is_empty() {
                out.raw(",");
                out.pair("value", &attribute.value);
            }
            out.raw("}");
        });
        self.raw(",");
    }

    fn volume(&mut self, volume: &StorageVolume) {
        self.raw("{");
        self.attributes(&volume.attributes);
        self.pair("name", &volume.name);
        self.raw(",");
        self.value("size", volume.bytes);
        self.raw("}");
    }

    fn endpoint(&mut self, endpoint: &Endpoint) {
        self.raw("{");
        match endpoint.kind {
            EndpointKind::SharedHttp => {}
            EndpointKind::RandomPort => self.raw("\"kind\":1,"),
            EndpointKind::LeasedIp => self.raw("\"kind\":2,"),
        }
        self.plain("sequence_number", endpoint.sequence_number);
        self.raw("}");
    }
}

/// The id of a service's resources: its place in the group, from 1. Names are unique within a group.
fn position_of(service: &Service, group: &Group) -> usize {
    let before = group
        .services
        .iter()
        .take_while(|other| other.spec.name != service.spec.name);
    before.count().saturating_add(1)
}
