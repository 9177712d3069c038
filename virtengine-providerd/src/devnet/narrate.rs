//! Tells what happens, line by line.

use std::io::Write as _;
use std::sync::Mutex;
use std::time::Instant;

use virtengine_provider_core::ports::chain::TxOutcome;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::{capacity, lease, lifecycle};

use crate::cli::DevnetOptions;
use crate::provider::Event;

/// Tells what happens; nothing with `--output json`, where only the summary is printed.
#[derive(Debug)]
pub(super) struct Narrator {
    begun: Instant,
    silent: bool,
    colour: bool,
    out: Mutex<()>,
}

impl Narrator {
    pub(super) fn new(options: &DevnetOptions) -> Self {
        Self {
            begun: Instant::now(),
            silent: options.json,
            colour: options.colour,
            out: Mutex::new(()),
        }
    }

    /// One line: when, who, what.
    pub(super) fn say(&self, who: &str, what: &str) {
        if self.silent {
            return;
        }
        let (bold, plain) = if self.colour {
            ("\x1b[1m", "\x1b[0m")
        } else {
            ("", "")
        };
        let line = format!(
            "{:>7.2}s  {bold}{who:<9}{plain} {what}\n",
            self.begun.elapsed().as_secs_f64()
        );
        let _one_at_a_time = self.out.lock();
        // A reader that went away is no reason to stop the chain.
        let _ = std::io::stdout().write_all(line.as_bytes());
    }

    /// What the provider decided, for those events that a person wants to see.
    pub(super) fn hear(&self, event: &Event, _at: Timestamp) {
        if let Some(words) = words(event) {
            self.say("provider", &words);
        }
    }
}

fn words(event: &Event) -> Option<String> {
    match event {
        Event::Bid { happened } => bid(happened),
        Event::Lease { happened } => lease(happened),
        Event::Workload {
            id,
            happened: lifecycle::Event::WorkloadMoved { from, to, cause, .. },
        } => Some(format!("workload {id}: {from} → {to} ({cause})")),
        Event::Meter { id, happened } => meter(id.as_str(), happened),
        Event::TxSettled { effect, outcome, .. } => Some(match outcome {
            TxOutcome::Landed { height, gas_used, .. } => {
                format!("{effect} landed in block {height}, gas {gas_used}")
            }
            TxOutcome::Rejected(rejection) => format!("{effect} was refused: {rejection}"),
            TxOutcome::Unknown => return None,
        }),
        _ => None,
    }
}

fn bid(event: &virtengine_bid::Event) -> Option<String> {
    use virtengine_bid::Event as Bid;
    Some(match event {
        Bid::OrderSeen { order, .. } => format!("order {} seen", order.id),
        Bid::BidDecided {
            price, explanation, ..
        } => {
            format!(
                "bid {price} per block: {}",
                explanation.sentences(price).join("; ")
            )
        }
        Bid::OrderDeclined { order, reason, .. } => format!("order {order} declined: {reason}"),
        Bid::OrderDeferred { order, why, .. } => format!("order {order} later: {why}"),
        Bid::BidLanded { height, .. } => format!("bid on chain in block {height}"),
        Bid::BidWon { order, .. } => format!("lease won on order {order}"),
        Bid::LeaseOver { order, .. } => format!("lease on order {order} over"),
        Bid::Capacity {
            change: capacity::Event::Reserved { key, reservation },
        } => {
            let resources = &reservation.resources;
            format!(
                "{} millicores, {} bytes reserved for {key}",
                resources.cpu_millis, resources.memory_bytes
            )
        }
        _ => return None,
    })
}

fn lease(event: &lease::Event) -> Option<String> {
    Some(match event {
        lease::Event::ManifestAccepted { id, .. } => format!("manifest of lease {id} accepted"),
        lease::Event::LeaseClosed { id, reason, .. } => format!("lease {id} closed on chain: {reason:?}"),
        lease::Event::LeaseFinished { id, .. } => {
            format!("lease {id} finished: workload gone, capacity free")
        }
        _ => return None,
    })
}

fn meter(id: &str, event: &virtengine_metering::meter::Event) -> Option<String> {
    use virtengine_metering::meter::Event as Meter;
    let Meter::RecordSigned(recorded) = event else {
        return None;
    };
    let record = &recorded.signed.record;
    let metrics = &record.metrics;
    Some(format!(
        "{} record {} of {id}: cpu {} ms, memory {} byte-s, network {}+{} bytes, signed",
        record.kind.name(),
        record.sequence,
        metrics.cpu_milli_seconds,
        metrics.memory_byte_seconds,
        metrics.network_bytes_in,
        metrics.network_bytes_out
    ))
}
