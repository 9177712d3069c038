//! `cargo xtask bench`: the criterion benches, and beside them the same work as others do it.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::run::{cargo, output, root, step};

/// What both sides compute: the name of the criterion bench, and that of the Go benchmark.
const PAIRS: [(&str, &str); 2] = [
    ("price/peer: parsed prices", "BenchmarkParsed"),
    ("price/peer: prices from their texts", "BenchmarkFromText"),
];

/// Arguments of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Which benches (files of `benches/benches`); all when none is named.
    names: Vec<String>,
    /// Run the price of an order here and in `benches/peers/legacydec` (needs Go), and print how many times faster it is here.
    #[arg(long, conflicts_with = "names")]
    peers: bool,
    /// Passed on to criterion, e.g. `-- --measurement-time 1`.
    #[arg(last = true)]
    criterion: Vec<String>,
}

impl Bench {
    pub(crate) fn run(&self) -> Result<()> {
        if self.peers {
            return self.compare();
        }
        step("benches", &mut self.benches(&self.names))
    }

    fn benches(&self, names: &[String]) -> Command {
        let mut command = cargo(&["bench", "--package", "virtengine-benches"]);
        for name in names {
            command.args(["--bench", name]);
        }
        // Without a named bench the arguments would also go to test harnesses that do not know them.
        if names.is_empty() {
            command.arg("--benches");
        }
        command.arg("--").args(&self.criterion);
        command
    }

    fn compare(&self) -> Result<()> {
        println!("== here");
        let mut here = self.benches(&["price".to_owned()]);
        let here = criterion_nanos(&output(here.arg("peer:"))?)?;
        println!("== benches/peers/legacydec");
        let folder = root().join("benches/peers/legacydec");
        let mut there = Command::new("go");
        there
            .args(["test", "-run", ".", "-bench", ".", "-count", "1"])
            .current_dir(folder);
        let there = go_nanos(&output(&mut there).context("the peer needs Go")?)?;
        println!(
            "{:<40} {:>12} {:>14} {:>8}",
            "price of one order", "here", "cosmossdk.io", "ratio"
        );
        for (ours, theirs) in PAIRS {
            let (Some(ours_nanos), Some(theirs_nanos)) = (here.get(ours), there.get(theirs)) else {
                bail!("{ours} or {theirs} did not run");
            };
            let ratio = theirs_nanos / ours_nanos;
            println!("{ours:<40} {ours_nanos:>9.1} ns {theirs_nanos:>11.1} ns {ratio:>7.1}×");
        }
        Ok(())
    }
}

/// The estimates that criterion prints, in nanoseconds: a line `name   time: [low unit estimate unit high unit]`, where a long
/// name stands on a line of its own before it.
fn criterion_nanos(text: &str) -> Result<BTreeMap<String, f64>> {
    let mut found = BTreeMap::new();
    let mut before = "";
    for line in text.lines() {
        if let Some((name, times)) = line.split_once("time:") {
            let name = if name.trim().is_empty() { before } else { name };
            let words: Vec<&str> = times.trim().trim_matches(['[', ']']).split(' ').collect();
            let [_, _, estimate, unit, ..] = words.as_slice() else {
                bail!("criterion says {line:?}, which is no time");
            };
            let nanos = estimate.parse::<f64>()? * nanos_of(unit)?;
            found.insert(name.trim().to_owned(), nanos);
        }
        before = line;
    }
    Ok(found)
}

fn nanos_of(unit: &str) -> Result<f64> {
    Ok(match unit {
        "ps" => 1e-3,
        "ns" => 1.0,
        "µs" | "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => bail!("{unit:?} is not a unit of time"),
    })
}

/// Lines `BenchmarkName-cpus   runs   nanoseconds ns/op …`.
fn go_nanos(text: &str) -> Result<BTreeMap<String, f64>> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("Benchmark")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, _, nanos, "ns/op", ..] = words.as_slice() else {
            bail!("go says {line:?}, which is no time");
        };
        let name = name.rsplit_once('-').map_or(*name, |(name, _cpus)| name);
        found.insert(name.to_owned(), nanos.parse()?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_of_criterion_are_read_with_their_units() {
        let text = "price/one order         time:   [11.595 ns 11.794 ns 12.047 ns]\n\
                    price/a name that is longer than the line\n\
                    \x20                       time:   [1.1 µs 1.5 µs 1.9 µs]\n\
                    \x20                       thrpt:  [1 elem/s 2 elem/s 3 elem/s]\n";
        let found = criterion_nanos(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found["price/one order"], 11.794);
        assert_eq!(found["price/a name that is longer than the line"], 1500.0);
        assert!(criterion_nanos("x time: [soon]").is_err());
    }

    #[test]
    fn times_of_go_are_read_without_the_processors() {
        let text = "goos: linux\nBenchmarkParsed-2   \t  346719\t      3387 ns/op\t     840 B/op\nPASS\n";
        let found = go_nanos(text).unwrap();
        assert_eq!(found, BTreeMap::from([("BenchmarkParsed".to_owned(), 3387.0)]));
    }
}
