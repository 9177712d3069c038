//! The first state of a chain: accounts, providers, identity scores and rule parameters. The JSON form is the `app_state` of the
//! real test peer (`peers/chain`), with the chain id and the gas price beside it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::state::address;
use crate::state::amount::{Coins, Dec, is_denom};
use crate::state::time::BlockTime;

/// The chain id of a localnet (spec/chain.md B.1).
pub const CHAIN_ID: &str = "virtengine-localnet-1";

/// A genesis document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Genesis {
    /// The chain id that signatures bind to.
    #[serde(default = "default_chain_id")]
    pub chain_id: String,
    /// Funded accounts; account numbers follow the order.
    pub accounts: Vec<GenesisAccount>,
    /// Registered providers. There is no message that registers one (spec/chain.md F.1).
    #[serde(default)]
    pub providers: Vec<GenesisProvider>,
    /// Identity score of each address; an address without one counts as 0.
    #[serde(default)]
    pub veid: BTreeMap<String, u32>,
    /// Parameters of the rules.
    #[serde(default)]
    pub rules: Rules,
    /// The least gas price that the mempool accepts, e.g. `0.025uve`.
    #[serde(default = "default_gas_price")]
    pub min_gas_price: String,
    /// Time of the first block; absent: the time of the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<BlockTime>,
}

/// A funded account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// A name for people.
    #[serde(default)]
    pub name: String,
    /// The address.
    pub address: String,
    /// Coins, e.g. `100000000000uve`; several are separated by commas.
    pub amount: String,
}

/// A provider record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisProvider {
    /// The provider's account.
    pub owner: String,
    /// Where tenants reach it.
    pub host_uri: String,
    /// What orders match against.
    #[serde(default)]
    pub attributes: Vec<GenesisAttribute>,
    /// Contact.
    #[serde(default)]
    pub info: GenesisInfo,
}

/// Contact of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisInfo {
    /// E-mail address.
    #[serde(default)]
    pub email: String,
    /// Web site.
    #[serde(default)]
    pub website: String,
}

/// A key and a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAttribute {
    /// The key.
    pub key: String,
    /// The value.
    #[serde(default)]
    pub value: String,
}

/// Parameters of the rules, with the chain's defaults (spec/chain.md B.4, B.6, B.8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Rules {
    /// Least deposit of deployments and bids, in `uve`.
    pub min_deposit: u64,
    /// A bid is refused when the order already has more bids than this.
    pub order_max_bids: u32,
    /// The chain's share of lease earnings in percent of `uve`; other denominations pay 20 %.
    pub take_fee_percent: u32,
    /// Least life of a settlement escrow in seconds.
    pub min_escrow_seconds: u64,
    /// Longest life of a settlement escrow in seconds.
    pub max_escrow_seconds: u64,
    /// Seconds between automatic settlements.
    pub settlement_period: i64,
    /// Whether a second factor is demanded: deployments and withdrawals are then refused.
    pub mfa: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            min_deposit: 500_000,
            order_max_bids: 20,
            take_fee_percent: 2,
            min_escrow_seconds: 3600,
            max_escrow_seconds: 31_536_000,
            settlement_period: 86_400,
            mfa: false,
        }
    }
}

/// A well-known test account (spec/chain.md D.8). **The keys are public: never use them for anything of value.**
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestAccount {
    /// Its name.
    pub name: &'static str,
    /// Mnemonic, path `m/44'/118'/0'/0/0`; empty for the account that nobody can sign for.
    pub mnemonic: &'static str,
    /// The secp256k1 secret key in hex; empty for the account that nobody can sign for.
    pub secret_key_hex: &'static str,
    /// The address.
    pub address: &'static str,
    /// Identity score, 0 for none.
    pub veid: u32,
    /// Whether it is a registered provider (attribute `region=local`).
    pub provider: bool,
}

