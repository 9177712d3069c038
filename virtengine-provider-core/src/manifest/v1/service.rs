use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::declared::{Declared, positive_bytes};
use super::ports::ports;
use super::probe::health_check;
use super::storage::Storage;
use crate::document::{Code, Cursor, Fields, Problems, Scalar};
use crate::manifest::limits::{IMAGE_BYTES_MAX, REPLICAS_MAX, SERVICES_MAX, WORDS_MAX};
use crate::manifest::model::{Service, Wire};
use crate::manifest::names::{at_most, is_env_name, is_image_reference, label, word, words};
use crate::market::Attribute;
use crate::workload::{Hooks, RestartPolicy, ServiceKind, ServiceSpec};

const FIELDS: [&str; 14] = [
    "name",
    "type",
    "image",
    "tag",
    "command",
    "args",
    "env",
    "resources",
    "ports",
    "volumes",
    "network_refs",
    "replicas",
    "restart_policy",
    "health_check",
];

pub(super) fn services(
    at: Cursor<'_, '_>,
    declared: &Declared<'_>,
    hooks: &Hooks,
    problems: &mut Problems,
) -> Vec<Service> {
    let Some(items) = at.list(problems) else {
        return Vec::new();
    };
    if items.is_empty() {
        problems.error(Code::RequiredField, at, "at least one service is needed");
    }
    at_most(at, items.len(), SERVICES_MAX, "services", problems);
    let mut services: Vec<Service> = Vec::new();
    let mut names = BTreeSet::new();
    for item in items.iter().take(SERVICES_MAX) {
        let Some(fields) = item.map(problems) else {
            continue;
        };
        let service = service(&fields, declared, hooks, problems);
        if !service.spec.name.is_empty() && !names.insert(service.spec.name.clone()) {
            let message = format!("service {} is there twice", service.spec.name);
            problems.error(
                Code::DuplicateName,
                fields.get("name").unwrap_or_else(|| item.here()),
                message,
            );
        }
        services.push(service);
    }
    if services.iter().all(|service| service.wire.endpoints().is_empty()) {
        problems.notice(
            Code::NoGlobalService,
            at,
            "no service is reachable from outside",
            Some("set expose: true at a port".to_owned()),
        );
    }
    services.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    services
}

/// Reads one service. What could not be read has a harmless value; the problems are reported, so that nobody sees it.
fn service(
    fields: &Fields<'_, '_>,
    declared: &Declared<'_>,
    hooks: &Hooks,
    problems: &mut Problems,
) -> Service {
    fields.only(&FIELDS, problems);
    let name = fields
        .require("name", problems)
        .and_then(|at| label(at, problems));
    let kinds = [("container", ServiceKind::Container), ("vm", ServiceKind::Vm)];
    let kind = fields
        .require("type", problems)
        .and_then(|at| at.one_of(Code::UnsupportedType, &kinds, problems))
        .unwrap_or_default();
    let image = image(fields, kind, problems).unwrap_or_default();
    let command = fields.get("command").and_then(|at| words(at, problems));
    let args = fields.get("args").and_then(|at| words(at, problems));
    let env = fields.get("env").map(|at| env(at, problems));
    let asked = fields
        .require("resources", problems)
        .map_or_else(Asked::default, |at| resources(at, problems));
    let (exposes, wire_exposes) = fields
        .get("ports")
        .map_or_else(Default::default, |at| ports(at, problems));
    let mut storage = Storage::new(asked.storage);
    if let Some(at) = fields.get("volumes") {
        storage.mount_all(at, declared.volumes.as_ref(), problems);
    }
    if let Some(at) = fields.get("network_refs") {
        network_refs(at, declared.networks.as_deref(), problems);
    }
    let health = fields
        .get("health_check")
        .and_then(|at| health_check(at, problems));
    let wire = Wire {
        command_given: command.is_some(),
        args_given: args.is_some(),
        env: env.as_ref().map(env_lines),
        gpu_attributes: asked.gpu_attributes(),
        storage: storage.wire,
        exposes: wire_exposes,
        mounts: (!storage.mounts.is_empty()).then_some(storage.mounts),
        extended: true,
        ..Wire::default()
    };
    let spec = ServiceSpec {
        name: name.unwrap_or_default().to_owned(),
        image,
        kind,
        command: command.unwrap_or_default(),
        args: args.unwrap_or_default(),
        env: env.unwrap_or_default(),
        count: replicas(fields, problems),
        cpu_millis: asked.cpu_millis,
        memory_bytes: asked.memory,
        gpus: asked.gpus,
        gpu_models: asked.gpu_model.into_iter().collect(),
        volumes: storage.volumes,
        exposes,
        restart: restart(fields, problems),
        health,
        hooks: hooks.clone(),
        credentials: None,
    };
    Service {
        spec,
        price: None,
        wire,
    }
}

fn restart(fields: &Fields<'_, '_>, problems: &mut Problems) -> RestartPolicy {
    let policies = [
        ("always", RestartPolicy::Always),
        ("on-failure", RestartPolicy::OnFailure),
        ("never", RestartPolicy::Never),
    ];
    let Some(at) = fields.get("restart_policy") else {
        return RestartPolicy::default();
    };
    match at.text(problems) {
        // As in the reference, an empty text means that nothing was said.
        None | Some("") => RestartPolicy::default(),
        Some(_) => at
            .one_of(Code::InvalidValue, &policies, problems)
            .unwrap_or_default(),
    }
}

