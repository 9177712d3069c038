//! The rules and their thresholds.

use alloc::vec::Vec;
use core::num::NonZeroU64;
use core::time::Duration;

use super::verdict::{Details, Flag, Verdict};
use crate::money::{mul_div, widening_mul};
use crate::time::Timestamp;
use crate::units::{GIB, Resources};

/// The six metrics of a record, signed: what arrives may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UsageMetrics {
    /// Core-milliseconds: 1000 is one core for one second.
    pub cpu_milli_seconds: i128,
    /// Byte-seconds of memory.
    pub memory_byte_seconds: i128,
    /// Byte-seconds of storage.
    pub storage_byte_seconds: i128,
    /// Bytes received.
    pub network_bytes_in: i128,
    /// Bytes sent.
    pub network_bytes_out: i128,
    /// GPU-seconds.
    pub gpu_seconds: i128,
}

impl UsageMetrics {
    const fn all(&self) -> [i128; 6] {
        [
            self.cpu_milli_seconds,
            self.memory_byte_seconds,
            self.storage_byte_seconds,
            self.network_bytes_in,
            self.network_bytes_out,
            self.gpu_seconds,
        ]
    }

    fn network(&self) -> u128 {
        positive(self.network_bytes_in).saturating_add(positive(self.network_bytes_out))
    }
}

/// What a workload's traffic was before the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkNormal {
    /// Bytes in and out together.
    pub bytes: u128,
    /// The time that they took; zero means that nothing is known.
    pub over: Duration,
}

/// Everything that a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageFacts {
    /// Start of the metering period.
    pub start: Timestamp,
    /// End of the metering period.
    pub end: Timestamp,
    /// Whether the record is marked as the last one of its workload.
    pub is_final: bool,
    /// What was used.
    pub metrics: UsageMetrics,
    /// What was allocated; `None` skips the ratio rules. Usage of something of which nothing is allocated is excessive.
    pub allocated: Option<Resources>,
    /// The traffic before; `None` skips the rule.
    pub trailing_network: Option<NetworkNormal>,
    /// Now.
    pub now: Timestamp,
}

/// An exact ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    /// Upper number.
    pub numerator: u64,
    /// Lower number.
    pub denominator: NonZeroU64,
}

impl Ratio {
    /// `numerator / denominator`; a zero `denominator` counts as 1.
    #[must_use]
    pub const fn new(numerator: u64, denominator: u64) -> Self {
        let denominator = match NonZeroU64::new(denominator) {
            Some(denominator) => denominator,
            None => NonZeroU64::MIN,
        };
        Self {
            numerator,
            denominator,
        }
    }
}

/// Thresholds. The defaults are the specification's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Shortest record that is not final: 1 minute.
    pub duration_min: Duration,
    /// Longest record: 25 hours.
    pub duration_max: Duration,
    /// How far the end may lie ahead of our clock: 1 minute.
    pub clock_skew: Duration,
    /// Most CPU over allocated CPU: 2.
    pub cpu_ratio: Ratio,
    /// Most memory over allocated memory: 1.5.
    pub memory_ratio: Ratio,
    /// Most traffic over trailing normal traffic: 10.
    pub network_ratio: Ratio,
    /// A record with at most this many bytes of traffic is never an anomaly: 1 GiB. Without it, the first visitors of an idle
    /// service would be one.
    pub network_floor_bytes: u128,
    /// The score from which on a record is invalid: 50.
    pub invalid_score: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            duration_min: Duration::from_secs(60),
            duration_max: Duration::from_secs(25 * 3600),
            clock_skew: Duration::from_secs(60),
            cpu_ratio: Ratio::new(2, 1),
            memory_ratio: Ratio::new(3, 2),
            network_ratio: Ratio::new(10, 1),
            network_floor_bytes: u128::from(GIB),
            invalid_score: 50,
        }
    }
}

