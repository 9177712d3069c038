//! Usage against what a program itself has counted.

use std::time::{Duration, Instant};

use virtengine_provider_core::ports::adapter::{Adapter, Counters};
use virtengine_provider_core::workload::ServiceSpec;

use super::support::{Provider, kubeconfig, shell, volume, with_provider, workload};

fn not_before(before: &Counters, after: &Counters) {
    assert_eq!(before.epoch, after.epoch);
    assert!(
        after.cpu_milli_seconds >= before.cpu_milli_seconds,
        "{before:?} {after:?}"
    );
    assert!(
        after.memory_byte_seconds >= before.memory_byte_seconds,
        "{before:?} {after:?}"
    );
    assert!(
        after.storage_byte_seconds >= before.storage_byte_seconds,
        "{before:?} {after:?}"
    );
    assert!(
        after.network_bytes_in >= before.network_bytes_in,
        "{before:?} {after:?}"
    );
}

/// Seconds in the last line of `times` of a shell: user and system time of its children, `0m14.90s 0m0.10s`.
fn children_millis(text: &str) -> u64 {
    let line = text
        .lines()
        .rev()
        .find(|line| line.contains('m') && line.trim_end().ends_with('s'))
        .unwrap();
    let part = |word: &str| -> u64 {
        let (minutes, seconds) = word.trim_end_matches('s').split_once('m').unwrap();
        let (whole, cents) = seconds.split_once('.').unwrap();
        let fraction: u64 = format!("{cents:0<3}")[..3].parse().unwrap();
        minutes.parse::<u64>().unwrap() * 60_000 + whole.parse::<u64>().unwrap() * 1000 + fraction
    };
    line.split_whitespace().map(part).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_is_counted_within_five_percent_of_what_was_burned() {
    with_provider(
        |_| {},
        |provider| async move {
            let script = "timeout 30 sh -c 'while :; do :; done'; times; echo burned; exec sleep 1000";
            let burner = ServiceSpec {
                cpu_millis: 500,
                volumes: vec![volume("data", None)],
                ..shell("burner", script)
            };
            let spec = workload("burn", vec![burner]);
            provider.running(&spec).await;
            let truth = children_millis(&provider.log_with(&spec.id, "burned").await);
            let deadline = Instant::now() + Duration::from_secs(60);
            let mut last = provider.adapter.usage(&spec.id).await.unwrap();
            // The kubelet looks every 10 to 17 seconds.
            let near = |counted: u64| counted.abs_diff(truth) * 20 <= truth;
            while !near(last.cpu_milli_seconds) {
                assert!(Instant::now() < deadline, "{last:?}, but {truth} ms were burned");
                tokio::time::sleep(Duration::from_secs(2)).await;
                let next = provider.adapter.usage(&spec.id).await.unwrap();
                not_before(&last, &next);
                last = next;
            }
            println!("burned {truth} ms, counted {} ms", last.cpu_milli_seconds);
            // It stays there.
            tokio::time::sleep(Duration::from_secs(20)).await;
            let next = provider.adapter.usage(&spec.id).await.unwrap();
            not_before(&last, &next);
            assert!(
                near(next.cpu_milli_seconds),
                "{next:?}, but {truth} ms were burned"
            );
            assert!(next.memory_byte_seconds > 0, "{next:?}");
            // A volume of 16 MiB for at least the 20 seconds.
            assert!(
                next.storage_byte_seconds - last.storage_byte_seconds >= 20 * (16 << 20),
                "{last:?} {next:?}"
            );
            provider.adapter.terminate(&spec.id).await.unwrap();
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_go_on_when_a_container_a_pod_and_the_adapter_begin_anew() {
    with_provider(
        |_| {},
        |provider| async move {
            // Ends by itself after a while, as if it was killed; then it is started again.
            let script = "timeout 20 sh -c 'while :; do :; done'; kill -9 $$";
            let burner = ServiceSpec {
                cpu_millis: 300,
                ..shell("burner", script)
            };
            let spec = workload("again", vec![burner]);
            provider.adapter.deploy(&spec).await.unwrap();
            let grows = async |provider: &Provider, from: Counters, by: u64| {
                let deadline = Instant::now() + Duration::from_secs(120);
                let mut last = from;
                while last.cpu_milli_seconds < from.cpu_milli_seconds + by {
                    assert!(Instant::now() < deadline, "{last:?} does not grow from {from:?}");
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    let next = provider.adapter.usage(&spec.id).await.unwrap();
                    not_before(&last, &next);
                    last = next;
                }
                last
            };
            let first = provider.adapter.usage(&spec.id).await.unwrap();
            let restarts = async |provider: &Provider| {
                provider.adapter.observe(&spec.id).await.unwrap().services[0].restarts
            };
            let mut seen = grows(&provider, first, 1500).await;
            let deadline = Instant::now() + Duration::from_secs(90);
            while restarts(&provider).await == 0 {
                assert!(Instant::now() < deadline);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            seen = grows(&provider, seen, 1500).await;
            // Another pod takes its place.
            provider.adapter.pause(&spec.id).await.unwrap();
            let paused = provider.adapter.usage(&spec.id).await.unwrap();
            not_before(&seen, &paused);
            provider.adapter.resume(&spec.id).await.unwrap();
            seen = grows(&provider, paused, 1500).await;
            drop(provider);
            let next = Provider::connect(kubeconfig().unwrap(), |_| {}).await;
            let after = next.adapter.usage(&spec.id).await.unwrap();
            not_before(&seen, &after);
            grows(&next, after, 1000).await;
            next.adapter.terminate(&spec.id).await.unwrap();
        },
    )
    .await;
}
