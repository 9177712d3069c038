//! The durable journal and the one in memory give the same answers, whatever is committed and whenever it is reopened.

use proptest::prelude::*;
use virtengine_provider_core::ports::journal::{Commit, EventQuery, Journal, Position};
use virtengine_store::MemoryJournal;

use crate::support::{effect, event, open, run};

#[derive(Debug, Clone)]
enum Step {
    Commit {
        events: Vec<u64>,
        effects: Vec<(u8, u8)>,
        done: Vec<u8>,
        cursor: Option<u64>,
    },
    Snapshot {
        back: u64,
        state: Vec<u8>,
    },
    Reopen,
    Query {
        kinds: Vec<u64>,
        subject: Option<u64>,
        after: u64,
        limit: usize,
        newest: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let commit = (
        prop::collection::vec(0..9_u64, 0..4),
        prop::collection::vec((0..6_u8, any::<u8>()), 0..4),
        prop::collection::vec(0..6_u8, 0..3),
        prop::option::of(0..100_u64),
    );
    let query = (
        prop::collection::vec(0..3_u64, 0..3),
        prop::option::of(0..5_u64),
        0..30_u64,
        0..8_usize,
        any::<bool>(),
    );
    prop_oneof![
        6 => commit.prop_map(|(events, effects, done, cursor)| Step::Commit { events, effects, done, cursor }),
        1 => (0..5_u64, any::<[u8; 4]>()).prop_map(|(back, state)| Step::Snapshot { back, state: state.to_vec() }),
        1 => Just(Step::Reopen),
        3 => query.prop_map(|(kinds, subject, after, limit, newest)| Step::Query { kinds, subject, after, limit, newest }),
    ]
}

async fn check(steps: Vec<Step>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let (mut journal, model) = (open(&path), MemoryJournal::new());
    for step in steps {
        match step {
            Step::Commit {
                events,
                effects,
                done,
                cursor,
            } => {
                let commit = Commit {
                    events: events.into_iter().map(event).collect(),
                    effects: effects
                        .iter()
                        .map(|(id, p)| effect(&id.to_string(), &p.to_string()))
                        .collect(),
                    done: done.iter().map(u8::to_string).collect(),
                    cursor,
                };
                assert_eq!(journal.commit(commit.clone()).await, model.commit(commit).await);
            }
            Step::Snapshot { back, state } => {
                let head = u64::try_from(model.len()).unwrap();
                let position = Position(head.saturating_sub(back));
                assert_eq!(
                    journal.snapshot(position, state.clone()).await,
                    model.snapshot(position, state).await
                );
            }
            Step::Reopen => {
                journal.close().await;
                journal = open(&path);
            }
            Step::Query {
                kinds,
                subject,
                after,
                limit,
                newest,
            } => {
                let query = EventQuery {
                    kinds: kinds.iter().map(|n| format!("kind_{n}")).collect(),
                    subject: subject.map(|n| format!("subject/{n}")),
                    after: Position(after),
                    limit,
                    newest,
                };
                assert_eq!(journal.events(&query).await, model.events(&query).await);
            }
        }
        assert_eq!(journal.recover().await, model.recover().await);
    }
    let verified = journal.verify().await.unwrap();
    assert_eq!(verified.events, u64::try_from(model.len()).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn the_journal_behaves_like_its_model(steps in prop::collection::vec(step(), 1..24)) {
        run(check(steps));
    }
}

#[test]
fn commits_outside_the_limits_are_refused_alone() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let journal = open(&directory.path().join("journal.db"));
        let mut bad = event(1);
        bad.kind = "k".repeat(65);
        let refused = journal
            .commit(Commit {
                events: vec![bad],
                ..Commit::default()
            })
            .await;
        assert!(refused.unwrap_err().to_string().contains("the kind of an event"));
        let far = Commit {
            cursor: Some(u64::MAX),
            ..Commit::default()
        };
        assert!(journal.commit(far).await.is_err());
        assert!(journal.snapshot(Position(1), vec![]).await.is_err());
        let good = Commit {
            events: vec![event(1)],
            ..Commit::default()
        };
        assert_eq!(journal.commit(good).await, Ok(Position(1)));
    });
}

#[test]
fn an_effect_finished_and_made_again_goes_to_the_end() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let journal = open(&directory.path().join("journal.db"));
        let make = |ids: &[&str]| ids.iter().map(|id| effect(id, "1")).collect::<Vec<_>>();
        journal
            .commit(Commit {
                effects: make(&["a", "b", "c"]),
                ..Commit::default()
            })
            .await
            .unwrap();
        journal
            .commit(Commit {
                effects: vec![effect("a", "2")],
                ..Commit::default()
            })
            .await
            .unwrap();
        let again = Commit {
            done: vec!["b".to_owned()],
            effects: make(&["b"]),
            ..Commit::default()
        };
        journal.commit(again).await.unwrap();
        let outbox = journal.recover().await.unwrap().outbox;
        let order: Vec<_> = outbox
            .iter()
            .map(|e| (e.id.as_str(), e.payload.as_slice()))
            .collect();
        assert_eq!(order, [("a", &b"2"[..]), ("c", b"1"), ("b", b"1")]);
    });
}
