use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use crate::document::{Code, Cursor, Fields, Problems, Scalar, Value};
use crate::manifest::limits::{
    ATTRIBUTES_MAX, CPU_MILLIS, GPUS, MEMORY_BYTES, SERVICES_MAX, STORAGE_BYTES, VOLUMES_MAX,
};
use crate::manifest::names::{at_most, label};
use crate::market::{Attribute, StorageVolume};
use crate::units::GIB;

/// Resources as one place of the text states them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) cpu_millis: Option<u64>,
    pub(super) cpu_attributes: Vec<Attribute>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) memory_attributes: Vec<Attribute>,
    pub(super) storage: Option<Vec<StorageVolume>>,
    pub(super) gpus: Option<u64>,
    pub(super) gpu_attributes: Vec<Attribute>,
}

/// The compute profiles by name.
pub(super) fn profiles<'d>(at: Cursor<'_, 'd>, problems: &mut Problems) -> BTreeMap<&'d str, Asked> {
    let mut profiles = BTreeMap::new();
    let Some(fields) = at.map(problems) else {
        return profiles;
    };
    at_most(at, fields.len(), SERVICES_MAX, "profiles", problems);
    for (name, _, value) in fields.iter().take(SERVICES_MAX) {
        let inner = value.map(problems);
        if let Some(inner) = &inner {
            inner.only(&["resources"], problems);
        }
        let resources = inner
            .as_ref()
            .and_then(|inner| inner.require("resources", problems));
        let asked = resources.map(|at| whole(at, problems)).unwrap_or_default();
        profiles.insert(name, asked);
    }
    profiles
}

/// Resources that must be complete.
fn whole(at: Cursor<'_, '_>, problems: &mut Problems) -> Asked {
    if let Some(fields) = at.map(problems) {
        for key in ["cpu", "memory", "storage"] {
            fields.require(key, problems);
        }
    }
    partial(at, problems)
}

/// Resources of which each may be absent.
pub(super) fn partial(at: Cursor<'_, '_>, problems: &mut Problems) -> Asked {
    let Some(fields) = at.map(problems) else {
        return Asked::default();
    };
    fields.only(&["cpu", "memory", "storage", "gpu"], problems);
    let mut asked = Asked::default();
    if let Some(at) = fields.get("cpu") {
        (asked.cpu_millis, asked.cpu_attributes) = cpu(at, problems);
    }
    if let Some(at) = fields.get("memory") {
        (asked.memory_bytes, asked.memory_attributes) = memory(at, problems);
    }
    asked.storage = fields.get("storage").map(|at| storage(at, problems));
    if let Some(at) = fields.get("gpu") {
        (asked.gpus, asked.gpu_attributes) = gpu(at, problems);
    }
    asked
}

fn cpu(at: Cursor<'_, '_>, problems: &mut Problems) -> (Option<u64>, Vec<Attribute>) {
    let Some(fields) = at.map(problems) else {
        return Default::default();
    };
    fields.only(&["units", "attributes"], problems);
    let units_at = fields.require("units", problems);
    let units = units_at.and_then(|at| {
        let millis = at.cpu_millis(problems)?;
        within(at, millis, &CPU_MILLIS, "thousandths of a core", problems)
    });
    (units, attributes(&fields, problems))
}

fn memory(at: Cursor<'_, '_>, problems: &mut Problems) -> (Option<u64>, Vec<Attribute>) {
    let Some(fields) = at.map(problems) else {
        return Default::default();
    };
    fields.only(&["size", "attributes"], problems);
    let size_at = fields.require("size", problems);
    let size = size_at.and_then(|at| {
        let bytes = at.bytes(problems)?;
        within(at, bytes, &MEMORY_BYTES, "bytes", problems)
    });
    (size, attributes(&fields, problems))
}

fn within(
    at: Cursor<'_, '_>,
    number: u64,
    range: &RangeInclusive<u64>,
    unit: &str,
    problems: &mut Problems,
) -> Option<u64> {
    if range.contains(&number) {
        return Some(number);
    }
    let message = format!(
        "{number} {unit}; the chain takes {} to {} for one unit",
        range.start(),
        range.end()
    );
    problems.error(Code::InvalidValue, at, message);
    None
}

/// The `attributes` of a resource, sorted by key.
fn attributes(fields: &Fields<'_, '_>, problems: &mut Problems) -> Vec<Attribute> {
    fields
        .get("attributes")
        .map_or_else(Vec::new, |at| attribute_map(at, problems))
}

