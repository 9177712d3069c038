use super::*;
use crate::id::{Height, LeaseId};
use crate::market::{CloseReason, GroupSpec};
use crate::money::{Decimal, Price};
use crate::time::Timestamp;
use core::time::Duration;

const ID: &str = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f/7/1/1/ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq";
const HASH: [u8; 32] = [7; 32];

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn won() -> Command {
    let spec = GroupSpec {
        name: "g".into(),
        attributes: Vec::new(),
        signed_by_all_of: Vec::new(),
        signed_by_any_of: Vec::new(),
        resources: Vec::new(),
    };
    let price = Price::new("uve".parse().unwrap(), Decimal::from_integer(1).unwrap());
    let terms = Terms {
        price,
        created_at: Height(3),
        spec,
        manifest_hash: HASH,
    };
    Command::Won {
        id: ID.parse::<LeaseId>().unwrap(),
        terms: Box::new(terms),
        manifest_timeout: Duration::from_secs(60),
    }
}

fn after(commands: &[Command]) -> Lease {
    let mut lease = None;
    for command in commands {
        for event in decide(lease.as_ref(), command.clone(), at(1)).unwrap() {
            match &mut lease {
                None => lease = Lease::begin(&event),
                Some(lease) => lease.evolve(&event),
            }
        }
    }
    lease.unwrap()
}

fn closed() -> Command {
    Command::ClosedOnChain {
        height: Height(9),
        reason: CloseReason::Owner,
    }
}

#[test]
fn the_announced_manifest_is_served() {
    let lease = after(&[won(), Command::Manifest { manifest_hash: HASH }]);
    assert_eq!(lease.phase, Phase::Serving { since: at(1) });
}

#[test]
fn another_manifest_is_refused_and_changes_nothing() {
    let lease = after(&[won()]);
    let refused = decide(
        Some(&lease),
        Command::Manifest {
            manifest_hash: [8; 32],
        },
        at(2),
    )
    .unwrap_err();
    assert_eq!(
        refused,
        Rejected::HashMismatch {
            sent: [8; 32],
            announced: HASH
        }
    );
}

#[test]
fn a_manifest_sent_twice_is_accepted_once() {
    let lease = after(&[won(), Command::Manifest { manifest_hash: HASH }]);
    assert_eq!(
        decide(Some(&lease), Command::Manifest { manifest_hash: HASH }, at(2)).unwrap(),
        []
    );
}

#[test]
fn a_lease_without_a_manifest_is_given_up_at_its_deadline_and_not_before() {
    let lease = after(&[won()]);
    assert_eq!(lease.next_deadline(), Some(at(61)));
    assert_eq!(decide(Some(&lease), Command::Tick, at(60)).unwrap(), []);
    let events = decide(Some(&lease), Command::Tick, at(61)).unwrap();
    assert!(matches!(
        &events[..],
        [Event::LeaseCloseWanted {
            reason: CloseReason::ManifestTimeout,
            ..
        }]
    ));
}

#[test]
fn closed_lease_ignores_further_closes() {
    let lease = after(&[won(), closed()]);
    assert_eq!(decide(Some(&lease), closed(), at(3)).unwrap(), []);
    assert_eq!(
        decide(
            Some(&lease),
            Command::GiveUp {
                reason: CloseReason::Unstable
            },
            at(3)
        )
        .unwrap(),
        []
    );
    assert_eq!(
        decide(Some(&lease), Command::Manifest { manifest_hash: HASH }, at(3)),
        Err(Rejected::Closed)
    );
}

#[test]
fn a_lease_finishes_only_after_the_chain_closed_it() {
    let serving = after(&[won(), Command::Manifest { manifest_hash: HASH }]);
    assert_eq!(decide(Some(&serving), Command::Released, at(3)).unwrap(), []);
    let finished = after(&[
        won(),
        Command::Manifest { manifest_hash: HASH },
        closed(),
        Command::Released,
    ]);
    assert_eq!(
        finished.phase,
        Phase::Finished {
            at: at(1),
            reason: CloseReason::Owner
        }
    );
}

#[test]
fn a_lease_seen_twice_begins_once() {
    let lease = after(&[won()]);
    assert_eq!(decide(Some(&lease), won(), at(50)).unwrap(), []);
}

#[test]
fn a_workload_that_runs_takes_no_other_manifest_and_keeps_its_own() {
    let other = [8; 32];
    let serving = after(&[
        won(),
        Command::Manifest { manifest_hash: HASH },
        Command::HashChanged { manifest_hash: other },
    ]);
    assert_eq!(
        decide(Some(&serving), Command::Manifest { manifest_hash: other }, at(3)),
        Err(Rejected::AlreadyServing)
    );
    assert_eq!(
        decide(Some(&serving), Command::Manifest { manifest_hash: HASH }, at(3)).unwrap(),
        []
    );
}

#[test]
fn the_manifest_that_was_announced_last_is_awaited() {
    let other = [8; 32];
    let awaiting = after(&[won(), Command::HashChanged { manifest_hash: other }]);
    let accepted = decide(Some(&awaiting), Command::Manifest { manifest_hash: other }, at(3)).unwrap();
    assert!(matches!(&accepted[..], [Event::ManifestAccepted { .. }]));
}
