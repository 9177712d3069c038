//! Processes that wiped their environment, and with it the mark that says whose they are.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use virtengine_adapters::local::CgroupMode;
use virtengine_provider_core::ports::adapter::{Adapter, Phase};
use virtengine_provider_core::workload::WorkloadSpec;

use super::fixture::{Local, is_alive, kill, script};
use crate::support::{observe_until, phase, workload};

/// A service that leaves behind a shell which runs `command`: without environment ever since it was born, in a session of its
/// own and with no parent but the supervisor. Its number is in `wiped`.
fn wiping(name: &str, command: &str) -> WorkloadSpec {
    let text = format!(
        "printf '%s\\n' 'echo $$ >> wiped; {command}' > left.sh; \
         (setsid env -i sh -c 'sh left.sh & exit' &); \
         while [ ! -s wiped ]; do sleep 0.01; done; echo up; exec sleep 1000"
    );
    let mut spec = workload(name, vec![script("main", &text)]);
    spec.services[0].memory_bytes = 512 << 20;
    spec
}

/// The number of the one that the first life of the replica left behind.
async fn wiped(host: &Local, spec: &WorkloadSpec) -> i32 {
    let file = host.workload_dir(&spec.id).join("data/main/0/wiped");
    let first = || -> Option<i32> {
        let text = fs::read_to_string(&file).ok()?;
        text.split_once('\n')?.0.parse().ok()
    };
    observe_until(host.local(), &spec.id, |_| first().is_some()).await;
    let pid = first().unwrap();
    if let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) {
        let is_marked = environment.windows(13).any(|text| text == b"VE_OWNER_MARK");
        assert!(!is_marked, "it is without a mark");
    }
    pid
}

/// Holds some 40 MB in a shell variable.
const HOLD: &str =
    "x=$(head -c 40000000 /dev/zero | tr \"\\0\" x); echo held > held; while :; do sleep 0.1; done";

async fn billed(mode: CgroupMode) {
    let host = Local::new(mode);
    let spec = wiping("billed", HOLD);
    host.running(&spec).await;
    wiped(&host, &spec).await;
    let held = host.workload_dir(&spec.id).join("data/main/0/held");
    observe_until(host.local(), &spec.id, |_| held.exists()).await;
    let first = host.local().usage(&spec.id).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let second = host.local().usage(&spec.id).await.unwrap();
    let bytes = second.memory_byte_seconds - first.memory_byte_seconds;
    assert!(bytes >= 35_000_000, "counted {bytes} byte seconds in a second");
    host.end(&spec.id).await;
}

#[tokio::test]
async fn memory_of_a_process_without_a_mark_is_billed() {
    billed(CgroupMode::Auto).await;
    billed(CgroupMode::Off).await;
}

async fn bounded(mode: CgroupMode) {
    let host = Local::new(mode);
    let mut spec = wiping("bounded", HOLD);
    spec.services[0].memory_bytes = 20 << 20;
    host.deploy(&spec).await;
    let pid = wiped(&host, &spec).await;
    observe_until(host.local(), &spec.id, |seen| seen.services[0].restarts >= 1).await;
    assert!(!is_alive(pid), "what held too much is ended with its replica");
    host.local().terminate(&spec.id).await.unwrap();
}

#[tokio::test]
async fn memory_of_a_process_without_a_mark_is_bounded() {
    bounded(CgroupMode::Auto).await;
    bounded(CgroupMode::Off).await;
}

async fn ended(mode: CgroupMode, by: &str) {
    let host = Local::new(mode);
    let spec = wiping("ended", "while :; do sleep 1; done");
    host.running(&spec).await;
    let pid = wiped(&host, &spec).await;
    // The supervisor has seen it and said so.
    let _ = host.local().usage(&spec.id).await.unwrap();
    let status = host.workload_dir(&spec.id).join("status.json");
    if mode == CgroupMode::Off {
        let id = format!("\"pid\":{pid},");
        observe_until(host.local(), &spec.id, |_| {
            fs::read_to_string(&status).is_ok_and(|text| text.contains(&id))
        })
        .await;
    }
    match by {
        "supervisor" => {}
        "next supervisor" => {
            kill(host.supervisor(&spec.id), Signal::KILL);
            phase(host.local(), &spec.id, Phase::Failed).await;
            assert!(is_alive(pid), "nobody has ended it yet");
            host.running(&spec).await;
            assert!(!is_alive(pid), "what is left of an earlier life would run twice");
        }
        _ => {
            kill(host.supervisor(&spec.id), Signal::KILL);
            phase(host.local(), &spec.id, Phase::Failed).await;
            assert!(is_alive(pid), "nobody has ended it yet");
        }
    }
    host.end(&spec.id).await;
    assert!(!is_alive(pid), "terminated means gone ({by})");
}

#[tokio::test]
async fn a_process_without_a_mark_is_ended_with_its_workload() {
    for by in ["supervisor", "next supervisor", "adapter"] {
        ended(CgroupMode::Auto, by).await;
        ended(CgroupMode::Off, by).await;
    }
}