fn env_lines(env: &BTreeMap<String, String>) -> Vec<String> {
    env.iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn image(fields: &Fields<'_, '_>, kind: ServiceKind, problems: &mut Problems) -> Option<String> {
    let at = fields.require("image", problems)?;
    let image = at.filled_text(problems)?;
    let whole = match fields.get("tag") {
        Some(tag_at) => {
            let tag = tag_at.filled_text(problems)?;
            let last = image.rsplit('/').next().unwrap_or(image);
            if last.contains([':', '@']) {
                problems.error(Code::Conflict, tag_at, "the image states its tag already");
                return None;
            }
            format!("{image}:{tag}")
        }
        None => image.to_owned(),
    };
    // Images of machines have as many spellings as there are clouds.
    let legal = match kind {
        ServiceKind::Container => is_image_reference(&whole),
        ServiceKind::Vm => whole.len() <= IMAGE_BYTES_MAX && !whole.contains(char::is_whitespace),
    };
    if !legal {
        let message = format!("{} is not an image", at.scalar(problems)?.shown());
        problems.error_hint(
            Code::InvalidValue,
            at,
            message,
            "for example registry.example.com/team/app:1.2",
        );
        return None;
    }
    Some(whole)
}

fn replicas(fields: &Fields<'_, '_>, problems: &mut Problems) -> u32 {
    let Some(at) = fields.get("replicas") else {
        return 1;
    };
    let Some(replicas) = at.integer32(0..=u32::MAX, problems) else {
        return 1;
    };
    if replicas == 0 {
        problems.notice(Code::DefaultUsed, at, "0 replicas are read as 1", None);
        return 1;
    }
    if replicas > REPLICAS_MAX {
        let message = format!("{replicas} replicas are more than {REPLICAS_MAX}");
        problems.error(Code::MaxExceeded, at, message);
    }
    replicas
}

fn env(at: Cursor<'_, '_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let Some(fields) = at.map(problems) else {
        return env;
    };
    at_most(at, fields.len(), WORDS_MAX, "variables", problems);
    for (name, span, value) in fields.iter() {
        if !is_env_name(name) {
            let message = format!("{} is not a name of a variable", Scalar::shown_text(name));
            let hint = Some("letters, digits, - . _ and no digit first".to_owned());
            problems.error_at(Code::InvalidName, &value.path, span, message, hint);
        }
        let text = if value.is_null() {
            String::new()
        } else {
            word(value, problems).unwrap_or_default()
        };
        env.insert(name.to_owned(), text);
    }
    env
}

#[derive(Default)]
struct Asked {
    cpu_millis: u64,
    memory: u64,
    storage: u64,
    gpus: u64,
    gpu_model: Option<String>,
}

impl Asked {
    fn gpu_attributes(&self) -> Vec<Attribute> {
        let attribute = |model: &String| Attribute {
            key: model.clone(),
            value: "true".to_owned(),
        };
        self.gpu_model.iter().map(attribute).collect()
    }
}

fn resources(at: Cursor<'_, '_>, problems: &mut Problems) -> Asked {
    let Some(fields) = at.map(problems) else {
        return Asked::default();
    };
    fields.only(&["cpu", "memory", "storage", "gpu", "gpu_type"], problems);
    // In v1 a plain number means thousandths of a core; with a point or an m it means what v2beta1 means.
    let cpu = fields
        .require("cpu", problems)
        .and_then(|at| match at.text(problems)? {
            text if text.bytes().all(|b| b.is_ascii_digit()) => at.integer(1..=u64::MAX, problems),
            _ => at.cpu_millis(problems).filter(|millis| {
                if *millis == 0 {
                    problems.error(Code::InvalidValue, at, "must be above zero");
                }
                *millis > 0
            }),
        });
    let memory = fields
        .require("memory", problems)
        .and_then(|at| positive_bytes(at, problems));
    let storage = fields.get("storage").and_then(|at| at.bytes(problems));
    let gpus = fields
        .get("gpu")
        .and_then(|at| at.integer(0..=u64::from(u32::MAX), problems))
        .unwrap_or(0);
    let model = fields
        .get("gpu_type")
        .and_then(|at| gpu_model(at, gpus, problems));
    Asked {
        cpu_millis: cpu.unwrap_or(0),
        memory: memory.unwrap_or(0),
        storage: storage.unwrap_or(0),
        gpus,
        gpu_model: model,
    }
}

/// `nvidia-a100` or `a100` as the path that the market uses.
fn gpu_model(at: Cursor<'_, '_>, gpus: u64, problems: &mut Problems) -> Option<String> {
    let name = at.text(problems)?;
    if name.is_empty() {
        return None;
    }
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_');
    if name.len() > 63 || !name.bytes().all(legal) {
        problems.error_hint(
            Code::InvalidValue,
            at,
            "not a kind of GPU",
            "for example nvidia-a100",
        );
        return None;
    }
    if gpus == 0 {
        problems.error(
            Code::InvalidValue,
            at,
            "a kind of GPU is named, but no GPU is asked for",
        );
        return None;
    }
    Some(match name.split_once('-') {
        Some((vendor @ ("nvidia" | "amd" | "intel"), model)) => format!("vendor/{vendor}/model/{model}"),
        _ => format!("vendor/*/model/{name}"),
    })
}

fn network_refs(at: Cursor<'_, '_>, declared: Option<&[&str]>, problems: &mut Problems) {
    let Some(items) = at.list(problems) else {
        return;
    };
    for item in items.iter().take(SERVICES_MAX) {
        let Some(name) = item.filled_text(problems) else {
            continue;
        };
        if !declared.is_some_and(|declared| declared.contains(&name)) {
            let message = format!("network {} is not declared", Scalar::shown_text(name));
            problems.error(Code::UndefinedReference, item, message);
        }
    }
}
