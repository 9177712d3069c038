use std::path::PathBuf;

use clap::{Args, Subcommand};
use futures_util::StreamExt as _;
use virtengine_gateway::tenant::{Fingerprint, TenantClient, Trust};
use virtengine_provider_core::id::Address;
use virtengine_provider_core::ports::adapter::LogQuery;
use virtengine_provider_core::ports::chain::ChainQuery as _;

use super::OrderArgs;
use crate::cli::answer::{Answer, CliResult};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::{manifest, show};
use crate::tenant::Tenant;

/// Which provider is asked, and how.
#[derive(Debug, Args)]
struct ProviderArgs {
    /// The provider of the lease
    #[arg(long, value_name = "ADDRESS")]
    provider: Address,
    /// Where it serves tenants [default: host_uri of its record on chain]
    #[arg(long, value_name = "URL", env = "VIRTENGINE_PROVIDER_URL")]
    url: Option<String>,
    /// SHA-256 of its certificate, for a provider that signed its own (the provider logs it at its start)
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<Fingerprint>,
}

/// `tenant manifest …`.
#[derive(Debug, Args)]
pub(super) struct ManifestArgs {
    #[command(subcommand)]
    command: ManifestCommand,
}

#[derive(Debug, Subcommand)]
enum ManifestCommand {
    /// Send the manifest of a deployment to the provider of its lease; the workload starts
    #[command(after_help = "\
Examples:
  virtengine-provider tenant manifest send 1000 --manifest shop.yaml --provider ve1… --from-key alice.words
  virtengine-provider tenant manifest send 1000 --manifest shop.yaml --provider ve1… --url http://127.0.0.1:8443 --from-key alice.words")]
    Send {
        /// Number of the deployment
        dseq: u64,
        /// The same manifest that the deployment was made from
        #[arg(long, value_name = "FILE")]
        manifest: PathBuf,
        #[command(flatten)]
        provider: ProviderArgs,
    },
    /// Whether the provider has the manifest
    #[command(
        after_help = "Examples:\n  virtengine-provider tenant manifest status 1000 --provider ve1… --from-key alice.words"
    )]
    Status {
        /// Number of the deployment
        dseq: u64,
        #[command(flatten)]
        provider: ProviderArgs,
    },
}

/// `tenant status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  virtengine-provider tenant status 1000 --provider ve1… --from-key alice.words"
)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    order: OrderArgs,
    #[command(flatten)]
    provider: ProviderArgs,
}

/// `tenant logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtengine-provider tenant logs 1000 --provider ve1… --tail 100 --from-key alice.words
  virtengine-provider tenant logs 1000 --provider ve1… --service web --follow --from-key alice.words

With --output json each line is one JSON object; its `position` is what --after takes to go on after a broken connection.")]
pub(super) struct LogsArgs {
    #[command(flatten)]
    order: OrderArgs,
    #[command(flatten)]
    provider: ProviderArgs,
    /// Only this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only this replica of the service
    #[arg(long, value_name = "N", requires = "service")]
    replica: Option<u32>,
    /// How many of the last lines of each replica
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = crate::cli::list_length)]
    tail: usize,
    /// Only lines after this position
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,
    /// Go on with new lines until the workload is gone
    #[arg(long, short)]
    follow: bool,
}

async fn client(args: &ProviderArgs, tenant: &Tenant) -> Result<TenantClient, CliError> {
    let base = match &args.url {
        Some(url) => url.clone(),
        None => {
            let record = tenant.chain().provider(&args.provider).await?;
            let record = record.ok_or_else(|| {
                CliError::not_found(
                    format!("{} is not a provider on this chain", args.provider),
                    "check the address, or say where it serves tenants by --url",
                )
            })?;
            record.host_uri
        }
    };
    let trust = args.fingerprint.map_or(Trust::Roots, Trust::Pinned);
    Ok(tenant.client_of(base, trust, args.provider.clone())?)
}

pub(super) async fn run(args: ManifestArgs, tenant: &Tenant) -> CliResult {
    match args.command {
        ManifestCommand::Send {
            dseq,
            manifest,
            provider,
        } => {
            let manifest = manifest::read(&manifest)?;
            let receipt = client(&provider, tenant)
                .await?
                .put_manifest(dseq, manifest.source())
                .await?;
            let known = if receipt.unchanged {
                " (it had it already)"
            } else {
                ""
            };
            let text = format!(
                "The provider accepted the manifest of deployment {}{known}\nNext: virtengine-provider tenant status {dseq} --provider {}\n",
                receipt.deployment, provider.provider
            );
            Answer::new(&receipt, text)
        }
        ManifestCommand::Status { dseq, provider } => {
            let status = client(&provider, tenant).await?.manifest_status(dseq).await?;
            let state = serde_json::to_value(status.state).unwrap_or_default();
            let text = format!(
                "The manifest of deployment {} is {}\n",
                status.deployment,
                state.as_str().unwrap_or("-")
            );
            Answer::new(&status, text)
        }
    }
}

pub(super) async fn status(args: StatusArgs, tenant: &Tenant) -> CliResult {
    let OrderArgs { dseq, gseq, oseq } = args.order;
    let status = client(&args.provider, tenant)
        .await?
        .lease_status(dseq, gseq, oseq)
        .await?;
    Answer::new(&status, show::lease_status(&status))
}

pub(super) async fn logs(args: LogsArgs, tenant: &Tenant, context: &Context) -> CliResult {
    let OrderArgs { dseq, gseq, oseq } = args.order;
    let query = LogQuery {
        service: args.service,
        replica: args.replica,
        after: args.after,
        tail: Some(args.tail),
    };
    let client = client(&args.provider, tenant).await?;
    let mut lines = Box::pin(client.lease_logs((dseq, gseq, oseq), &query, args.follow).await?);
    while let Some(line) = lines.next().await {
        let line = line?;
        let text = if context.is_json() {
            serde_json::to_string(&line).unwrap_or_default()
        } else {
            show::log_line(&line)
        };
        if !context.print_line(&text) {
            break;
        }
    }
    Ok(Answer::printed())
}
