//! Names, labels and annotations. A label's value has at most 63 of a few characters, so addresses and lease ids are there as
//! hashes; the texts themselves are annotations.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::workload::WorkloadSpec;

use super::config::Config;

/// Who manages an object; the value is always [`MANAGER`].
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Field manager of everything we write, and the value of [`MANAGED_BY`].
pub(crate) const MANAGER: &str = "virtengine";
/// Hash of the owner of the workload's adapter.
pub(crate) const OWNER: &str = "virtengine.com/owner";
/// Workload id.
pub(crate) const WORKLOAD: &str = "virtengine.com/workload";
/// Hash of the lease.
pub(crate) const LEASE: &str = "virtengine.com/lease";
/// Name of the service.
pub(crate) const SERVICE: &str = "virtengine.com/service";
/// Annotation: the owner in full.
pub(crate) const OWNER_TEXT: &str = "virtengine.com/owner-text";
/// Annotation: the lease in full.
pub(crate) const LEASE_TEXT: &str = "virtengine.com/lease-text";
/// Annotation of the namespace: what is wanted of the workload.
pub(crate) const GOAL: &str = "virtengine.com/goal";
/// Annotation of the namespace: the services that it shall have, `name=replicas` separated by commas.
pub(crate) const SERVICES: &str = "virtengine.com/services";
/// Annotation of a namespace and of controllers: when it was last told to run, in milliseconds since the epoch. Patience begins
/// there, and a controller that has given up for a while looks again.
pub(crate) const TOLD: &str = "virtengine.com/told";
/// Annotation of a controller: how many replicas it has when it runs.
pub(crate) const REPLICAS: &str = "virtengine.com/replicas";
/// Annotation of a service: the host names by which its HTTP is reached, separated by commas.
pub(crate) const HOSTS: &str = "virtengine.com/hosts";
/// Annotation of a pod: the version of the secret that its environment comes from.
pub(crate) const ENVIRONMENT: &str = "virtengine.com/environment";
/// Label of a pod with GPUs: how many.
pub(crate) const GPUS: &str = "virtengine.com/gpus";

/// First 16 hexadecimal digits of the SHA-256 of `text`.
pub(crate) fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    hex::encode(&digest[..8])
}

/// The namespace of a workload.
pub(crate) fn namespace(config: &Config, id: &WorkloadId) -> String {
    format!("{}{id}", config.namespace_prefix)
}

/// What every object of this adapter has.
pub(crate) fn owner_labels(config: &Config) -> BTreeMap<String, String> {
    BTreeMap::from([
        (MANAGED_BY.to_owned(), MANAGER.to_owned()),
        (OWNER.to_owned(), hash(&config.owner)),
    ])
}

/// Selects all that is ours.
pub(crate) fn ours(config: &Config) -> String {
    format!("{MANAGED_BY}={MANAGER},{OWNER}={}", hash(&config.owner))
}

/// Labels of an object of the workload.
pub(crate) fn labels(config: &Config, spec: &WorkloadSpec) -> BTreeMap<String, String> {
    let mut labels = owner_labels(config);
    labels.insert(WORKLOAD.to_owned(), spec.id.to_string());
    if let Some(lease) = &spec.lease {
        labels.insert(LEASE.to_owned(), hash(&lease.to_string()));
    }
    labels
}

/// Annotations of an object of the workload.
pub(crate) fn annotations(config: &Config, spec: &WorkloadSpec) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([(OWNER_TEXT.to_owned(), config.owner.clone())]);
    if let Some(lease) = &spec.lease {
        annotations.insert(LEASE_TEXT.to_owned(), lease.to_string());
    }
    annotations
}

/// Name of what belongs to a service but is not the service: cannot be mistaken for the name of another one, as a service's
/// own objects have its plain name and kind.
pub(crate) fn part(kind: &str, service: &str) -> String {
    format!("{kind}-{}", hash(service))
}

/// Longest name of a controller: with the suffixes that Kubernetes adds it stays a label.
const CONTROLLER_LEN_MAX: usize = 45;

/// Name of the controller of a service.
pub(crate) fn controller(service: &str) -> String {
    if service.len() <= CONTROLLER_LEN_MAX {
        return service.to_owned();
    }
    let kept: String = service.chars().take(CONTROLLER_LEN_MAX - 17).collect();
    format!("{kept}-{}", hash(service))
}

/// Whether `text` is a label of the DNS that begins with a letter.
pub(crate) fn is_label(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= 63
        && text.bytes().all(legal)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_label_value(text: &str) -> bool {
        let inner = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
        let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
        text.len() <= 63 && text.chars().all(inner) && edge(text.chars().next()) && edge(text.chars().last())
    }

    proptest! {
        #[test]
        fn whatever_the_names_labels_and_names_are_valid(owner in ".*", service in "[a-z][a-z0-9-]{0,61}[a-z0-9]") {
            let config = Config::new(owner);
            for value in owner_labels(&config).values() {
                prop_assert!(is_label_value(value));
            }
            prop_assert!(is_label(&part("env", &service)));
            let name = controller(&service);
            prop_assert!(is_label(&name) && name.len() <= CONTROLLER_LEN_MAX);
        }
    }

    #[test]
    fn names_that_could_leave_their_place_are_no_labels() {
        for name in ["", "..", "a/b", "A", "-a", "a-", "a.b", "1a", &"a".repeat(64)] {
            assert!(!is_label(name), "{name}");
        }
        assert!(is_label("web-1") && is_label(&"a".repeat(63)));
    }

    #[test]
    fn long_services_have_controllers_of_their_own() {
        let (a, b) = (format!("{}a", "x".repeat(60)), format!("{}b", "x".repeat(60)));
        assert_ne!(controller(&a), controller(&b));
    }
}
