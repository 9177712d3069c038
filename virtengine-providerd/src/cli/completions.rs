use clap::Args;
use clap_complete::Shell;

use super::answer::{Answer, CliResult};

/// `completions SHELL`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtengine-provider completions bash > /etc/bash_completion.d/virtengine-provider
  virtengine-provider completions zsh > ~/.zfunc/_virtengine-provider")]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: CompletionsArgs, command: &mut clap::Command) -> CliResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "virtengine-provider", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Answer::new(&serde_json::json!({ "script": script }), script)
}
