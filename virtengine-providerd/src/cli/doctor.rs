use std::path::Path;

use clap::Args;
use virtengine_gateway::api::{CheckOutcome, DoctorCheck, DoctorReport};
use virtengine_gateway::operator::ClientError;
use virtengine_keys::{Access, KeyStore, Purpose};

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::error::CliError;
use super::{block_on, chain, settings, show};

/// `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtengine-provider doctor
  virtengine-provider doctor --output json | jq '.checks[] | select(.outcome != \"ok\")'

Checks the configuration, the key store and the chain from here, then asks the daemon for its own checks when it runs.
The exit code is 1 when a check failed.")]
pub(super) struct DoctorArgs {}

pub(super) fn run(_args: DoctorArgs, context: &Context) -> CliResult {
    block_on(async {
        let mut report = DoctorReport::default();
        let configured = configuration(&mut report, context);
        keys(&mut report, configured, context);
        connection(&mut report, configured, context).await;
        daemon(&mut report, context).await;
        let text = show::doctor(&report, show::Paint(context.has_colour()));
        let failed = report.worst() == CheckOutcome::Failed;
        let answer = Answer::new(&report, text)?;
        Ok(if failed { answer.exiting(1) } else { answer })
    })
}

fn note(
    report: &mut DoctorReport,
    name: &str,
    outcome: CheckOutcome,
    message: impl ToString,
    remedy: impl Into<String>,
) {
    report.checks.push(DoctorCheck {
        name: name.to_owned(),
        outcome,
        message: message.to_string(),
        remedy: remedy.into(),
    });
}

fn failed(report: &mut DoctorReport, name: &str, error: &CliError) {
    let (message, hint) = error.parts();
    note(report, name, CheckOutcome::Failed, message, hint);
}

fn configuration(report: &mut DoctorReport, context: &Context) -> bool {
    const NAME: &str = "config.valid";
    let path = settings::located(context).path;
    match settings::load(context) {
        Ok(_) => {
            note(report, NAME, CheckOutcome::Ok, path.display(), "");
            true
        }
        Err(error) => {
            failed(report, NAME, &error);
            false
        }
    }
}

fn keys(report: &mut DoctorReport, configured: bool, context: &Context) {
    const NAME: &str = "keys.store";
    if !configured {
        let message = "the key directory is not known without a configuration";
        return note(report, NAME, CheckOutcome::Skipped, message, "");
    }
    let opened = settings::key_store(context, None, None)
        .and_then(|config| Ok(KeyStore::open(&config, Access::ReadOnly)?));
    let store = match opened {
        Ok(store) => store,
        Err(error) => return failed(report, NAME, &error),
    };
    note(
        report,
        NAME,
        CheckOutcome::Ok,
        "can be opened, and nobody else can reach it",
        "",
    );
    for (name, purpose) in [
        ("keys.account", Purpose::Account),
        ("keys.identity", Purpose::Identity),
    ] {
        match store.active(purpose) {
            Ok(record) => note(
                report,
                name,
                CheckOutcome::Ok,
                format!("{} key {} is active", record.algorithm(), record.id),
                "",
            ),
            Err(error) => failed(report, name, &error.into()),
        }
    }
    account(report, &store, context);
}

fn account(report: &mut DoctorReport, store: &KeyStore, context: &Context) {
    const NAME: &str = "keys.address";
    let Ok(address) = store.account_address(&settings::address_prefix(context)) else {
        return;
    };
    match settings::provider(context) {
        Ok(provider) if provider == address => {
            note(
                report,
                NAME,
                CheckOutcome::Ok,
                format!("the account key is that of {address}"),
                "",
            );
        }
        Ok(provider) => note(
            report,
            NAME,
            CheckOutcome::Warning,
            format!("provider.address is {provider}, the account key is that of {address}"),
            "right only when that account has granted this key; else correct provider.address",
        ),
        Err(error) => failed(report, NAME, &error),
    }
}

async fn connection(report: &mut DoctorReport, configured: bool, context: &Context) {
    const NAME: &str = "chain.reachable";
    if !configured {
        let message = "the endpoints are not known without a configuration";
        return note(report, NAME, CheckOutcome::Skipped, message, "");
    }
    match chain::ping(context).await {
        Err(error) => failed(report, NAME, &error),
        Ok(ping) => {
            for endpoint in &ping.endpoints {
                let height = endpoint.height.unwrap_or_default();
                if endpoint.usable {
                    let message = format!("{} is at block {height} of {}", endpoint.url, ping.chain_id);
                    note(report, NAME, CheckOutcome::Ok, message, "");
                    continue;
                }
                let outcome = if ping.usable {
                    CheckOutcome::Warning
                } else {
                    CheckOutcome::Failed
                };
                let message = format!("{}: {}", endpoint.url, endpoint.message);
                note(
                    report,
                    NAME,
                    outcome,
                    message,
                    "check chain.endpoints and the network",
                );
            }
        }
    }
}

async fn daemon(report: &mut DoctorReport, context: &Context) {
    const NAME: &str = "daemon.running";
    let client = match context.daemon() {
        Ok(client) => client,
        Err(error) => return failed(report, NAME, &error),
    };
    match client.doctor().await {
        Ok(theirs) => {
            note(report, NAME, CheckOutcome::Ok, at(client.socket()), "");
            report.checks.extend(theirs.checks);
        }
        Err(error @ ClientError::NotRunning { .. }) => {
            let error = CliError::from(error);
            let (message, hint) = error.parts();
            note(report, NAME, CheckOutcome::Warning, message, hint);
        }
        Err(error) => failed(report, NAME, &error.into()),
    }
}

fn at(socket: &Path) -> String {
    format!("answers at {}", socket.display())
}