/// The test accounts in the order of their account numbers.
pub const TEST_ACCOUNTS: [TestAccount; 6] = [
    TestAccount {
        name: "validator",
        mnemonic: "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
        secret_key_hex: "c4a48e2fce1481cd3294b4490f6678090ea98d3d0e5cd984558ab0968741b104",
        address: "ve19rl4cm2hmr8afy4kldpxz3fka4jguq0aqakfsa",
        veid: 0,
        provider: false,
    },
    TestAccount {
        name: "alice",
        mnemonic: "legal winner thank year wave sausage worth useful legal winner thank yellow",
        secret_key_hex: "e0aff28c65d3d0dc3836e890414b99758a0a166291bdacd880cb1ca8a1a0e6bc",
        address: "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f",
        veid: 60,
        provider: false,
    },
    TestAccount {
        name: "charlie",
        mnemonic: "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong",
        secret_key_hex: "04dec0cc013cd8ab7087ca14960b768c3d83452448aa0064dae6fb04b5d93476",
        address: "ve1am058pdux3hyulcmfgj4m3hhrlfn8nzmm68nqg",
        veid: 20,
        provider: true,
    },
    TestAccount {
        name: "operator",
        mnemonic: "test test test test test test test test test test test junk",
        secret_key_hex: "e64e7928d4f6c06f01fefd31f760c51f59a16426e792761cd00529b76501c8a0",
        address: "ve15yk64u7zc9g9k2yr2wmzeva5qgwxps6y605mkk",
        veid: 85,
        provider: true,
    },
    TestAccount {
        name: "spare",
        mnemonic: "",
        secret_key_hex: "",
        address: "ve1wdcxzun9taskxcm0w4h8gh6lta047h6ltp2fvd",
        veid: 0,
        provider: false,
    },
    TestAccount {
        name: "bob",
        mnemonic: "letter advice cage absurd amount doctor acoustic avoid letter advice cage above",
        secret_key_hex: "a5f51adc0ad09ccae3f678abb8f081b6e51359345f92413851e915ed7d351da6",
        address: "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq",
        veid: 80,
        provider: true,
    },
];

impl TestAccount {
    /// The test account called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        TEST_ACCOUNTS.iter().find(|a| a.name == name)
    }
}

/// Why a genesis document is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// The JSON does not have the form of a genesis document.
    #[error("genesis is not readable: {0}")]
    Json(String),
    /// An address is not one of this chain.
    #[error("{place}: {address:?} is not an address with prefix \"ve\"")]
    Address {
        /// Where it stands.
        place: String,
        /// The text.
        address: String,
    },
    /// An amount is not a list of coins.
    #[error("{place}: {amount:?} is not an amount such as 100uve")]
    Amount {
        /// Where it stands.
        place: String,
        /// The text.
        amount: String,
    },
    /// The same account or provider twice.
    #[error("{place}: {address} is there twice")]
    Twice {
        /// Where it stands.
        place: String,
        /// The address.
        address: String,
    },
}

fn default_chain_id() -> String {
    CHAIN_ID.to_owned()
}

fn default_gas_price() -> String {
    "0.025uve".to_owned()
}

impl Default for Genesis {
    /// The localnet of spec/chain.md E: six accounts with 100 000 000 000 `uve` each; bob, charlie and operator are providers.
    fn default() -> Self {
        let local = || GenesisAttribute {
            key: "region".to_owned(),
            value: "local".to_owned(),
        };
        Self {
            chain_id: default_chain_id(),
            accounts: TEST_ACCOUNTS
                .iter()
                .map(|a| GenesisAccount {
                    name: a.name.to_owned(),
                    address: a.address.to_owned(),
                    amount: "100000000000uve".to_owned(),
                })
                .collect(),
            providers: TEST_ACCOUNTS
                .iter()
                .filter(|a| a.provider)
                .map(|a| GenesisProvider {
                    owner: a.address.to_owned(),
                    host_uri: "https://127.0.0.1:8443".to_owned(),
                    attributes: vec![local()],
                    info: GenesisInfo::default(),
                })
                .collect(),
            veid: TEST_ACCOUNTS
                .iter()
                .filter(|a| a.veid > 0)
                .map(|a| (a.address.to_owned(), a.veid))
                .collect(),
            rules: Rules::default(),
            min_gas_price: default_gas_price(),
            time: None,
        }
    }
}

