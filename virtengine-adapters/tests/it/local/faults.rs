//! Killed, hung and lost: what is left is found, told as it is, and removed.

use std::time::Duration;

use rustix::process::Signal;
use virtengine_adapters::local::CgroupMode;
use virtengine_provider_core::ports::adapter::{Adapter, ErrorKind, Phase};

use super::fixture::{Local, get, is_alive, kill, script};
use crate::support::{observe_until, phase, web, workload};

async fn killed_supervisor(mode: CgroupMode) {
    let host = Local::new(mode);
    // It leaves a process behind that does not die with its parents.
    let text = "(setsid sleep 1000 &); echo up; exec sleep 1000";
    let spec = workload("orphaned", vec![script("main", text)]);
    host.running(&spec).await;
    let before = host.local().usage(&spec.id).await.unwrap();
    let main = host.main_process(&spec.id).unwrap();
    kill(host.supervisor(&spec.id), Signal::KILL);
    let seen = phase(host.local(), &spec.id, Phase::Failed).await;
    assert!(seen.message.contains("supervisor was killed"), "{}", seen.message);
    for _ in 0..200 {
        if !is_alive(main) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!is_alive(main), "nothing runs unwatched");
    assert_eq!(host.local().list().await.unwrap(), std::slice::from_ref(&spec.id));
    host.running(&spec).await;
    // The supervisor, the main process and the one left behind; the old one is gone.
    observe_until(host.local(), &spec.id, |_| host.processes().len() == 3).await;
    let after = host.local().usage(&spec.id).await.unwrap();
    assert!(after.epoch == before.epoch && after.cpu_milli_seconds >= before.cpu_milli_seconds);
    kill(host.supervisor(&spec.id), Signal::KILL);
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_killed_supervisor_is_told_and_replaced_and_leaves_nothing() {
    killed_supervisor(CgroupMode::Auto).await;
    killed_supervisor(CgroupMode::Off).await;
}

#[tokio::test]
async fn a_supervisor_that_hangs_is_unknown_and_can_be_removed() {
    let host = Local::new(CgroupMode::Auto);
    let spec = web("hung");
    host.running(&spec).await;
    kill(host.supervisor(&spec.id), Signal::STOP);
    let seen = host.local().observe(&spec.id).await.unwrap();
    assert_eq!(seen.phase, Phase::Unknown, "{}", seen.message);
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_supervisor_asked_to_end_takes_its_workload_with_it() {
    let host = Local::new(CgroupMode::Auto);
    let spec = web("asked");
    let endpoints = host.running(&spec).await;
    get(&endpoints[0], "/").unwrap();
    kill(host.supervisor(&spec.id), Signal::TERM);
    let seen = phase(host.local(), &spec.id, Phase::Failed).await;
    assert!(seen.message.contains("host ended it"), "{}", seen.message);
    assert_eq!(host.processes(), Vec::<i32>::new());
    let endpoints = host.running(&spec).await;
    assert!(get(&endpoints[0], "/").unwrap().contains("visit 2"));
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_restart_of_the_host_is_noticed() {
    let host = Local::new(CgroupMode::Auto);
    let spec = web("reboot");
    host.running(&spec).await;
    let pid = host.supervisor(&spec.id);
    kill(pid, Signal::KILL);
    phase(host.local(), &spec.id, Phase::Failed).await;
    // What the disk of a restarted host looks like: records of another boot.
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    for name in ["status.json", "usage.json"] {
        let path = host.workload_dir(&spec.id).join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace(boot.trim(), "an-earlier-boot")).unwrap();
    }
    let seen = host.local().observe(&spec.id).await.unwrap();
    assert_eq!(seen.phase, Phase::Failed);
    assert!(seen.message.contains("host was restarted"), "{}", seen.message);
    host.running(&spec).await;
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_deploy_that_was_cut_off_is_listed_told_and_removable() {
    let host = Local::with(CgroupMode::Auto, |config| {
        config.supervisor = vec!["/bin/false".to_owned(), "local-shim".to_owned()];
    });
    let spec = web("cut");
    let error = host.local().deploy(&spec).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("supervisor ended"), "{error}");
    assert_eq!(host.local().list().await.unwrap(), std::slice::from_ref(&spec.id));
    let seen = host.local().observe(&spec.id).await.unwrap();
    assert_eq!(seen.phase, Phase::Failed);
    assert!(seen.message.contains("never started"), "{}", seen.message);
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_does_not_keep_a_workload_alive() {
    let host = Local::new(CgroupMode::Auto);
    let spec = web("torn");
    host.running(&spec).await;
    std::fs::write(host.workload_dir(&spec.id).join("intent.json"), "{ torn").unwrap();
    assert_eq!(
        host.local().observe(&spec.id).await.unwrap().phase,
        Phase::Unknown
    );
    assert_eq!(host.local().list().await.unwrap(), std::slice::from_ref(&spec.id));
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_directory_without_an_intent_is_nobodys() {
    let mut host = Local::new(CgroupMode::Auto);
    let spec = web("unborn");
    let dir = host.workload_dir(&spec.id);
    host.close();
    std::fs::create_dir_all(dir.join("data")).unwrap();
    host.open();
    assert!(!dir.exists());
    assert_eq!(host.local().list().await.unwrap(), []);
}

#[tokio::test]
async fn a_taken_port_is_told_until_it_is_free() {
    let mut host = Local::new(CgroupMode::Auto);
    let spec = web("taken");
    let endpoints = host.running(&spec).await;
    host.local().stop(&spec.id).await.unwrap();
    // Somebody took the port while the workload was stopped: it gets another one.
    let port = endpoints[0].external_port;
    let squatter = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let moved = host.running(&spec).await;
    assert_ne!(moved[0].external_port, port);
    assert!(get(&moved[0], "/healthz").is_ok());
    drop(squatter);
    host.close();
    host.open();
    host.end(&spec.id).await;
}

#[tokio::test]
async fn two_adapters_do_not_share_a_directory() {
    let mut host = Local::new(CgroupMode::Auto);
    let config = host.config.clone();
    let clock = std::sync::Arc::new(crate::support::SystemClock);
    let refused = virtengine_adapters::local::LocalAdapter::open(config.clone(), clock.clone()).unwrap_err();
    assert!(
        refused[0].to_string().contains("in use by another process"),
        "{refused:?}"
    );
    host.close();
    assert!(virtengine_adapters::local::LocalAdapter::open(config, clock).is_ok());
}
