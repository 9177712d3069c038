use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use virtengine_provider_core::document::{Code, Cursor, Problems};
use virtengine_provider_core::id::Address;

use super::chain::account;
use super::section::{HOUR, Section, duration_text, seconds};

/// How many bids, how often. The defaults of the first seven are those of the training document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BidEngine {
    /// Bids in any minute.
    pub max_bids_per_minute: u32,
    /// Bids in any hour.
    pub max_bids_per_hour: u32,
    /// Bids whose transaction is under way at once.
    pub max_concurrent_bids: u32,
    /// Wait before a bid whose transaction was refused for a passing reason is sent again.
    #[serde(serialize_with = "duration_text")]
    pub bid_retry_delay: Duration,
    /// How often it is sent again.
    pub max_bid_retries: u32,
    /// How often the configuration file is looked at for changes.
    #[serde(serialize_with = "duration_text")]
    pub config_poll_interval: Duration,
    /// How often open orders are compared with the journal, in case a block's events were missed.
    #[serde(serialize_with = "duration_text")]
    pub order_poll_interval: Duration,
    /// How long an order may wait for a decision; then it counts as expired.
    #[serde(serialize_with = "duration_text")]
    pub order_time_to_live: Duration,
    /// How long a bid may wait for its tenant, with our deposit and capacity in it; then it is closed.
    #[serde(serialize_with = "duration_text")]
    pub bid_time_to_live: Duration,
    /// Tenants who are served; empty: all that are not blocked.
    pub allowed_owners: BTreeSet<Address>,
    /// Tenants who are never served.
    pub blocked_owners: BTreeSet<Address>,
}

impl BidEngine {
    pub(super) const KEYS: &[&str] = &[
        "max_bids_per_minute",
        "max_bids_per_hour",
        "max_concurrent_bids",
        "bid_retry_delay",
        "max_bid_retries",
        "config_poll_interval",
        "order_poll_interval",
        "order_time_to_live",
        "bid_time_to_live",
        "allowed_owners",
        "blocked_owners",
    ];

    pub(super) fn read(at: Option<Cursor<'_, '_>>, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "bid_engine", Self::KEYS, problems);
        let engine = Self {
            max_bids_per_minute: section.integer("max_bids_per_minute", 10, 1..=10_000),
            max_bids_per_hour: section.integer("max_bids_per_hour", 100, 1..=600_000),
            max_concurrent_bids: section.integer("max_concurrent_bids", 5, 1..=1000),
            bid_retry_delay: section.duration(
                "bid_retry_delay",
                seconds(5),
                Duration::from_millis(100)..=seconds(HOUR),
            ),
            max_bid_retries: section.integer("max_bid_retries", 3, 0..=100),
            config_poll_interval: section.duration(
                "config_poll_interval",
                seconds(30),
                seconds(1)..=seconds(24 * HOUR),
            ),
            order_poll_interval: section.duration(
                "order_poll_interval",
                seconds(5),
                seconds(1)..=seconds(HOUR),
            ),
            order_time_to_live: section.duration(
                "order_time_to_live",
                seconds(HOUR),
                seconds(10)..=seconds(168 * HOUR),
            ),
            bid_time_to_live: section.duration(
                "bid_time_to_live",
                seconds(900),
                seconds(10)..=seconds(168 * HOUR),
            ),
            allowed_owners: section.list("allowed_owners", account).into_iter().collect(),
            blocked_owners: section.list("blocked_owners", account).into_iter().collect(),
        };
        if engine.max_bids_per_hour < engine.max_bids_per_minute {
            section.error(
                Code::Conflict,
                "max_bids_per_hour",
                "must not be below max_bids_per_minute",
                "",
            );
        }
        if engine
            .allowed_owners
            .intersection(&engine.blocked_owners)
            .next()
            .is_some()
        {
            section.error(
                Code::Conflict,
                "blocked_owners",
                "an address is both allowed and blocked",
                "",
            );
        }
        engine
    }
}
