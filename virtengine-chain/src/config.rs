//! Settings of the chain client, with defaults and their reasons.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtengine_provider_core::id::Address;
use virtengine_provider_core::money::{Decimal, Denom};

use crate::rpc::EndpointUrl;
use crate::tx::SignMode;

/// Which chain, through which endpoints, and how transactions are priced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ChainConfig {
    /// CometBFT RPC endpoints: `http://`, `https://` or `tcp://`. Several are better than one: the freshest that agrees with
    /// the others is used.
    pub endpoints: Vec<EndpointUrl>,
    /// The chain that every endpoint must be of.
    pub chain_id: String,
    /// Base denomination of deposits, prices and fees.
    pub denom: Denom,
    /// Name of the money on screens.
    pub display: String,
    /// One `display` is 10 to this power of `denom`.
    pub exponent: u8,
    /// Human-readable part of addresses.
    pub address_prefix: String,
    /// Price of one gas in `denom`. Default 0.025: what the chain's own tools use (spec/chain.md B.1).
    pub gas_price: Decimal,
    /// The most that one gas may cost when the chain's floor rises. Default 0.25: the floor rises to ten times at most.
    pub gas_price_max: Decimal,
    /// Gas limit in percent of the simulated gas, at least 150. Default 160: simulations were measured up to 23 % too low,
    /// and 130 % is too tight (spec/chain-node.md 2.2).
    pub gas_adjustment_percent: u32,
    /// The most gas of one transaction. Default 20,000,000: a batch of twenty settlements.
    pub gas_max: u64,
    /// Blocks in which a transaction may land when the caller gives no time. Default 20: two minutes at 6 s, short enough to
    /// know soon, long enough for a slow mempool.
    pub timeout_blocks: u64,
    /// Transactions that we send in one block, 1 to 10. Default 5: the chain takes 10 per account, but its counter is shared
    /// by checking and delivering (spec/chain.md B.1).
    pub txs_per_block: u32,
    /// How long one request may take, answer included. Default 10 s.
    #[serde(with = "duration_text")]
    pub request_timeout: Duration,
    /// How often the head is asked for when no block announces itself. Default 2 s.
    #[serde(with = "duration_text")]
    pub poll_interval: Duration,
    /// Block time that is assumed until it has been measured. Default 6 s.
    #[serde(with = "duration_text")]
    pub block_time: Duration,
    /// An endpoint that is further behind the best one is not asked, unless its newest block is younger than so many blocks take by
    /// `block_time`: then it is the others that say too much. Default 5 blocks.
    pub lag_blocks_max: u64,
    /// Largest answer that is read, in bytes. Default 32 MiB: results of a full block.
    pub response_bytes_max: usize,
    /// Items per page of a list. Default 200.
    pub page_limit: u64,
    /// Whether blocks announce themselves over WebSocket; polling goes on in any case. Default true.
    pub websocket: bool,
    /// Act for this account by its authz grants: messages are sent inside `MsgExec` (spec/chain.md D.5).
    pub granter: Option<Address>,
    /// Let this account pay the fees by its fee grant.
    pub fee_granter: Option<Address>,
    /// What the account key signs: `direct`, or `amino_json` for a Ledger.
    pub sign_mode: SignMode,
}

