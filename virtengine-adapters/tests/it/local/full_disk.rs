//! A disk without room does not keep a workload alive.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use virtengine_adapters::local::CgroupMode;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{Adapter, ErrorKind, Phase, Retry};
use virtengine_provider_core::workload::WorkloadSpec;

use super::fixture::{Local, is_alive, script};
use crate::support::workload;

/// Every further write of this record finds no room, as the kernel itself says it.
fn fill(host: &Local, id: &WorkloadId, record: &str) -> PathBuf {
    let fresh = host.workload_dir(id).join(record).with_extension("new");
    symlink("/dev/full", &fresh).unwrap();
    fresh
}

/// A service that says goodbye when it is asked to end.
fn polite(host: &Local, name: &str) -> (WorkloadSpec, PathBuf) {
    let said = host.outside().join("goodbye");
    let text = format!(
        "trap 'echo bye > {}; exit 0' TERM; (setsid sleep 1000 &); while :; do echo $(date) still up, which is worth a line of the log; sleep 0.02; done",
        said.display()
    );
    (workload(name, vec![script("main", &text)]), said)
}

async fn stopped(mode: CgroupMode) {
    let host = Local::new(mode);
    let (spec, said) = polite(&host, "stopped");
    host.running(&spec).await;
    let full = fill(&host, &spec.id, "desired.json");
    let error = host.local().stop(&spec.id).await.unwrap_err();
    assert_eq!(
        (error.kind, error.retry),
        (ErrorKind::Exhausted, Retry::Later),
        "{error}"
    );
    assert!(error.message.contains("desired.json"), "{error}");
    assert_eq!(
        host.processes(),
        Vec::<i32>::new(),
        "nothing runs although it could not be written down"
    );
    assert!(said.exists(), "it was asked to end before it was ended");
    let seen = host.local().observe(&spec.id).await.unwrap();
    assert_eq!(seen.phase, Phase::Failed, "what was not written down is not said");
    fs::remove_file(full).unwrap();
    host.local().stop(&spec.id).await.unwrap();
    let seen = host.local().observe(&spec.id).await.unwrap();
    assert_eq!(seen.phase, Phase::Stopped);
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_stop_that_cannot_be_written_down_ends_everything_and_is_tried_again() {
    stopped(CgroupMode::Auto).await;
    stopped(CgroupMode::Off).await;
}

async fn terminated(mode: CgroupMode) {
    let host = Local::new(mode);
    let (spec, said) = polite(&host, "terminated");
    host.running(&spec).await;
    for record in ["desired.json", "status.json", "usage.json"] {
        fill(&host, &spec.id, record);
    }
    host.end(&spec.id).await;
    assert!(said.exists(), "it was asked to end before it was ended");
}

#[tokio::test]
async fn a_workload_whose_records_cannot_be_written_is_terminated_and_gone() {
    terminated(CgroupMode::Auto).await;
    terminated(CgroupMode::Off).await;
}

/// A file system of its own.
struct Mounted(PathBuf);

impl Mounted {
    /// `None`, and said so, when this user may not mount.
    fn tmpfs(at: PathBuf, bytes: u64) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let options = format!("size={bytes},mode=700");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&at)
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(at)),
            Ok(output) if rustix::process::geteuid().is_root() && std::env::var_os("CI").is_some() => {
                panic!("cannot mount: {}", String::from_utf8_lossy(&output.stderr))
            }
            refused => {
                println!("skipped: this user may not mount a file system ({refused:?})");
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn fill_up(dir: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(dir.join("ballast")).unwrap();
    let full = loop {
        if let Err(error) = file.write_all(&[1; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
}

#[tokio::test]
async fn a_workload_on_a_disk_that_is_full_is_terminated_and_gone() {
    let place = tempfile::tempdir().unwrap();
    let Some(disk) = Mounted::tmpfs(place.path().join("disk"), 2 << 20) else {
        return;
    };
    for mode in [CgroupMode::Auto, CgroupMode::Off] {
        let state_dir = disk.0.join("state");
        let mut host = Local::with(mode, |config| config.state_dir = state_dir);
        let (spec, said) = polite(&host, "full");
        host.running(&spec).await;
        fill_up(&host.workload_dir(&spec.id).join("data/main/0"));
        let supervisor = host.supervisor(&spec.id);
        // Lines of the log are lost, the complaint about it, too, and it goes on and counts.
        let before = host.local().usage(&spec.id).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let after = host.local().usage(&spec.id).await.unwrap();
        assert!(after.epoch == before.epoch && after.storage_byte_seconds > before.storage_byte_seconds);
        assert!(is_alive(supervisor), "a full disk does not end what runs");
        assert_eq!(
            host.local().observe(&spec.id).await.unwrap().phase,
            Phase::Running
        );
        let error = host.local().stop(&spec.id).await.unwrap_err();
        assert_eq!(
            (error.kind, error.retry),
            (ErrorKind::Exhausted, Retry::Later),
            "{error}"
        );
        assert_eq!(host.processes(), Vec::<i32>::new());
        host.end(&spec.id).await;
        assert!(said.exists());
        assert!(
            fs::write(disk.0.join("room"), [1; 100_000]).is_ok(),
            "its room is free again"
        );
        host.close();
    }
}

#[tokio::test]
async fn what_cannot_be_removed_keeps_the_workload_listed_and_nothing_else() {
    let host = Local::new(CgroupMode::Auto);
    let (spec, _) = polite(&host, "stuck");
    host.running(&spec).await;
    let data = host.workload_dir(&spec.id).join("data/main/0");
    // A mount point cannot be removed.
    let Some(stuck) = Mounted::tmpfs(data.join("b-stuck"), 1 << 16) else {
        host.end(&spec.id).await;
        return;
    };
    for name in ["a-file", "c-file"] {
        fs::write(data.join(name), "data").unwrap();
    }
    let error = host.local().terminate(&spec.id).await.unwrap_err();
    assert_eq!(error.retry, Retry::Later, "{error}");
    assert_eq!(host.processes(), Vec::<i32>::new());
    assert_eq!(host.local().list().await.unwrap(), std::slice::from_ref(&spec.id));
    assert_ne!(host.local().observe(&spec.id).await.unwrap().phase, Phase::Gone);
    assert!(
        !data.join("a-file").exists() && !data.join("c-file").exists(),
        "the rest is free"
    );
    drop(stuck);
    tokio::time::sleep(Duration::from_millis(10)).await;
    host.end(&spec.id).await;
}
