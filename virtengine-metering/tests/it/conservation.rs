//! Whatever arrives, in whatever order, and wherever the process ends: no gap, no overlap, no duplicate, nothing lost.

use std::time::Duration;

use proptest::prelude::*;
use virtengine_metering::meter::{Command, Event, Meter, Policy};
use virtengine_metering::metrics::Metrics;
use virtengine_metering::record::{Digest, RecordKind};
use virtengine_metering::window::{WINDOW_MAX, WINDOW_MIN, Windows};
use virtengine_provider_core::ports::adapter::Counters;

use crate::support::{NOON, Run, s, start};

/// What the back end does next.
#[derive(Debug, Clone)]
enum Step {
    /// Time passes and usage rises; the counters are read, or not.
    Use {
        millis: i64,
        usage: [u64; 6],
        read: bool,
    },
    /// The back end starts counting anew.
    Reset,
    /// A reading arrives again.
    Repeat,
    /// An old reading arrives late.
    Late,
    /// Nobody answers.
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    let millis = prop_oneof![4 => 0..400_000_i64, 1 => 0..200_000_000_i64, 1 => Just(0)];
    let usage = prop::array::uniform6(prop_oneof![3 => 0..10_000_u64, 1 => 0..1_000_000_000_000_u64]);
    prop_oneof![
        10 => (millis, usage, prop::bool::weighted(0.7)).prop_map(|(millis, usage, read)| Step::Use { millis, usage, read }),
        1 => Just(Step::Reset),
        1 => Just(Step::Repeat),
        1 => Just(Step::Late),
        1 => Just(Step::Tick),
    ]
}

/// The back end: cumulative counters, and what a meter can know of them.
struct BackEnd {
    now: i64,
    counters: Counters,
    read: Counters,
    before: Counters,
    /// Usage that readings have shown.
    known: Metrics,
}

fn metrics(counters: &Counters) -> Metrics {
    virtengine_metering::metrics::Reading::from(counters).counted
}

impl BackEnd {
    fn new() -> Self {
        let counters = Counters {
            at: s(NOON),
            epoch: 1,
            ..Counters::default()
        };
        let read = counters;
        Self {
            now: NOON * 1000,
            counters,
            read,
            before: read,
            known: Metrics::ZERO,
        }
    }

    fn step(&mut self, step: &Step) -> Command {
        match step {
            Step::Use { millis, usage, read } => {
                self.now += millis;
                let c = &mut self.counters;
                c.at = virtengine_provider_core::time::Timestamp::from_millis(self.now);
                c.cpu_milli_seconds += usage[0];
                c.memory_byte_seconds += u128::from(usage[1]) << 20;
                c.storage_byte_seconds += u128::from(usage[2]) << 20;
                c.network_bytes_in += usage[3];
                c.network_bytes_out += usage[4];
                c.gpu_seconds += usage[5];
                if *read {
                    return self.reading();
                }
                Command::Tick
            }
            Step::Reset => {
                let epoch = self.counters.epoch + 1;
                self.now += 1;
                self.counters = Counters {
                    at: self.counters.at,
                    epoch,
                    ..Counters::default()
                };
                Command::Tick
            }
            Step::Repeat => Command::Sample(self.read),
            Step::Late => Command::Sample(self.before),
            Step::Tick => Command::Tick,
        }
    }

    fn reading(&mut self) -> Command {
        let same_epoch = self.read.epoch == self.counters.epoch;
        if !same_epoch && self.counters.at == self.read.at {
            // Two epochs at one moment are refused: read a millisecond later.
            self.now += 1;
            self.counters.at = virtengine_provider_core::time::Timestamp::from_millis(self.now);
        }
        let base = if same_epoch {
            metrics(&self.read)
        } else {
            Metrics::ZERO
        };
        let delta = metrics(&self.counters).checked_sub(&base).unwrap();
        self.known = self.known.checked_add(&delta).unwrap();
        if self.counters.at > self.read.at {
            self.before = self.read;
        }
        self.read = self.counters;
        Command::Sample(self.counters)
    }
}

