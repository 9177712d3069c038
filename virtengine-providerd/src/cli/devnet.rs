use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::error::CliError;
use crate::devnet::TENANTS_MAX;

/// `devnet`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtengine-provider devnet                        # chain, provider and a tenant, until Ctrl-C
  virtengine-provider devnet --once                 # one whole round, then stop; exit code 0 when it went well
  virtengine-provider devnet --chain-only           # only the chain, for `start` and `tenant` in other terminals

Everything runs on this machine, on loopback, with worthless money: the chain at --listen, tenants at 8443 and metrics at 9090
(all three at free ports with `--listen 127.0.0.1:0`). Ctrl-C after the round is the normal end, with code 0; in its middle it
ends the workloads, removes the directory, and exits with 130.")]
pub(super) struct DevnetArgs {
    /// Run every deployment to its end once, then stop
    #[arg(long)]
    once: bool,
    /// How many tenants, 1 to 4: the chain has no more test accounts
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(TENANTS_MAX)))]
    tenants: u32,
    /// How many deployments of each tenant, 1 to 100
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    deployments: u32,
    /// Only the chain
    #[arg(long)]
    chain_only: bool,
    /// Time between two blocks
    #[arg(long, default_value = "500ms", value_name = "TIME", value_parser = block_time)]
    block_time: Duration,
    /// Where state is kept [default: a directory that is removed at the end]
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Address of the chain's RPC; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:26657", value_name = "ADDRESS", value_parser = loopback)]
    listen: SocketAddr,
}

/// What the devnet is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevnetOptions {
    /// Run every deployment to its end once, then stop.
    pub once: bool,
    /// How many tenants, 1 to [`TENANTS_MAX`].
    pub tenants: u32,
    /// How many deployments of each tenant, 1 to 100.
    pub deployments: u32,
    /// Only the chain.
    pub chain_only: bool,
    /// Time between two blocks, 10 ms to a minute.
    pub block_time: Duration,
    /// Where state is kept; `None`: a directory that is removed at the end.
    pub home: Option<PathBuf>,
    /// Address of the chain's RPC, on loopback; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether answers are for scripts.
    pub json: bool,
    /// Whether to use colours.
    pub colour: bool,
}

fn block_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_millis(10)..=Duration::from_secs(60)).contains(&time) {
        return Ok(time);
    }
    Err("must be 10ms to 1m".to_owned())
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "not an address such as 127.0.0.1:26657".to_owned())?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("the devnet is for this machine only: use an address such as 127.0.0.1:26657".to_owned())
}

pub(super) fn run(args: DevnetArgs, context: &Context) -> CliResult {
    let options = DevnetOptions {
        once: args.once,
        tenants: args.tenants,
        deployments: args.deployments,
        chain_only: args.chain_only,
        block_time: args.block_time,
        home: args.home,
        listen: args.listen,
        json: context.is_json(),
        colour: context.has_colour(),
    };
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| CliError::failed(format!("no runtime: {error}"), ""))?;
    let ended = runtime.block_on(crate::devnet::run(options));
    runtime.shutdown_background();
    let answer = Answer::printed();
    Ok(match ended.map_err(CliError::from)? {
        Some(interrupt) => answer.exiting(interrupt.exit_code()),
        None => answer,
    })
}