/// A map of keys to texts, sorted by key.
pub(super) fn attribute_map(at: Cursor<'_, '_>, problems: &mut Problems) -> Vec<Attribute> {
    let Some(fields) = at.map(problems) else {
        return Vec::new();
    };
    at_most(at, fields.len(), ATTRIBUTES_MAX, "attributes", problems);
    let mut attributes = Vec::new();
    for (key, span, value) in fields.iter().take(ATTRIBUTES_MAX) {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b'*');
        if key.len() > 128 || !key.bytes().all(legal) {
            let message = format!("{} is not a key of an attribute", Scalar::shown_text(key));
            let hint = Some("letters, digits and _ - . / *".to_owned());
            problems.error_at(Code::InvalidName, &value.path, span, message, hint);
        }
        let Some(text) = value.filled_text(problems) else {
            continue;
        };
        if text.len() > 256 {
            problems.error(Code::MaxExceeded, value, "longer than 256 bytes");
        }
        attributes.push(Attribute {
            key: key.to_owned(),
            value: text.to_owned(),
        });
    }
    attributes.sort();
    attributes
}

/// One volume, or a list of them.
fn storage(at: Cursor<'_, '_>, problems: &mut Problems) -> Vec<StorageVolume> {
    let mut volumes = Vec::new();
    if let Value::Map(_) = at.node.value {
        volumes.extend(volume(at, problems));
    } else if let Some(items) = at.list(problems) {
        at_most(at, items.len(), VOLUMES_MAX, "volumes", problems);
        if items.is_empty() {
            problems.error(Code::RequiredField, at, "at least one volume is needed");
        }
        let mut names = BTreeSet::new();
        for item in items.iter().take(VOLUMES_MAX) {
            let Some(volume) = volume(item, problems) else {
                continue;
            };
            if !names.insert(volume.name.clone()) {
                let message = format!("volume {} is there twice", volume.name);
                problems.error_hint(
                    Code::DuplicateName,
                    item,
                    message,
                    "a volume without a name is called default",
                );
            }
            volumes.push(volume);
        }
    }
    let total = volumes
        .iter()
        .try_fold(0_u64, |sum, volume| sum.checked_add(volume.bytes));
    if total.is_none_or(|total| total > *STORAGE_BYTES.end()) {
        let message = format!("the volumes together are more than {} bytes", STORAGE_BYTES.end());
        problems.error(Code::InvalidValue, at, message);
    }
    canonical_order(&mut volumes);
    volumes
}

/// Name of a volume that states none.
pub(super) const SCRATCH: &str = "default";

fn volume(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<StorageVolume> {
    let fields = at.map(problems)?;
    fields.only(&["name", "size", "attributes"], problems);
    let name = match fields.get("name") {
        Some(at) => label(at, problems)?,
        None => SCRATCH,
    };
    let bytes = fields.require("size", problems).and_then(|at| {
        let bytes = at.bytes(problems)?;
        within(at, bytes, &STORAGE_BYTES, "bytes", problems)
    });
    let attributes = fields
        .get("attributes")
        .map_or_else(Vec::new, |at| storage_attributes(at, problems));
    Some(StorageVolume {
        name: name.to_owned(),
        bytes: bytes.unwrap_or(0),
        attributes,
    })
}

/// `persistent` and `class` with the defaults that the chain's own tools write: they are part of the hash.
fn storage_attributes(at: Cursor<'_, '_>, problems: &mut Problems) -> Vec<Attribute> {
    let Some(fields) = at.map(problems) else {
        return Vec::new();
    };
    fields.only(&["persistent", "class"], problems);
    let persistent = fields
        .get("persistent")
        .and_then(|at| at.boolean(problems))
        .unwrap_or(false);
    let class_at = fields.get("class");
    let class = class_at.and_then(|at| label(at, problems));
    match (class_at, class, persistent) {
        (Some(at), Some("ram"), true) => {
            problems.error(Code::Conflict, at, "memory cannot be persistent");
        }
        (Some(at), Some(class), false) if class != "ram" => {
            problems.error_hint(
                Code::Conflict,
                at,
                "only persistent volumes have a class",
                "add persistent: true",
            );
        }
        _ => {}
    }
    let class = class.or_else(|| persistent.then_some("default"));
    let attribute = |key: &str, value: &str| Attribute {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let mut attributes: Vec<Attribute> = class.map(|class| attribute("class", class)).into_iter().collect();
    attributes.push(attribute("persistent", if persistent { "true" } else { "false" }));
    attributes
}

/// The value of one of a volume's attributes.
pub(super) fn attribute_of<'v>(volume: &'v StorageVolume, key: &str) -> Option<&'v str> {
    let found = volume.attributes.iter().find(|attribute| attribute.key == key);
    found.map(|attribute| attribute.value.as_str())
}

