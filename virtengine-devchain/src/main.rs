//! `virtengine-devchain`: a development chain as a command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use virtengine_devchain::{Config, Devchain, Genesis, TestAccount};

/// A single-node development chain with the RPC and the rules of VirtEngine. Its keys are public: never use it for value.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where the RPC listens.
    #[arg(long, default_value = "127.0.0.1:26657")]
    listen: SocketAddr,
    /// Time between blocks, at least 50ms.
    #[arg(long, default_value = "1s", value_parser = duration)]
    block_time: Duration,
    /// Genesis document (JSON); default: the localnet with six funded accounts.
    #[arg(long)]
    genesis: Option<PathBuf>,
    /// Directory that keeps the chain across restarts; without it the chain is forgotten at the end.
    #[arg(long)]
    home: Option<PathBuf>,
    /// Print the default genesis document and end.
    #[arg(long)]
    print_genesis: bool,
}

fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.print_genesis {
        println!("{}", Genesis::default().to_json());
        return Ok(());
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut config = Config::every(arguments.block_time).listen(arguments.listen);
    if let Some(path) = &arguments.genesis {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        config = config.genesis(Genesis::from_json(&text).with_context(|| path.display().to_string())?);
    }
    let shown = config.genesis.clone().unwrap_or_default();
    if let Some(home) = arguments.home {
        config = config.home(home);
    }
    let chain = Devchain::start(config).await?;
    introduce(&chain, &shown);
    ended().await?;
    chain.stop().await;
    Ok(())
}

/// Says where the chain is and who has money on it.
fn introduce(chain: &Devchain, genesis: &Genesis) {
    println!("RPC        {}", chain.rpc_url());
    println!("WebSocket  {}", chain.websocket_url());
    println!("chain id   {}", genesis.chain_id);
    println!("height     {}", chain.height());
    println!("accounts (the keys are public; never use them for value):");
    for account in &genesis.accounts {
        let known = TestAccount::named(&account.name).filter(|t| t.address == account.address);
        let provider = genesis.providers.iter().any(|p| p.owner == account.address);
        println!(
            "  {:<10} {} {}{}",
            account.name,
            account.address,
            account.amount,
            if provider { "  provider" } else { "" }
        );
        if let Some(test) = known.filter(|t| !t.mnemonic.is_empty()) {
            println!("             {}", test.mnemonic);
        }
    }
}

/// Waits for an interrupt or a termination.
async fn ended() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
