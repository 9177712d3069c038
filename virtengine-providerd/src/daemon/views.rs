//! What the provider knows, in the shapes of the operator API.

use virtengine_bid::book::{Entry, OurBid, Outcome, Record, Stage};
use virtengine_gateway::api::{
    BidEngineStatus, BidOutcome, BidView, CapacityView, Decision, ExplainStep, Explanation, LeaseView,
    ManifestState, OrderView, PriceLine, RateView, UsageKind, UsageMetrics, UsageState, UsageView,
    WorkloadState, WorkloadView,
};
use virtengine_metering::meter::Recorded;
use virtengine_metering::record::RecordKind;
use virtengine_metering::settlement::ChargeState;
use virtengine_provider_core::id::{OrderId, WorkloadId};
use virtengine_provider_core::lease::{Lease, Phase};
use virtengine_provider_core::lifecycle::{self, Goal};
use virtengine_provider_core::market::CloseReason;
use virtengine_provider_core::money::{Coin, Decimal, Price};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

use crate::provider::{Provider, Purpose, Tenancy, Transaction};

/// The state of the life cycle in the API's words.
pub(super) const fn state(from: lifecycle::WorkloadState) -> WorkloadState {
    match from {
        lifecycle::WorkloadState::Pending => WorkloadState::Pending,
        lifecycle::WorkloadState::Deploying => WorkloadState::Deploying,
        lifecycle::WorkloadState::Running => WorkloadState::Running,
        lifecycle::WorkloadState::Paused => WorkloadState::Paused,
        lifecycle::WorkloadState::Stopping => WorkloadState::Stopping,
        lifecycle::WorkloadState::Stopped => WorkloadState::Stopped,
        lifecycle::WorkloadState::Failed => WorkloadState::Failed,
        lifecycle::WorkloadState::Terminated => WorkloadState::Terminated,
    }
}

const fn wanted(goal: Goal) -> WorkloadState {
    match goal {
        Goal::Run => WorkloadState::Running,
        Goal::Pause => WorkloadState::Paused,
        Goal::Stop => WorkloadState::Stopped,
        Goal::Terminate => WorkloadState::Terminated,
    }
}

/// One workload.
pub(super) fn workload(provider: &Provider, id: &WorkloadId, adapter: &str) -> Option<WorkloadView> {
    let tenancy = provider.workloads().get(id)?;
    let seen = provider.last_seen(id);
    let machine = &tenancy.machine;
    let cause = machine
        .cause()
        .filter(|_| machine.state() == lifecycle::WorkloadState::Failed);
    let trouble = machine.errand().and_then(|errand| errand.trouble.clone());
    let words = cause.map(ToString::to_string).or(trouble);
    Some(WorkloadView {
        id: id.clone(),
        deployment_id: tenancy
            .spec
            .lease
            .as_ref()
            .map(|lease| lease.deployment().clone()),
        lease_id: tenancy.spec.lease.clone(),
        adapter: adapter.to_owned(),
        state: state(machine.state()),
        wanted: wanted(machine.goal()),
        status_message: words
            .or_else(|| seen.map(|seen| seen.message.clone()))
            .unwrap_or_default(),
        resources: tenancy.spec.total().unwrap_or(Resources::ZERO),
        services: seen.map(|seen| seen.services.clone()).unwrap_or_default(),
        endpoints: seen.map(|seen| seen.endpoints.clone()).unwrap_or_default(),
        created_at: tenancy.created_at,
        updated_at: tenancy.updated_at,
    })
}

/// Workloads in `filter`, or all that are not terminated; newest first.
pub(super) fn workloads(
    provider: &Provider,
    filter: Option<WorkloadState>,
    adapter: &str,
) -> Vec<WorkloadView> {
    let views = provider
        .workloads()
        .keys()
        .filter_map(|id| workload(provider, id, adapter));
    let mut views: Vec<_> = views
        .filter(|view| match filter {
            Some(filter) => view.state == filter,
            None => view.state != WorkloadState::Terminated,
        })
        .collect();
    views.sort_by_key(|view| std::cmp::Reverse(view.created_at));
    views
}

