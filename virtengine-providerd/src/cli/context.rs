use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use virtengine_gateway::operator::OperatorClient;
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::time::Timestamp;

use super::GlobalArgs;
use super::error::CliError;
use super::settings;

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// For scripts: stable field names, times in RFC 3339.
    Json,
}

/// What every command has at hand.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: GlobalArgs,
}

impl Context {
    pub(crate) const fn new(global: GlobalArgs) -> Self {
        Self { global }
    }

    /// A client of the daemon.
    pub(crate) fn daemon(&self) -> Result<OperatorClient, CliError> {
        Ok(OperatorClient::new(settings::socket(self)?))
    }

    /// Whether answers are for scripts.
    pub(crate) fn is_json(&self) -> bool {
        self.global.output == OutputFormat::Json
    }

    /// Whether to use colours: a terminal that did not say no.
    pub(crate) fn has_colour(&self) -> bool {
        io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
    }

    /// Now.
    #[expect(
        clippy::unused_self,
        reason = "commands take the time from their context alone"
    )]
    pub(crate) fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    /// Prints a line of a stream at once. `false`: nobody reads any more.
    #[expect(clippy::unused_self, reason = "commands print through their context alone")]
    pub(crate) fn print_line(&self, line: &str) -> bool {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
    }
}

/// The clock of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
    }
}
