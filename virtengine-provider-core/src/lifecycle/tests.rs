use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::ports::adapter::{Phase, Retry};
use crate::time::Timestamp;

use WorkloadState as S;

const PHASES: [Phase; 8] = [
    Phase::Starting,
    Phase::Running,
    Phase::Paused,
    Phase::Stopping,
    Phase::Stopped,
    Phase::Failed,
    Phase::Gone,
    Phase::Unknown,
];

/// A workload under a clock that the test turns.
struct Bench {
    workload: Workload,
    now: Timestamp,
    journal: Vec<Event>,
}

impl Bench {
    fn new() -> Self {
        Self {
            workload: Workload::new(Timestamp::EPOCH),
            now: Timestamp::EPOCH,
            journal: Vec::new(),
        }
    }

    fn tell(&mut self, command: &Command) -> Decision {
        let decision = self.workload.decide(command, &Deadlines::default(), self.now);
        for event in decision.events() {
            self.workload.evolve(event);
        }
        self.journal.extend(decision.events().iter().cloned());
        decision
    }

    fn ok(&mut self, command: &Command) -> &mut Self {
        let decision = self.tell(command);
        assert!(
            matches!(decision, Decision::Accepted(_)),
            "{command:?}: {decision:?}"
        );
        self
    }

    fn see(&mut self, phase: Phase) -> Decision {
        self.tell(&sight(phase, self.now))
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now.plus(Duration::from_secs(seconds));
        self
    }

    fn running() -> Self {
        let mut bench = Self::new();
        bench.ok(&Command::Deploy { live: true }).see(Phase::Running);
        assert_eq!(bench.workload.state(), S::Running);
        bench
    }

    /// A workload in `state` whose goal is that state (or to run).
    fn at(state: S) -> Self {
        let mut bench = Self::new();
        match state {
            S::Pending => {}
            S::Deploying => {
                bench.ok(&Command::Deploy { live: true });
            }
            S::Running => bench = Self::running(),
            S::Paused => {
                bench = Self::running();
                bench.ok(&Command::Pause).see(Phase::Paused);
            }
            S::Stopping => {
                bench = Self::running();
                bench.ok(&Command::Stop);
            }
            S::Stopped => {
                bench = Self::at(S::Stopping);
                bench.see(Phase::Stopped);
            }
            S::Failed => {
                bench.ok(&Command::GiveUp {
                    cause: Cause::NoManifest,
                });
            }
            S::Terminated => {
                bench = Self::at(S::Failed);
                bench.ok(&Command::Terminate).ok(&Command::Done {
                    wish: Wish::Terminate,
                });
                bench.see(Phase::Gone);
            }
        }
        assert_eq!(bench.workload.state(), state);
        bench
    }

    fn wish(&self) -> Option<Wish> {
        self.workload.errand().map(|errand| errand.wish)
    }
}

fn sight(phase: Phase, at: Timestamp) -> Command {
    Command::Observed(Sight {
        phase,
        message: "as seen".into(),
        at,
    })
}

fn every_command(now: Timestamp) -> Vec<Command> {
    let mut commands = vec![
        Command::Deploy { live: true },
        Command::Deploy { live: false },
        Command::Pause,
        Command::Resume,
        Command::Stop,
        Command::Terminate,
        Command::LeaseEnded,
        Command::GiveUp {
            cause: Cause::NoManifest,
        },
        Command::Tick,
    ];
    for wish in [
        Wish::Deploy,
        Wish::Pause,
        Wish::Resume,
        Wish::Stop,
        Wish::Terminate,
    ] {
        commands.push(Command::Done { wish });
        for retry in [Retry::Never, Retry::Later, Retry::Unknown] {
            let message = "no".into();
            commands.push(Command::AdapterFailed { wish, message, retry });
        }
    }
    commands.extend(PHASES.map(|phase| sight(phase, now)));
    commands
}

