use std::path::Path;

use clap::Args;
use rustix::fs::{Access, access};
use virtengine_chain::ChainClient;
use virtengine_gateway::api::{CheckOutcome, DoctorCheck, DoctorReport};
use virtengine_gateway::operator::ClientError;
use virtengine_keys::{Access as KeyAccess, KeyStore, Purpose};

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::error::CliError;
use super::{block_on, chain, settings, show};
use crate::config::Loaded;

/// `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtengine-provider doctor
  virtengine-provider doctor --output json | jq '.checks[] | select(.outcome != \"ok\")'

Checks the configuration, the key store, the state directory and the chain from here, then asks the daemon for its own checks when
it runs.
The exit code is 1 when a check failed.")]
pub(super) struct DoctorArgs {}

pub(super) fn run(_args: DoctorArgs, context: &Context) -> CliResult {
    block_on(async {
        let mut report = DoctorReport::default();
        let configured = configuration(&mut report, context);
        keys(&mut report, configured, context);
        storage(&mut report, configured, context);
        let reachable = connection(&mut report, configured, context).await;
        let running = daemon(&mut report, context).await;
        if reachable && !running {
            on_chain(&mut report, context).await;
        }
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
        Ok(loaded) => {
            note(report, NAME, CheckOutcome::Ok, path.display(), "");
            startable(report, &loaded);
            true
        }
        Err(error) => {
            failed(report, NAME, &error);
            false
        }
    }
}

/// What is valid and keeps the daemon from starting all the same.
fn startable(report: &mut DoctorReport, loaded: &Loaded) {
    const NAME: &str = "config.ready";
    let blockers = loaded.config.blockers();
    if blockers.is_empty() {
        let message = "nothing in it keeps the daemon from starting";
        note(report, NAME, CheckOutcome::Ok, message, "");
    }
    for mut blocker in blockers {
        let remedy = blocker.hint.take().unwrap_or_default();
        let message = format!("{}:{blocker}", loaded.path.display());
        note(report, NAME, CheckOutcome::Failed, message, remedy);
    }
}

fn keys(report: &mut DoctorReport, configured: bool, context: &Context) {
    const NAME: &str = "keys.store";
    if !configured {
        let message = "the key directory is not known without a configuration";
        return note(report, NAME, CheckOutcome::Skipped, message, "");
    }
    let opened = settings::key_store(context, None, None)
        .and_then(|config| Ok(KeyStore::open(&config, KeyAccess::ReadOnly)?));
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
    let granter = settings::load(context)
        .ok()
        .and_then(|loaded| loaded.config.chain.granter);
    match settings::provider(context) {
        Ok(provider) if granter.as_ref() == Some(&provider) => note(
            report,
            NAME,
            CheckOutcome::Ok,
            format!("the account key of {address} acts for {provider} (chain.granter)"),
            "",
        ),
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
            CheckOutcome::Failed,
            format!("provider.address is {provider}, but the account key is that of {address}"),
            "correct provider.address, or import the key of that account; a key that was granted to needs chain.granter",
        ),
        Err(error) => failed(report, NAME, &error),
    }
}

/// Whether the daemon could write its state.
fn storage(report: &mut DoctorReport, configured: bool, context: &Context) {
    const NAME: &str = "storage.writable";
    let Some(config) = settings::load(context).ok().filter(|_| configured) else {
        let message = "storage.dir is not known without a configuration";
        return note(report, NAME, CheckOutcome::Skipped, message, "");
    };
    let dir = config.config.storage.dir;
    match writable(&dir) {
        Ok(message) => note(report, NAME, CheckOutcome::Ok, message, ""),
        Err(message) => note(
            report,
            NAME,
            CheckOutcome::Failed,
            message,
            "make storage.dir a directory of the user that runs the daemon: `install -d -m 700 -o USER DIR`",
        ),
    }
}

