//! The command line as a document: `docs/cli.md` is this command's answer.

use std::fmt::Write as _;

use clap::{Args, Command};

use super::answer::{Answer, CliResult};

/// Width of the text, whatever the terminal has.
const COLUMNS: usize = 110;

/// `reference`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  virtengine-provider reference > docs/cli.md")]
pub(super) struct ReferenceArgs {}

pub(super) fn run(_args: ReferenceArgs, command: Command) -> CliResult {
    let mut command = plain(command.term_width(COLUMNS));
    command.build();
    let mut text = "# Command line\n\nWritten by `virtengine-provider reference`; do not edit.\n".to_owned();
    describe(&mut command, &mut text);
    Answer::new(&serde_json::json!({ "markdown": text }), text.clone())
}

/// Without the values that variables have here and now.
fn plain(command: Command) -> Command {
    command
        .mut_args(|argument| argument.hide_env_values(true))
        .mut_subcommands(plain)
}

/// The command's help, then that of each command below it.
fn describe(command: &mut Command, text: &mut String) {
    let name = command
        .get_bin_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned();
    let help = command.render_long_help().to_string();
    // Writing to a `String` cannot fail.
    let _ = write!(text, "\n## {name}\n\n```text\n");
    for line in help.trim_end().lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str("```\n");
    for below in command.get_subcommands_mut() {
        if below.get_name() != "help" && !below.is_hide_set() {
            describe(below, text);
        }
    }
}