fn tell(run: &mut Run, command: &Command, now: i64) {
    // Late and repeated readings are refused or ignored: both change nothing.
    let _ = run.tell(command, now);
}

fn check_records(run: &Run, windows: &Windows) {
    let drafts = run.drafts();
    let (mut end, mut previous) = (s(NOON), Digest::NONE);
    for (index, draft) in drafts.iter().enumerate() {
        let record = &draft.record;
        assert_eq!(record.sequence, u64::try_from(index).unwrap() + 1);
        assert_eq!(record.previous, previous);
        assert_eq!(
            record.start, end,
            "gap or overlap before record {}",
            record.sequence
        );
        let length = record.end.since(record.start);
        if record.kind == RecordKind::Periodic {
            assert!(length >= WINDOW_MIN.min(windows.interval()) && length <= WINDOW_MAX + WINDOW_MIN);
            assert_eq!(record.end, record.end.floor_to(windows.interval()));
        }
        assert!(record.coverage.measured_millis <= record.duration_millis());
        end = record.end;
        previous = record.digest();
    }
    let finals = drafts
        .iter()
        .filter(|d| d.record.kind == RecordKind::Final)
        .count();
    assert_eq!(finals, 1);
    assert_eq!(drafts.last().unwrap().record.kind, RecordKind::Final);
}

/// State after a crash at `cut`, from JSON as the journal keeps it.
fn replay(events: &[Event], cut: usize) -> Meter {
    let mut meter = Meter::new();
    for event in &events[..cut] {
        let text = serde_json::to_string(event).unwrap();
        let event: Event = serde_json::from_str(&text).unwrap();
        meter.evolve(&event);
        // Being replayed twice is nothing new.
        let once = meter.clone();
        meter.evolve(&event);
        assert_eq!(meter, once, "{event:?}");
    }
    meter
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn records_are_complete_and_exact(
        steps in prop::collection::vec(step(), 0..60),
        interval in prop_oneof![Just(60_u64), Just(3600), Just(86_400), 1..90_000_u64],
        crash in any::<prop::sample::Index>(),
        read_at_the_end in any::<bool>(),
        baseline_after in prop::option::of(prop_oneof![0..20_000_000_i64, (0..40_i64).prop_map(|n| n * 3_600_000)]),
    ) {
        let interval = Duration::from_secs(interval.min(86_400));
        let windows = Windows::accelerated(interval).unwrap();
        let mut run = Run::new(Policy::new(windows));
        let mut back_end = BackEnd::new();
        let Command::Start(mut first) = start(NOON) else { unreachable!() };
        if let Some(millis) = baseline_after {
            // The workload was there before: what it counted until the baseline is not ours.
            back_end.step(&Step::Use { millis, usage: [9; 6], read: true });
            back_end.known = Metrics::ZERO;
            first.baseline = Some(back_end.read);
        }
        run.tell(&Command::Start(first), back_end.now / 1000 + 1).unwrap();
        let crash_after = crash.index(steps.len() + 1);
        for (index, step) in steps.iter().enumerate() {
            if index == crash_after {
                run.meter = replay(&run.events, run.events.len());
            }
            let command = back_end.step(step);
            tell(&mut run, &command, back_end.now / 1000 + 1);
            prop_assert_eq!(run.meter.total(), back_end.known);
        }
        if read_at_the_end {
            let command = back_end.reading();
            tell(&mut run, &command, back_end.now / 1000 + 1);
        }
        run.close(back_end.now / 1000);
        check_records(&run, &windows);
        prop_assert_eq!(run.sum(), back_end.known);
        prop_assert_eq!(&replay(&run.events, run.events.len()), &run.meter);
        for cut in [0, run.events.len() / 3, run.events.len() / 2] {
            replay(&run.events, cut);
        }
    }
}
