//! The sums of one workload. They only rise; what they rose from is kept, so that the next look adds only what is new.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtengine_provider_core::ports::adapter::Counters;
use virtengine_provider_core::time::Timestamp;

use super::summary::PodStats;

/// Longest time between two looks over which a gauge is taken to have stayed as it was.
const GAP: Duration = Duration::from_secs(60);

/// Most sources that are remembered; those of pods that are gone are forgotten first.
const SOURCES_MAX: usize = 4096;

/// The sums of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// When counting began.
    epoch: u64,
    cpu_nanos: u128,
    memory_byte_millis: u128,
    storage_byte_millis: u128,
    network_in: u64,
    network_out: u64,
    gpu_millis: u64,
    /// Last value of each counter, by what counts.
    #[serde(default)]
    counted: BTreeMap<String, u64>,
    /// Last value of each gauge and when it was seen, by pod.
    #[serde(default)]
    gauges: BTreeMap<String, Gauge>,
    /// Pods whose counters stand somewhere, and nobody knows where counting had come to.
    #[serde(default)]
    unread: BTreeSet<String>,
    /// When what is reserved was last added.
    #[serde(default)]
    reserved_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Gauge {
    at: Timestamp,
    memory_bytes: u64,
    storage_bytes: u64,
}

/// What is held whether it is used or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reserved {
    /// Bytes of volumes that exist.
    pub(super) volume_bytes: u64,
    /// GPUs of replicas that run.
    pub(super) gpus: u64,
}

