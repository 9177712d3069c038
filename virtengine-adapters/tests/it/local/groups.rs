//! Whether this machine has control groups for the tests. Where it has them they must be used; where it has none the tests that
//! are about them say that they are skipped.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use virtengine_adapters::local::{CgroupMode, LocalAdapter};

use super::fixture::{Local, script};
use crate::support::workload;

/// Tries it, without the adapter's help: the error says what is missing.
fn probe() -> Result<(), String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let unified = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let mount = unified
        .and_then(|line| line.split(' ').nth(4))
        .ok_or("no cgroup2 is mounted")?;
    let groups = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
    let own = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .ok_or("we are in no group")?;
    let name = format!(
        "probe-{}-{}",
        std::process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed)
    );
    let path = PathBuf::from(mount).join(own).join(name);
    fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let has_files = path.join("cgroup.kill").exists() && path.join("cgroup.freeze").exists();
    fs::remove_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    has_files
        .then_some(())
        .ok_or_else(|| "this kernel cannot freeze and kill groups".to_owned())
}

/// Fails when the adapter goes without control groups although this machine has them, and says so when it has none.
pub(crate) fn check(adapter: &LocalAdapter) {
    let enforcement = adapter.enforcement();
    if enforcement.groups {
        return;
    }
    match probe() {
        Ok(()) => panic!("this machine has control groups, but: {}", enforcement.reason),
        Err(why) => {
            eprintln!("no control groups in this test: this machine has no writable cgroup v2 ({why})");
        }
    }
}

impl Local {
    /// With control groups; `None`, and said so, on a machine that has none.
    pub(crate) fn in_groups() -> Option<Self> {
        let host = Self::new(CgroupMode::Auto);
        if host.local().enforcement().groups {
            return Some(host);
        }
        eprintln!("skipped: it is about control groups");
        None
    }
}

#[tokio::test]
async fn a_replica_and_what_it_starts_are_in_its_control_group() {
    let Some(host) = Local::in_groups() else { return };
    let spec = workload(
        "grouped",
        vec![script("main", "(setsid sleep 1000 &); echo up; exec sleep 1000")],
    );
    host.running(&spec).await;
    let supervisor = host.supervisor(&spec.id);
    let group = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let within = format!("/{}/main.0\n", spec.id);
    let replicas: Vec<i32> = host
        .processes()
        .into_iter()
        .filter(|pid| *pid != supervisor)
        .collect();
    assert_eq!(replicas.len(), 2);
    for pid in replicas {
        assert!(
            group(pid)
                .lines()
                .any(|line| line.starts_with("0::") && format!("{line}\n").ends_with(&within)),
            "{}",
            group(pid)
        );
    }
    assert!(
        !group(supervisor).contains(&within),
        "the supervisor is not frozen with them"
    );
    host.end(&spec.id).await;
}
