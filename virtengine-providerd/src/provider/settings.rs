//! What the operator decided beforehand. Settings are not part of the state: they come from the configuration at each start.

use std::time::Duration;

use virtengine_bid::Policy;
use virtengine_metering::pricing::PricingInputs;
use virtengine_metering::{meter, settlement};
use virtengine_provider_core::id::Address;
use virtengine_provider_core::lifecycle::Deadlines;
use virtengine_provider_core::ports::signer::PublicKey;
use virtengine_provider_core::units::Resources;

/// What the operator decided beforehand.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our account.
    pub provider: Address,
    /// The identity key, which signs usage records.
    pub identity: PublicKey,
    /// The chain that we serve.
    pub chain_id: String,
    /// What to bid on, at what price.
    pub policy: Policy,
    /// The configured total.
    pub ceiling: Resources,
    /// What the operator keeps back.
    pub kept_back: Resources,
    /// How long to wait for a manifest.
    pub manifest_timeout: Duration,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// How failed things are tried again.
    pub retries: Retries,
    /// How usage is cut into records, when a record is suspicious, when to alert.
    pub metering: meter::Policy,
    /// What usage costs.
    pub rates: PricingInputs,
    /// A label of the operator's in usage records (`metering.provider_id`); usually empty.
    pub provider_label: String,
    /// How leases are paid.
    pub settlement: settlement::Policy,
}

/// How failed things are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// First pause before an adapter call is repeated; doubled each time.
    pub pause_first: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// How often a failed workload is deployed again before its lease is given up.
    pub redeploys: u32,
    /// Pause before a transaction that was refused is tried again.
    pub tx_pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            pause_first: Duration::from_secs(1),
            pause_max: Duration::from_secs(60),
            redeploys: 3,
            tx_pause: Duration::from_secs(10),
        }
    }
}

impl Retries {
    /// The pause before attempt number `attempt` (from 1).
    #[must_use]
    pub fn pause(&self, attempt: u32) -> Duration {
        let doubled = self
            .pause_first
            .saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1).min(16)));
        doubled.min(self.pause_max)
    }
}