impl Genesis {
    /// Reads the JSON form and checks it.
    ///
    /// # Errors
    /// [`GenesisError`] names the first thing that is wrong.
    pub fn from_json(text: &str) -> Result<Self, GenesisError> {
        let genesis: Self = serde_json::from_str(text).map_err(|e| GenesisError::Json(e.to_string()))?;
        genesis.check()?;
        Ok(genesis)
    }

    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Checks addresses and amounts.
    ///
    /// # Errors
    /// [`GenesisError`] names the first thing that is wrong.
    pub fn check(&self) -> Result<(), GenesisError> {
        let mut seen = std::collections::BTreeSet::new();
        for account in &self.accounts {
            let place = format!("account {:?}", account.name);
            check_address(&place, &account.address)?;
            coins_of(&account.amount).ok_or_else(|| GenesisError::Amount {
                place: place.clone(),
                amount: account.amount.clone(),
            })?;
            if !seen.insert(&account.address) {
                return Err(GenesisError::Twice {
                    place,
                    address: account.address.clone(),
                });
            }
        }
        let mut owners = std::collections::BTreeSet::new();
        for provider in &self.providers {
            check_address("providers", &provider.owner)?;
            if !owners.insert(&provider.owner) {
                return Err(GenesisError::Twice {
                    place: "providers".to_owned(),
                    address: provider.owner.clone(),
                });
            }
        }
        for address in self.veid.keys() {
            check_address("veid", address)?;
        }
        gas_price_of(&self.min_gas_price).ok_or_else(|| GenesisError::Amount {
            place: "min_gas_price".to_owned(),
            amount: self.min_gas_price.clone(),
        })?;
        Ok(())
    }
}

fn check_address(place: &str, text: &str) -> Result<(), GenesisError> {
    address::bytes(text)
        .map(|_| ())
        .ok_or_else(|| GenesisError::Address {
            place: place.to_owned(),
            address: text.to_owned(),
        })
}

/// The coins of a text such as `5uve,7zzz`.
pub(crate) fn coins_of(text: &str) -> Option<Coins> {
    let mut coins = Coins::default();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (amount, denom) = part.split_at_checked(digits)?;
        if !is_denom(denom) {
            return None;
        }
        coins.add_one(denom, amount.parse().ok()?).ok()?;
    }
    Some(coins)
}

/// The amount and denomination of a text such as `0.025uve`; an empty text is no minimum.
pub(crate) fn gas_price_of(text: &str) -> Option<(Dec, String)> {
    if text.is_empty() {
        return Some((Dec::ZERO, crate::state::amount::DENOM.to_owned()));
    }
    let digits = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'.')
        .count();
    let (amount, denom) = text.split_at_checked(digits)?;
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    if fraction.len() > 18 || !is_denom(denom) {
        return None;
    }
    let scaled = format!("{whole}{fraction:0<18}").parse().ok()?;
    Some((Dec::from_scaled(scaled), denom.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_survives_its_json_form() {
        let genesis = Genesis::default();
        assert_eq!(Genesis::from_json(&genesis.to_json()).unwrap(), genesis);
    }

    #[test]
    fn a_wrong_address_is_named() {
        let mut genesis = Genesis::default();
        genesis.accounts[1].address = "ve1nope".to_owned();
        let error = genesis.check().unwrap_err().to_string();
        assert!(error.contains("alice") && error.contains("ve1nope"), "{error}");
    }

    #[test]
    fn a_gas_price_has_eighteen_digits() {
        assert_eq!(gas_price_of("0.025uve").unwrap().0.json(), "0.025000000000000000");
        assert!(gas_price_of("x").is_none());
    }
}