/// The directory itself, or the nearest one above it that is there: the daemon makes the rest.
fn writable(dir: &Path) -> Result<String, String> {
    let nearest = dir.ancestors().find(|path| path.symlink_metadata().is_ok());
    let nearest = nearest.unwrap_or_else(|| Path::new("/"));
    let wrong = |problem: String| {
        let of = if nearest == dir {
            String::new()
        } else {
            format!(" (for {})", dir.display())
        };
        Err(format!("{}{of} {problem}", nearest.display()))
    };
    match std::fs::metadata(nearest) {
        Ok(metadata) if !metadata.is_dir() => return wrong("is not a directory".to_owned()),
        Ok(_) => {}
        Err(error) => return wrong(format!("cannot be looked at: {error}")),
    }
    match access(nearest, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if nearest == dir => Ok(format!("{} can be written to", dir.display())),
        Ok(()) => Ok(format!("{} can be made", dir.display())),
        Err(error) => wrong(format!("cannot be written to: {error}")),
    }
}

/// Whether an endpoint can be used.
async fn connection(report: &mut DoctorReport, configured: bool, context: &Context) -> bool {
    const NAME: &str = "chain.reachable";
    if !configured {
        let message = "the endpoints are not known without a configuration";
        note(report, NAME, CheckOutcome::Skipped, message, "");
        return false;
    }
    let ping = match chain::ping(context).await {
        Ok(ping) => ping,
        Err(error) => {
            failed(report, NAME, &error);
            return false;
        }
    };
    for endpoint in &ping.endpoints {
        if endpoint.usable {
            let height = endpoint.height.unwrap_or_default();
            let message = format!("{} is at block {height} of {}", endpoint.url, ping.chain_id);
            note(report, NAME, CheckOutcome::Ok, message, "");
            continue;
        }
        let outcome = if ping.usable {
            CheckOutcome::Warning
        } else {
            CheckOutcome::Failed
        };
        let (message, remedy) = if endpoint.message == chain::OTHER_CHAIN {
            (
                format!("{} {}, not of {}", endpoint.url, endpoint.message, ping.chain_id),
                "set chain.chain_id to the chain of the endpoint, or chain.endpoints to one of this chain",
            )
        } else {
            (
                format!("{}: {}", endpoint.url, endpoint.message),
                "check chain.endpoints, and that the node runs and can be reached from here",
            )
        };
        note(report, NAME, outcome, message, remedy);
    }
    ping.usable
}

/// What the daemon would find out about its account.
async fn on_chain(report: &mut DoctorReport, context: &Context) {
    // Each has been reported already when it fails here.
    let (Ok(provider), Ok(config)) = (settings::provider(context), settings::chain(context)) else {
        return;
    };
    let denom = config.denom.clone();
    let Ok(client) = ChainClient::new(config) else {
        return;
    };
    let checks = crate::daemon::health::account(&client, &provider, &denom).await;
    report.checks.extend(checks);
}

/// Whether the daemon answered; its own checks are added then.
async fn daemon(report: &mut DoctorReport, context: &Context) -> bool {
    const NAME: &str = "daemon.running";
    let client = match context.daemon() {
        Ok(client) => client,
        Err(error) => {
            failed(report, NAME, &error);
            return false;
        }
    };
    match client.doctor().await {
        Ok(theirs) => {
            note(report, NAME, CheckOutcome::Ok, at(client.socket()), "");
            report.checks.extend(theirs.checks);
            return true;
        }
        Err(ClientError::NotRunning { socket }) if socket.exists() => note(
            report,
            NAME,
            CheckOutcome::Warning,
            format!(
                "nobody answers at {}: the daemon that made it is gone",
                socket.display()
            ),
            "start it again with `virtengine-provider start`; the socket it left behind is replaced",
        ),
        Err(error @ ClientError::NotRunning { .. }) => {
            let error = CliError::from(error);
            let (message, hint) = error.parts();
            note(report, NAME, CheckOutcome::Warning, message, hint);
        }
        Err(error) => failed(report, NAME, &error.into()),
    }
    false
}

fn at(socket: &Path) -> String {
    format!("answers at {}", socket.display())
}
