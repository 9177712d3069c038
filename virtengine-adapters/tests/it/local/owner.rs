//! The process that owns the adapter is killed; its workloads go on and are taken up by the next one.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

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
    adapter.deploy(&spec).await.unwrap();
    phase(&adapter, &spec.id, Phase::Running).await;
    println!("OWNER READY");
    // Until it is killed, or the test that waits for it is.
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
}

fn mode(name: &str) -> CgroupMode {
    if name == "off" {
        CgroupMode::Off
    } else {
        CgroupMode::Auto
    }
}

async fn killed_owner(name: &str) {
    let mut host = Local::new(mode(name));
    host.close();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "local::owner::owner", "--nocapture"])
        .env(STATE_DIR, &host.config.state_dir)
        .env("VIRTENGINE_TEST_CGROUP", name)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let ready = lines
        .map_while(Result::ok)
        .any(|line| line.contains("OWNER READY"));
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(ready, "the owner got that far");

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