impl Limits {
    /// Checks a record.
    #[must_use]
    pub fn check(&self, facts: &UsageFacts) -> Verdict {
        let duration_millis = facts.end.as_millis().saturating_sub(facts.start.as_millis());
        let loads = Loads::of(facts, u64::try_from(duration_millis).unwrap_or(0));
        let details = Details {
            duration_millis,
            cpu_permille: loads.cpu.and_then(Load::permille),
            memory_permille: loads.memory.and_then(Load::permille),
            network_permille: loads.network.and_then(Load::permille),
        };
        let is_set = |flag: &Flag| self.is_set(*flag, facts, duration_millis, &loads);
        let flags: Vec<Flag> = Flag::ALL.into_iter().filter(is_set).collect();
        Verdict::of(flags, details, self.invalid_score)
    }

    fn is_set(&self, flag: Flag, facts: &UsageFacts, millis: i64, loads: &Loads) -> bool {
        let exceeds = |load: Option<Load>, ratio| load.is_some_and(|load| load.exceeds(ratio));
        let metrics = &facts.metrics;
        match flag {
            Flag::DurationTooShort => {
                !facts.is_final
                    && u128::try_from(millis).is_ok_and(|millis| millis < self.duration_min.as_millis())
            }
            Flag::DurationTooLong => {
                u128::try_from(millis).is_ok_and(|millis| millis > self.duration_max.as_millis())
            }
            Flag::FutureTimestamp => facts.end > facts.now.plus(self.clock_skew),
            Flag::ExcessiveCpuUsage => exceeds(loads.cpu, self.cpu_ratio),
            Flag::ExcessiveMemoryUsage => exceeds(loads.memory, self.memory_ratio),
            Flag::NegativeMetrics => metrics.all().iter().any(|metric| *metric < 0),
            Flag::ZeroDurationWithUsage => millis == 0 && metrics.all().iter().any(|metric| *metric > 0),
            Flag::NetworkAnomaly => {
                metrics.network() > self.network_floor_bytes && exceeds(loads.network, self.network_ratio)
            }
            Flag::EndBeforeStart => millis < 0,
        }
    }
}

/// `used × scale` over `expected`, not divided: both products may need 256 bits.
#[derive(Debug, Clone, Copy)]
struct Load {
    used: u128,
    scale: u64,
    expected: u128,
}

impl Load {
    /// `used × scale ÷ expected > ratio`, exactly.
    fn exceeds(self, ratio: Ratio) -> bool {
        // At most 64 + 64 bits each, so neither product of the two factors overflows.
        let scale = u128::from(self.scale).saturating_mul(u128::from(ratio.denominator.get()));
        widening_mul(self.used, scale) > widening_mul(self.expected, u128::from(ratio.numerator))
    }

    fn permille(self) -> Option<u64> {
        let scale = u128::from(self.scale).saturating_mul(1000);
        if self.expected == 0 {
            return None;
        }
        let permille = mul_div(self.used, scale, self.expected).map_or(u128::MAX, |(quotient, _)| quotient);
        Some(u64::try_from(permille).unwrap_or(u64::MAX))
    }
}

/// The three loads that have a limit. The time is in milliseconds, so 1000 in the numerator makes it seconds.
struct Loads {
    cpu: Option<Load>,
    memory: Option<Load>,
    network: Option<Load>,
}

impl Loads {
    fn of(facts: &UsageFacts, millis: u64) -> Self {
        let time = u128::from(millis);
        // Core-milliseconds over millicores × seconds; byte-seconds over bytes × seconds. u64 × u64 fits.
        let allocated = |used: i128, allocated: u64| Load {
            used: positive(used),
            scale: 1000,
            expected: u128::from(allocated).saturating_mul(time),
        };
        let metrics = &facts.metrics;
        let resources = facts.allocated.filter(|_| millis > 0);
        let network = facts
            .trailing_network
            .filter(|normal| millis > 0 && !normal.over.is_zero());
        Self {
            cpu: resources.map(|r| allocated(metrics.cpu_milli_seconds, r.cpu_millis)),
            memory: resources.map(|r| allocated(metrics.memory_byte_seconds, r.memory_bytes)),
            network: network.map(|normal| Load {
                // bytes ÷ time over normal bytes ÷ normal time.
                used: metrics.network(),
                scale: u64::try_from(normal.over.as_millis()).unwrap_or(u64::MAX),
                expected: normal.bytes.saturating_mul(time),
            }),
        }
    }
}

