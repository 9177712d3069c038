use virtengine_gateway::api::{
    BidOutcome, BidView, Decision, Explanation, LeaseView, ManifestState, OrderView,
};

use super::{clean, moment, optional, resources, table};

const fn decision(decision: Decision) -> &'static str {
    match decision {
        Decision::Undecided => "undecided",
        Decision::Deferred => "deferred",
        Decision::Bid => "bid",
        Decision::Declined => "declined",
        Decision::Expired => "expired",
    }
}

const fn outcome(outcome: BidOutcome) -> &'static str {
    match outcome {
        BidOutcome::Pending => "pending",
        BidOutcome::DryRun => "dry run",
        BidOutcome::Open => "open",
        BidOutcome::Won => "won",
        BidOutcome::Lost => "lost",
        BidOutcome::Closed => "closed",
        BidOutcome::Rejected => "rejected",
    }
}

/// `bids list`.
pub(in crate::cli) fn bids(bids: &[BidView]) -> String {
    let rows = bids.iter().map(|bid| {
        [
            bid.id.order.to_string(),
            outcome(bid.outcome).to_owned(),
            bid.price.to_string(),
            moment(Some(bid.decided_at)),
            bid.message.clone(),
        ]
    });
    table(
        ["ORDER", "OUTCOME", "PRICE/BLOCK", "DECIDED", "MESSAGE"],
        rows,
        "no bids yet",
    )
}

/// `orders list`.
pub(in crate::cli) fn orders(orders: &[OrderView]) -> String {
    let rows = orders.iter().map(|order| {
        [
            order.id.to_string(),
            decision(order.decision).to_owned(),
            optional(order.price_max.as_ref()),
            resources(&order.resources),
            order.reason.clone(),
        ]
    });
    table(
        ["ORDER", "DECISION", "MAX/BLOCK", "ASKS FOR", "REASON"],
        rows,
        "no orders yet",
    )
}

/// `leases list`.
pub(in crate::cli) fn leases(leases: &[LeaseView]) -> String {
    let rows = leases.iter().map(|lease| {
        let manifest = match lease.manifest {
            ManifestState::Awaited => format!("awaited until {}", moment(lease.manifest_deadline)),
            ManifestState::Accepted => "accepted".to_owned(),
            ManifestState::TimedOut => "timed out".to_owned(),
        };
        let earned: Vec<_> = lease.earned.iter().map(ToString::to_string).collect();
        [
            lease.id.order.to_string(),
            lease.state.clone(),
            lease.price.to_string(),
            manifest,
            optional(lease.workload.as_ref()),
            optional(lease.workload_state.as_ref()),
            earned.join(", "),
            lease.message.clone(),
        ]
    });
    let headings = [
        "LEASE",
        "STATE",
        "PRICE/BLOCK",
        "MANIFEST",
        "WORKLOAD",
        "IS",
        "EARNED",
        "MESSAGE",
    ];
    table(headings, rows, "no leases")
}

/// `explain`.
pub(in crate::cli) fn explanation(explanation: &Explanation) -> String {
    let mut text = format!(
        "Order {}: {}\n{}\n",
        explanation.order,
        decision(explanation.decision),
        clean(&explanation.summary)
    );
    if explanation.decided_at.is_some() {
        text += &format!("Decided {}\n", moment(explanation.decided_at));
    }
    let rows = explanation.steps.iter().map(|step| {
        let passed = match step.passed {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        [passed.to_owned(), step.check.clone(), step.detail.clone()]
    });
    text += "\n";
    text += &table(["PASSED", "CHECK", "BECAUSE"], rows, "no check was made");
    if !explanation.price_lines.is_empty() {
        let rows = explanation
            .price_lines
            .iter()
            .map(|line| [line.what.clone(), line.amount.to_string(), line.how.clone()]);
        text += "\n";
        text += &table(["PRICE OF", "PER BLOCK", "BECAUSE"], rows, "");
    }
    if let Some(price) = &explanation.price {
        text += &format!("\nBid {price} per block");
        text += &match &explanation.price_max {
            Some(most) => format!(", the tenant pays at most {most}\n"),
            None => "\n".to_owned(),
        };
    }
    if let Some(bid) = &explanation.bid {
        text += &format!("The bid is {}\n", outcome(bid.outcome));
    }
    text
}
