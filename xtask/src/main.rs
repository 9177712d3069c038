//! Every habit of the project as a command: `cargo xtask <command>`.

mod bench;
mod fuzz;
mod peers;
mod proto;
#[cfg(test)]
mod proto_twins;
mod purity;
mod run;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Every habit of the project as a command")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that must hold before a change lands; CI runs just this.
    Test,
    /// Prove that the pure crates stay free of I/O, clocks and randomness.
    Purity,
    /// Habits that no compiler checks.
    Tidy,
    /// Generate the Rust types of the chain's messages from `virtengine-chain/proto`.
    Proto(proto::Proto),
    /// The benches of the hot paths, and what they are compared with.
    Bench(bench::Bench),
    /// Every fuzz target for a while.
    Fuzz(fuzz::Fuzz),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Test => test::all(),
        Command::Purity => purity::check(),
        Command::Tidy => tidy::check(),
        Command::Proto(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Fuzz(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