fn positive(metric: i128) -> u128 {
    u128::try_from(metric).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    const CORE: Resources = Resources {
        cpu_millis: 1000,
        memory_bytes: 1 << 30,
        storage_bytes: 0,
        gpus: 1,
    };

    /// One core and one GiB for one hour, fully used.
    fn honest() -> UsageFacts {
        UsageFacts {
            start: Timestamp::from_seconds(7200),
            end: Timestamp::from_seconds(10_800),
            is_final: false,
            metrics: UsageMetrics {
                cpu_milli_seconds: 3_600_000,
                memory_byte_seconds: (1 << 30) * 3600,
                storage_byte_seconds: 5,
                network_bytes_in: 6,
                network_bytes_out: 7,
                gpu_seconds: 3600,
            },
            allocated: Some(CORE),
            trailing_network: None,
            now: Timestamp::from_seconds(10_800),
        }
    }

    fn check(change: impl FnOnce(&mut UsageFacts)) -> (Vec<Flag>, u32, bool) {
        let mut facts = honest();
        change(&mut facts);
        let verdict = Limits::default().check(&facts);
        (verdict.flags, verdict.score, verdict.valid)
    }

    #[test]
    fn honest_usage_of_a_whole_core_is_not_flagged() {
        let verdict = Limits::default().check(&honest());
        assert_eq!((verdict.valid, verdict.score, verdict.flags.len()), (true, 0, 0));
        assert_eq!(
            (verdict.details.cpu_permille, verdict.details.memory_permille),
            (Some(1000), Some(1000))
        );
        assert_eq!(verdict.details.duration_millis, 3_600_000);
    }

    #[test]
    fn a_value_on_the_threshold_is_allowed_and_the_next_one_is_not() {
        let cpu = |n| check(move |f| f.metrics.cpu_milli_seconds = n).0;
        assert_eq!(
            (cpu(7_200_000), cpu(7_200_001)),
            (vec![], vec![Flag::ExcessiveCpuUsage])
        );
        let memory = |n| check(move |f| f.metrics.memory_byte_seconds = n).0;
        let limit = (1_i128 << 30) * 5400;
        assert_eq!(
            (memory(limit), memory(limit + 1)),
            (vec![], vec![Flag::ExcessiveMemoryUsage])
        );
        let lasts = |ms: i64| {
            check(move |f| {
                f.start = Timestamp::from_millis(f.end.as_millis() - ms);
                f.metrics = UsageMetrics::default();
            })
            .0
        };
        assert_eq!(
            (lasts(60_000), lasts(59_999)),
            (vec![], vec![Flag::DurationTooShort])
        );
        assert_eq!(
            (lasts(90_000_000), lasts(90_000_001)),
            (vec![], vec![Flag::DurationTooLong])
        );
        let ahead = |ms: i64| check(move |f| f.now = Timestamp::from_millis(f.end.as_millis() - ms)).0;
        assert_eq!(
            (ahead(60_000), ahead(60_001)),
            (vec![], vec![Flag::FutureTimestamp])
        );
    }

    #[test]
    fn too_much_cpu_alone_is_valid_and_with_memory_it_is_not() {
        assert_eq!(
            check(|f| f.metrics.cpu_milli_seconds *= 3),
            (vec![Flag::ExcessiveCpuUsage], 40, true)
        );
        let both = vec![Flag::ExcessiveCpuUsage, Flag::ExcessiveMemoryUsage];
        let change = |f: &mut UsageFacts| {
            f.metrics.cpu_milli_seconds *= 3;
            f.metrics.memory_byte_seconds *= 2;
        };
        assert_eq!(check(change), (both, 80, false));
    }

    #[test]
    fn no_duration_with_usage_scores_both_flags_up_to_the_cap() {
        let flags = vec![Flag::DurationTooShort, Flag::ZeroDurationWithUsage];
        assert_eq!(check(|f| f.start = f.end), (flags, 100, false));
    }

    #[test]
    fn a_short_final_record_is_legal() {
        let change = |f: &mut UsageFacts| {
            f.start = Timestamp::from_millis(f.end.as_millis() - 1500);
            f.is_final = true;
            f.metrics = UsageMetrics {
                cpu_milli_seconds: 1500,
                ..UsageMetrics::default()
            };
        };
        assert_eq!(check(change), (vec![], 0, true));
    }

    #[test]
    fn a_record_that_ends_before_it_starts_is_invalid() {
        let change = |f: &mut UsageFacts| f.start = Timestamp::from_seconds(10_801);
        assert_eq!(check(change), (vec![Flag::EndBeforeStart], 100, false));
    }

    #[test]
    fn each_negative_metric_is_invalid() {
        let set: [fn(&mut UsageMetrics); 6] = [
            |m| m.cpu_milli_seconds = -1,
            |m| m.memory_byte_seconds = -1,
            |m| m.storage_byte_seconds = -1,
            |m| m.network_bytes_in = -1,
            |m| m.network_bytes_out = i128::MIN,
            |m| m.gpu_seconds = -1,
        ];
        for change in set {
            assert_eq!(
                check(|f| change(&mut f.metrics)),
                (vec![Flag::NegativeMetrics], 100, false)
            );
        }
    }

    #[test]
    fn traffic_is_compared_with_what_is_normal() {
        let normal = NetworkNormal {
            bytes: 1 << 30,
            over: Duration::from_secs(3600),
        };
        let traffic = |bytes: i128| {
            check(move |f| {
                f.trailing_network = Some(normal);
                f.metrics.network_bytes_in = bytes;
                f.metrics.network_bytes_out = 0;
            })
        };
        assert_eq!(traffic(10 << 30).0, vec![]);
        assert_eq!(traffic((10 << 30) + 1), (vec![Flag::NetworkAnomaly], 40, true));
        let silent = NetworkNormal { bytes: 0, ..normal };
        let first_visitors = |f: &mut UsageFacts| {
            f.trailing_network = Some(silent);
            f.metrics.network_bytes_out = 500_000_000;
        };
        assert_eq!(check(first_visitors).0, vec![]);
    }

    #[test]
    fn usage_of_what_is_not_allocated_is_excessive() {
        assert_eq!(check(|f| f.allocated = Some(Resources::ZERO)).1, 80);
        assert_eq!(check(|f| f.allocated = None).1, 0);
    }

    #[test]
    fn names_are_those_of_the_specification() {
        for flag in Flag::ALL {
            assert_eq!(serde_json::to_value(flag).unwrap(), flag.name());
        }
    }

    proptest! {
        #[test]
        fn nothing_overflows_and_the_cpu_rule_is_exact(
            start: i64, end: i64, now: i64, cpu: i128, memory: i128, network: i128, cores: u64, bytes: u64,
            normal: u128, over: u64,
        ) {
            let facts = UsageFacts {
                start: Timestamp::from_millis(start),
                end: Timestamp::from_millis(end),
                is_final: false,
                metrics: UsageMetrics {
                    cpu_milli_seconds: cpu, memory_byte_seconds: memory, network_bytes_in: network,
                    network_bytes_out: network, ..UsageMetrics::default()
                },
                allocated: Some(Resources { cpu_millis: cores, memory_bytes: bytes, ..Resources::ZERO }),
                trailing_network: Some(NetworkNormal { bytes: normal, over: Duration::from_millis(over) }),
                now: Timestamp::from_millis(now),
            };
            let verdict = Limits::default().check(&facts);
            prop_assert_eq!(verdict.valid, verdict.score < 50);
            // The same rule by division: quotient and remainder of 256 bits by 128.
            if let Ok(millis) = u64::try_from(end.saturating_sub(start)) && millis > 0 && cores > 0 {
                let expected = u128::from(cores) * u128::from(millis);
                let excessive = match mul_div(positive(cpu), 1000, expected) {
                    None => true,
                    Some((quotient, exact)) => quotient > 2 || (quotient == 2 && !exact),
                };
                prop_assert_eq!(verdict.flags.contains(&Flag::ExcessiveCpuUsage), excessive);
            }
        }
    }
}