impl Ledger {
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            epoch,
            ..Self::default()
        }
    }

    /// The sums after those of before were lost: what `pods` have used by now belongs to nobody.
    pub(super) fn after_loss(epoch: u64, pods: BTreeSet<String>) -> Self {
        Self {
            unread: pods,
            ..Self::new(epoch)
        }
    }

    /// Adds what a kubelet says about a pod.
    pub(super) fn look(&mut self, pod: &PodStats, now: Timestamp) {
        if self.unread.remove(&pod.pod_ref.uid) {
            let sums = self.clone();
            self.add(pod, now);
            (self.cpu_nanos, self.network_in, self.network_out) =
                (sums.cpu_nanos, sums.network_in, sums.network_out);
            return;
        }
        self.add(pod, now);
    }

    fn add(&mut self, pod: &PodStats, now: Timestamp) {
        let uid = &pod.pod_ref.uid;
        // The counter of the pod goes on when a container starts anew; those of containers begin again.
        match pod.cpu.and_then(|cpu| cpu.usage_core_nano_seconds) {
            Some(nanos) => self.count_cpu(&format!("{uid}/cpu"), nanos),
            None => {
                for container in &pod.containers {
                    if let Some(nanos) = container.cpu.and_then(|cpu| cpu.usage_core_nano_seconds) {
                        let source = format!("{uid}/cpu/{}/{}", container.name, container.start_time);
                        self.count_cpu(&source, nanos);
                    }
                }
            }
        }
        if let Some(bytes) = pod.network.and_then(|network| network.rx_bytes) {
            let more = self.rise(&format!("{uid}/in"), bytes);
            self.network_in = self.network_in.saturating_add(more);
        }
        if let Some(bytes) = pod.network.and_then(|network| network.tx_bytes) {
            let more = self.rise(&format!("{uid}/out"), bytes);
            self.network_out = self.network_out.saturating_add(more);
        }
        self.look_at_gauges(pod, now);
    }

    fn count_cpu(&mut self, source: &str, nanos: u64) {
        let more = self.rise(source, nanos);
        self.cpu_nanos = self.cpu_nanos.saturating_add(u128::from(more));
    }

    /// How much a counter rose. One that fell has begun again.
    fn rise(&mut self, source: &str, value: u64) -> u64 {
        let before = self.counted.insert(source.to_owned(), value).unwrap_or(0);
        value.checked_sub(before).unwrap_or(value)
    }

    fn look_at_gauges(&mut self, pod: &PodStats, now: Timestamp) {
        let of_containers = || {
            let each = pod
                .containers
                .iter()
                .filter_map(|container| container.memory?.working_set_bytes);
            each.fold(0_u64, u64::saturating_add)
        };
        let of_pod = pod
            .memory
            .and_then(|memory| memory.working_set_bytes)
            .unwrap_or(0);
        let next = Gauge {
            at: now,
            // The pod's own value is missing in its first seconds.
            memory_bytes: of_pod.max(of_containers()),
            storage_bytes: pod.ephemeral.and_then(|storage| storage.used_bytes).unwrap_or(0),
        };
        let uid = pod.pod_ref.uid.clone();
        if let Some(before) = self.gauges.insert(uid, next) {
            let time = now.since(before.at);
            let level = |before: u64, next: u64| if time > GAP { before.min(next) } else { before };
            let millis = time.as_millis();
            let memory = u128::from(level(before.memory_bytes, next.memory_bytes)).saturating_mul(millis);
            let storage = u128::from(level(before.storage_bytes, next.storage_bytes)).saturating_mul(millis);
            self.memory_byte_millis = self.memory_byte_millis.saturating_add(memory);
            self.storage_byte_millis = self.storage_byte_millis.saturating_add(storage);
        }
    }

    /// Adds what is held since the last time.
    pub(super) fn hold(&mut self, reserved: Reserved, now: Timestamp) {
        if let Some(before) = self.reserved_at {
            let time = now.since(before);
            let volumes = u128::from(reserved.volume_bytes).saturating_mul(time.as_millis());
            self.storage_byte_millis = self.storage_byte_millis.saturating_add(volumes);
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            self.gpu_millis = self
                .gpu_millis
                .saturating_add(reserved.gpus.saturating_mul(millis));
        }
        self.reserved_at = Some(now);
    }

    /// Forgets where the counters of pods stood that are gone.
    pub(super) fn forget_all_but(&mut self, pods: &BTreeSet<String>) {
        let there = |source: &String| source.split('/').next().is_some_and(|uid| pods.contains(uid));
        if self.counted.len() > SOURCES_MAX {
            self.counted.retain(|source, _| there(source));
        }
        // A pod that is not seen just now may be seen again; only what nobody has any more goes.
        self.gauges.retain(|uid, _| pods.contains(uid));
    }

    /// The sums, every division rounded down.
    pub(super) fn read(&self, at: Timestamp) -> Counters {
        Counters {
            at,
            epoch: self.epoch,
            cpu_milli_seconds: u64::try_from(self.cpu_nanos / 1_000_000).unwrap_or(u64::MAX),
            memory_byte_seconds: self.memory_byte_millis / 1000,
            storage_byte_seconds: self.storage_byte_millis / 1000,
            network_bytes_in: self.network_in,
            network_bytes_out: self.network_out,
            gpu_seconds: self.gpu_millis / 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::summary::{ContainerStats, Cpu, Memory, Network, PodRef};
    use super::*;

    fn pod(uid: &str, cpu: u64, network: u64) -> PodStats {
        PodStats {
            pod_ref: PodRef {
                namespace: "a".to_owned(),
                uid: uid.to_owned(),
            },
            cpu: Some(Cpu {
                usage_core_nano_seconds: Some(cpu),
            }),
            memory: Some(Memory {
                working_set_bytes: Some(1 << 20),
            }),
            network: Some(Network {
                rx_bytes: Some(network),
                tx_bytes: Some(network.saturating_mul(2)),
            }),
            ..PodStats::default()
        }
    }

    fn seconds(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_counter_that_falls_has_begun_again() {
        let mut ledger = Ledger::new(7);
        ledger.look(&pod("u", 2_000_000_000, 734), seconds(0));
        ledger.look(&pod("u", 5_000_000_000, 1022), seconds(10));
        // The sandbox is made anew: CPU goes on, network begins again.
        ledger.look(&pod("u", 7_000_000_000, 734), seconds(20));
        let sums = ledger.read(seconds(20));
        assert_eq!((sums.epoch, sums.cpu_milli_seconds), (7, 7000));
        assert_eq!(
            (sums.network_bytes_in, sums.network_bytes_out),
            (1022 + 734, 2 * (1022 + 734))
        );
        assert_eq!(sums.memory_byte_seconds, 20 << 20);
    }

    #[test]
    fn containers_count_where_the_pod_itself_does_not() {
        let mut ledger = Ledger::default();
        let container = |start: &str, nanos| PodStats {
            containers: vec![ContainerStats {
                name: "service".to_owned(),
                start_time: start.to_owned(),
                cpu: Some(Cpu {
                    usage_core_nano_seconds: Some(nanos),
                }),
                memory: None,
            }],
            cpu: None,
            ..pod("u", 0, 0)
        };
        ledger.look(&container("10:00", 3_000_000_000), seconds(0));
        ledger.look(&container("10:01", 4_000_000_000), seconds(60));
        assert_eq!(ledger.read(seconds(60)).cpu_milli_seconds, 7000);
    }

    #[test]
    fn what_is_held_counts_without_being_used_and_a_long_gap_is_not_guessed() {
        let mut ledger = Ledger::default();
        ledger.hold(
            Reserved {
                volume_bytes: 10,
                gpus: 2,
            },
            seconds(0),
        );
        ledger.hold(
            Reserved {
                volume_bytes: 10,
                gpus: 2,
            },
            seconds(100),
        );
        ledger.hold(
            Reserved {
                volume_bytes: 10,
                gpus: 0,
            },
            seconds(200),
        );
        let sums = ledger.read(seconds(200));
        assert_eq!((sums.storage_byte_seconds, sums.gpu_seconds), (2000, 200));
        let mut small = pod("u", 0, 0);
        small.memory = Some(Memory {
            working_set_bytes: Some(1000),
        });
        ledger.look(&pod("u", 0, 0), seconds(200));
        ledger.look(&small, seconds(1200));
        assert_eq!(ledger.read(seconds(1200)).memory_byte_seconds, 1_000_000);
    }

    #[test]
    fn after_a_loss_only_what_is_new_counts() {
        let mut ledger = Ledger::after_loss(9, BTreeSet::from(["u".to_owned()]));
        ledger.look(&pod("u", 5_000_000_000, 100), seconds(0));
        assert_eq!(ledger.read(seconds(0)).cpu_milli_seconds, 0);
        ledger.look(&pod("u", 6_000_000_000, 130), seconds(10));
        ledger.look(&pod("v", 1_000_000_000, 1), seconds(10));
        let sums = ledger.read(seconds(10));
        assert_eq!((sums.cpu_milli_seconds, sums.network_bytes_in), (2000, 31));
    }

    #[test]
    fn what_was_written_is_read_back_whole() {
        let mut ledger = Ledger::new(3);
        ledger.look(&pod("u", u64::MAX, u64::MAX), seconds(1));
        ledger.look(&pod("u", 5, 5), seconds(2));
        ledger.hold(
            Reserved {
                volume_bytes: u64::MAX,
                gpus: 1,
            },
            seconds(2),
        );
        ledger.hold(
            Reserved {
                volume_bytes: u64::MAX,
                gpus: 1,
            },
            seconds(3_000_000),
        );
        let text = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
    }

    proptest! {
        #[test]
        fn sums_never_fall(looks in prop::collection::vec((0..3_u8, any::<u32>(), any::<u32>(), 0..100_i64), 0..60)) {
            let mut ledger = Ledger::default();
            let mut time = 0;
            let mut before = ledger.read(seconds(0));
            for (uid, cpu, network, step) in looks {
                time += step;
                ledger.look(&pod(&uid.to_string(), u64::from(cpu) * 1_000_000, u64::from(network)), seconds(time));
                ledger.forget_all_but(&BTreeSet::from([uid.to_string()]));
                let now = ledger.read(seconds(time));
                prop_assert!(now.cpu_milli_seconds >= before.cpu_milli_seconds);
                prop_assert!(now.memory_byte_seconds >= before.memory_byte_seconds);
                prop_assert!(now.network_bytes_in >= before.network_bytes_in);
                before = now;
            }
        }
    }
}