#[test]
fn the_table_is_that_of_the_training_document() {
    let edges: Vec<(S, S)> = S::ALL
        .into_iter()
        .flat_map(|from| {
            S::ALL
                .into_iter()
                .filter(move |to| from.may_become(*to))
                .map(move |to| (from, to))
        })
        .collect();
    let expected = [
        (S::Pending, S::Deploying),
        (S::Pending, S::Failed),
        (S::Deploying, S::Running),
        (S::Deploying, S::Stopped),
        (S::Deploying, S::Failed),
        (S::Running, S::Paused),
        (S::Running, S::Stopping),
        (S::Running, S::Failed),
        (S::Paused, S::Running),
        (S::Paused, S::Stopping),
        (S::Paused, S::Failed),
        (S::Stopping, S::Stopped),
        (S::Stopping, S::Failed),
        (S::Stopped, S::Deploying),
        (S::Stopped, S::Terminated),
        (S::Failed, S::Deploying),
        (S::Failed, S::Terminated),
    ];
    assert_eq!(edges, expected);
}

#[test]
fn states_survive_their_text_form() {
    for state in S::ALL {
        assert_eq!(alloc::format!("{state}").parse(), Ok(state));
        assert_eq!(
            serde_json::to_string(&state).unwrap(),
            alloc::format!("\"{state}\"")
        );
    }
    assert!("Running".parse::<S>().is_err());
}

/// From every workload that can be reached in three commands, every command: only edges of the table, and running, paused,
/// stopped and terminated only by observation.
#[test]
fn every_command_in_every_state_follows_the_table() {
    let mut seen: Vec<Workload> = vec![Workload::new(Timestamp::EPOCH)];
    let mut front = seen.clone();
    let mut edges = alloc::collections::BTreeSet::new();
    for depth in 0..7_u64 {
        let now = Timestamp::EPOCH.plus(Duration::from_secs(depth * 301));
        let mut next = Vec::new();
        for workload in &front {
            for command in every_command(now) {
                let decision = workload.decide(&command, &Deadlines::default(), now);
                let mut after = workload.clone();
                for event in decision.events() {
                    if let Event::WorkloadMoved { from, to, .. } = event {
                        assert!(from.may_become(*to), "{from} to {to} by {command:?}");
                        let observed = matches!(command, Command::Observed(_));
                        let needs_sight = matches!(to, S::Running | S::Paused | S::Stopped | S::Terminated);
                        assert!(observed || !needs_sight, "{from} to {to} by {command:?}");
                        edges.insert((*from, *to));
                    }
                    after.evolve(event);
                }
                if !seen.contains(&after) && !next.contains(&after) {
                    next.push(after);
                }
            }
        }
        seen.extend(next.iter().cloned());
        front = next;
        if front.len() > 3000 {
            break;
        }
    }
    // Every edge of the table can be walked.
    assert_eq!(edges.len(), 17, "{edges:?}");
}

#[test]
fn commands_are_accepted_ignored_or_denied_by_state() {
    let check = |state: S, command: &Command, expected: char| {
        let answer = match Bench::at(state).tell(command) {
            Decision::Accepted(_) => 'a',
            Decision::Ignored => 'i',
            Decision::Denied(_) => 'd',
        };
        assert_eq!(answer, expected, "{state} {command:?}");
    };
    // pending, deploying, running, paused, stopping, stopped, failed, terminated
    for (command, expected) in [
        (Command::Deploy { live: true }, "aiiddaad"),
        (Command::Deploy { live: false }, "diiddddd"),
        (Command::Pause, "ddaidddd"),
        (Command::Resume, "ddiadddd"),
        (Command::Stop, "daaaiidd"),
        (Command::Terminate, "aaaaaaai"),
        (Command::LeaseEnded, "aaaaaaai"),
        (Command::Tick, "iiiiiiii"),
    ] {
        for (state, expected) in S::ALL.into_iter().zip(expected.chars()) {
            check(state, &command, expected);
        }
    }
}

