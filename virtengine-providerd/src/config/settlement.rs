use std::time::Duration;

use serde::Serialize;
use virtengine_provider_core::document::{Cursor, Problems};

use super::section::{HOUR, Section, duration_text, seconds};

/// How money comes in (DESIGN 4.20).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settlement {
    /// Which of the chain's two payment systems.
    pub mode: SettlementMode,
    /// How often earned money is withdrawn from the escrows of leases. Each withdrawal costs a fee.
    #[serde(serialize_with = "duration_text")]
    pub withdraw_interval: Duration,
    /// How long usage records may wait for others to share a transaction with.
    #[serde(serialize_with = "duration_text")]
    pub submit_interval: Duration,
}

/// The chain's payment systems; they do not know each other (spec/chain.md 0.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettlementMode {
    /// The escrow of a lease pays per block; we withdraw.
    LeaseStream,
    /// We submit usage records to the settlement module and settle.
    UsageRecords,
    /// Both.
    Both,
}

impl Settlement {
    pub(super) const KEYS: &[&str] = &["mode", "withdraw_interval", "submit_interval"];

    pub(super) fn read(at: Option<Cursor<'_, '_>>, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "settlement", Self::KEYS, problems);
        let modes = [
            ("lease-stream", SettlementMode::LeaseStream),
            ("usage-records", SettlementMode::UsageRecords),
            ("both", SettlementMode::Both),
        ];
        Self {
            mode: section.one_of("mode", &modes, SettlementMode::LeaseStream),
            withdraw_interval: section.duration(
                "withdraw_interval",
                seconds(HOUR),
                seconds(60)..=seconds(720 * HOUR),
            ),
            submit_interval: section.duration(
                "submit_interval",
                seconds(300),
                seconds(1)..=seconds(24 * HOUR),
            ),
        }
    }
}
