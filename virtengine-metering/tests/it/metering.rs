//! Windows, resets, outages, ends.

use virtengine_metering::alerts::{AlertChange, AlertKind};
use virtengine_metering::meter::{Command, Event, Meter, Rejected, Start};
use virtengine_metering::metrics::Metrics;
use virtengine_metering::record::RecordKind;
use virtengine_provider_core::fraud::Flag;
use virtengine_provider_core::ports::adapter::Counters;

use crate::support::{ALLOCATED, NOON, Run, key, policy, pricing, s, sign, start, steady, subject};

fn started(seconds: u64, at: i64) -> Run {
    let mut run = Run::new(policy(seconds));
    run.tell(&start(at), at).unwrap();
    run
}

#[test]
fn windows_follow_the_clock_without_gap_or_overlap() {
    let mut run = started(3600, NOON + 1000);
    for step in 1..=40 {
        run.sample(steady(NOON + 1000, NOON + 1000 + step * 300)).unwrap();
    }
    run.close(NOON + 13_000);
    assert_eq!(
        run.spans(NOON),
        [(1000, 3600), (3600, 7200), (7200, 10_800), (10_800, 13_000)]
    );
    let kinds: Vec<_> = run.drafts().iter().map(|d| d.record.kind).collect();
    assert_eq!(
        kinds,
        [
            RecordKind::Periodic,
            RecordKind::Periodic,
            RecordKind::Periodic,
            RecordKind::Final
        ]
    );
    // A steady workload has exactly its share in every window.
    for draft in run.drafts() {
        let seconds = u128::from(draft.record.duration_millis()) / 1000;
        assert_eq!(draft.record.metrics.cpu_milli_seconds, seconds * 1000);
        assert_eq!(draft.record.metrics.memory_byte_seconds, seconds << 30);
        assert!(draft.record.is_fully_measured(), "{:?}", draft.record);
        assert!(draft.verdict.flags.is_empty());
        assert_eq!(draft.record.id, draft.record.expected_id());
    }
}

#[test]
fn a_first_window_of_under_a_minute_joins_the_next() {
    let mut run = started(60, NOON + 1);
    run.sample(steady(NOON + 1, NOON + 180)).unwrap();
    assert_eq!(run.spans(NOON).first(), Some(&(1, 120)));
}

#[test]
fn a_short_final_record_is_legal_and_marked() {
    let mut run = started(3600, NOON);
    run.sample(steady(NOON, NOON + 3)).unwrap();
    run.close(NOON + 3);
    let drafts = run.drafts();
    assert_eq!(run.spans(NOON), [(0, 3)]);
    assert_eq!(
        (drafts[0].record.kind, drafts[0].verdict.flags.len()),
        (RecordKind::Final, 0)
    );
}

#[test]
fn an_end_on_a_boundary_adds_no_empty_charge() {
    let mut run = started(3600, NOON);
    run.sample(steady(NOON, NOON + 3600)).unwrap();
    run.close(NOON + 3600);
    let drafts = run.drafts();
    assert_eq!(run.spans(NOON), [(0, 3600), (3600, 3600)]);
    assert_eq!(
        (drafts[1].record.metrics, drafts[1].charges.len()),
        (Metrics::ZERO, 0)
    );
    assert!(drafts[1].verdict.valid);
}

#[test]
fn a_restarted_counter_adds_up() {
    let mut run = started(3600, NOON);
    run.sample(steady(NOON, NOON + 600)).unwrap();
    // Counts anew from 650 on; the 50 seconds before are not known.
    run.sample(
        Counters {
            epoch: 2,
            ..steady(NOON + 650, NOON + 900)
        }
        .at(NOON + 900),
    )
    .unwrap();
    run.sample(
        Counters {
            epoch: 2,
            ..steady(NOON + 650, NOON + 3600)
        }
        .at(NOON + 3600),
    )
    .unwrap();
    let draft = run.drafts().remove(0);
    assert_eq!(draft.record.metrics.cpu_milli_seconds, (600 + 2950) * 1000);
    assert_eq!(
        (draft.record.coverage.resets, draft.record.coverage.samples),
        (1, 3)
    );
    assert!(!draft.record.is_fully_measured());
}

