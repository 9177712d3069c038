use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::declared::Volume;
use crate::document::{Code, Cursor, Fields, Problems};
use crate::manifest::limits::VOLUMES_MAX;
use crate::manifest::model::Mount;
use crate::manifest::names::{at_most, is_mount_path, label};
use crate::market::{Attribute, StorageVolume};
use crate::workload::VolumeSpec;

/// Name of the scratch space that `resources.storage` asks for, as on chain.
const SCRATCH: &str = "default";

/// The volumes of a service: for the workload, for the chain, and where they are mounted.
#[derive(Default)]
pub(super) struct Storage {
    pub(super) volumes: Vec<VolumeSpec>,
    pub(super) wire: Vec<StorageVolume>,
    pub(super) mounts: Vec<Mount>,
}

impl Storage {
    /// With the scratch space that `resources.storage` asks for.
    pub(super) fn new(scratch_bytes: u64) -> Self {
        let mut storage = Self::default();
        if scratch_bytes > 0 {
            storage.wire.push(StorageVolume {
                name: SCRATCH.to_owned(),
                bytes: scratch_bytes,
                attributes: Vec::new(),
            });
            storage.volumes.push(VolumeSpec {
                name: SCRATCH.to_owned(),
                bytes: scratch_bytes,
                mount: None,
                persistent: false,
                class: None,
                read_only: false,
            });
        }
        storage
    }

    /// Adds every mount of the service.
    pub(super) fn mount_all(
        &mut self,
        at: Cursor<'_, '_>,
        declared: Option<&BTreeMap<&str, Volume>>,
        problems: &mut Problems,
    ) {
        let Some(items) = at.list(problems) else {
            return;
        };
        at_most(at, items.len(), VOLUMES_MAX, "volumes", problems);
        for item in items.iter().take(VOLUMES_MAX) {
            if let Some(fields) = item.map(problems) {
                self.mount(&fields, declared, problems);
            }
        }
        self.mounts.sort_by(|a, b| a.volume.cmp(&b.volume));
    }

    fn mount(
        &mut self,
        fields: &Fields<'_, '_>,
        declared: Option<&BTreeMap<&str, Volume>>,
        problems: &mut Problems,
    ) -> Option<()> {
        fields.only(&["name", "mount_path", "read_only", "sub_path"], problems);
        let path = fields
            .require("mount_path", problems)
            .and_then(|at| self.mount_path(at, problems));
        let read_only = fields
            .get("read_only")
            .and_then(|at| at.boolean(problems))
            .unwrap_or(false);
        if let Some(at) = fields.get("sub_path")
            && !at.text(problems)?.is_empty()
        {
            problems.notice(Code::NotCarriedOut, at, "the whole volume is mounted", None);
        }
        let at = fields.require("name", problems)?;
        let name = label(at, problems)?;
        let Some(volume) = declared.and_then(|declared| declared.get(name)) else {
            problems.error(
                Code::UndefinedReference,
                at,
                format!("volume {name} is not declared"),
            );
            return None;
        };
        if self.volumes.iter().any(|other| other.name == name) {
            problems.error(Code::DuplicateName, at, format!("volume {name} is mounted twice"));
        }
        let path = path?;
        self.wire.push(StorageVolume {
            name: name.to_owned(),
            bytes: volume.bytes,
            attributes: volume.attributes(),
        });
        self.mounts.push(Mount {
            volume: name.to_owned(),
            path: path.clone(),
            read_only,
        });
        self.volumes.push(VolumeSpec {
            name: name.to_owned(),
            bytes: volume.bytes,
            mount: Some(path),
            persistent: volume.persistent,
            class: volume.class.clone(),
            read_only,
        });
        Some(())
    }

    fn mount_path(&self, at: Cursor<'_, '_>, problems: &mut Problems) -> Option<String> {
        let path = at.text(problems)?;
        if !is_mount_path(path) {
            problems.error_hint(
                Code::InvalidValue,
                at,
                "not an absolute path below the root",
                "for example /var/lib/data",
            );
            return None;
        }
        if self.mounts.iter().any(|other| other.path == path) {
            problems.error(Code::DuplicateName, at, format!("{path} is mounted twice"));
        }
        Some(path.to_owned())
    }
}

impl Volume {
    fn attributes(&self) -> Vec<Attribute> {
        let class = self.class.iter().map(|class| ("class", class.clone()));
        let persistent = self.persistent.then(|| ("persistent", "true".to_owned()));
        class
            .chain(persistent)
            .map(|(key, value)| Attribute {
                key: key.to_owned(),
                value,
            })
            .collect()
    }
}
