//! What must be true after a round, whatever happened in it. The chain, the back end, the processes of this host and the signed
//! records are asked, not the daemon.

use std::collections::{BTreeMap, BTreeSet};

use virtengine_metering::meter;
use virtengine_metering::record::RecordKind;
use virtengine_metering::signed::SignedRecord;
use virtengine_metering::verify::verify_chain;
use virtengine_provider_core::id::{LeaseId, OrderId, WorkloadId};
use virtengine_provider_core::market::{BidState, LeaseState};
use virtengine_provider_core::ports::chain::ChainQuery as _;
use virtengine_provider_core::ports::journal::{EventQuery, Journal as _};
use virtengine_providerd::provider::Event;
use virtengine_store::{Options, SqliteJournal};

use crate::child::identity;
use crate::round::Round;

/// Everything, after the last daemon has stopped.
pub(crate) async fn all(round: &Round, lease: &LeaseId, unwanted: &OrderId) {
    let events = events(round).await;
    one_bid_each(round, &events, [&lease.order, unwanted]).await;
    let on_chain = round.client.lease(lease).await.unwrap();
    assert_ne!(on_chain.state, LeaseState::Active, "the lease is still active");
    let accepted = events
        .iter()
        .filter(|event| matches!(event, Event::WorkloadAccepted { .. }))
        .count();
    assert_eq!(accepted, 1, "workloads were accepted");
    let records = records(&events);
    usage_is_whole(&records, &WorkloadId::of_lease(lease));
    money_is_equal(round, &records, lease).await;
    nothing_runs(round);
}

/// Exactly one workload is there while the lease is served.
pub(crate) fn one_workload(round: &Round, id: &WorkloadId) {
    match &round.backend {
        Some(backend) => {
            let specs = backend.workloads();
            assert_eq!(specs.len(), 1, "{specs:?}");
            assert_eq!(specs[0].id, *id);
        }
        None => {
            let services = processes(round, "demo-service");
            assert_eq!(services.len(), 1, "{services:?}");
        }
    }
}

async fn events(round: &Round) -> Vec<Event> {
    let path = round.home.path().join("state/journal.db");
    let journal = SqliteJournal::open(&path, Options::default()).unwrap();
    let stored = journal
        .events(&EventQuery {
            limit: 1_000_000,
            ..EventQuery::default()
        })
        .await
        .unwrap();
    let left = journal.recover().await.unwrap().outbox;
    let left: Vec<String> = left.into_iter().map(|effect| effect.id).collect();
    assert!(left.is_empty(), "effects are left: {left:?}");
    stored
        .iter()
        .map(|(_, event)| serde_json::from_slice(&event.payload).unwrap())
        .collect()
}

/// One bid per order was decided, and one is on chain; its deposit is back.
async fn one_bid_each(round: &Round, events: &[Event], orders: [&OrderId; 2]) {
    for order in orders {
        let decided = events.iter().filter(|event| {
            matches!(event, Event::Bid { happened: virtengine_bid::Event::BidDecided { order: of, .. } } if of == order)
        });
        assert_eq!(decided.count(), 1, "{order} was bid on more than once");
        let bids = round.client.bids_on(order).await.unwrap();
        let states: Vec<BidState> = bids.iter().map(|bid| bid.state).collect();
        assert_eq!(states, [BidState::Closed], "{order}");
    }
}

fn records(events: &[Event]) -> Vec<SignedRecord> {
    let signed = events.iter().filter_map(|event| match event {
        Event::Meter {
            happened: meter::Event::RecordSigned(recorded),
            ..
        } => Some(recorded.signed.clone()),
        _ => None,
    });
    signed.collect()
}

/// The records follow each other without gap and overlap, each once, up to a final one; a tenant can verify it.
fn usage_is_whole(records: &[SignedRecord], id: &WorkloadId) {
    verify_chain(records, &identity().public_key()).unwrap();
    let sequences: Vec<u64> = records.iter().map(|signed| signed.record.sequence).collect();
    assert_eq!(sequences, (1..).take(records.len()).collect::<Vec<u64>>());
    for pair in records.windows(2) {
        assert_eq!(pair[0].record.end, pair[1].record.start);
    }
    assert!(records.iter().all(|signed| signed.record.subject.workload == *id));
    let last = &records.last().unwrap().record;
    assert_eq!(last.kind, RecordKind::Final);
}

/// What the records charge is on chain, once, and paid.
async fn money_is_equal(round: &Round, records: &[SignedRecord], lease: &LeaseId) {
    let usage = round.client.usage_of(&lease.order.to_string()).await.unwrap();
    let mut on_chain: BTreeMap<(String, i64, i64), (u64, u128)> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for record in usage {
        assert!(record.settled, "{} is not paid", record.id);
        assert!(ids.insert(record.id.clone()), "{} is there twice", record.id);
        let key = (record.usage_type, record.period_start, record.period_end);
        let cost = record.total_cost.iter().map(|coin| coin.amount).sum();
        let before = on_chain.insert(key.clone(), (record.usage_units, cost));
        assert_eq!(before, None, "{key:?} was charged twice");
    }
    let charged: BTreeMap<(String, i64, i64), (u64, u128)> = records
        .iter()
        .flat_map(|signed| &signed.charges)
        .map(|signed| {
            let charge = &signed.charge;
            let key = (
                charge.kind.name().to_owned(),
                charge.period_start,
                charge.period_end,
            );
            (key, (charge.units, charge.cost))
        })
        .collect();
    assert!(!charged.is_empty(), "nothing was charged");
    assert_eq!(on_chain, charged);
}

/// Nothing of the round is left in the back end or on this host.
fn nothing_runs(round: &Round) {
    if let Some(backend) = &round.backend {
        let specs = backend.workloads();
        assert!(specs.is_empty(), "{specs:?}");
    }
    let left = processes(round, "");
    assert!(left.is_empty(), "still running: {left:?}");
}

/// Processes of the round: its home is in their command line or in their environment.
pub(crate) fn processes(round: &Round, with: &str) -> Vec<(rustix::process::Pid, String)> {
    let home = round.home.path().display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| {
            let bytes = std::fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let (command, environment) = (read("cmdline"), read("environ"));
        let is_ours = command.contains(&home) || environment.contains(&home);
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let pid = pid.and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid.filter(|_| is_ours && command.contains(with)) {
            found.push((pid, command));
        }
    }
    found
}
