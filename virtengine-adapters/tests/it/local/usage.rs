//! Counters against the truth.

use std::time::{Duration, Instant};

use virtengine_adapters::local::CgroupMode;
use virtengine_provider_core::ports::adapter::{Adapter, Counters, Phase};
use virtengine_provider_core::workload::{VolumeSpec, WorkloadSpec};

use super::fixture::{Local, get, request, script};
use crate::support::{exposed, observe_until, phase, service, workload};

fn idle(name: &str) -> WorkloadSpec {
    let mut idle = service("web", "demo-idle");
    idle.exposes = vec![exposed(80)];
    idle.memory_bytes = 256 << 20;
    workload(name, vec![idle])
}

fn near(found: u128, truth: u128, permille: u128, what: &str) {
    let off = found.abs_diff(truth);
    assert!(
        off * 1000 <= truth * permille,
        "{what}: counted {found}, was {truth}"
    );
}

async fn cpu(host: Local) {
    let spec = idle("cpu");
    let endpoints = host.running(&spec).await;
    let before = host.local().usage(&spec.id).await.unwrap();
    let answer = get(&endpoints[0], "/burn?ms=600").unwrap();
    let used: u128 = answer
        .split("used ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let after = host.local().usage(&spec.id).await.unwrap();
    let counted = u128::from(after.cpu_milli_seconds - before.cpu_milli_seconds);
    near(counted, used, 60, "cpu");
    // What ended processes used is not forgotten.
    host.local().stop(&spec.id).await.unwrap();
    let stopped = host.local().usage(&spec.id).await.unwrap();
    assert!(stopped.cpu_milli_seconds >= after.cpu_milli_seconds);
    assert!(stopped.cpu_milli_seconds < after.cpu_milli_seconds + 100);
    host.end(&spec.id).await;
}

#[tokio::test]
async fn burnt_cpu_is_counted_in_control_groups() {
    let Some(host) = Local::in_groups() else { return };
    cpu(host).await;
}

#[tokio::test]
async fn burnt_cpu_is_counted_without_control_groups() {
    cpu(Local::new(CgroupMode::Off)).await;
}

async fn short_lived(mode: CgroupMode) {
    let host = Local::new(mode);
    // Each child ends long before anybody looks; the shell counts what it waited for.
    let text = "i=0; while [ $i -lt 8 ]; do i=$((i+1)); sh -c 'j=0; while [ $j -lt 60000 ]; do j=$((j+1)); done'; done; \
                cat /proc/self/../$$/stat > stat; exec sleep 1000";
    let spec = workload("short", vec![script("main", text)]);
    host.deploy(&spec).await;
    let file = host.workload_dir(&spec.id).join("data/main/0/stat");
    observe_until(host.local(), &spec.id, |_| {
        std::fs::read_to_string(&file).is_ok_and(|text| !text.is_empty())
    })
    .await;
    let counted = host.local().usage(&spec.id).await.unwrap().cpu_milli_seconds;
    let stat = std::fs::read_to_string(&file).unwrap();
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_ascii_whitespace()
        .skip(11)
        .take(4)
        .map(|field| field.parse().unwrap())
        .collect();
    let truth: u64 = fields.iter().sum::<u64>() * 10;
    assert!(truth >= 100, "the children worked: {truth} ms");
    // Ticks of 10 ms, and what starting the shell itself took.
    assert!(
        counted + 30 >= truth && counted <= truth + truth / 20 + 80,
        "counted {counted}, was {truth}"
    );
    host.end(&spec.id).await;
}

#[tokio::test]
async fn processes_too_short_lived_to_be_seen_are_counted() {
    short_lived(CgroupMode::Auto).await;
    short_lived(CgroupMode::Off).await;
}

#[tokio::test]
async fn control_groups_switched_off_and_on_again_lose_and_double_no_cpu() {
    let Some(mut host) = Local::in_groups() else {
        return;
    };
    let spec = idle("switched");
    let mut used = 0;
    for (round, mode) in [CgroupMode::Auto, CgroupMode::Off, CgroupMode::Auto]
        .into_iter()
        .enumerate()
    {
        host.close();
        host.config.cgroup = mode;
        host.open();
        let endpoints = host.running(&spec).await;
        let answer = get(&endpoints[0], "/burn?ms=300").unwrap();
        let burnt = answer.split("used ").nth(1).unwrap().split(' ').next().unwrap();
        used += burnt.parse::<u128>().unwrap();
        host.local().stop(&spec.id).await.unwrap();
        let counted = host.local().usage(&spec.id).await.unwrap().cpu_milli_seconds;
        // What starting it takes comes with it each time.
        let most = used + 150 * u128::try_from(round + 1).unwrap();
        assert!(
            u128::from(counted) + 30 >= used && u128::from(counted) <= most,
            "{mode:?}: counted {counted}, used {used}"
        );
    }
    host.end(&spec.id).await;
}

#[tokio::test]
async fn every_byte_through_an_exposed_port_is_counted() {
    let host = Local::new(CgroupMode::Auto);
    let spec = idle("bytes");
    let endpoints = host.running(&spec).await;
    let before = host.local().usage(&spec.id).await.unwrap();
    let (mut sent, mut received) = (0, 0);
    for path in ["/bytes?kb=300", "/healthz", "/bytes?kb=7"] {
        sent += request(path).len();
        received += get(&endpoints[0], path).unwrap().len();
    }
    let after = host.local().usage(&spec.id).await.unwrap();
    assert_eq!(
        usize::try_from(after.network_bytes_in - before.network_bytes_in).unwrap(),
        sent
    );
    assert_eq!(
        usize::try_from(after.network_bytes_out - before.network_bytes_out).unwrap(),
        received
    );
    host.local().stop(&spec.id).await.unwrap();
    let stopped = host.local().usage(&spec.id).await.unwrap();
    assert_eq!(stopped.network_bytes_out, after.network_bytes_out);
    host.end(&spec.id).await;
}

/// Counters, and the middle of the time that asking took.
async fn at(host: &Local, spec: &WorkloadSpec) -> (Counters, Instant) {
    let began = Instant::now();
    let counters = host.local().usage(&spec.id).await.unwrap();
    (counters, began + began.elapsed() / 2)
}

async fn space(mode: CgroupMode) {
    let host = Local::new(mode);
    let spec = idle("space");
    let endpoints = host.running(&spec).await;
    let (base, began) = at(&host, &spec).await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let (idle, ended) = at(&host, &spec).await;
    let idle_bytes =
        (idle.memory_byte_seconds - base.memory_byte_seconds) * 1000 / (ended - began).as_millis();
    get(&endpoints[0], "/alloc?mb=100").unwrap();
    get(&endpoints[0], "/write?mb=20").unwrap();
    // Until the walk through the data has seen the file.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let (first, began) = at(&host, &spec).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (second, ended) = at(&host, &spec).await;
    let span = (ended - began).as_millis();
    let memory = (second.memory_byte_seconds - first.memory_byte_seconds) * 1000 / span;
    near(memory, (100 << 20) + idle_bytes, 50, "memory");
    let storage = (second.storage_byte_seconds - first.storage_byte_seconds) * 1000 / span;
    near(storage, 20 << 20, 50, "storage");
    // Data that lie there count, memory does not.
    host.local().stop(&spec.id).await.unwrap();
    let (first, began) = at(&host, &spec).await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let (second, ended) = at(&host, &spec).await;
    let storage =
        (second.storage_byte_seconds - first.storage_byte_seconds) * 1000 / (ended - began).as_millis();
    near(storage, 20 << 20, 50, "storage at rest");
    assert_eq!(second.memory_byte_seconds, first.memory_byte_seconds);
    host.end(&spec.id).await;
}

#[tokio::test]
async fn held_memory_and_kept_data_are_counted_in_control_groups() {
    space(CgroupMode::Auto).await;
}

#[tokio::test]
async fn held_memory_and_kept_data_are_counted_without_control_groups() {
    space(CgroupMode::Off).await;
}

async fn too_much_memory(mode: CgroupMode) {
    let host = Local::new(mode);
    let mut spec = idle("greedy");
    spec.services[0].memory_bytes = 64 << 20;
    let endpoints = host.running(&spec).await;
    let _ = get(&endpoints[0], "/alloc?mb=150");
    let seen = observe_until(host.local(), &spec.id, |seen| seen.services[0].restarts == 1).await;
    phase(host.local(), &spec.id, Phase::Running).await;
    drop(seen);
    host.end(&spec.id).await;
}

#[tokio::test]
async fn a_replica_over_its_memory_is_ended_and_started_again() {
    too_much_memory(CgroupMode::Auto).await;
    too_much_memory(CgroupMode::Off).await;
}

#[tokio::test]
async fn a_replica_over_its_storage_is_ended_for_good() {
    let host = Local::new(CgroupMode::Auto);
    let text = "i=0; while [ $i -lt 8 ]; do i=$((i+1)); head -c 1000000 /dev/zero | tr '\\0' x > file$i; done; exec sleep 1000";
    let mut spec = workload("hoard", vec![script("main", text)]);
    spec.services[0].volumes = vec![VolumeSpec {
        name: "default".to_owned(),
        bytes: 4 << 20,
        mount: None,
        persistent: false,
        class: None,
        read_only: false,
    }];
    host.deploy(&spec).await;
    let seen = phase(host.local(), &spec.id, Phase::Failed).await;
    assert!(seen.message.contains("bytes of storage"), "{}", seen.message);
    host.end(&spec.id).await;
}
