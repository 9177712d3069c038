//! Control groups (version 2), where the host lets us: they bound, freeze, count and kill without missing a process.
//!
//! ```text
//! <our own group>/virtengine-<identity>/<workload>/<service>.<replica>
//! ```
//! What the host does not let us do is left out and said: see [`Enforcement`].

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use virtengine_provider_core::id::WorkloadId;

/// What is really enforced on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enforcement {
    /// Whether processes are kept in control groups, so that freezing, counting and killing miss none.
    pub groups: bool,
    /// Whether a replica gets no more CPU than it has leased. Otherwise it may use what is idle.
    pub cpu: bool,
    /// Whether the kernel bounds memory. Otherwise the supervisor looks at it every `sample_ms` and ends a replica above.
    pub memory: bool,
    /// Why something is not enforced; empty when all is.
    pub reason: String,
}

/// The group under which all workloads of one state directory live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    path: PathBuf,
    pub(crate) cpu: bool,
    pub(crate) memory: bool,
}

const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

impl Root {
    /// Makes (or finds) the group of `identity` below our own group.
    pub(crate) fn open(identity: &str) -> io::Result<Self> {
        let path = own_group()?.join(format!("virtengine-{identity}"));
        create(&path)?;
        // Each level hands the controllers to the next; refusals (e.g. our own group holds processes) only cost enforcement.
        if let Some(parent) = path.parent() {
            enable_controllers(parent);
        }
        enable_controllers(&path);
        let offered = fs::read_to_string(path.join("cgroup.subtree_control")).unwrap_or_default();
        let has = |name: &str| offered.split_ascii_whitespace().any(|word| word == name);
        Ok(Self {
            cpu: has("cpu"),
            memory: has("memory"),
            path,
        })
    }

    pub(crate) fn workload(&self, id: &WorkloadId) -> PathBuf {
        self.path.join(id.as_str())
    }

    /// Removes the group when it is empty.
    pub(crate) fn remove_if_empty(&self) {
        let _ = fs::remove_dir(&self.path);
    }
}

fn own_group() -> io::Result<PathBuf> {
    let missing = || io::Error::new(io::ErrorKind::Unsupported, "no cgroup2 file system is mounted");
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mount = mounts.lines().find_map(mount_point).ok_or_else(missing)?;
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let own = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .ok_or_else(missing)?;
    Ok(mount.join(own.trim_start_matches('/')))
}

fn mount_point(line: &str) -> Option<PathBuf> {
    let (mount, file_system) = line.split_once(" - ")?;
    file_system.starts_with("cgroup2 ").then_some(())?;
    mount.split(' ').nth(4).map(PathBuf::from)
}

fn create(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn enable_controllers(path: &Path) {
    for controller in CONTROLLERS {
        let _ = fs::write(path.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Bounds of one replica.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) cpu_millis: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) processes: u64,
}

/// What a group used, and which group: one that was made anew under the same name counts from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupCpu {
    /// Its number in the file system; not given again until the host restarts.
    pub(crate) group: u64,
    /// CPU time in microseconds.
    pub(crate) micros: u64,
}

/// The group of one workload.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    path: PathBuf,
}

impl Group {
    /// Makes (or finds) the group at `path`; its parent is made too, it may have been removed when it was empty.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        if let Some(root) = path.parent() {
            create(root)?;
            enable_controllers(root);
        }
        create(path)?;
        enable_controllers(path);
        Ok(Self::existing(path))
    }

    pub(crate) fn existing(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Makes the group of a replica with its bounds, as far as the host bounds anything.
    pub(crate) fn replica(&self, service: &str, replica: u32, bounds: Bounds) -> io::Result<PathBuf> {
        let path = self.replica_path(service, replica);
        create(&path)?;
        let set = |file: &str, value: String| {
            if path.join(file).exists() {
                fs::write(path.join(file), value)
            } else {
                Ok(())
            }
        };
        if bounds.cpu_millis > 0 {
            // A period of 100 ms; the kernel's least quota is 1 ms.
            let quota = bounds.cpu_millis.saturating_mul(100).max(1000);
            set("cpu.max", format!("{quota} 100000"))?;
        }
        if bounds.memory_bytes > 0 {
            set("memory.max", bounds.memory_bytes.to_string())?;
        }
        set("pids.max", bounds.processes.to_string())?;
        Ok(path)
    }

    fn replica_path(&self, service: &str, replica: u32) -> PathBuf {
        self.path.join(format!("{service}.{replica}"))
    }

    /// CPU used by everything that was ever in the group.
    pub(crate) fn cpu(&self) -> Option<GroupCpu> {
        let text = fs::read_to_string(self.path.join("cpu.stat")).ok()?;
        Some(GroupCpu {
            group: fs::metadata(&self.path).ok()?.ino(),
            micros: field(&text, "usage_usec")?,
        })
    }

    /// Memory of a replica now, where the kernel counts it.
    pub(crate) fn memory_bytes(&self, service: &str, replica: u32) -> Option<u64> {
        let path = self.replica_path(service, replica).join("memory.current");
        fs::read_to_string(path).ok()?.trim().parse().ok()
    }

    /// How often the kernel ended a process of the replica for want of memory.
    pub(crate) fn memory_kills(&self, service: &str, replica: u32) -> u64 {
        let path = self.replica_path(service, replica).join("memory.events");
        let text = fs::read_to_string(path).unwrap_or_default();
        field(&text, "oom_kill").unwrap_or(0)
    }

    /// Processes of one replica.
    pub(crate) fn replica_processes(&self, service: &str, replica: u32) -> Vec<i32> {
        processes(&self.replica_path(service, replica))
    }

    /// Processes of the whole workload.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mut found = processes(&self.path);
        for path in self.replica_groups() {
            found.extend(processes(&path));
        }
        found
    }

    /// Kills everything in one replica's group.
    pub(crate) fn kill_replica(&self, service: &str, replica: u32) {
        let _ = fs::write(self.replica_path(service, replica).join("cgroup.kill"), "1");
    }

    /// Kills everything in the group.
    pub(crate) fn kill(&self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }

    /// Asks for everything to be frozen, or thawed; whether it is, says [`Self::is_frozen`].
    pub(crate) fn freeze(&self, frozen: bool) -> io::Result<()> {
        fs::write(self.path.join("cgroup.freeze"), if frozen { "1" } else { "0" })
    }

    pub(crate) fn is_frozen(&self) -> bool {
        let text = fs::read_to_string(self.path.join("cgroup.events")).unwrap_or_default();
        field(&text, "frozen") == Some(1)
    }

    /// Removes the group with its replicas; it must hold no process.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for path in self.replica_groups() {
            remove_dir(&path)?;
        }
        remove_dir(&self.path)
    }

    fn replica_groups(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.path) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect()
    }
}

/// Puts the calling process into the group at `path`.
pub(crate) fn join(path: &Path) -> io::Result<()> {
    fs::write(path.join("cgroup.procs"), "0")
}

fn processes(path: &Path) -> Vec<i32> {
    let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unified_hierarchy_is_found_among_the_mounts() {
        let hybrid = "42 24 0:38 / /sys/fs/cgroup/unified rw,relatime shared:1 - cgroup2 cgroup2 rw";
        assert_eq!(mount_point(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        let old = "41 24 0:37 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";
        assert_eq!(mount_point(old), None);
    }

    #[test]
    fn fields_are_read_by_their_whole_name() {
        assert_eq!(field("user_usec 1\nusage_usec 22\n", "usage_usec"), Some(22));
        assert_eq!(field("oom_kill_group 3\noom_kill 1\n", "oom_kill"), Some(1));
    }
}
