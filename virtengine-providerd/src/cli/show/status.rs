use virtengine_gateway::api::{AlertView, BidEngineStatus, ChainView, DaemonState, ProviderStatus};
use virtengine_gateway::health::{ComponentStatus, HealthReport, OverallStatus};

use super::{Paint, clean, moment, pairs, resources, table};

/// `status`.
pub(in crate::cli) fn provider_status(
    status: &ProviderStatus,
    health: Option<&HealthReport>,
    paint: Paint,
) -> String {
    let state = match status.state {
        DaemonState::Starting => paint.doubtful("starting"),
        DaemonState::Running => paint.good("running"),
        DaemonState::Draining => paint.doubtful("draining"),
    };
    let dry = if status.dry_run {
        " (dry run: nothing is sent)"
    } else {
        ""
    };
    let mut text = format!("Provider {} is {state}{dry}\n\n", status.provider);
    let workloads: Vec<_> = status
        .workloads
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let coins = |coins: &[virtengine_provider_core::money::Coin]| {
        let shown: Vec<_> = coins.iter().map(ToString::to_string).collect();
        shown.join(", ")
    };
    text += &pairs([
        ("Version", status.version.clone()),
        ("Since", moment(Some(status.started_at))),
        ("Chain", chain(&status.chain)),
        (
            "Balance",
            status
                .balance
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
        ("Income, 24 h", coins(&status.revenue_24h)),
        ("Capacity", resources(&status.capacity.total)),
        ("Reserved", resources(&status.capacity.reserved)),
        ("Free", resources(&status.capacity.free)),
        (
            "Workloads",
            if workloads.is_empty() {
                "none".to_owned()
            } else {
                workloads.join(", ")
            },
        ),
        ("Leases", status.active_leases.to_string()),
        ("Orders", format!("{} not decided", status.pending_orders)),
        ("Bids", format!("{} open", status.open_bids)),
        (
            "Usage",
            format!("{} records not settled", status.pending_usage_records),
        ),
    ]);
    if let Some(report) = health {
        text += "\n";
        text += &components(report, paint);
    }
    text + &alerts(&status.alerts)
}

fn alerts(alerts: &[AlertView]) -> String {
    if alerts.is_empty() {
        return String::new();
    }
    let mut text = "\nAlerts:\n".to_owned();
    for alert in alerts {
        let subject = if alert.subject.is_empty() {
            String::new()
        } else {
            format!("{}: ", alert.subject)
        };
        text += &format!(
            "  {} {} {}\n",
            moment(Some(alert.since)),
            alert.level,
            clean(&format!("{subject}{}", alert.message))
        );
    }
    text
}

fn chain(chain: &ChainView) -> String {
    let behind = chain.height.0.saturating_sub(chain.processed.0);
    let behind = match behind {
        0 => "up to date".to_owned(),
        behind => format!("{behind} blocks behind"),
    };
    format!(
        "{} at block {} of {}, {behind}; {} of {} endpoints answer",
        chain.chain_id,
        chain.height,
        moment(chain.block_at),
        chain.endpoints_up,
        chain.endpoints
    )
}

/// The components, with what to do about those that are not up.
fn components(report: &HealthReport, paint: Paint) -> String {
    let status = match report.status {
        OverallStatus::Healthy => paint.good("healthy"),
        OverallStatus::Degraded => paint.doubtful("degraded"),
        OverallStatus::Unhealthy => paint.bad("unhealthy"),
    };
    let rows = report.components.values().map(|health| {
        [
            health.name.to_string(),
            health.status.as_str().to_owned(),
            moment(Some(health.since)),
            health.latency_ms.map(|ms| format!("{ms} ms")).unwrap_or_default(),
            health.message.clone(),
        ]
    });
    let mut text = format!("Health: {status}\n");
    text += &table(
        ["COMPONENT", "STATUS", "SINCE", "LATENCY", "MESSAGE"],
        rows,
        "nothing is watched",
    );
    for health in report.components.values() {
        if health.status != ComponentStatus::Up && !health.remedy.is_empty() {
            text += &format!("hint: {}: {}\n", health.name, clean(&health.remedy));
        }
    }
    text
}

/// `bid-engine status`.
pub(in crate::cli) fn bid_engine(status: &BidEngineStatus, paint: Paint) -> String {
    let mut text = if status.bidding {
        format!("The bid engine is {}\n\n", paint.good("bidding"))
    } else {
        format!(
            "The bid engine is {}: {}\n\n",
            paint.bad("not bidding"),
            clean(&status.reason)
        )
    };
    let rate = |rate: virtengine_gateway::api::RateView| format!("{} of {}", rate.used, rate.limit);
    text += &pairs([
        ("Orders", format!("{} not decided", status.pending_orders)),
        ("Open bids", status.open_bids.to_string()),
        ("Being sent", rate(status.concurrent)),
        ("Last minute", rate(status.last_minute)),
        ("Last hour", rate(status.last_hour)),
        (
            "Bids ever",
            format!(
                "{}, won {}, lost {}",
                status.bids_total, status.won_total, status.lost_total
            ),
        ),
        ("Last order", moment(status.last_order_at)),
        ("Last bid", moment(status.last_bid_at)),
    ]);
    if !status.declined.is_empty() {
        let rows = status
            .declined
            .iter()
            .map(|(reason, count)| [count.to_string(), reason.clone()]);
        text += "\n";
        text += &table(["DECLINED", "BECAUSE"], rows, "");
    }
    text
}
