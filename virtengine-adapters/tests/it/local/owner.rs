//! The process that owns the adapter is killed; its workloads go on and are taken up by the next one.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use virtengine_adapters::local::{CgroupMode, LocalAdapter};
use virtengine_provider_core::ports::adapter::{Adapter, LogQuery, Phase};

use super::fixture::{Local, config, get, is_alive};
use crate::support::{SystemClock, phase, web};

const STATE_DIR: &str = "VIRTENGINE_TEST_OWNER_STATE_DIR";

/// Not a test: the process that is killed in the one below.
#[tokio::test]
#[ignore = "run by the test below, in a process of its own"]
async fn owner() {
    let Some(state_dir) = std::env::var_os(STATE_DIR) else {
        return;
    };
    let config = config(
        &PathBuf::from(state_dir),
        mode(&std::env::var("VIRTENGINE_TEST_CGROUP").unwrap()),
    );
    let adapter = LocalAdapter::open(config, Arc::new(SystemClock)).unwrap();
    let spec = web("survivor");
    println!("OWNER BEGINS");
    adapter.deploy(&spec).await.unwrap();
    phase(&adapter, &spec.id, Phase::Running).await;
    println!("OWNER READY");
    // Until it is killed, or the test that waits for it is.
    tokio::time::sleep(Duration::from_secs(60)).await;
}

fn mode(name: &str) -> CgroupMode {
    if name == "off" {
        CgroupMode::Off
    } else {
        CgroupMode::Auto
    }
}

/// Starts the owner, waits until it says `word` and for `delay` more, and kills it.
fn kill_owner(host: &Local, cgroup: &str, word: &str, delay: Duration) {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "local::owner::owner", "--nocapture"])
        .env(STATE_DIR, &host.config.state_dir)
        .env("VIRTENGINE_TEST_CGROUP", cgroup)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept open to the end: an owner that cannot print ends by itself.
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let heard = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.contains(word));
    std::thread::sleep(delay);
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(heard, "the owner got that far");
}

async fn killed_owner(name: &str) {
    let mut host = Local::new(mode(name));
    host.close();
    kill_owner(&host, name, "OWNER READY", Duration::ZERO);

    let spec = web("survivor");
    let main = host.main_process(&spec.id).unwrap();
    assert!(is_alive(main), "the workload goes on without its owner");
    host.open();
    assert_eq!(host.local().list().await.unwrap(), std::slice::from_ref(&spec.id));
    let seen = host.local().observe(&spec.id).await.unwrap();
    assert_eq!(seen.phase, Phase::Running, "{}", seen.message);
    assert!(get(&seen.endpoints[0], "/").unwrap().contains("visit 1"));
    get(&seen.endpoints[0], "/burn?ms=50").unwrap();
    let before = host.local().usage(&spec.id).await.unwrap();
    assert!(before.network_bytes_out > 0 && before.cpu_milli_seconds > 0);
    host.deploy(&spec).await;
    assert_eq!(
        host.main_process(&spec.id),
        Some(main),
        "the same process, not a second one"
    );
    let logs = host.local().logs(&spec.id, &LogQuery::default()).await.unwrap();
    assert!(logs.iter().any(|line| line.text.contains("listening")));
    host.end(&spec.id).await;
    assert!(!is_alive(main));
}

#[tokio::test]
async fn workloads_outlive_their_killed_owner_and_are_taken_up_again() {
    killed_owner("auto").await;
    killed_owner("off").await;
}

async fn killed_at_any_moment(name: &str) {
    let mut host = Local::new(mode(name));
    let spec = web("survivor");
    for delay_ms in [0, 1, 2, 4, 8, 12, 20, 40, 80] {
        host.close();
        kill_owner(&host, name, "OWNER BEGINS", Duration::from_millis(delay_ms));
        host.open();
        let there = host.local().list().await.unwrap();
        assert!(there.is_empty() || there == [spec.id.clone()], "{there:?}");
        // The next daemon does again what it does not know to be done, or removes it.
        if delay_ms % 8 == 4 || delay_ms == 0 {
            let endpoints = host.running(&spec).await;
            assert!(get(&endpoints[0], "/").unwrap().contains("visit 1"));
            assert_eq!(host.processes().len(), 2, "one supervisor, one replica");
        }
        host.end(&spec.id).await;
    }
}

#[tokio::test]
async fn an_owner_killed_at_any_moment_of_a_deploy_leaves_one_workload_or_none() {
    killed_at_any_moment("auto").await;
    killed_at_any_moment("off").await;
}