/// Sorts volumes as the tools do that tenants compute the hash with: by insertion, smaller ones first. Their comparison is not
/// an order (of two scratch volumes of one size, either comes before the other), so that the way of sorting matters too.
fn canonical_order(volumes: &mut [StorageVolume]) {
    for end in 1..volumes.len() {
        for at in (1..=end).rev() {
            let Some(pair) = volumes.get_mut(at.saturating_sub(1)..=at) else {
                break;
            };
            match pair {
                [before, after] if goes_before(after, before) => pair.reverse(),
                _ => break,
            }
        }
    }
}

fn goes_before(a: &StorageVolume, b: &StorageVolume) -> bool {
    if a.bytes != b.bytes {
        return a.bytes < b.bytes;
    }
    let persistent = |volume| attribute_of(volume, "persistent");
    match (persistent(a), persistent(b)) {
        (None, Some(_)) => true,
        (Some(_), None) => false,
        (Some(a), Some(b)) if a < b => true,
        (first, second) => {
            if first != Some("true") {
                return true;
            }
            second == Some("true") && a.name < b.name
        }
    }
}

fn gpu(at: Cursor<'_, '_>, problems: &mut Problems) -> (Option<u64>, Vec<Attribute>) {
    let Some(fields) = at.map(problems) else {
        return Default::default();
    };
    fields.only(&["units", "attributes"], problems);
    let units = fields.require("units", problems).and_then(|at| {
        let units = at.integer(0..=u64::MAX, problems)?;
        within(at, units, &GPUS, "GPUs", problems)
    });
    let wishes_at = fields.get("attributes");
    let wishes = wishes_at.map_or_else(Vec::new, |at| gpu_wishes(at, problems));
    if let (Some(at), Some(0)) = (wishes_at, units) {
        problems.error(
            Code::InvalidValue,
            at,
            "kinds of GPUs are named, but no GPU is asked for",
        );
    }
    (units, wishes)
}

/// `vendor: {nvidia: [{model, ram, interface}]}` as the paths that the market uses, sorted.
fn gpu_wishes(at: Cursor<'_, '_>, problems: &mut Problems) -> Vec<Attribute> {
    let mut paths = Vec::new();
    let Some(fields) = at.map(problems) else {
        return Vec::new();
    };
    fields.only(&["vendor"], problems);
    let vendors_at = fields.require("vendor", problems);
    let Some(vendors) = vendors_at.and_then(|at| at.map(problems)) else {
        return Vec::new();
    };
    vendors.only(&["nvidia", "amd", "intel"], problems);
    for (vendor, _, models) in vendors.iter() {
        if models.is_null() {
            paths.push(format!("vendor/{vendor}/model/*"));
            continue;
        }
        let Some(items) = models.list(problems) else {
            continue;
        };
        at_most(models, items.len(), ATTRIBUTES_MAX, "models", problems);
        if items.is_empty() {
            paths.push(format!("vendor/{vendor}/model/*"));
        }
        for item in items.iter().take(ATTRIBUTES_MAX) {
            if let Some(model) = gpu_model(item, problems) {
                paths.push(format!("vendor/{vendor}/model/{model}"));
            }
        }
    }
    paths.sort();
    let attribute = |key: String| Attribute {
        key,
        value: "true".to_owned(),
    };
    paths.into_iter().map(attribute).collect()
}

fn gpu_model(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<String> {
    let fields = at.map(problems)?;
    fields.only(&["model", "ram", "interface"], problems);
    let model = match fields.get("model") {
        Some(at) => gpu_word(at, problems)?,
        None => "*",
    };
    let mut path = model.to_owned();
    if let Some(at) = fields.get("ram") {
        let bytes = at.bytes(problems)?;
        let Some(0) = bytes.checked_rem(GIB) else {
            problems.error(Code::InvalidValue, at, "must be whole Gi");
            return None;
        };
        path.push_str(&format!("/ram/{}Gi", bytes.checked_div(GIB)?));
    }
    if let Some(at) = fields.get("interface") {
        let kinds = [("pcie", "pcie"), ("sxm", "sxm")];
        let kind = at.one_of(Code::InvalidValue, &kinds, problems)?;
        path.push_str(&format!("/interface/{kind}"));
    }
    Some(path)
}

fn gpu_word<'d>(at: Cursor<'_, 'd>, problems: &mut Problems) -> Option<&'d str> {
    let word = at.filled_text(problems)?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'*');
    if word.len() <= 63 && word.bytes().all(legal) {
        return Some(word);
    }
    problems.error_hint(Code::InvalidValue, at, "not a model of a GPU", "for example a100");
    None
}
