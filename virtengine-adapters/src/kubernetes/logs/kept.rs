//! Lines of several sources as one log.

use std::collections::{BTreeMap, BTreeSet};

use virtengine_provider_core::ports::adapter::{LogLine, LogQuery};

/// Most bytes of lines that are kept of a workload, as they are written down. An object of the cluster has at most a mebibyte.
const BYTES_MAX: usize = 512 * 1024;

/// What a line takes beside its text, about.
const OVERHEAD: usize = 160;

/// Each line once, replica by replica, oldest first.
pub(super) fn merge(kept: Vec<LogLine>, live: Vec<LogLine>) -> Vec<LogLine> {
    let all = kept.into_iter().chain(live);
    let unique: BTreeMap<(String, u32, u64), LogLine> = all
        .map(|line| ((line.service.clone(), line.replica, line.position), line))
        .collect();
    unique.into_values().collect()
}

/// The newest lines that fit.
pub(super) fn bounded(lines: Vec<LogLine>) -> Vec<LogLine> {
    let size = |line: &LogLine| {
        // A character may be written as six.
        let text = serde_json::to_string(&line.text).map_or(line.text.len(), |text| text.len());
        text.saturating_add(line.service.len()).saturating_add(OVERHEAD)
    };
    let mut newest: Vec<&LogLine> = lines.iter().collect();
    newest.sort_by_key(|line| std::cmp::Reverse(line.position));
    let mut bytes = 0_usize;
    let fits = newest.into_iter().take_while(|line| {
        bytes = bytes.saturating_add(size(line));
        bytes <= BYTES_MAX
    });
    let kept: BTreeSet<(String, u32, u64)> = fits
        .map(|line| (line.service.clone(), line.replica, line.position))
        .collect();
    let is_kept = |line: &LogLine| kept.contains(&(line.service.clone(), line.replica, line.position));
    lines.into_iter().filter(is_kept).collect()
}

/// What was asked for, out of lines that are in order.
pub(super) fn select(lines: Vec<LogLine>, query: &LogQuery) -> Vec<LogLine> {
    let wanted = |line: &LogLine| {
        query
            .service
            .as_ref()
            .is_none_or(|service| *service == line.service)
            && query.replica.is_none_or(|replica| replica == line.replica)
            && query.after.is_none_or(|after| line.position > after)
    };
    let lines: Vec<LogLine> = lines.into_iter().filter(wanted).collect();
    let Some(tail) = query.tail else {
        return lines;
    };
    let mut replicas: Vec<Vec<LogLine>> = Vec::new();
    for line in lines {
        match replicas.last_mut() {
            Some(of)
                if of.first().is_some_and(|first| {
                    (&first.service, first.replica) == (&line.service, line.replica)
                }) =>
            {
                of.push(line);
            }
            Some(_) | None => replicas.push(vec![line]),
        }
    }
    let ends = replicas
        .into_iter()
        .flat_map(|mut of| of.split_off(of.len().saturating_sub(tail)));
    ends.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(replica: u32, position: u64, text: &str) -> LogLine {
        LogLine {
            service: "web".to_owned(),
            replica,
            position,
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_line_of_two_sources_is_one_line() {
        let lines = merge(
            vec![line(0, 1, "a"), line(1, 2, "b")],
            vec![line(0, 1, "a"), line(0, 3, "c")],
        );
        assert_eq!(lines, [line(0, 1, "a"), line(0, 3, "c"), line(1, 2, "b")]);
        let query = |after, tail| LogQuery {
            after,
            tail,
            ..LogQuery::default()
        };
        assert_eq!(
            select(lines.clone(), &query(None, Some(1))),
            [line(0, 3, "c"), line(1, 2, "b")]
        );
        assert_eq!(
            select(lines.clone(), &query(Some(1), None)),
            [line(0, 3, "c"), line(1, 2, "b")]
        );
        assert_eq!(select(lines, &query(None, Some(0))), []);
    }

    #[test]
    fn the_oldest_lines_go_first_and_the_rest_fits() {
        let text = "\u{1}".repeat(1000);
        let lines: Vec<LogLine> = (0..500)
            .map(|number| line(u32::try_from(number % 3).unwrap(), number, &text))
            .collect();
        let kept = bounded(merge(lines, Vec::new()));
        assert!(serde_json::to_string(&kept).unwrap().len() < 1 << 20);
        assert!(kept.len() > 50 && kept.len() < 500);
        assert_eq!(kept.iter().map(|line| line.position).max(), Some(499));
        assert!(kept.iter().all(|line| line.position > 400));
    }
}
