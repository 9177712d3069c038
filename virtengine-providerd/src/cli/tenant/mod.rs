use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use virtengine_chain::ChainClient;
use virtengine_keys::mnemonic::ACCOUNT_PATH;
use virtengine_keys::{KeyStore, Mnemonic, Purpose};
use virtengine_provider_core::id::{Address, DeploymentId, LeaseId, OrderId};
use virtengine_provider_core::ports::clock::Clock as _;

use super::answer::CliResult;
use super::context::{Context, SystemClock};
use super::error::CliError;
use super::{block_on, keys, settings};
use crate::tenant::{Landed, Tenant};

mod deployment;
mod escrow;
mod lease;
mod provider;

/// Environment variable with the words themselves. The weakest way: child processes see it.
const MNEMONIC_VARIABLE: &str = "VIRTENGINE_TENANT_MNEMONIC";

/// `tenant …`.
#[derive(Debug, Args)]
#[command(after_help = "\
A whole round on a development chain:
  virtengine-provider tenant deployment create --manifest shop.yaml --deposit 5000000uve --from-key alice.words
  virtengine-provider tenant bids 1000 --from-key alice.words
  virtengine-provider tenant lease create 1000 --cheapest --from-key alice.words
  virtengine-provider tenant manifest send 1000 --manifest shop.yaml --provider ve1… --from-key alice.words
  virtengine-provider tenant status 1000 --provider ve1… --from-key alice.words
  virtengine-provider tenant logs 1000 --provider ve1… --follow --from-key alice.words
  virtengine-provider tenant deployment close 1000 --from-key alice.words

The words of the tenant's account come from the file of --from-key (readable by its owner only), or from the environment variable
VIRTENGINE_TENANT_MNEMONIC; never from an argument.")]
pub(super) struct TenantArgs {
    #[command(flatten)]
    account: AccountArgs,
    #[command(subcommand)]
    command: TenantCommand,
}

/// Who the tenant is, and on which chain.
#[derive(Debug, Args)]
struct AccountArgs {
    /// File with the mnemonic of the tenant's account; `-` for standard input
    #[arg(long, global = true, value_name = "FILE", env = "VIRTENGINE_TENANT_KEY")]
    from_key: Option<PathBuf>,
    /// Endpoint of the chain [default: chain.endpoints of the configuration]
    #[arg(long, global = true, value_name = "URL", env = "VIRTENGINE_NODE")]
    node: Option<String>,
    /// The chain [default: chain.chain_id of the configuration]
    #[arg(long, global = true, value_name = "ID", env = "VIRTENGINE_CHAIN_ID")]
    chain_id: Option<String>,
}

#[derive(Debug, Subcommand)]
enum TenantCommand {
    /// The tenant's address and balance
    #[command(after_help = "Examples:\n  virtengine-provider tenant account --from-key alice.words")]
    Account,
    /// Make and end deployments
    Deployment(deployment::DeploymentArgs),
    /// The bids on a deployment
    Bids(deployment::BidsArgs),
    /// Take a bid
    Lease(lease::LeaseArgs),
    /// Send the manifest to a provider
    Manifest(provider::ManifestArgs),
    /// How a lease fares, as its provider says
    Status(provider::StatusArgs),
    /// Log lines of a lease
    Logs(provider::LogsArgs),
    /// Settlement escrows, for metered billing
    Escrow(escrow::EscrowArgs),
}

/// One order of a deployment of the tenant.
#[derive(Debug, Args)]
struct OrderArgs {
    /// Number of the deployment
    dseq: u64,
    /// Placement group
    #[arg(long, default_value_t = 1)]
    gseq: u32,
    /// Order of the group
    #[arg(long, default_value_t = 1)]
    oseq: u32,
}

impl OrderArgs {
    fn id(&self, tenant: &Tenant) -> OrderId {
        OrderId::new(tenant.address().clone(), self.dseq, self.gseq, self.oseq)
    }

    fn lease(&self, tenant: &Tenant, provider: &Address) -> LeaseId {
        LeaseId::new(self.id(tenant), provider.clone())
    }
}

fn deployment_id(tenant: &Tenant, dseq: u64) -> DeploymentId {
    DeploymentId::new(tenant.address().clone(), dseq)
}

impl AccountArgs {
    fn tenant(&self, context: &Context) -> Result<Tenant, CliError> {
        let mut config = settings::chain(context)?;
        if let Some(node) = &self.node {
            config.endpoints = vec![settings::endpoint(node)?];
        }
        if let Some(chain_id) = &self.chain_id {
            config.chain_id.clone_from(chain_id);
        }
        // A provider's grants are not the tenant's.
        (config.granter, config.fee_granter) = (None, None);
        let mnemonic = self.mnemonic()?;
        let store = KeyStore::memory();
        store.import_mnemonic(Purpose::Account, &mnemonic, ACCOUNT_PATH, SystemClock.now())?;
        let signer = store.signer(Purpose::Account)?;
        Ok(Tenant::new(
            ChainClient::new(config)?,
            signer,
            Arc::new(SystemClock),
        )?)
    }

    fn mnemonic(&self) -> Result<Mnemonic, CliError> {
        if let Some(file) = &self.from_key {
            return keys::read_mnemonic(file);
        }
        match std::env::var(MNEMONIC_VARIABLE) {
            Ok(words) => Ok(Mnemonic::parse(zeroize::Zeroizing::new(words).trim())?),
            Err(_) => Err(CliError::usage(
                "no account of a tenant is given",
                format!("name the file with its mnemonic by --from-key, or set {MNEMONIC_VARIABLE}"),
            )),
        }
    }
}

pub(super) fn run(args: TenantArgs, context: &Context) -> CliResult {
    virtengine_keys::process::forbid_core_dumps().map_err(|error| CliError::failed(error, ""))?;
    let tenant = args.account.tenant(context)?;
    block_on(async {
        match args.command {
            TenantCommand::Account => deployment::account(&tenant).await,
            TenantCommand::Deployment(args) => deployment::run(args, &tenant).await,
            TenantCommand::Bids(args) => deployment::bids(args, &tenant).await,
            TenantCommand::Lease(args) => lease::run(args, &tenant).await,
            TenantCommand::Manifest(args) => provider::run(args, &tenant).await,
            TenantCommand::Status(args) => provider::status(args, &tenant).await,
            TenantCommand::Logs(args) => provider::logs(args, &tenant, context).await,
            TenantCommand::Escrow(args) => escrow::run(args, &tenant).await,
        }
    })
}

/// What a transaction came to, for scripts.
fn landed(landed: &Landed) -> serde_json::Value {
    serde_json::json!({ "tx": landed.hash, "height": landed.height, "fee": landed.fee })
}

/// The same, for people.
fn in_block(landed: &Landed) -> String {
    format!(
        "in block {} (transaction {}, fee {})",
        landed.height, landed.hash, landed.fee
    )
}
