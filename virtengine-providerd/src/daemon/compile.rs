//! From the configuration file to what each part wants.

use std::time::Duration;

use virtengine_bid::limits::Limits;
use virtengine_bid::{Policy, Profile};
use virtengine_chain::ChainConfig;
use virtengine_metering::pricing::PricingInputs;
use virtengine_metering::window::Windows;
use virtengine_metering::{alerts, meter, settlement};
use virtengine_provider_core::id::Address;
use virtengine_provider_core::lifecycle::Deadlines;
use virtengine_provider_core::market::Attribute;
use virtengine_provider_core::money::{Coin, Decimal};
use virtengine_provider_core::ports::signer::PublicKey;
use virtengine_provider_core::pricing::{BlockTime, Denomination, Period, PriceTable};
use virtengine_provider_core::units::Resources;

use crate::config::{Config, PricingPeriod, SettlementMode};
use crate::provider::{Retries, Settings};

/// What cannot be used, in words for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(String);

impl Unusable {
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

fn unusable(error: impl std::fmt::Display) -> Unusable {
    Unusable(error.to_string())
}

/// Pace of the loops. The defaults are for production; a devnet has no time to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two observations of a workload.
    pub observe: Duration,
    /// Between two readings of its counters.
    pub count: Duration,
    /// Between two readings of the inventory.
    pub inventory: Duration,
    /// Between two questions about a transaction under way.
    pub tx_poll: Duration,
    /// Between two looks at the health of everything.
    pub health: Duration,
    /// How usage is cut into records, in place of `metering.interval`, which may not be under a minute.
    pub windows: Option<Windows>,
    /// Least unpaid amount that is settled while a lease runs, in base units.
    pub settle_min: Option<u128>,
    /// Between two rounds of settlement, in place of `settlement.submit_interval`.
    pub settle: Option<Duration>,
    /// Blocks between two withdrawals, in place of `settlement.withdraw_interval`.
    pub withdraw_blocks: Option<u64>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            observe: Duration::from_secs(5),
            count: Duration::from_secs(15),
            inventory: Duration::from_secs(30),
            tx_poll: Duration::from_millis(500),
            health: Duration::from_secs(5),
            windows: None,
            settle_min: None,
            settle: None,
            withdraw_blocks: None,
        }
    }
}

/// The chain client's settings.
///
/// # Errors
/// An endpoint is not an address, or a setting is out of range.
pub fn chain(config: &Config) -> Result<ChainConfig, Unusable> {
    let from = &config.chain;
    let mut chain = ChainConfig::default();
    for endpoint in &from.endpoints {
        let parsed = endpoint
            .parse()
            .map_err(|error| Unusable(format!("chain.endpoints: {endpoint}: {error}")))?;
        chain.endpoints.push(parsed);
    }
    chain.chain_id.clone_from(&from.chain_id);
    chain.denom = from.denom.clone();
    chain.display.clone_from(&from.display);
    chain.exponent = from.exponent;
    chain.address_prefix.clone_from(&from.address_prefix);
    chain.gas_price = from.gas_price;
    chain.gas_price_max = from.gas_price_max;
    chain.gas_adjustment_percent = percent(from.gas_adjustment)?;
    chain.timeout_blocks = from.timeout_blocks;
    chain.block_time = from.block_time;
    chain.request_timeout = from.request_timeout;
    chain.poll_interval = from
        .block_time
        .clamp(Duration::from_millis(50), Duration::from_secs(2));
    chain.granter = from.granter.clone();
    chain.fee_granter = from.fee_granter.clone();
    chain.check().map_err(unusable)?;
    Ok(chain)
}

/// A factor such as 1.5 in whole percent, rounded up.
fn percent(factor: Decimal) -> Result<u32, Unusable> {
    let percent = factor.mul_div_ceil(100, 1).map_err(unusable)?.ceil();
    u32::try_from(percent).map_err(unusable)
}

/// What the provider decides by.
///
/// # Errors
/// Prices or intervals cannot be used.
pub(super) fn settings(
    config: &Config,
    provider: Address,
    identity: PublicKey,
    bid_params: (Coin, u32),
    pace: &Pace,
) -> Result<Settings, Unusable> {
    let denomination = Denomination {
        denom: config.chain.denom.clone(),
        display: config.chain.display.clone(),
        exponent: config.chain.exponent,
    };
    let prices = prices(config);
    let rates = PricingInputs::from_table(&prices, &denomination).map_err(unusable)?;
    let block_time = BlockTime::try_from(config.chain.block_time).map_err(unusable)?;
    let mut policy = Policy::new(provider.clone(), prices, denomination, block_time, bid_params.0);
    policy.order_max_bids = bid_params.1;
    policy.limits = limits(config);
    policy.profile = profile(config);
    policy.allowed_owners = config.bid_engine.allowed_owners.clone();
    policy.blocked_owners = config.bid_engine.blocked_owners.clone();
    policy.order_time_to_live = config.bid_engine.order_time_to_live;
    policy.bid_time_to_live = config.bid_engine.bid_time_to_live;
    let label = config
        .metering
        .provider_id
        .clone()
        .filter(|label| *label != provider.as_str());
    Ok(Settings {
        identity,
        chain_id: config.chain.chain_id.clone(),
        policy,
        ceiling: ceiling(config),
        kept_back: config.capacity.reserved,
        manifest_timeout: config.manifest.timeout,
        deadlines: Deadlines::default(),
        retries: Retries::default(),
        metering: metering(config, pace)?,
        rates,
        provider_label: label.unwrap_or_default(),
        settlement: settlement_policy(config, &provider, pace),
        provider,
    })
}

