//! Whether a manifest is the one that the order was about.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::ValidManifest;
use crate::document::{Code, Problem};
use crate::market::{EndpointKind, GroupSpec, ResourceUnit};

impl ValidManifest {
    /// Whether the group of this manifest that has the name of `group` asks for exactly the same: units, counts, sizes, wishes
    /// and endpoints. Prices are not compared: the lease has its own.
    ///
    /// # Errors
    /// Every difference; none has a place in the text.
    pub fn matches(&self, group: &GroupSpec) -> Result<(), Vec<Problem>> {
        let Some(ours) = self.group(&group.name) else {
            let names: Vec<&str> = self.groups().iter().map(super::Group::name).collect();
            return Err(alloc::vec![mismatch(
                String::new(),
                format!(
                    "the manifest has no group {:?}, only {}",
                    group.name,
                    names.join(", ")
                ),
            )]);
        };
        let ours = ours.spec();
        let mut differences = Vec::new();
        let (units, theirs) = (by_id(&ours), by_id(group));
        if units.len() != theirs.len() {
            differences.push(mismatch(
                group.name.clone(),
                format!("{} services, but {} units on chain", units.len(), theirs.len()),
            ));
        }
        for (index, (unit, theirs)) in units.iter().zip(&theirs).enumerate() {
            let path = format!("{}[{index}]", group.name);
            compare(&path, unit, theirs, &mut differences);
        }
        if differences.is_empty() {
            Ok(())
        } else {
            Err(differences)
        }
    }
}

/// The units by id, each with its lists in one order: a tool may write volumes, endpoints and wishes in another one.
fn by_id(group: &GroupSpec) -> Vec<ResourceUnit> {
    let mut units = group.resources.clone();
    units.sort_by_key(|unit| unit.id);
    for unit in &mut units {
        unit.storage.sort_by(|a, b| a.name.cmp(&b.name));
        for volume in &mut unit.storage {
            volume.attributes.sort();
        }
        unit.endpoints
            .sort_by_key(|endpoint| (endpoint.sequence_number, kind_rank(endpoint.kind)));
        unit.cpu_attributes.sort();
        unit.memory_attributes.sort();
        unit.gpu_attributes.sort();
    }
    units
}

const fn kind_rank(kind: EndpointKind) -> u8 {
    match kind {
        EndpointKind::SharedHttp => 0,
        EndpointKind::RandomPort => 1,
        EndpointKind::LeasedIp => 2,
    }
}

fn compare(path: &str, ours: &ResourceUnit, theirs: &ResourceUnit, differences: &mut Vec<Problem>) {
    let mut differ = |what: &str, equal: bool, here: &dyn ToString, chain: &dyn ToString| {
        if !equal {
            let message = format!("{} here, but {} on chain", here.to_string(), chain.to_string());
            differences.push(mismatch(format!("{path}.{what}"), message));
        }
    };
    let same = ours.count == theirs.count;
    differ("count", same, &ours.count, &theirs.count);
    let same = ours.cpu_millis == theirs.cpu_millis;
    differ("cpu", same, &ours.cpu_millis, &theirs.cpu_millis);
    let same = ours.memory_bytes == theirs.memory_bytes;
    differ("memory", same, &ours.memory_bytes, &theirs.memory_bytes);
    differ("gpu", ours.gpus == theirs.gpus, &ours.gpus, &theirs.gpus);
    differ(
        "storage",
        ours.storage == theirs.storage,
        &format!("{:?}", ours.storage),
        &format!("{:?}", theirs.storage),
    );
    differ(
        "endpoints",
        ours.endpoints == theirs.endpoints,
        &format!("{:?}", ours.endpoints),
        &format!("{:?}", theirs.endpoints),
    );
    let wishes = |unit: &ResourceUnit| {
        [
            &unit.cpu_attributes,
            &unit.memory_attributes,
            &unit.gpu_attributes,
        ]
        .map(Clone::clone)
    };
    let (here, chain) = (wishes(ours), wishes(theirs));
    differ(
        "attributes",
        here == chain,
        &format!("{here:?}"),
        &format!("{chain:?}"),
    );
}

fn mismatch(path: String, message: String) -> Problem {
    Problem {
        code: Code::Mismatch,
        path,
        line: 0,
        column: 0,
        message,
        hint: Some("send the manifest whose hash the deployment announces".to_string()),
    }
}