trait At {
    fn at(self, seconds: i64) -> Self;
}
impl At for Counters {
    fn at(self, seconds: i64) -> Self {
        Self {
            at: s(seconds),
            ..self
        }
    }
}

#[test]
fn usage_total_decreases() {
    let mut run = started(3600, NOON);
    run.sample(steady(NOON, NOON + 600)).unwrap();
    let before = run.meter.clone();
    let lower = Counters {
        cpu_milli_seconds: 599_999,
        ..steady(NOON, NOON + 700)
    };
    let refused = run.sample(lower).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "cpu_milli_seconds fell from 600000 to 599999 without a new epoch"
    );
    assert_eq!(run.meter, before);
    run.sample(steady(NOON, NOON + 800)).unwrap();
    assert_eq!(run.meter.total().cpu_milli_seconds, 800_000);
}

#[test]
fn repeated_and_late_readings_change_nothing() {
    let mut run = started(3600, NOON);
    run.sample(steady(NOON, NOON + 600)).unwrap();
    let before = run.meter.clone();
    assert_eq!(run.sample(steady(NOON, NOON + 600)), Ok(vec![]));
    assert!(matches!(
        run.sample(steady(NOON, NOON + 300)),
        Err(Rejected::OutOfOrder { .. })
    ));
    let other_epoch = Counters {
        epoch: 9,
        ..steady(NOON, NOON + 600)
    };
    assert!(matches!(
        run.sample(other_epoch),
        Err(Rejected::OutOfOrder { .. })
    ));
    assert_eq!(run.meter, before);
}

#[test]
fn an_outage_is_caught_up_in_legal_windows() {
    let mut run = started(60, NOON);
    run.sample(steady(NOON, NOON + 90)).unwrap();
    let back = NOON + 3 * 86_400 + 30;
    run.sample(steady(NOON, back)).unwrap();
    let spans = run.spans(NOON);
    assert_eq!(
        spans,
        [
            (0, 60),
            (60, 120),
            (120, 86_520),
            (86_520, 172_920),
            (172_920, 259_200)
        ]
    );
    assert_eq!(
        run.meter.total().cpu_milli_seconds,
        u128::try_from(back - NOON).unwrap() * 1000
    );
    for draft in run.drafts() {
        assert!(draft.verdict.flags.is_empty(), "{:?}", draft.verdict);
    }
    let unsampled: Vec<_> = run.drafts().iter().map(|d| d.record.coverage.samples).collect();
    assert_eq!(unsampled, [0, 1, 0, 0, 0]);
}

#[test]
fn a_window_waits_for_its_reading() {
    let mut run = started(3600, NOON);
    run.sample(steady(NOON, NOON + 3500)).unwrap();
    let silent = run.tell(&Command::Tick, NOON + 20_000).unwrap();
    assert_eq!(
        silent,
        [Event::Silent {
            since: s(NOON + 3500)
        }]
    );
    assert_eq!(run.tell(&Command::Tick, NOON + 20_100).unwrap(), []);
    assert!(run.drafts().is_empty());
    run.sample(steady(NOON, NOON + 21_000)).unwrap();
    assert_eq!(run.spans(NOON), [(0, 3600), (3600, 18_000)]);
    assert_eq!(run.tell(&Command::Tick, NOON + 21_100).unwrap(), []);
}

#[test]
fn what_was_never_read_is_stated_not_guessed() {
    let mut run = started(3600, NOON);
    run.sample(steady(NOON, NOON + 1800)).unwrap();
    run.close(NOON + 9000);
    assert_eq!(run.spans(NOON), [(0, 3600), (3600, 7200), (7200, 9000)]);
    let drafts = run.drafts();
    let known: Vec<_> = drafts
        .iter()
        .map(|d| {
            (
                d.record.coverage.measured_millis,
                d.record.metrics.cpu_milli_seconds,
            )
        })
        .collect();
    assert_eq!(known, [(1_800_000, 1_800_000), (0, 0), (0, 0)]);
    assert!(drafts.iter().all(|d| !d.record.is_fully_measured()));
}

