//! The table at the end.

use std::io::Write as _;

use comfy_table::Table;
use serde_json::json;

use super::audit::Audit;
use super::round::Told;
use super::world::World;
use crate::cli::DevnetOptions;

/// Prints what the rounds came to.
///
/// # Errors
/// Standard output is closed.
pub(super) fn show(
    options: &DevnetOptions,
    world: &World,
    told: &[Told],
    audit: &Audit,
) -> anyhow::Result<()> {
    let text = if options.json {
        serde_json::to_string_pretty(&as_json(world, told, audit))?
    } else {
        as_tables(told, audit)
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn as_json(world: &World, told: &[Told], audit: &Audit) -> serde_json::Value {
    let rounds: Vec<_> = told
        .iter()
        .map(|round| {
            json!({
                "lease": round.lease,
                "workload": round.workload,
                "price": round.price.to_string(),
                "order": {"tx": round.ordered.hash, "height": round.ordered.height},
                "bid": {"tx": round.bid_tx, "height": round.bid_height},
                "lease_created": {"tx": round.leased.hash, "height": round.leased.height},
                "closed": {"tx": round.closed.hash, "height": round.closed.height},
                "usage_on_chain": round.usage,
                "records": round.records,
            })
        })
        .collect();
    json!({ "provider": world.provider(), "rounds": rounds, "money": audit, "expected_after": audit.expected().to_string() })
}

fn as_tables(told: &[Told], audit: &Audit) -> String {
    let mut text = String::new();
    for round in told {
        text.push_str(&of_round(round));
        text.push('\n');
    }
    text.push_str(&of_money(audit));
    text
}

fn of_round(round: &Told) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([format!("round {}", round.number), round.lease.to_string()]);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    row("workload", round.workload.to_string());
    row("price per block", round.price.to_string());
    row(
        "order",
        format!("block {}, tx {}", round.ordered.height, round.ordered.hash),
    );
    row("bid", format!("block {}, tx {}", round.bid_height, round.bid_tx));
    row(
        "lease",
        format!("block {}, tx {}", round.leased.height, round.leased.hash),
    );
    row(
        "closed",
        format!("block {}, tx {}", round.closed.height, round.closed.hash),
    );
    row(
        "usage records",
        format!(
            "{} signed, {} messages on chain, all paid",
            round.records.len(),
            round.usage.len()
        ),
    );
    let mut total = virtengine_metering::metrics::Metrics::ZERO;
    for record in &round.records {
        total = total.checked_add(&record.record.metrics).unwrap_or(total);
    }
    row("cpu", format!("{} core-ms", total.cpu_milli_seconds));
    row("memory", format!("{} byte-s", total.memory_byte_seconds));
    row("storage", format!("{} byte-s", total.storage_byte_seconds));
    row(
        "network",
        format!(
            "{} bytes in, {} bytes out",
            total.network_bytes_in, total.network_bytes_out
        ),
    );
    table.to_string()
}

fn of_money(audit: &Audit) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["provider's account", "uve"]);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    row("before", audit.before.to_string());
    row(
        "settlements of usage",
        format!("+ {} (of {} charged)", audit.settlements, audit.usage_charged),
    );
    row("leases, per block", format!("+ {}", audit.leases));
    row(
        "bid deposits",
        format!("- {} + {}", audit.deposits_out, audit.deposits_back),
    );
    row("fees of transactions", format!("- {}", audit.fees));
    row("expected", audit.expected().to_string());
    row("after", audit.after.to_string());
    table.to_string()
}