fn prices(config: &Config) -> PriceTable {
    let from = &config.pricing;
    PriceTable {
        cpu_price_per_core: from.cpu_price_per_core,
        memory_price_per_gb: from.memory_price_per_gb,
        storage_price_per_gb: from.storage_price_per_gb,
        gpu_price_per_hour: from.gpu_price_per_hour,
        network_price_per_gb: from.network_price_per_gb,
        min_bid_price: from.min_bid_price,
        bid_markup_percent: from.bid_markup_percent,
        currency: from.currency.clone(),
        per: match from.per {
            PricingPeriod::Hour => Period::Hour,
            PricingPeriod::Month => Period::Month,
        },
    }
}

fn limits(config: &Config) -> Limits {
    let from = &config.bid_engine;
    Limits {
        max_bids_per_minute: from.max_bids_per_minute,
        max_bids_per_hour: from.max_bids_per_hour,
        max_concurrent_bids: from.max_concurrent_bids,
        max_bid_retries: from.max_bid_retries,
        bid_retry_delay: from.bid_retry_delay,
    }
}

fn profile(config: &Config) -> Profile {
    let attributes = config.provider.attributes.iter();
    Profile {
        attributes: attributes
            .map(|(key, value)| Attribute {
                key: key.clone(),
                value: value.clone(),
            })
            .collect(),
        ..Profile::default()
    }
}

fn ceiling(config: &Config) -> Resources {
    let from = &config.capacity;
    Resources {
        cpu_millis: from.total_cpu_millis.unwrap_or(u64::MAX),
        memory_bytes: from.total_memory_bytes.unwrap_or(u64::MAX),
        storage_bytes: from.total_storage_bytes.unwrap_or(u64::MAX),
        gpus: from.total_gpus.unwrap_or(u64::MAX),
    }
}

fn metering(config: &Config, pace: &Pace) -> Result<meter::Policy, Unusable> {
    let windows = match pace.windows {
        Some(windows) => windows,
        None => Windows::new(config.metering.interval).map_err(unusable)?,
    };
    let mut policy = meter::Policy::new(windows);
    policy.charges = mode(config.settlement.mode).charges_usage();
    let from = &config.metering.alerts;
    policy.alerts = alerts::Thresholds {
        high_cpu_threshold: from.high_cpu_threshold.into(),
        high_memory_threshold: from.high_memory_threshold.into(),
        low_storage_threshold: from.low_storage_threshold.into(),
    };
    Ok(policy)
}

const fn mode(from: SettlementMode) -> settlement::SettlementMode {
    match from {
        SettlementMode::LeaseStream => settlement::SettlementMode::LeaseStream,
        SettlementMode::UsageRecords => settlement::SettlementMode::UsageRecords,
        SettlementMode::Both => settlement::SettlementMode::Both,
    }
}

/// Gas of settling one order, and of putting one charge on chain (spec/chain-node.md 3), rounded up.
const SETTLE_GAS: u128 = 1_000_000;
const RECORD_GAS: u128 = 100_000;

/// What so much gas costs, in base units; more than anybody has when it cannot be computed.
fn fee(gas: u128, price: Decimal) -> u128 {
    price.mul_div_ceil(gas, 1).map_or(u128::MAX, Decimal::ceil)
}

fn settlement_policy(config: &Config, provider: &Address, pace: &Pace) -> settlement::Policy {
    let mut policy = settlement::Policy::new(mode(config.settlement.mode), provider.clone());
    let block = config.chain.block_time.as_millis().max(1);
    let blocks = config.settlement.withdraw_interval.as_millis().div_ceil(block);
    policy.withdraw_blocks = pace
        .withdraw_blocks
        .unwrap_or_else(|| u64::try_from(blocks).unwrap_or(u64::MAX));
    policy.settle_fee = fee(SETTLE_GAS, config.chain.gas_price);
    policy.record_fee = fee(RECORD_GAS, config.chain.gas_price);
    if let Some(least) = pace.settle_min {
        policy.settle_min = least;
        policy.withdraw_min = least;
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_settlement_must_bring_follows_the_gas_price() {
        let fees = |text: &str| {
            let config = crate::config::parse(text.as_bytes(), &|_| None).unwrap();
            let provider = "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq".parse().unwrap();
            let policy = settlement_policy(&config, &provider, &Pace::default());
            (policy.settle_fee, policy.record_fee)
        };
        assert_eq!(fees("{}"), (25_000, 2_500));
        assert_eq!(fees("chain: {gas_price: 0.1}"), (100_000, 10_000));
        assert_eq!(fees("chain: {gas_price: 0.00000001}"), (1, 1));
    }
}