#[test]
fn an_unknown_observation_changes_nothing_in_any_state() {
    for state in S::ALL {
        let mut bench = Bench::at(state);
        bench.wait(10_000).tell(&Command::Tick);
        assert_eq!(bench.see(Phase::Unknown), Decision::Ignored, "{state}");
    }
}

#[test]
fn an_observation_from_before_the_move_changes_nothing() {
    let mut bench = Bench::new();
    bench.wait(10).ok(&Command::Deploy { live: true });
    let old = sight(Phase::Running, Timestamp::EPOCH);
    assert_eq!(bench.tell(&old), Decision::Ignored);
}

#[test]
fn a_running_workload_fails_only_on_the_second_sign_over_the_grace_period() {
    for phase in [Phase::Failed, Phase::Gone, Phase::Stopped] {
        let mut bench = Bench::running();
        bench.see(phase);
        bench.wait(59).see(phase);
        assert_eq!(bench.workload.state(), S::Running);
        bench.wait(1).see(phase);
        assert_eq!(bench.workload.state(), S::Failed);
        assert!(matches!(bench.workload.cause(), Some(Cause::Broken { .. })));
    }
}

#[test]
fn a_workload_that_recovers_is_not_suspected_any_more() {
    let mut bench = Bench::running();
    bench.see(Phase::Failed);
    bench.wait(30).see(Phase::Running);
    bench.wait(60).see(Phase::Failed);
    assert_eq!(bench.workload.state(), S::Running);
}

#[test]
fn terminate_of_a_running_workload_stops_it_first_and_believes_only_a_removal() {
    let mut bench = Bench::running();
    bench.ok(&Command::LeaseEnded);
    assert_eq!(
        (bench.workload.state(), bench.wish()),
        (S::Stopping, Some(Wish::Stop))
    );
    bench.wait(5).see(Phase::Stopped);
    assert_eq!(
        (bench.workload.state(), bench.wish()),
        (S::Stopped, Some(Wish::Terminate))
    );
    // Gone before the adapter has removed it may be a lagging back end.
    assert_eq!(bench.see(Phase::Gone), Decision::Ignored);
    bench.wait(5).ok(&Command::Done {
        wish: Wish::Terminate,
    });
    assert_eq!(bench.see(Phase::Stopping), Decision::Ignored);
    bench.see(Phase::Gone);
    assert_eq!((bench.workload.state(), bench.wish()), (S::Terminated, None));
}

#[test]
fn terminate_of_a_deploying_workload_waits_for_the_removal() {
    let mut bench = Bench::at(S::Deploying);
    bench.ok(&Command::Terminate);
    assert_eq!(
        (bench.workload.state(), bench.wish()),
        (S::Deploying, Some(Wish::Terminate))
    );
    // The deployment had not begun when this was asked.
    assert_eq!(bench.see(Phase::Gone), Decision::Ignored);
    bench.wait(3).ok(&Command::Done {
        wish: Wish::Terminate,
    });
    bench.see(Phase::Gone);
    assert_eq!(bench.workload.state(), S::Terminated);
    let states: Vec<S> = bench
        .journal
        .iter()
        .filter_map(|event| match event {
            Event::WorkloadMoved { to, .. } => Some(*to),
            _ => None,
        })
        .collect();
    assert_eq!(states, [S::Deploying, S::Stopped, S::Terminated]);
}

#[test]
fn terminate_of_a_pending_workload_goes_over_failed() {
    let mut bench = Bench::new();
    bench.ok(&Command::LeaseEnded);
    assert_eq!(
        (bench.workload.state(), bench.wish()),
        (S::Failed, Some(Wish::Terminate))
    );
    assert_eq!(bench.workload.cause(), Some(&Cause::LeaseEnded));
}

