use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use virtengine_provider_core::document::{Code, Cursor, Problems};
use virtengine_provider_core::id::Address;

use super::Chain;
use super::section::{ITEMS_MAX, Section};

/// Who we are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Provider {
    /// The account that owns the provider record, its funds and its bids.
    pub address: Option<ProviderAddress>,
    /// Name for people.
    pub name: Option<String>,
    /// Whom tenants can write to.
    pub contact_email: Option<String>,
    /// Where tenants can read about us.
    pub website: Option<String>,
    /// Base of our API as tenants reach it; part of the provider record on chain.
    pub host_uri: Option<String>,
    /// What we offer beyond resources, e.g. `region: us-east`; part of the provider record on chain.
    pub attributes: BTreeMap<String, String>,
    /// Same as `storage.dir`.
    #[serde(skip)]
    pub state_dir: Option<PathBuf>,
}

/// The provider's address as the file states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ProviderAddress {
    /// A checked address with the chain's prefix.
    Account(Address),
    /// A sample such as `virtengine1provider...`, to be replaced before the daemon starts.
    Placeholder(String),
}

impl Provider {
    pub(super) const KEYS: &[&str] = &[
        "address",
        "name",
        "contact_email",
        "website",
        "host_uri",
        "region",
        "attributes",
        "state_dir",
    ];

    /// The account, once the sample has been replaced.
    #[must_use]
    pub const fn account(&self) -> Option<&Address> {
        match &self.address {
            Some(ProviderAddress::Account(address)) => Some(address),
            _ => None,
        }
    }

    pub(super) fn read(at: Option<Cursor<'_, '_>>, chain: &Chain, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "provider", Self::KEYS, problems);
        let address = section.with("address", |at, problems| {
            address(at, &chain.address_prefix, problems)
        });
        if !section.has("address") {
            section.notice(
                Code::Placeholder,
                "address",
                "the provider's address is not set",
                "keys status shows it",
            );
        }
        let mut attributes = section.with("attributes", attributes).unwrap_or_default();
        if let Some(region) = section.text("region") {
            let other = attributes.insert("region".to_owned(), region.clone());
            if other.is_some_and(|other| other != region) {
                section.error(
                    Code::Conflict,
                    "region",
                    "attributes.region says something else",
                    "",
                );
            }
        }
        section.without_effect(
            &["name", "contact_email", "website"],
            "it is told neither to tenants nor to the chain",
        );
        Self {
            address,
            name: section.text("name"),
            contact_email: section.text_that("contact_email", "an e-mail address", |text| {
                text.split_once('@')
                    .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
            }),
            website: section.url("website"),
            host_uri: section.url("host_uri"),
            attributes,
            state_dir: section.path("state_dir"),
        }
    }
}

fn address(at: Cursor<'_, '_>, prefix: &str, problems: &mut Problems) -> Option<ProviderAddress> {
    let scalar = at.scalar(problems)?;
    let text = &*scalar.text;
    if text.ends_with("...") || text.ends_with('…') || (text.starts_with('<') && text.ends_with('>')) {
        problems.notice(
            Code::Placeholder,
            at,
            format!("{} is a placeholder address", scalar.shown()),
            Some(format!(
                "replace it by your {prefix}1... address before start; keys status shows it"
            )),
        );
        return Some(ProviderAddress::Placeholder(text.to_owned()));
    }
    match text.parse::<Address>() {
        Ok(address) if address.prefix() == prefix => Some(ProviderAddress::Account(address)),
        Ok(address) => {
            let message = format!("the address begins with {}, not with {prefix}", address.prefix());
            problems.error_hint(
                Code::InvalidValue,
                at,
                message,
                "the chain's prefix is chain.address_prefix",
            );
            None
        }
        Err(_) => {
            let message = format!("{} is not an address", scalar.shown());
            problems.error_hint(
                Code::InvalidValue,
                at,
                message,
                "check for a missing or wrong letter; the last six are a checksum",
            );
            None
        }
    }
}

fn attributes(at: Cursor<'_, '_>, problems: &mut Problems) -> Option<BTreeMap<String, String>> {
    let fields = at.map(problems)?;
    if fields.len() > ITEMS_MAX {
        problems.error(Code::MaxExceeded, at, format!("more than {ITEMS_MAX} attributes"));
    }
    let mut attributes = BTreeMap::new();
    for (key, span, value) in fields.iter().take(ITEMS_MAX) {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/');
        if key.len() > 128 || !key.bytes().all(legal) {
            let hint = Some("letters, digits and _ - . /".to_owned());
            problems.error_at(
                Code::InvalidName,
                &value.path,
                span,
                "not a key of an attribute",
                hint,
            );
        }
        if let Some(text) = value.filled_text(problems) {
            attributes.insert(key.to_owned(), text.to_owned());
        }
    }
    Some(attributes)
}