/// What is sold.
pub(super) fn capacity(provider: &Provider) -> CapacityView {
    let ledger = provider.ledger();
    CapacityView {
        total: ledger.capacity(),
        reserved: ledger.reserved(),
        free: ledger.available(),
    }
}

/// The bid engine at a glance.
pub(super) fn bid_engine(provider: &Provider, now: Timestamp) -> BidEngineStatus {
    let status = provider.bidder().status(provider.book(), now);
    let limits = &provider.bidder().policy().limits;
    let used = |left: u32, limit: u32| RateView {
        used: limit.saturating_sub(left).into(),
        limit: limit.into(),
    };
    let holds: Vec<String> = status
        .holds
        .iter()
        .map(|(reason, _)| format!("{reason:?}"))
        .collect();
    let records: Vec<&Record> = provider.book().records().map(|(_, record)| record).collect();
    let mut declined = std::collections::BTreeMap::new();
    for record in &records {
        if let Outcome::Declined { reason } = &record.outcome {
            let name = serde_json::to_value(reason)
                .ok()
                .and_then(|v| v.get("reason")?.as_str().map(str::to_owned));
            *declined.entry(name.unwrap_or_default()).or_insert(0) += 1;
        }
    }
    let bids = bids(provider, usize::MAX);
    let count = |outcome: BidOutcome| u64::try_from(bids.iter().filter(|bid| bid.outcome == outcome).count());
    BidEngineStatus {
        bidding: status.bidding,
        reason: holds.join(", "),
        pending_orders: (status.pending.saturating_add(status.deferred))
            .try_into()
            .unwrap_or(u64::MAX),
        open_bids: status.open_bids.try_into().unwrap_or(u64::MAX),
        concurrent: used(status.left_at_once, limits.max_concurrent_bids),
        last_minute: used(status.left_this_minute, limits.max_bids_per_minute),
        last_hour: used(status.left_this_hour, limits.max_bids_per_hour),
        bids_total: bids.len().try_into().unwrap_or(u64::MAX),
        won_total: count(BidOutcome::Won).unwrap_or(u64::MAX),
        lost_total: count(BidOutcome::Lost).unwrap_or(u64::MAX),
        declined,
        last_order_at: provider.book().entries().map(|(_, entry)| entry.seen).max(),
        last_bid_at: bids.first().map(|bid| bid.decided_at),
    }
}

/// The newest bids, newest first.
pub(super) fn bids(provider: &Provider, last: usize) -> Vec<BidView> {
    let live = provider.book().entries().filter_map(|(order, entry)| {
        let bid = entry.stage.bid()?;
        Some(bid_view(provider, order, bid, live_outcome(entry), String::new()))
    });
    let over = provider.book().records().filter_map(|(order, record)| {
        let bid = record.bid.as_ref()?;
        let (outcome, message) = match &record.outcome {
            Outcome::LeaseOver => (BidOutcome::Won, String::new()),
            Outcome::Failed { reason } => (BidOutcome::Rejected, reason.to_string()),
            Outcome::Closed | Outcome::Declined { .. } | Outcome::Expired { .. } => {
                (BidOutcome::Closed, String::new())
            }
        };
        Some(bid_view(provider, order, bid, outcome, message))
    });
    let mut bids: Vec<_> = live.chain(over).collect();
    bids.sort_by_key(|bid| std::cmp::Reverse(bid.decided_at));
    bids.truncate(last);
    bids
}

const fn live_outcome(entry: &Entry) -> BidOutcome {
    match &entry.stage {
        Stage::Waiting(_) | Stage::InFlight { .. } | Stage::Retrying { .. } => BidOutcome::Pending,
        Stage::Live { .. } => BidOutcome::Open,
        Stage::Closing { .. } => BidOutcome::Lost,
        Stage::Leased { .. } => BidOutcome::Won,
    }
}

