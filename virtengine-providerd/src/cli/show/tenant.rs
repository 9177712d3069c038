use virtengine_gateway::api::{LeaseStatus, ManifestState};
use virtengine_provider_core::market::{Bid, BidState, SettlementEscrow};
use virtengine_provider_core::ports::adapter::LogLine;

use super::workload::{endpoints, services};
use super::{clean, moment, optional, pairs, table};

/// `tenant bids`.
pub(in crate::cli) fn chain_bids(bids: &[Bid]) -> String {
    let rows = bids.iter().map(|bid| {
        let state = match bid.state {
            BidState::Open => "open",
            BidState::Active => "won",
            BidState::Lost => "lost",
            BidState::Closed => "closed",
        };
        [
            format!("{}/{}", bid.id.order.group.gseq, bid.id.order.oseq),
            bid.id.provider.to_string(),
            bid.price.to_string(),
            state.to_owned(),
            bid.created_at.to_string(),
        ]
    });
    let headings = ["GROUP/ORDER", "PROVIDER", "PRICE/BLOCK", "STATE", "SINCE BLOCK"];
    table(headings, rows, "no bids yet: wait a few blocks")
}

/// `tenant status`.
pub(in crate::cli) fn lease_status(status: &LeaseStatus) -> String {
    let manifest = match status.manifest {
        ManifestState::Awaited => "awaited: send it with `tenant manifest send`",
        ManifestState::Accepted => "accepted",
        ManifestState::TimedOut => "did not come in time",
    };
    let mut text = pairs([
        ("Lease", status.lease.to_string()),
        ("State", status.lease_state.clone()),
        ("Price", format!("{} per block", status.price)),
        ("Manifest", manifest.to_owned()),
        ("Workload", optional(status.state.as_ref())),
        ("Message", status.message.clone()),
        ("Seen", moment(status.observed_at)),
    ]);
    text += &services(&status.services);
    text += &endpoints(&status.endpoints);
    text
}

/// One line of `tenant logs`.
pub(in crate::cli) fn log_line(line: &LogLine) -> String {
    format!("{}/{} {}", clean(&line.service), line.replica, clean(&line.text))
}

/// `tenant escrow list`.
pub(in crate::cli) fn escrows(escrows: &[SettlementEscrow]) -> String {
    let rows = escrows.iter().map(|escrow| {
        let balance: Vec<_> = escrow.balance.iter().map(ToString::to_string).collect();
        [
            escrow.id.clone(),
            escrow.state.clone(),
            balance.join(", "),
            optional(escrow.recipient.as_ref()),
            moment(Some(virtengine_provider_core::time::Timestamp::from_seconds(
                escrow.expires_at,
            ))),
        ]
    });
    table(
        ["ESCROW", "STATE", "BALANCE", "RECIPIENT", "EXPIRES"],
        rows,
        "no settlement escrow",
    )
}
