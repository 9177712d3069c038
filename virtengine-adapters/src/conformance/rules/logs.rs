//! Logs.

use virtengine_provider_core::ports::adapter::{LogLine, LogQuery};
use virtengine_provider_core::workload::WorkloadSpec;

use super::capability::{is_unsupported, undeclared};
use crate::conformance::bench::Bench;
use crate::conformance::finding::{Finding, ensure};

/// The log of the first replica of the first service.
fn query(spec: &WorkloadSpec, after: Option<u64>, tail: Option<usize>) -> LogQuery {
    LogQuery {
        service: spec.services.first().map(|service| service.name.clone()),
        replica: Some(0),
        after,
        tail,
    }
}

/// Waits until there are so many lines.
async fn lines(
    bench: &Bench<'_>,
    spec: &WorkloadSpec,
    after: Option<u64>,
    least: usize,
) -> Finding<Vec<LogLine>> {
    let mut waits = bench.waits();
    loop {
        let lines = bench.adapter().logs(&spec.id, &query(spec, after, None)).await?;
        if lines.len() >= least {
            return Ok(lines);
        }
        ensure!(
            waits.again().await,
            "the service writes a line each time it starts; {least} were waited for after position {after:?}, read were {lines:?}"
        );
    }
}

fn rises(lines: &[LogLine], after: u64) -> Finding {
    let mut before = after;
    for line in lines {
        ensure!(
            line.position > before,
            "position {} comes after {before}; positions rise: {lines:?}",
            line.position
        );
        before = line.position;
    }
    Ok(())
}

pub(crate) async fn logs_can_be_read_or_are_refused(bench: &mut Bench<'_>) -> Finding {
    let spec = bench.running().await?;
    if bench.adapter().capabilities().logs {
        let lines = lines(bench, &spec, None, 1).await?;
        let wanted = spec.services.first().map(|service| service.name.as_str());
        for line in &lines {
            ensure!(
                Some(line.service.as_str()) == wanted && line.replica == 0,
                "the log of service {wanted:?}, replica 0 was asked for, read was {line:?}"
            );
            ensure!(
                !line.text.ends_with('\n'),
                "a line comes without its end: {line:?}"
            );
        }
    } else {
        is_unsupported(
            bench.adapter().logs(&spec.id, &LogQuery::default()).await,
            "reading logs",
        )?;
    }
    bench.end(&spec.id).await
}

pub(crate) async fn log_positions_rise_and_reading_goes_on_after_them(bench: &mut Bench<'_>) -> Finding {
    if !bench.adapter().capabilities().logs {
        return Err(undeclared("logs"));
    }
    let spec = bench.running().await?;
    let mut read = lines(bench, &spec, None, 1).await?;
    rises(&read, 0)?;
    for restarted in [false, true] {
        bench.adapter().stop(&spec.id).await?;
        if restarted {
            bench.restart().await?;
        }
        // What was written while it stopped belongs to what goes on.
        let last = read.last().map(|line| line.position);
        bench.run(&spec).await?;
        let fresh = lines(bench, &spec, last, 1).await?;
        rises(&fresh, last.unwrap_or(0))?;
        read.extend(fresh);
    }
    bench.adapter().stop(&spec.id).await?;
    let last = read.last().map(|line| line.position);
    read.extend(lines(bench, &spec, last, 0).await?);
    let whole = lines(bench, &spec, None, read.len()).await?;
    ensure!(
        whole == read,
        "read piece by piece the log is {read:?}, read at once it is {whole:?}"
    );
    for line in &whole {
        let after = lines(bench, &spec, Some(line.position), 0).await?;
        let expected: Vec<&LogLine> = whole
            .iter()
            .filter(|other| other.position > line.position)
            .collect();
        ensure!(
            after.iter().eq(expected.iter().copied()),
            "after position {} comes {expected:?}, but read was {after:?}",
            line.position
        );
    }
    bench.end(&spec.id).await
}

pub(crate) async fn the_tail_of_a_log_is_its_end(bench: &mut Bench<'_>) -> Finding {
    if !bench.adapter().capabilities().logs {
        return Err(undeclared("logs"));
    }
    let spec = bench.running().await?;
    bench.adapter().stop(&spec.id).await?;
    bench.run(&spec).await?;
    bench.adapter().stop(&spec.id).await?;
    let whole = lines(bench, &spec, None, 2).await?;
    for tail in [0, 1, 2, whole.len() + 1] {
        let read = bench
            .adapter()
            .logs(&spec.id, &query(&spec, None, Some(tail)))
            .await?;
        let expected = &whole[whole.len().saturating_sub(tail)..];
        ensure!(
            read == expected,
            "the last {tail} lines are {expected:?}, but read was {read:?}"
        );
    }
    let mut other = query(&spec, None, None);
    other.service = Some("no-such-service".to_owned());
    let read = bench.adapter().logs(&spec.id, &other).await;
    ensure!(
        read.as_ref().map_or(true, Vec::is_empty),
        "there is no such service, but its log is {read:?}"
    );
    bench.end(&spec.id).await
}