#[test]
fn a_workload_from_before_counts_from_its_baseline() {
    let mut run = Run::new(policy(3600));
    let command = Command::Start(Box::new(Start {
        subject: subject(),
        allocated: ALLOCATED,
        pricing: pricing(),
        at: s(NOON),
        baseline: Some(steady(NOON - 5000, NOON)),
    }));
    run.tell(&command, NOON).unwrap();
    run.sample(steady(NOON - 5000, NOON + 3600)).unwrap();
    assert_eq!(run.sum().cpu_milli_seconds, 3_600_000);
}

#[test]
fn windows_from_before_the_baseline_are_not_measured() {
    let mut run = Run::new(policy(3600));
    let command = Command::Start(Box::new(Start {
        subject: subject(),
        allocated: ALLOCATED,
        pricing: pricing(),
        at: s(NOON),
        baseline: Some(steady(NOON, NOON + 7200)),
    }));
    run.tell(&command, NOON + 7200).unwrap();
    // More usage at the very moment of the baseline: it belongs to the window that is open then.
    let more = Counters {
        cpu_milli_seconds: 7_200_007,
        ..steady(NOON, NOON + 7200)
    };
    run.sample(more).unwrap();
    run.sample(steady(NOON, NOON + 10_800)).unwrap();
    assert_eq!(run.spans(NOON), [(0, 3600), (3600, 7200), (7200, 10_800)]);
    let cpu: Vec<_> = run
        .drafts()
        .iter()
        .map(|d| d.record.metrics.cpu_milli_seconds)
        .collect();
    assert_eq!(cpu, [0, 0, 3_600_000]);
    let measured: Vec<_> = run
        .drafts()
        .iter()
        .map(|d| d.record.is_fully_measured())
        .collect();
    assert_eq!(measured, [false, false, true]);
}

#[test]
fn times_from_the_future_are_refused() {
    let mut run = Run::new(policy(3600));
    assert!(matches!(
        run.tell(&start(NOON + 61), NOON),
        Err(Rejected::Future { .. })
    ));
    run.tell(&start(NOON), NOON).unwrap();
    let ahead = Command::Sample(steady(NOON, NOON + 500));
    assert!(matches!(
        run.tell(&ahead, NOON + 100),
        Err(Rejected::Future { .. })
    ));
    assert!(matches!(
        run.tell(&Command::Close { at: s(NOON + 500) }, NOON),
        Err(Rejected::Future { .. })
    ));
}

#[test]
fn broken_counters_are_refused() {
    let mut run = started(3600, NOON);
    let broken = Counters {
        memory_byte_seconds: u128::MAX,
        ..steady(NOON, NOON + 60)
    };
    assert_eq!(run.sample(broken), Err(Rejected::Implausible));
    run.sample(steady(NOON, NOON + 60)).unwrap();
}

#[test]
fn a_flagged_record_is_kept_with_its_verdict() {
    let mut run = started(3600, NOON);
    let hungry = Counters {
        cpu_milli_seconds: 50_000_000,
        memory_byte_seconds: 1 << 60,
        ..steady(NOON, NOON + 3600)
    };
    run.sample(hungry).unwrap();
    let draft = run.drafts().remove(0);
    assert_eq!(
        draft.verdict.flags,
        [Flag::ExcessiveCpuUsage, Flag::ExcessiveMemoryUsage]
    );
    assert!(!draft.verdict.valid);
    assert_eq!(run.meter.unsigned().count(), 1);
}

#[test]
fn unusual_traffic_is_flagged_against_the_hours_before() {
    let mut run = started(3600, NOON);
    for hour in 1..=4_u64 {
        let at = NOON + i64::try_from(hour).unwrap() * 3600;
        run.sample(Counters {
            network_bytes_out: hour << 28,
            ..steady(NOON, at)
        })
        .unwrap();
    }
    run.sample(Counters {
        network_bytes_out: 60 << 30,
        ..steady(NOON, NOON + 5 * 3600)
    })
    .unwrap();
    let flags: Vec<_> = run.drafts().iter().map(|d| d.verdict.flags.clone()).collect();
    assert_eq!(
        flags,
        [vec![], vec![], vec![], vec![], vec![Flag::NetworkAnomaly]]
    );
}

