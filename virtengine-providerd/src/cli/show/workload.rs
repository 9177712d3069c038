use virtengine_gateway::api::{LogEntry, UsageKind, UsageState, UsageView, WorkloadView};

use super::{clean, moment, optional, pairs, resources, table, thousandths};

/// `workload list`.
pub(in crate::cli) fn workloads(workloads: &[WorkloadView]) -> String {
    let rows = workloads.iter().map(|workload| {
        let state = if workload.wanted == workload.state {
            workload.state.to_string()
        } else {
            format!("{} -> {}", workload.state, workload.wanted)
        };
        [
            workload.id.to_string(),
            state,
            workload.adapter.clone(),
            resources(&workload.resources),
            workload
                .lease_id
                .as_ref()
                .map_or_else(|| "(own)".to_owned(), |lease| lease.order.to_string()),
            moment(Some(workload.updated_at)),
            workload.status_message.clone(),
        ]
    });
    let headings = [
        "WORKLOAD",
        "STATE",
        "ADAPTER",
        "RESOURCES",
        "LEASE",
        "CHANGED",
        "MESSAGE",
    ];
    table(headings, rows, "no workloads")
}

/// `workload status`.
pub(in crate::cli) fn workload(workload: &WorkloadView) -> String {
    let mut text = pairs([
        ("Workload", workload.id.to_string()),
        ("State", workload.state.to_string()),
        (
            "Wanted",
            if workload.wanted == workload.state {
                String::new()
            } else {
                workload.wanted.to_string()
            },
        ),
        ("Message", workload.status_message.clone()),
        ("Adapter", workload.adapter.clone()),
        ("Lease", optional(workload.lease_id.as_ref())),
        ("Resources", resources(&workload.resources)),
        ("Created", moment(Some(workload.created_at))),
        ("Changed", moment(Some(workload.updated_at))),
    ]);
    text += &services(&workload.services);
    text += &endpoints(&workload.endpoints);
    text
}

pub(super) fn services(services: &[virtengine_provider_core::ports::adapter::ServiceObservation]) -> String {
    if services.is_empty() {
        return String::new();
    }
    let rows = services.iter().map(|service| {
        [
            service.name.clone(),
            format!("{} of {}", service.ready, service.wanted),
            service.restarts.to_string(),
            service.message.clone(),
        ]
    });
    format!(
        "\n{}",
        table(["SERVICE", "READY", "RESTARTS", "MESSAGE"], rows, "")
    )
}

pub(super) fn endpoints(endpoints: &[virtengine_provider_core::ports::adapter::WorkloadEndpoint]) -> String {
    use virtengine_provider_core::workload::Protocol;
    if endpoints.is_empty() {
        return String::new();
    }
    let rows = endpoints.iter().map(|endpoint| {
        let protocol = match endpoint.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        [
            endpoint.service.clone(),
            format!("{}/{protocol}", endpoint.port),
            format!("{}:{}", endpoint.host, endpoint.external_port),
        ]
    });
    format!("\n{}", table(["SERVICE", "PORT", "REACHABLE AT"], rows, ""))
}

/// `usage list`.
pub(in crate::cli) fn usage(records: &[UsageView]) -> String {
    let rows = records.iter().map(|record| {
        let state = match record.state {
            UsageState::Pending => "pending",
            UsageState::Held => "held",
            UsageState::Submitted => "submitted",
            UsageState::OnChain => "on chain",
            UsageState::Settled => "settled",
            UsageState::Unbilled => "unbilled",
        };
        let kind = match record.kind {
            UsageKind::Periodic => "",
            UsageKind::Final => " (final)",
        };
        [
            record.id.chars().take(12).collect(),
            record.workload_id.to_string(),
            format!("{state}{kind}"),
            moment(Some(record.start)),
            moment(Some(record.end)),
            format!("{} core s", thousandths(record.metrics.cpu_milli_seconds)),
            optional(record.cost.as_ref()),
            record.flags.join(" "),
        ]
    });
    let headings = [
        "RECORD", "WORKLOAD", "STATE", "FROM", "TO", "CPU", "COST", "FLAGS",
    ];
    table(headings, rows, "no usage records")
}

/// One line of `logs`.
pub(in crate::cli) fn log_entry(entry: &LogEntry) -> String {
    let fields: Vec<_> = entry
        .fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let text = format!("{} {}", entry.message, fields.join(" "));
    format!(
        "{} {:<5} {}: {}",
        entry.at,
        entry.level,
        entry.target,
        clean(text.trim_end())
    )
}
