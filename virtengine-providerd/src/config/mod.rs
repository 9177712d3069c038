//! The configuration file: found by [`locate`], read by [`load`], described by [`template`].
//!
//! It is YAML with `${VAR}` and `${VAR:-default}` in its values. Reading reports every problem at once, each with its line and
//! column; a [`Config`] is one that has none. Every section may be absent: its defaults are those of the training document.
//!
//! What is legal but cannot be used as it stands is not a problem of the file and is kept beside it: what this build does not
//! have ([`Config::unavailable`]), sample values that must be replaced ([`Config::placeholders`]), and both together with a
//! missing back end ([`Config::blockers`]). The caller decides: `config validate` and `doctor` show them, `start` refuses.

pub mod adapters;
mod bid_engine;
mod capacity;
mod chain;
mod error;
mod expand;
mod gateway;
mod key_manager;
mod load;
mod locate;
mod logging;
mod manifest;
mod metering;
mod parse;
mod pricing;
mod provider;
mod secret;
mod section;
mod settlement;
mod storage;
mod template;
#[cfg(test)]
mod tests;

use serde::Serialize;
use virtengine_provider_core::document::{Code, Problem};

pub use self::adapters::Adapters;
pub use self::bid_engine::BidEngine;
pub use self::capacity::Capacity;
pub use self::chain::Chain;
pub use self::error::ConfigError;
pub use self::gateway::{Gateway, Tls};
pub use self::key_manager::{Hsm, KeyManager, KeyStorage, Ledger, NonCustodial, SignerProtocol};
pub use self::load::{Loaded, load, load_with};
pub use self::locate::{DEFAULT_PATH, Located, PATH_VARIABLE, Source, locate};
pub use self::logging::{LogFormat, LogLevel, Logging};
pub use self::manifest::Manifest;
pub use self::metering::{Alerts, Metering};
pub use self::parse::parse;
pub use self::pricing::{Pricing, PricingPeriod};
pub use self::provider::{Provider, ProviderAddress};
pub use self::secret::Secret;
pub use self::settlement::{Settlement, SettlementMode};
pub use self::storage::Storage;
pub use self::template::template;

/// Everything that the operator sets. Serializes to the effective configuration, secrets redacted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// Who we are.
    pub provider: Provider,
    /// Where the chain is and how to pay on it.
    pub chain: Chain,
    /// How many bids, how often.
    pub bid_engine: BidEngine,
    /// What things cost.
    pub pricing: Pricing,
    /// What may be sold.
    pub capacity: Capacity,
    /// Where keys are.
    pub key_manager: KeyManager,
    /// Where workloads run.
    pub adapters: Adapters,
    /// How usage is measured.
    pub metering: Metering,
    /// How money comes in.
    pub settlement: Settlement,
    /// Where state is kept.
    pub storage: Storage,
    /// Who may talk to us, and how.
    pub gateway: Gateway,
    /// What is logged.
    pub logging: Logging,
    /// How manifests are awaited.
    pub manifest: Manifest,
    #[serde(skip)]
    notices: Vec<Problem>,
}

impl Config {
    /// The configuration of an empty file.
    #[must_use]
    pub fn defaults() -> Self {
        parse(b"{}", &|_| None).expect("an empty file has no problems; the tests check it")
    }

    /// Everything worth saying that is not wrong, in the order of the file.
    #[must_use]
    pub fn notices(&self) -> &[Problem] {
        &self.notices
    }

    /// What is asked for and this build does not have: back ends that are enabled, a kind of key storage.
    #[must_use]
    pub fn unavailable(&self) -> Vec<Problem> {
        self.of(Code::NotAvailable)
    }

    /// What must be replaced or filled in before the daemon can start, e.g. the sample address of the training document.
    #[must_use]
    pub fn placeholders(&self) -> Vec<Problem> {
        self.of(Code::Placeholder)
    }

    /// Everything that keeps the daemon from starting although the file is valid, in the order of the file: placeholders, what
    /// this build does not have, and no back end at all.
    #[must_use]
    pub fn blockers(&self) -> Vec<Problem> {
        let blocks = |notice: &&Problem| {
            matches!(
                notice.code,
                Code::Placeholder | Code::NotAvailable | Code::RequiredField
            )
        };
        self.notices.iter().filter(blocks).cloned().collect()
    }

    fn of(&self, code: Code) -> Vec<Problem> {
        let found = self.notices.iter().filter(|notice| notice.code == code);
        found.cloned().collect()
    }
}