fn bid_view(
    provider: &Provider,
    order: &OrderId,
    bid: &OurBid,
    outcome: BidOutcome,
    message: String,
) -> BidView {
    let is_this = |tx: &&Transaction| matches!(&tx.purpose, Purpose::Bid { order: of, .. } if of == order);
    let newest = provider.txs().values().filter(is_this).max_by_key(|tx| tx.number);
    BidView {
        id: provider.bidder().id(order),
        outcome,
        price: bid.price.clone(),
        deposit: Some(provider.bidder().policy().deposit.clone()),
        decided_at: bid.decided,
        tx: newest.and_then(|tx| tx.signed.as_ref()).map(|tx| tx.hash),
        message,
    }
}

/// The orders that are not over, newest first.
pub(super) fn orders(provider: &Provider, limit: usize) -> Vec<OrderView> {
    let mut views: Vec<OrderView> = provider
        .book()
        .entries()
        .filter_map(|(order, entry)| order_view(order, entry))
        .collect();
    views.sort_by_key(|view| std::cmp::Reverse(view.opened_at));
    views.truncate(limit);
    views
}

fn order_view(id: &OrderId, entry: &Entry) -> Option<OrderView> {
    let request = match &entry.stage {
        Stage::Waiting(request) | Stage::InFlight { request, .. } | Stage::Retrying { request, .. } => {
            request
        }
        Stage::Live { .. } | Stage::Closing { .. } | Stage::Leased { .. } => return None,
    };
    let deferral = request.deferral.as_ref();
    let bid = entry.stage.bid();
    Some(OrderView {
        id: id.clone(),
        decision: match (bid, deferral) {
            (Some(_), _) => Decision::Bid,
            (None, Some(_)) => Decision::Deferred,
            (None, None) => Decision::Undecided,
        },
        reason: deferral
            .map(|deferral| deferral.why.to_string())
            .unwrap_or_default(),
        resources: request.order.spec.total().unwrap_or(Resources::ZERO),
        price_max: price_max(&request.order),
        opened_at: request.order.created_at,
        decided_at: bid.map(|bid| bid.decided),
        retry_at: deferral.map(|deferral| deferral.until),
    })
}

/// Σ unit price × count: the most that the tenant pays per block.
fn price_max(order: &virtengine_provider_core::market::Order) -> Option<Price> {
    let denom = order.spec.resources.first()?.price.denom.clone();
    let mut sum = Decimal::ZERO;
    for unit in &order.spec.resources {
        let all = unit.price.amount.mul_div_floor(u128::from(unit.count), 1).ok()?;
        sum = sum.checked_add(all).ok()?;
    }
    Some(Price::new(denom, sum))
}

