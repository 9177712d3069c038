//! Manifests: what a tenant wants to run. [`read`] turns text into a [`ValidManifest`] or says everything that is wrong with
//! it at once; later code cannot receive an unchecked one.
//!
//! Two versions are read, in YAML and in JSON, told apart by `version`: `v1` (spec/reference.md §3.1) and `v2beta1`
//! (spec/reference.md §3.2, DESIGN 4.13; also under the names `2.0` and `2.1` that tenants of this market family use).

mod canonical;
mod compare;
pub mod limits;
mod model;
#[cfg(feature = "std")]
mod names;
#[cfg(feature = "std")]
mod text;
#[cfg(feature = "std")]
mod v1;
#[cfg(feature = "std")]
mod v2beta1;

#[cfg(all(test, feature = "std"))]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};

pub use model::{Group, Service};
#[cfg(feature = "std")]
pub use text::read;

use crate::document::Problem;
use crate::id::{LeaseId, WorkloadId};
use crate::market::GroupSpec;
use crate::money::Denom;
use crate::units::{Overflow, Resources};
use crate::workload::WorkloadSpec;

/// Which schema a manifest follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// A flat list of services.
    V1,
    /// Services, profiles and placements.
    V2Beta1,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2Beta1 => "v2beta1",
        })
    }
}

/// A manifest that has passed every check. Only [`read`] makes one. It is stored as its text and read again, so that storage
/// cannot weaken it.
#[derive(Clone, PartialEq, Eq)]
pub struct ValidManifest {
    version: Version,
    groups: Vec<Group>,
    notices: Vec<Problem>,
    source: String,
}

impl ValidManifest {
    /// Which schema it follows.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The text that it was read from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What is worth telling the author although nothing is wrong.
    #[must_use]
    pub fn notices(&self) -> &[Problem] {
        &self.notices
    }

    /// The groups, sorted by name: one per placement. A v1 manifest is one group with the manifest's name.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The group of that name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name() == name)
    }

    /// The denomination of all prices; `None` in v1 manifests, which state none.
    #[must_use]
    pub fn denom(&self) -> Option<&Denom> {
        let services = self.groups.iter().flat_map(Group::services);
        services
            .filter_map(Service::price)
            .map(|price| &price.denom)
            .next()
    }

    /// The canonical form (spec/chain.md D.7): compact JSON of the groups with sorted keys. Services of a v1 manifest carry one
    /// more key, `extension`, with what the chain's schema has no place for.
    #[must_use]
    pub fn canonical_json(&self) -> String {
        canonical::json(&self.groups)
    }

    /// What the tenant announces on chain: SHA-256 of [`Self::canonical_json`].
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.canonical_json().as_bytes()).into()
    }

    /// The groups as they go on chain (spec/chain.md E.5), sorted by name.
    #[must_use]
    pub fn group_specs(&self) -> Vec<GroupSpec> {
        self.groups.iter().map(Group::spec).collect()
    }

    /// What to deploy for one group, under the identity that the caller chose; `None` when there is no such group.
    #[must_use]
    pub fn workload(&self, group: &str, id: WorkloadId, lease: Option<LeaseId>) -> Option<WorkloadSpec> {
        let services = self.group(group)?.services();
        Some(WorkloadSpec {
            id,
            lease,
            services: services.iter().map(|service| service.spec().clone()).collect(),
        })
    }

    /// What all groups together take from capacity.
    ///
    /// # Errors
    /// [`Overflow`]; `read` refuses manifests whose totals overflow, so that this does not happen.
    pub fn total(&self) -> Result<Resources, Overflow> {
        let mut total = Resources::ZERO;
        for service in self.groups.iter().flat_map(Group::services) {
            let one = service.spec().resources()?;
            total = total.checked_add(&one.checked_mul(u64::from(service.spec().count))?)?;
        }
        Ok(total)
    }
}

impl fmt::Debug for ValidManifest {
    /// Without the text and the environment: both hold secrets of the tenant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.groups.iter().map(Group::name).collect();
        f.debug_struct("ValidManifest")
            .field("version", &self.version)
            .field("groups", &names)
            .field("hash", &hex::encode(self.hash()))
            .finish_non_exhaustive()
    }
}
