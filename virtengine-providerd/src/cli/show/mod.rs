//! Answers as text for people. Pure: values in, text out; no terminal is asked. Whatever comes from outside (a chain, a back end, a
//! tenant) passes [`clean`], so that it cannot steer the terminal.

mod doctor;
mod keys;
mod market;
mod status;
mod tenant;
mod workload;

pub(super) use doctor::{chain_ping, doctor};
pub(super) use keys::{generated, key_status, test_signature};
pub(super) use market::{bids, explanation, leases, orders};
pub(super) use status::{bid_engine, provider_status};
pub(super) use tenant::{chain_bids, escrows, lease_status, log_line};
pub(super) use workload::{log_entry, usage, workload, workloads};

use comfy_table::{ContentArrangement, Table, presets};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::{GIB, Resources};

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    fn doubtful(self, text: &str) -> String {
        self.wrap("33", text)
    }

    fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }
}

/// Text from outside without anything that steers a terminal, on one line.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\n' | '\t' => ' ',
            letter if letter.is_control() => '\u{fffd}',
            letter => letter,
        })
        .collect()
}

/// Columns under headings, or `empty` when there are no rows.
fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    empty: &str,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headings);
    for row in rows {
        table.add_row(row.map(|cell| clean(&cell)));
    }
    if table.row_count() == 0 {
        return format!("{empty}\n");
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// Names and values, one pair per line; pairs without a value are left out.
fn pairs<const N: usize>(pairs: [(&str, String); N]) -> String {
    let shown = || pairs.iter().filter(|(_, value)| !value.is_empty());
    let width = shown().map(|(name, _)| name.len()).max().unwrap_or(0);
    shown()
        .map(|(name, value)| format!("{name:<width$}  {}\n", clean(value)))
        .collect()
}

/// A time to the second, `-` for none.
fn moment(moment: Option<Timestamp>) -> String {
    moment.map_or_else(
        || "-".to_owned(),
        |moment| {
            let text = moment.to_string();
            format!("{}Z", text.split('.').next().unwrap_or_default())
        },
    )
}

fn optional<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// `4 cores, 16 GiB, 100 GiB disk, 1 GPU`.
fn resources(resources: &Resources) -> String {
    let mut parts = vec![
        format!("{} cores", thousandths(resources.cpu_millis)),
        format!("{} memory", bytes(resources.memory_bytes)),
        format!("{} storage", bytes(resources.storage_bytes)),
    ];
    if resources.gpus > 0 {
        parts.push(format!("{} GPU", resources.gpus));
    }
    parts.join(", ")
}

/// The same, for other modules of the command line.
pub(super) fn quantities(value: &Resources) -> String {
    resources(value)
}

fn thousandths(value: u64) -> String {
    let (whole, rest) = (value / 1000, value % 1000);
    if rest == 0 {
        return whole.to_string();
    }
    format!("{whole}.{rest:03}").trim_end_matches('0').to_owned()
}

/// The largest binary unit of which there is at least one, to a tenth (rounded down).
fn bytes(value: u64) -> String {
    let units = [(GIB, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (unit, name) in units {
        if value >= unit {
            let tenths = u128::from(value) * 10 / u128::from(unit);
            return match tenths % 10 {
                0 => format!("{} {name}", tenths / 10),
                tenth => format!("{}.{tenth} {name}", tenths / 10),
            };
        }
    }
    format!("{value} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        let rows = [["\u{1b}[2Jgone\nhidden".to_owned()]];
        let text = table(["NAME"], rows, "none");
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert_eq!(text.lines().count(), 2, "{text:?}");
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(table(["A"], Vec::new(), "no bids"), "no bids\n");
    }

    #[test]
    fn columns_line_up() {
        let rows = [
            ["a".to_owned(), "1".to_owned()],
            ["long".to_owned(), "2".to_owned()],
        ];
        assert_eq!(table(["N", "V"], rows, ""), "N     V\na     1\nlong  2\n");
    }

    #[test]
    fn quantities_are_exact_or_rounded_down() {
        assert_eq!(thousandths(1500), "1.5");
        assert_eq!(thousandths(2000), "2");
        assert_eq!(bytes(GIB), "1 GiB");
        assert_eq!(bytes(GIB + GIB / 2), "1.5 GiB");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(u64::MAX), "17179869183.9 GiB");
    }
}