/// Why an order was bid on or not.
pub(super) fn explain(provider: &Provider, order: &OrderId) -> Option<Explanation> {
    let sentences = virtengine_bid::explain::explain(provider.book(), order)?;
    let entry = provider.book().entry(order);
    let record = provider.book().record(order);
    let bid = entry
        .and_then(|entry| entry.stage.bid())
        .or_else(|| record.and_then(|record| record.bid.as_ref()));
    let numbers = bid.and_then(|bid| bid.explanation.as_ref());
    let decision = match (
        bid,
        record.map(|record| &record.outcome),
        entry.map(|entry| &entry.stage),
    ) {
        (Some(_), ..) => Decision::Bid,
        (None, Some(Outcome::Declined { .. }), _) => Decision::Declined,
        (None, Some(_), _) => Decision::Expired,
        (None, None, Some(Stage::Waiting(request))) if request.deferral.is_some() => Decision::Deferred,
        (None, None, _) => Decision::Undecided,
    };
    let denom = provider.bidder().rate().denom().clone();
    let in_denom = |amount: Decimal| Price::new(denom.clone(), amount);
    let lines = numbers.map(|numbers| {
        let quote = &numbers.quote;
        let parts = [
            ("cpu", quote.cpu),
            ("memory", quote.memory),
            ("storage", quote.storage),
            ("gpu", quote.gpu),
        ];
        let mut lines: Vec<PriceLine> = parts
            .into_iter()
            .map(|(what, amount)| PriceLine {
                what: what.to_owned(),
                how: "per block".to_owned(),
                amount: in_denom(amount),
            })
            .collect();
        let how = format!("of {} before it", in_denom(quote.cost));
        lines.push(PriceLine {
            what: "with markup".to_owned(),
            how,
            amount: in_denom(quote.marked_up),
        });
        lines
    });
    let views = bids(provider, usize::MAX);
    Some(Explanation {
        order: order.clone(),
        decision,
        decided_at: bid
            .map(|bid| bid.decided)
            .or_else(|| record.map(|record| record.at)),
        summary: sentences.last().cloned().unwrap_or_default(),
        steps: sentences
            .iter()
            .map(|detail| ExplainStep {
                check: "journal".to_owned(),
                passed: None,
                detail: detail.clone(),
            })
            .collect(),
        price_lines: lines.unwrap_or_default(),
        price: bid.map(|bid| bid.price.clone()),
        price_max: numbers.map(|numbers| in_denom(numbers.max)),
        bid: views.into_iter().find(|view| view.id.order == *order),
    })
}

/// Every lease that is not finished.
pub(super) fn leases(provider: &Provider, created: impl Fn(&Lease) -> Timestamp) -> Vec<LeaseView> {
    let open = provider
        .leases()
        .values()
        .filter(|lease| !matches!(lease.phase, Phase::Finished { .. }));
    open.map(|lease| lease_view(provider, lease, created(lease)))
        .collect()
}

fn lease_view(provider: &Provider, lease: &Lease, since: Timestamp) -> LeaseView {
    let id = WorkloadId::of_lease(&lease.id);
    let tenancy = provider.workloads().get(&id);
    LeaseView {
        id: lease.id.clone(),
        state: lease_state(lease),
        price: lease.price.clone(),
        since,
        manifest: manifest_state(lease),
        manifest_deadline: lease.next_deadline(),
        workload: tenancy.map(|_| id),
        workload_state: tenancy.map(|tenancy| state(tenancy.machine.state())),
        // Known to whoever asks the chain; the machines do not count income.
        earned: Vec::new(),
        message: String::new(),
    }
}

/// `active`, or why the lease ended.
pub(super) fn lease_state(lease: &Lease) -> String {
    match lease.reason() {
        None => "active".to_owned(),
        Some(reason) => {
            let verb = if lease.is_live() { "closing" } else { "closed" };
            format!("{verb}: {}", reason_words(reason))
        }
    }
}

const fn reason_words(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Owner => "by the tenant",
        CloseReason::Unstable => "the workload could not be kept running",
        CloseReason::Decommission => "by the provider",
        CloseReason::Unspecified => "no reason given",
        CloseReason::ManifestTimeout => "no manifest came in time",
        CloseReason::InsufficientFunds => "the escrow ran dry",
    }
}

/// How far the manifest is.
pub(super) fn manifest_state(lease: &Lease) -> ManifestState {
    match (&lease.phase, lease.reason()) {
        (Phase::Awaiting { .. }, _) => ManifestState::Awaited,
        (_, Some(CloseReason::ManifestTimeout)) => ManifestState::TimedOut,
        _ => ManifestState::Accepted,
    }
}

/// The newest usage records, newest first.
pub(super) fn usage(provider: &Provider, pending: bool, limit: usize) -> Vec<UsageView> {
    let mut views: Vec<UsageView> = provider
        .workloads()
        .values()
        .flat_map(|tenancy| {
            tenancy
                .metered
                .records()
                .map(|recorded| usage_view(provider, tenancy, recorded))
        })
        .filter(|view| !pending || !matches!(view.state, UsageState::Settled | UsageState::Unbilled))
        .collect();
    views.sort_by_key(|view| std::cmp::Reverse(view.end));
    views.truncate(limit);
    views
}

