use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::model::Group;
use super::{ValidManifest, Version, v1, v2beta1};
use crate::document::{self, Code, Cursor, Fields, Problem, Problems};
use crate::units::Resources;

/// Reads and checks a manifest in YAML or JSON; the version is told by its `version` field.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text, each with its place.
///
/// ```
/// let text = b"version: v1
/// name: shop
/// services:
///   - {name: api, type: container, image: 'nginx:1.27', resources: {cpu: 500, memory: 536870912}}
/// ";
/// let manifest = virtengine_provider_core::manifest::read(text).unwrap();
/// assert_eq!(manifest.groups()[0].services()[0].spec().cpu_millis, 500);
///
/// let problems = virtengine_provider_core::manifest::read(b"version: v3").unwrap_err();
/// assert_eq!(problems[0].code.as_str(), "UNSUPPORTED_VERSION");
/// ```
pub fn read(text: &[u8]) -> Result<ValidManifest, Vec<Problem>> {
    let mut problems = Problems::new();
    let found = document::read(text, &mut problems).and_then(|node| {
        let root = Cursor::root(&node).map(&mut problems)?;
        let version = version(&root, &mut problems)?;
        let mut groups = match version {
            Version::V1 => v1::read(&root, &mut problems),
            Version::V2Beta1 => v2beta1::read(&root, &mut problems),
        };
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        check_totals(&root, &groups, &mut problems);
        Some((version, groups))
    });
    let source = core::str::from_utf8(text).map(ToOwned::to_owned);
    match (found, source, problems.into_parts()) {
        (Some((version, groups)), Ok(source), (errors, notices)) if errors.is_empty() => Ok(ValidManifest {
            version,
            groups,
            notices,
            source,
        }),
        (_, _, (errors, _)) => Err(errors),
    }
}

fn version(root: &Fields<'_, '_>, problems: &mut Problems) -> Option<Version> {
    let at = root.require("version", problems)?;
    let text = at.text(problems)?;
    match text {
        "v1" => Some(Version::V1),
        "v2beta1" => Some(Version::V2Beta1),
        "2.0" | "2.1" => {
            let message = format!("version {text} is read as v2beta1");
            problems.notice(Code::Alias, at, message, None);
            Some(Version::V2Beta1)
        }
        _ => {
            let message = format!("version {} is not known", at.scalar(problems)?.shown());
            problems.error_hint(
                Code::UnsupportedVersion,
                at,
                message,
                "known: v1, v2beta1, 2.0, 2.1",
            );
            None
        }
    }
}

/// Later sums must not overflow. Only v1 can get there: v2beta1 bounds every unit.
fn check_totals(root: &Fields<'_, '_>, groups: &[Group], problems: &mut Problems) {
    let all = groups.iter().flat_map(Group::services);
    let total = all
        .map(super::Service::spec)
        .try_fold(Resources::ZERO, |sum, spec| {
            let one = spec.resources()?;
            sum.checked_add(&one.checked_mul(u64::from(spec.count))?)
        });
    if total.is_err() {
        root.error(
            Code::InvalidValue,
            problems,
            "the services together ask for more than can be represented",
        );
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    text: String,
}

impl Serialize for ValidManifest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.source.clone();
        Stored { text }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ValidManifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        read(stored.text.as_bytes()).map_err(|problems| match problems.first() {
            Some(problem) => serde::de::Error::custom(format!("stored manifest: {problem}")),
            None => serde::de::Error::custom("stored manifest: not readable"),
        })
    }
}