#[test]
fn a_workload_whose_lease_ended_is_never_brought_back() {
    for state in [S::Stopped, S::Failed, S::Stopping, S::Deploying] {
        let mut bench = Bench::at(state);
        bench.ok(&Command::LeaseEnded);
        assert_eq!(
            bench.tell(&Command::Deploy { live: true }),
            Decision::Denied(Denied::Ending)
        );
    }
    let mut bench = Bench::at(S::Stopped);
    assert_eq!(
        bench.tell(&Command::Deploy { live: false }),
        Decision::Denied(Denied::NotLive)
    );
}

#[test]
fn a_deployment_that_takes_too_long_fails_with_its_cause() {
    let mut bench = Bench::at(S::Deploying);
    assert_eq!(bench.workload.next_deadline(), Some(Timestamp::from_seconds(600)));
    bench.ok(&Command::AdapterFailed {
        wish: Wish::Deploy,
        message: "image not found yet".into(),
        retry: Retry::Later,
    });
    bench.wait(599).see(Phase::Starting);
    assert_eq!(bench.tell(&Command::Tick), Decision::Ignored);
    bench.wait(1).ok(&Command::Tick);
    assert_eq!(bench.workload.next_deadline(), None);
    // Nobody can see it: nothing happens, for however long.
    bench.wait(100_000).see(Phase::Unknown);
    assert_eq!(bench.workload.state(), S::Deploying);
    bench.see(Phase::Starting);
    assert_eq!(
        bench.workload.cause(),
        Some(&Cause::Overdue {
            wish: Wish::Deploy,
            trouble: Some("image not found yet".into())
        })
    );
}

#[test]
fn a_deployment_that_is_late_but_runs_is_running() {
    let mut bench = Bench::at(S::Deploying);
    bench.wait(601).ok(&Command::Tick).see(Phase::Running);
    assert_eq!(bench.workload.state(), S::Running);
}

#[test]
fn a_refused_deployment_fails_and_may_be_tried_again_while_the_lease_lives() {
    let mut bench = Bench::at(S::Deploying);
    bench.ok(&Command::AdapterFailed {
        wish: Wish::Deploy,
        message: "x".repeat(5000),
        retry: Retry::Never,
    });
    let Some(Cause::Refused { message, .. }) = bench.workload.cause() else {
        panic!()
    };
    assert_eq!(message.len(), 1024);
    bench.ok(&Command::Deploy { live: true });
    assert_eq!(
        (bench.workload.state(), bench.workload.attempt()),
        (S::Deploying, 2)
    );
}

#[test]
fn a_refused_pause_leaves_it_running() {
    let mut bench = Bench::running();
    bench.ok(&Command::Pause).ok(&Command::AdapterFailed {
        wish: Wish::Pause,
        message: "not supported".into(),
        retry: Retry::Never,
    });
    assert_eq!(
        (bench.workload.state(), bench.workload.goal(), bench.wish()),
        (S::Running, Goal::Run, None)
    );
}

#[test]
fn a_pause_taken_back_ends_running_whatever_arrives_first() {
    let mut bench = Bench::running();
    bench.ok(&Command::Pause).ok(&Command::Resume);
    assert_eq!(bench.wish(), Some(Wish::Resume));
    // The pause arrives at the back end before the resume.
    bench.wait(1).see(Phase::Paused);
    assert_eq!(
        (bench.workload.state(), bench.wish()),
        (S::Paused, Some(Wish::Resume))
    );
    bench.wait(1).see(Phase::Running);
    assert_eq!((bench.workload.state(), bench.wish()), (S::Running, None));
}

#[test]
fn a_workload_that_somebody_else_paused_is_resumed() {
    let mut bench = Bench::running();
    bench.see(Phase::Paused);
    assert_eq!(
        (bench.workload.state(), bench.wish()),
        (S::Paused, Some(Wish::Resume))
    );
}

