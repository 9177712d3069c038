use clap::{Args, Subcommand};
use virtengine_adapters::conformance::{Fixture, ID_PREFIX, RULES, remove_leftovers, run_each};
use virtengine_gateway::operator::ClientError;

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::error::CliError;
use super::{block_on, settings, show};
use crate::daemon::backend;

/// `adapter …`.
#[derive(Debug, Args)]
pub(super) struct AdapterArgs {
    #[command(subcommand)]
    command: AdapterCommand,
}

#[derive(Debug, Subcommand)]
enum AdapterCommand {
    /// Try every promise of an adapter on the configured back end, with workloads made for it
    #[command(after_help = "\
Examples:
  virtengine-provider adapter check --config ./provider-config.yaml
  virtengine-provider adapter check --output json | jq '.rules[] | select(.outcome == \"failed\")'

It makes, stops and removes small workloads, one after the other, with ids that begin with conformance-, and touches nothing else.
What cannot be tried on this back end is told as not applicable, with the reason.
The exit code is 1 when a rule is broken.")]
    Check(CheckArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// Also while the daemon runs; a workload that it starts meanwhile looks like something left behind
    #[arg(long)]
    beside_daemon: bool,
}

pub(super) fn run(args: AdapterArgs, context: &Context) -> CliResult {
    let AdapterCommand::Check(args) = args.command;
    let config = settings::load(context)?.config;
    let fixture = backend::fixture(&config).map_err(CliError::bad_setting)?;
    block_on(async {
        let is_alone = alone(&args, fixture.as_ref(), context).await?;
        check(fixture.as_ref(), is_alone, context).await
    })
}

/// Whether no daemon runs. An error when one does that must not.
async fn alone(args: &CheckArgs, fixture: &dyn Fixture, context: &Context) -> Result<bool, CliError> {
    let daemon = context.daemon()?;
    // Any other failure is somebody who is there and will not talk to us.
    if let Err(ClientError::NotRunning { .. }) = daemon.health().await {
        return Ok(true);
    }
    let message = format!(
        "the daemon is running: its socket {} is in use",
        daemon.socket().display()
    );
    if fixture.name() == "local" {
        let hint = "stop the daemon first, its workloads keep running: the state directory of the local adapter belongs to one \
                    process at a time";
        return Err(CliError::failed(message, hint));
    }
    if !args.beside_daemon {
        return Err(CliError::failed(message, "stop it first, or add --beside-daemon"));
    }
    Ok(false)
}

async fn check(fixture: &dyn Fixture, is_alone: bool, context: &Context) -> CliResult {
    let name = fixture.name();
    // Not on standard output, which is the report's.
    eprintln!(
        "warning: this makes, stops and removes workloads on the back end {name}, one after the other, {} rules in all; their ids begin \
         with {ID_PREFIX}, and nothing else is touched",
        RULES.len()
    );
    let unusable = |error: &dyn std::fmt::Display| {
        CliError::failed(format!("the back end {name} cannot be used: {error}"), "")
    };
    if is_alone {
        let left = remove_leftovers(fixture)
            .await
            .map_err(|error| unusable(&error))?;
        if !left.is_empty() {
            eprintln!(
                "warning: {} workloads of an earlier check were left and are removed now",
                left.len()
            );
        }
    } else {
        let adapter = fixture.adapter().await.map_err(|error| unusable(&error))?;
        adapter.inventory().await.map_err(|error| unusable(&error))?;
    }
    let is_told = !context.is_json();
    let report = run_each(fixture, |rule| {
        if is_told {
            for line in rule.to_string().lines() {
                context.print_line(&show::clean(line));
            }
        }
    })
    .await;
    let answer = Answer::new(&report, report.summary())?;
    Ok(if report.is_passed() {
        answer
    } else {
        answer.exiting(1)
    })
}
