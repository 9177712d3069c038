use clap::{Args, Subcommand};
use virtengine_chain::ChainClient;
use virtengine_chain::rpc::{EndpointHealth, EndpointStatus};
use virtengine_gateway::api::{ChainPing, EndpointPing};
use virtengine_gateway::operator::ClientError;

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::error::CliError;
use super::{block_on, settings, show};

/// `chain …`.
#[derive(Debug, Args)]
pub(super) struct ChainArgs {
    #[command(subcommand)]
    command: ChainCommand,
}

#[derive(Debug, Subcommand)]
enum ChainCommand {
    /// Ask every endpoint of the chain; through the daemon when it runs, else from here
    #[command(after_help = "\
Examples:
  virtengine-provider chain ping
  virtengine-provider chain ping --config ./provider-config.yaml

The exit code is 6 when no endpoint can be used.")]
    Ping,
}

pub(super) fn run(args: ChainArgs, context: &Context) -> CliResult {
    let ChainCommand::Ping = args.command;
    let daemon = context.daemon()?;
    block_on(async {
        let ping = match daemon.ping_chain().await {
            Err(ClientError::NotRunning { .. }) => ping(context).await?,
            answer => answer?,
        };
        let text = show::chain_ping(&ping, show::Paint(context.has_colour()));
        let answer = Answer::new(&ping, text)?;
        Ok(if ping.usable { answer } else { answer.exiting(6) })
    })
}

/// Asks every endpoint from this process.
pub(super) async fn ping(context: &Context) -> Result<ChainPing, CliError> {
    let config = settings::chain(context)?;
    let client = ChainClient::new(config)?;
    let endpoints: Vec<_> = client.ping().await.iter().map(endpoint).collect();
    Ok(ChainPing {
        chain_id: client.config().chain_id.clone(),
        usable: endpoints.iter().any(|endpoint| endpoint.usable),
        endpoints,
    })
}

/// What is said of an endpoint of another chain.
pub(super) const OTHER_CHAIN: &str = "is of another chain";

/// What the chain client knows of an endpoint, as an answer.
pub(crate) fn endpoint(status: &EndpointStatus) -> EndpointPing {
    let usable = status.health == EndpointHealth::Fresh;
    let message = match status.health {
        EndpointHealth::Fresh => String::new(),
        EndpointHealth::Lagging => format!("{} blocks behind", status.lag_blocks.unwrap_or_default()),
        EndpointHealth::CatchingUp => "is catching up".to_owned(),
        EndpointHealth::WrongChain => OTHER_CHAIN.to_owned(),
        EndpointHealth::Disagrees => "has other blocks than the majority".to_owned(),
        _ => status
            .last_error
            .clone()
            .unwrap_or_else(|| "does not answer".to_owned()),
    };
    EndpointPing {
        url: status.url.clone(),
        usable,
        latency_ms: status.latency_ms.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
        chain_id: None,
        height: status.height,
        block_at: status.block_time,
        catching_up: Some(status.health == EndpointHealth::CatchingUp).filter(|_| status.height.is_some()),
        message,
    }
}
