use std::io::IsTerminal as _;
use std::sync::Arc;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};
use virtengine_gateway::log::{LogRing, LogRingOptions, RingLayer};

use super::context::SystemClock;
use super::error::CliError;
use crate::config::{LogFormat, Logging};

/// Libraries whose lines below a warning help nobody who runs a provider.
const QUIET: &str = "hyper=warn,hyper_util=warn,h2=warn,reqwest=warn,rustls=warn,tungstenite=warn";

/// Sends what the program logs to standard error and to the ring that `logs` reads. `RUST_LOG` overrides the configured level.
///
/// # Errors
/// The log file cannot be made, or a subscriber is installed already.
pub fn install_log(logging: &Logging) -> Result<Arc<LogRing>, CliError> {
    let ring = LogRing::open(LogRingOptions {
        file: Some(logging.file.clone()),
        ..LogRingOptions::default()
    })
    .map_err(|error| CliError::file(&logging.file, &error))?;
    let ring = Arc::new(ring);
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("{},{QUIET}", logging.level.as_str())));
    let stderr = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let stderr = match logging.format {
        LogFormat::Text => stderr.boxed(),
        LogFormat::Json => stderr.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(stderr)
        .with(RingLayer::new(Arc::clone(&ring), Arc::new(SystemClock)))
        .try_init()
        .map_err(|error| CliError::failed(format!("no log: {error}"), ""))?;
    Ok(ring)
}