/// Workload and number of the record with that id.
pub(super) fn usage_record(provider: &Provider, id: &str) -> Option<(WorkloadId, u64)> {
    let (tenancy, recorded) = find_record(provider, id)?;
    Some((tenancy.spec.id.clone(), recorded.signed.record.sequence))
}

/// The record with that id.
pub(super) fn usage_of_record(provider: &Provider, id: &str) -> Option<UsageView> {
    let (tenancy, recorded) = find_record(provider, id)?;
    Some(usage_view(provider, tenancy, recorded))
}

fn find_record<'a>(provider: &'a Provider, id: &str) -> Option<(&'a Tenancy, &'a Recorded)> {
    provider.workloads().values().find_map(|tenancy| {
        let mut records = tenancy.metered.records();
        let recorded = records.find(|recorded| recorded.signed.record.id == id)?;
        Some((tenancy, recorded))
    })
}

/// How many records of a workload the fraud check holds, if any.
pub(super) fn held(provider: &Provider, tenancy: &Tenancy) -> Option<usize> {
    let books = provider.books(tenancy.spec.lease.as_ref()?)?;
    let held = books.entries().filter(|(_, entry)| entry.held.is_some());
    Some(held.count()).filter(|held| *held > 0)
}

fn usage_view(provider: &Provider, tenancy: &Tenancy, recorded: &Recorded) -> UsageView {
    let record = &recorded.signed.record;
    let cost = recorded
        .signed
        .charges
        .iter()
        .fold(0_u128, |sum, charge| sum.saturating_add(charge.charge.cost));
    let whole = |amount: u128| u64::try_from(amount).unwrap_or(u64::MAX);
    UsageView {
        id: record.id.clone(),
        workload_id: tenancy.spec.id.clone(),
        deployment_id: record.deployment.clone(),
        lease_id: tenancy.spec.lease.clone(),
        kind: match record.kind {
            RecordKind::Periodic => UsageKind::Periodic,
            RecordKind::Final => UsageKind::Final,
        },
        start: record.start,
        end: record.end,
        metrics: UsageMetrics {
            cpu_milli_seconds: whole(record.metrics.cpu_milli_seconds),
            memory_byte_seconds: record.metrics.memory_byte_seconds,
            storage_byte_seconds: record.metrics.storage_byte_seconds,
            network_bytes_in: whole(record.metrics.network_bytes_in),
            network_bytes_out: whole(record.metrics.network_bytes_out),
            gpu_seconds: whole(record.metrics.gpu_seconds),
        },
        state: usage_state(provider, tenancy, recorded),
        flags: recorded
            .verdict
            .flags
            .iter()
            .map(|flag| flag.name().to_owned())
            .collect(),
        cost: (!recorded.signed.charges.is_empty()).then(|| Coin::new(record.pricing.denom.clone(), cost)),
        tx: None,
        signature: hex::encode(&recorded.signed.signature),
        created_at: record.created_at,
    }
}

fn usage_state(provider: &Provider, tenancy: &Tenancy, recorded: &Recorded) -> UsageState {
    let sequence = recorded.signed.record.sequence;
    let Some(books) = tenancy
        .spec
        .lease
        .as_ref()
        .and_then(|lease| provider.books(lease))
    else {
        return UsageState::Unbilled;
    };
    if recorded.signed.charges.is_empty() {
        return UsageState::Unbilled;
    }
    let Some((_, entry)) = books.entries().find(|(number, _)| *number == sequence) else {
        return UsageState::Settled;
    };
    if entry.held.is_some() {
        return UsageState::Held;
    }
    let on_chain = entry
        .charges
        .iter()
        .any(|(_, state)| !matches!(state, ChargeState::Due));
    if on_chain {
        UsageState::OnChain
    } else {
        UsageState::Pending
    }
}