#[test]
fn a_high_load_rings_once() {
    let mut run = started(3600, NOON);
    let mut changes = Vec::new();
    for minute in 1..=10_u64 {
        let at = NOON + i64::try_from(minute).unwrap() * 60;
        // 4 cores are allocated: 95 % from the third minute to the seventh.
        let busy = minute.clamp(2, 7) - 2;
        let counters = Counters {
            cpu_milli_seconds: busy * 228_000,
            ..steady(NOON, at)
        };
        changes.extend(
            run.sample(counters)
                .unwrap()
                .into_iter()
                .filter_map(|event| match event {
                    Event::Alert(change) => Some((minute, change)),
                    _ => None,
                }),
        );
    }
    let [
        (3, AlertChange::Raised(raised)),
        (8, AlertChange::Cleared(cleared)),
    ] = changes.as_slice()
    else {
        panic!("{changes:?}");
    };
    assert_eq!(
        (raised.kind, raised.percent, cleared.percent),
        (AlertKind::HighCpu, 95, 0)
    );
}

#[test]
fn signatures_are_checked_before_they_count() {
    let mut run = started(3600, NOON);
    run.sample(steady(NOON, NOON + 3600)).unwrap();
    let draft = run.drafts().remove(0);
    let Command::Sign {
        sequence,
        key: public,
        mut signatures,
    } = sign(&draft, &key(1))
    else {
        panic!()
    };
    assert_eq!(signatures.len(), 6, "one record and five charges");
    signatures[3][0] ^= 1;
    let forged = Command::Sign {
        sequence,
        key: public,
        signatures,
    };
    assert!(matches!(run.tell(&forged, NOON), Err(Rejected::Signature(_))));
    assert_eq!(run.meter.unsigned().count(), 1);
    run.tell(&sign(&draft, &key(1)), NOON).unwrap();
    assert_eq!(run.meter.unsigned().count(), 0);
    assert_eq!(
        run.tell(&sign(&draft, &key(1)), NOON).unwrap(),
        [],
        "signing again is nothing new"
    );
    let unknown = Command::Sign {
        sequence: 99,
        key: crate::support::public(&key(1)),
        signatures: vec![],
    };
    assert_eq!(run.tell(&unknown, NOON), Err(Rejected::NoDraft(99)));
}

#[test]
fn final_settlement_swallowed() {
    let mut run = started(3600, NOON);
    run.sample(steady(NOON, NOON + 100)).unwrap();
    run.close(NOON + 100);
    assert!(run.meter.is_closed() && !run.meter.is_finished());
    // A restart: the state from the journal still has the final record.
    let mut again = Meter::new();
    for event in &run.events {
        again.evolve(event);
    }
    assert_eq!(again, run.meter);
    assert_eq!(again.unsigned().count(), 1);
    run.sign_all(&key(1));
    assert!(run.meter.is_finished());
    assert_eq!(
        run.tell(&Command::Close { at: s(NOON + 100) }, NOON + 100)
            .unwrap(),
        []
    );
    assert_eq!(run.sample(steady(NOON, NOON + 200)), Err(Rejected::Closed));
}

#[test]
fn a_changed_interval_counts_from_the_next_window_on() {
    let mut run = started(3600, NOON);
    run.sample(steady(NOON, NOON + 1000)).unwrap();
    run.policy = policy(900);
    run.sample(steady(NOON, NOON + 4600)).unwrap();
    assert_eq!(run.spans(NOON), [(0, 3600), (3600, 4500)]);
}

#[test]
fn a_local_workload_is_metered_and_never_billed() {
    let mut run = Run::new(policy(3600));
    let mut local = subject();
    local.lease = None;
    let command = Command::Start(Box::new(Start {
        subject: local,
        allocated: ALLOCATED,
        pricing: pricing(),
        at: s(NOON),
        baseline: None,
    }));
    run.tell(&command, NOON).unwrap();
    run.sample(steady(NOON, NOON + 3600)).unwrap();
    let draft = run.drafts().remove(0);
    assert_eq!((draft.charges.len(), draft.signing_messages().len()), (0, 1));
    assert_eq!(draft.record.metrics.cpu_milli_seconds, 3_600_000);
}
