use virtengine_gateway::api::{ChainPing, CheckOutcome, DoctorReport};

use super::{Paint, clean, moment, optional, table};

/// `doctor`.
pub(in crate::cli) fn doctor(report: &DoctorReport, paint: Paint) -> String {
    let width = report
        .checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for check in &report.checks {
        let outcome = match check.outcome {
            CheckOutcome::Ok => paint.good("ok     "),
            CheckOutcome::Skipped => "skipped".to_owned(),
            CheckOutcome::Warning => paint.doubtful("warning"),
            CheckOutcome::Failed => paint.bad("failed "),
        };
        text += &format!(
            "{outcome}  {:<width$}  {}\n",
            clean(&check.name),
            clean(&check.message)
        );
        if !check.remedy.is_empty() {
            text += &format!("         hint: {}\n", clean(&check.remedy));
        }
    }
    let count = |outcome| {
        report
            .checks
            .iter()
            .filter(|check| check.outcome == outcome)
            .count()
    };
    text + &format!(
        "\n{} checks: {} failed, {} warnings, {} skipped\n",
        report.checks.len(),
        count(CheckOutcome::Failed),
        count(CheckOutcome::Warning),
        count(CheckOutcome::Skipped)
    )
}

/// `chain ping`.
pub(in crate::cli) fn chain_ping(ping: &ChainPing, paint: Paint) -> String {
    let verdict = if ping.usable {
        paint.good("reachable")
    } else {
        paint.bad("not reachable")
    };
    let rows = ping.endpoints.iter().map(|endpoint| {
        [
            endpoint.url.clone(),
            if endpoint.usable { "yes" } else { "NO" }.to_owned(),
            endpoint
                .latency_ms
                .map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
            optional(endpoint.height.as_ref()),
            moment(endpoint.block_at),
            endpoint.message.clone(),
        ]
    });
    let headings = ["ENDPOINT", "USABLE", "LATENCY", "BLOCK", "OF", "MESSAGE"];
    format!(
        "Chain {} is {verdict}\n{}",
        ping.chain_id,
        table(headings, rows, "no endpoint is configured")
    )
}