impl Default for ChainConfig {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            chain_id: "virtengine-1".to_owned(),
            denom: "uve".parse().expect("three letters are a denomination"),
            display: "VIRT".to_owned(),
            exponent: 6,
            address_prefix: "ve".to_owned(),
            gas_price: Decimal::from_scaled(25_000_000_000_000_000),
            gas_price_max: Decimal::from_scaled(250_000_000_000_000_000),
            gas_adjustment_percent: 160,
            gas_max: 20_000_000,
            timeout_blocks: 20,
            txs_per_block: 5,
            request_timeout: Duration::from_secs(10),
            poll_interval: Duration::from_secs(2),
            block_time: Duration::from_secs(6),
            lag_blocks_max: 5,
            response_bytes_max: 32 << 20,
            page_limit: 200,
            websocket: true,
            granter: None,
            fee_granter: None,
            sign_mode: SignMode::Direct,
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("chain.{field}: {problem}")]
pub struct ConfigProblem {
    /// Which.
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// Every setting that cannot be used, at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ConfigError(pub Vec<ConfigProblem>);

/// Longest time that a transaction may stay undecided, in blocks; also what an endpoint's history must cover before its
/// "not found" counts.
pub(crate) const TIMEOUT_BLOCKS_MAX: u64 = 1000;

impl ChainConfig {
    /// Settings for `chain_id` behind one endpoint, the rest as by default.
    #[must_use]
    pub fn new(chain_id: impl Into<String>, endpoint: EndpointUrl) -> Self {
        Self {
            chain_id: chain_id.into(),
            endpoints: vec![endpoint],
            ..Self::default()
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems(Vec::new());
        self.check_chain(&mut problems);
        self.check_gas(&mut problems);
        self.check_bounds(&mut problems);
        if problems.0.is_empty() {
            Ok(())
        } else {
            Err(ConfigError(problems.0))
        }
    }

    fn check_chain(&self, problems: &mut Problems) {
        let (named, few) = (!self.endpoints.is_empty(), self.endpoints.len() <= 16);
        problems.unless(
            named,
            "endpoints",
            "name at least one, e.g. http://127.0.0.1:26657",
        );
        problems.unless(few, "endpoints", "at most 16");
        let chain_id = (1..=50).contains(&self.chain_id.len());
        problems.unless(chain_id, "chain_id", "1 to 50 characters");
        let prefix = Address::from_bytes(&self.address_prefix, &[0; 20]);
        problems.unless(prefix.is_ok(), "address_prefix", "not a bech32 prefix such as ve");
        problems.unless(self.exponent <= 18, "exponent", "at most 18");
        let amino = self.sign_mode == SignMode::AminoJson;
        problems.unless(
            !amino || self.granter.is_none(),
            "sign_mode",
            "amino_json cannot act for a granter",
        );
    }

    fn check_gas(&self, problems: &mut Problems) {
        problems.unless(
            self.gas_price <= self.gas_price_max,
            "gas_price_max",
            "below gas_price",
        );
        let percent = (150..=500).contains(&self.gas_adjustment_percent);
        problems.unless(percent, "gas_adjustment_percent", "150 to 500");
        let gas_max = (200_000..=1_000_000_000).contains(&self.gas_max);
        problems.unless(gas_max, "gas_max", "200000 to 1000000000");
        let blocks = (2..=TIMEOUT_BLOCKS_MAX).contains(&self.timeout_blocks);
        problems.unless(blocks, "timeout_blocks", "2 to 1000");
        let txs = (1..=10).contains(&self.txs_per_block);
        problems.unless(txs, "txs_per_block", "1 to 10");
    }

    fn check_bounds(&self, problems: &mut Problems) {
        let between = |low, high| Duration::from_millis(low)..=Duration::from_secs(high);
        let timeout = between(100, 120).contains(&self.request_timeout);
        problems.unless(timeout, "request_timeout", "100ms to 120s");
        let poll = between(50, 300).contains(&self.poll_interval);
        problems.unless(poll, "poll_interval", "50ms to 5m");
        let block = between(10, 600).contains(&self.block_time);
        problems.unless(block, "block_time", "10ms to 10m");
        let lag = (1..=1000).contains(&self.lag_blocks_max);
        problems.unless(lag, "lag_blocks_max", "1 to 1000");
        let bytes = (64 << 10..=1 << 30).contains(&self.response_bytes_max);
        problems.unless(bytes, "response_bytes_max", "64 KiB to 1 GiB");
        let page = (1..=1000).contains(&self.page_limit);
        problems.unless(page, "page_limit", "1 to 1000");
    }
}

struct Problems(Vec<ConfigProblem>);

impl Problems {
    fn unless(&mut self, fine: bool, field: &'static str, problem: &str) {
        if !fine {
            self.0.push(ConfigProblem {
                field,
                problem: problem.to_owned(),
            });
        }
    }
}

/// Durations as text with a unit, e.g. `10s`.
mod duration_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|error| {
            serde::de::Error::custom(format!("{text:?} is not a duration such as 10s: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_at_once() {
        let config = ChainConfig {
            gas_adjustment_percent: 130,
            txs_per_block: 11,
            ..ChainConfig::default()
        };
        let fields: Vec<_> = config
            .check()
            .unwrap_err()
            .0
            .iter()
            .map(|each| each.field)
            .collect();
        assert_eq!(fields, ["endpoints", "gas_adjustment_percent", "txs_per_block"]);
    }

    #[test]
    fn settings_survive_their_text_form() {
        let config = ChainConfig::new("virtengine-localnet-1", "tcp://127.0.0.1:26657".parse().unwrap());
        config.check().unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains(r#""request_timeout":"10s""#), "{text}");
        assert_eq!(serde_json::from_str::<ChainConfig>(&text).unwrap(), config);
        assert!(serde_json::from_str::<ChainConfig>(r#"{"endpoint":"http://x"}"#).is_err());
    }
}
