use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::error::CliError;
use super::{settings, show};
use crate::config;

/// `config …`.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Write the documented default configuration
    #[command(after_help = "\
Examples:
  virtengine-provider config generate > provider-config.yaml
  virtengine-provider config generate | less")]
    Generate,
    /// Check a configuration; every problem is shown with its line and column
    #[command(after_help = "\
Examples:
  virtengine-provider config validate provider-config.yaml
  virtengine-provider config validate --output json | jq .notices

The exit code is 3 when the configuration is not valid. What is legal but keeps the daemon from starting (a sample value, no back
end, one that this build does not have) is listed at the end, and makes `ready` false; the exit code stays 0.")]
    Validate {
        /// The file [default: the one that the daemon would read]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// The configuration in force, with every default, secrets redacted
    #[command(after_help = "\
Examples:
  virtengine-provider config show --output json | jq .pricing")]
    Show,
}

pub(super) fn run(args: ConfigArgs, context: &Context) -> CliResult {
    match args.command {
        ConfigCommand::Generate => generate(),
        ConfigCommand::Validate { file } => validate(file, context),
        ConfigCommand::Show => show_effective(context),
    }
}

fn generate() -> CliResult {
    let text = config::template();
    Answer::new(&serde_json::json!({ "config": text }), text)
}

fn validate(file: Option<PathBuf>, context: &Context) -> CliResult {
    let path = file.unwrap_or_else(|| settings::located(context).path);
    let loaded = config::load(&path)?;
    let blockers = loaded.config.blockers();
    let value = serde_json::json!({
        "valid": true,
        "ready": blockers.is_empty(),
        "path": loaded.path,
        "notices": loaded.config.notices(),
        "blockers": blockers,
    });
    let mut text = format!("{} is valid\n", path.display());
    let rest = loaded.config.notices().iter();
    for notice in rest.filter(|notice| !blockers.contains(notice)) {
        text += &format!("notice: {}\n", show::clean(&notice.to_string()));
    }
    if !blockers.is_empty() {
        text += "The daemon cannot start with it yet:\n";
        for blocker in &blockers {
            text += &format!("  {}\n", show::clean(&blocker.to_string()));
        }
    }
    Answer::new(&value, text)
}

fn show_effective(context: &Context) -> CliResult {
    let loaded = settings::load(context)?;
    let text = serde_json::to_string_pretty(&loaded.config)
        .map_err(|error| CliError::failed(format!("the configuration cannot be shown: {error}"), ""))?;
    Answer::new(&loaded.config, text)
}
