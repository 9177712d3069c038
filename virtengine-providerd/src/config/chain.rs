use std::time::Duration;

use serde::Serialize;
use virtengine_chain::rpc::EndpointUrl;
use virtengine_provider_core::document::{Code, Cursor, Problems};
use virtengine_provider_core::id::Address;
use virtengine_provider_core::money::{Decimal, Denom};

use super::section::{Section, duration_text, seconds, url};

/// Where the chain is and how to pay on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// CometBFT RPC endpoints; the freshest that agrees with the others is used.
    pub endpoints: Vec<String>,
    /// The chain that every endpoint must be of.
    pub chain_id: String,
    /// Base denomination of deposits, prices and fees.
    pub denom: Denom,
    /// Name of the money on screens; what `pricing.currency` means.
    pub display: String,
    /// One `display` is 10 to this power of `denom`.
    pub exponent: u8,
    /// Human-readable part of addresses.
    pub address_prefix: String,
    /// Price of one gas, in `denom`.
    pub gas_price: Decimal,
    /// The most that one gas may cost when the chain's floor rises, in `denom`.
    pub gas_price_max: Decimal,
    /// Gas limit as a multiple of the simulated gas.
    pub gas_adjustment: Decimal,
    /// Blocks in which a transaction must land.
    pub timeout_blocks: u64,
    /// Time between two blocks, until it has been measured.
    #[serde(serialize_with = "duration_text")]
    pub block_time: Duration,
    /// How long one request may take.
    #[serde(serialize_with = "duration_text")]
    pub request_timeout: Duration,
    /// Account that we act for by its authz grants.
    pub granter: Option<Address>,
    /// Account that pays our fees by its fee grant.
    pub fee_granter: Option<Address>,
}

impl Chain {
    pub(super) const KEYS: &[&str] = &[
        "endpoints",
        "chain_id",
        "denom",
        "display",
        "exponent",
        "address_prefix",
        "gas_price",
        "gas_price_max",
        "gas_adjustment",
        "timeout_blocks",
        "block_time",
        "request_timeout",
        "granter",
        "fee_granter",
    ];

    pub(super) fn read(at: Option<Cursor<'_, '_>>, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "chain", Self::KEYS, problems);
        let mut endpoints = section.list("endpoints", endpoint);
        if endpoints.len() > ENDPOINTS_MAX {
            let message = format!("{} endpoints are more than {ENDPOINTS_MAX}", endpoints.len());
            section.error(Code::MaxExceeded, "endpoints", message, "");
        }
        if endpoints.is_empty() {
            if section.has("endpoints") {
                section.error(
                    Code::RequiredField,
                    "endpoints",
                    "at least one endpoint is needed",
                    "",
                );
            }
            endpoints.push("http://127.0.0.1:26657".to_owned());
        }
        let denom = section.with("denom", denom).unwrap_or_else(default_denom);
        let legal_prefix = |text: &str| {
            text.len() <= 20
                && text.bytes().all(|b| b.is_ascii_lowercase())
                && Address::from_bytes(text, &[0; 20]).is_ok()
        };
        let chain_id = section.text_that("chain_id", "the name of a chain, of at most 50 bytes", |text| {
            text.len() <= 50
        });
        let chain = Self {
            endpoints,
            chain_id: chain_id.unwrap_or_else(|| "virtengine-1".to_owned()),
            denom,
            display: section.text_or("display", "VIRT"),
            exponent: section
                .with("exponent", |at, problems| at.integer(0..=18, problems))
                .and_then(|number| u8::try_from(number).ok())
                .unwrap_or(6),
            address_prefix: section
                .text_that("address_prefix", "a prefix of addresses such as ve", legal_prefix)
                .unwrap_or_else(|| "ve".to_owned()),
            gas_price: section.decimal("gas_price", "0.025"),
            gas_price_max: section.decimal("gas_price_max", "0.25"),
            gas_adjustment: section.decimal("gas_adjustment", "1.5"),
            timeout_blocks: section.integer("timeout_blocks", 20, 2..=1000).into(),
            block_time: section.duration(
                "block_time",
                seconds(6),
                Duration::from_millis(100)..=seconds(600),
            ),
            request_timeout: section.duration("request_timeout", seconds(10), seconds(1)..=seconds(120)),
            granter: section.with("granter", account),
            fee_granter: section.with("fee_granter", account),
        };
        // Below 1.5 a simulation that comes out too low makes transactions fail; the client of the chain refuses it.
        let percent = chain.gas_adjustment.mul_div_ceil(100, 1).map(Decimal::ceil);
        if !percent.is_ok_and(|percent| (150..=500).contains(&percent)) {
            section.error(
                Code::InvalidValue,
                "gas_adjustment",
                "must be between 1.5 and 5",
                "",
            );
        }
        if chain.gas_price_max < chain.gas_price {
            section.error(Code::Conflict, "gas_price_max", "must not be below gas_price", "");
        }
        chain
    }
}

/// Most endpoints; each is asked for its height all the time.
const ENDPOINTS_MAX: usize = 16;

/// A URL that the client of the chain takes. A wrong one keeps its place in the list: the list is not empty because of it.
fn endpoint(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<String> {
    let Some(text) = url(at, problems) else {
        return Some(String::new());
    };
    if let Err(error) = text.parse::<EndpointUrl>() {
        // Without the text: it may be a secret in the wrong place.
        problems.error(Code::InvalidValue, at, error.to_string());
    }
    Some(text)
}

fn default_denom() -> Denom {
    "uve".parse().expect("three letters are a denomination")
}

fn denom(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<Denom> {
    let scalar = at.scalar(problems)?;
    let parsed = scalar.text.parse().ok();
    if parsed.is_none() {
        let message = format!("{} is not a denomination", scalar.shown());
        problems.error_hint(Code::InvalidValue, at, message, "for example uve");
    }
    parsed
}

pub(super) fn account(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<Address> {
    let scalar = at.scalar(problems)?;
    let parsed = scalar.text.parse().ok();
    if parsed.is_none() {
        let message = format!("{} is not an address", scalar.shown());
        problems.error(Code::InvalidValue, at, message);
    }
    parsed
}
