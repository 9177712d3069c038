use serde::{Deserialize, Serialize};
use virtengine_provider_core::id::Height;
use virtengine_provider_core::time::Timestamp;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    /// All is well.
    Ok,
    /// Could not be checked, because something before it failed.
    Skipped,
    /// Works, and needs a look.
    Warning,
    /// Does not work.
    Failed,
}

/// One check of the doctor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorCheck {
    /// Stable name, e.g. `chain.reachable`.
    pub name: String,
    /// How it came out.
    pub outcome: CheckOutcome,
    /// What was found.
    pub message: String,
    /// What to do about it; empty when all is well.
    pub remedy: String,
}

/// The answer to `doctor`: facts that help to find what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DoctorReport {
    /// Every check, in the order in which things depend on each other.
    pub checks: Vec<DoctorCheck>,
}

impl DoctorReport {
    /// The worst outcome; [`CheckOutcome::Ok`] without checks.
    #[must_use]
    pub fn worst(&self) -> CheckOutcome {
        self.checks
            .iter()
            .map(|check| check.outcome)
            .max()
            .unwrap_or(CheckOutcome::Ok)
    }
}

/// The answer to `chain ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainPing {
    /// The chain that was asked for.
    pub chain_id: String,
    /// Whether at least one endpoint is usable.
    pub usable: bool,
    /// Each endpoint.
    pub endpoints: Vec<EndpointPing>,
}

/// What one endpoint of the chain answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPing {
    /// Its address, without credentials.
    pub url: String,
    /// Whether it answered and is of the right chain.
    pub usable: bool,
    /// How long it took.
    pub latency_ms: Option<u64>,
    /// The chain that it is of.
    pub chain_id: Option<String>,
    /// Its newest block.
    pub height: Option<Height>,
    /// When that block was made.
    #[serde(with = "crate::rfc3339::option")]
    pub block_at: Option<Timestamp>,
    /// Whether it is still catching up.
    pub catching_up: Option<bool>,
    /// What is wrong; empty when all is well.
    pub message: String,
}
