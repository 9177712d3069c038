//! Version `v2beta1` (spec/reference.md §3.2, DESIGN 4.13): services, compute profiles, placements, and which service runs
//! where. Resources and count may be stated at the service as well; then both places must agree.

mod deployment;
mod endpoints;
mod expose;
mod placement;
mod resources;
mod service;

use alloc::vec::Vec;

use super::model::Group;
use crate::document::{Fields, Problems};

const FIELDS: [&str; 5] = ["version", "services", "profiles", "deployment", "endpoints"];

/// The groups, one per placement that is used.
pub(super) fn read(root: &Fields<'_, '_>, problems: &mut Problems) -> Vec<Group> {
    root.only(&FIELDS, problems);
    let endpoints = root
        .get("endpoints")
        .map(|at| endpoints::declared(at, problems))
        .unwrap_or_default();
    let services_at = root.require("services", problems);
    let services_map = services_at.and_then(|at| at.map(problems));
    let services = services_map
        .as_ref()
        .map(|fields| service::services(fields, &endpoints, problems))
        .unwrap_or_default();
    let profiles_at = root.require("profiles", problems);
    let profiles = profiles_at.and_then(|at| at.map(problems));
    let (mut compute, mut placements) = Default::default();
    if let Some(profiles) = &profiles {
        profiles.only(&["compute", "placement"], problems);
        compute = profiles
            .require("compute", problems)
            .map(|at| resources::profiles(at, problems))
            .unwrap_or_default();
        placements = profiles
            .require("placement", problems)
            .map(|at| placement::placements(at, &compute, problems))
            .unwrap_or_default();
    }
    let deployment = root.require("deployment", problems);
    let (Some(services_at), Some(_), Some(at)) = (services_at, profiles_at, deployment) else {
        return Vec::new();
    };
    let known = deployment::Known {
        services: &services,
        compute: &compute,
        placements: &placements,
    };
    let mut groups = deployment::groups(at, &known, problems);
    endpoints::check_use(root, &services, &endpoints, problems);
    endpoints::number(&services, &mut groups);
    service::check_hosts(&services, problems);
    service::check_reachable(services_at, &services, problems);
    groups
}