#[test]
fn a_stopped_workload_that_somebody_else_started_is_stopped_again() {
    let mut bench = Bench::at(S::Stopped);
    bench.see(Phase::Running);
    assert_eq!(
        (bench.workload.state(), bench.wish()),
        (S::Stopped, Some(Wish::Stop))
    );
    bench
        .wait(1)
        .ok(&Command::Done { wish: Wish::Stop })
        .see(Phase::Stopped);
    assert_eq!(bench.wish(), None);
}

#[test]
fn a_stop_that_does_not_work_fails_and_the_removal_goes_on() {
    let mut bench = Bench::running();
    bench.ok(&Command::LeaseEnded);
    bench.wait(301).ok(&Command::Tick).see(Phase::Running);
    assert_eq!(
        (bench.workload.state(), bench.wish()),
        (S::Failed, Some(Wish::Terminate))
    );
}

#[test]
fn a_removal_is_never_given_up() {
    let mut bench = Bench::at(S::Failed);
    bench.ok(&Command::Terminate);
    for _ in 0..3 {
        bench.wait(1000).tell(&Command::Tick);
        bench.tell(&Command::AdapterFailed {
            wish: Wish::Terminate,
            message: "denied".into(),
            retry: Retry::Never,
        });
    }
    assert_eq!(bench.wish(), Some(Wish::Terminate));
    assert!(bench.workload.errand().unwrap().overdue);
}

#[test]
fn a_late_answer_to_an_older_wish_changes_nothing() {
    let mut bench = Bench::running();
    bench.ok(&Command::Stop);
    let late = Command::AdapterFailed {
        wish: Wish::Deploy,
        message: "late".into(),
        retry: Retry::Never,
    };
    assert_eq!(bench.tell(&late), Decision::Ignored);
    assert_eq!(
        bench.tell(&Command::Done { wish: Wish::Deploy }),
        Decision::Ignored
    );
}

proptest! {
    #[test]
    fn any_history_replays_to_the_same_workload(picks in proptest::collection::vec((0..64_usize, 0..400_u64), 0..80)) {
        let mut bench = Bench::new();
        for (pick, seconds) in picks {
            bench.wait(seconds);
            let commands = every_command(bench.now);
            let decision = bench.tell(&commands[pick % commands.len()]);
            // Asked again at once, an accepted request is not accepted again with a move.
            if let (Decision::Accepted(_), Command::Terminate | Command::LeaseEnded) = (&decision, &commands[pick % commands.len()]) {
                prop_assert_eq!(bench.tell(&Command::Terminate), Decision::Ignored);
            }
            if bench.workload.state() == S::Terminated {
                prop_assert_eq!(bench.wish(), None);
            }
            if bench.workload.goal() == Goal::Terminate && bench.workload.state() != S::Terminated {
                prop_assert!(bench.wish().is_some(), "nobody removes it: {:?}", bench.workload);
            }
        }
        let mut replayed = Workload::new(Timestamp::EPOCH);
        for event in &bench.journal {
            let text = serde_json::to_string(event).unwrap();
            replayed.evolve(&serde_json::from_str(&text).unwrap());
        }
        prop_assert_eq!(replayed, bench.workload);
    }
}

#[test]
fn each_failure_of_a_repeated_call_is_told_and_trouble_undoes_done() {
    let mut bench = Bench::at(S::Stopped);
    bench.ok(&Command::Terminate).ok(&Command::Done {
        wish: Wish::Terminate,
    });
    let trouble = Command::AdapterFailed {
        wish: Wish::Terminate,
        message: "it is still there".into(),
        retry: Retry::Never,
    };
    bench.ok(&trouble).ok(&trouble);
    assert_eq!(bench.workload.errand().unwrap().done, None);
    bench.wait(5).see(Phase::Gone);
    assert_eq!(bench.workload.state(), S::Stopped);
    bench
        .ok(&Command::Done {
            wish: Wish::Terminate,
        })
        .wait(5)
        .see(Phase::Gone);
    assert_eq!(bench.workload.state(), S::Terminated);
}
