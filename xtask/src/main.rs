//! Every habit of the project as a command: `cargo xtask <command>`.

mod proto;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Every habit of the project as a command")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Generate the Rust types of the chain's messages from `virtengine-chain/proto`.
    Proto(proto::Proto),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Proto(command) => command.run(),
    }
}
