//! Wire messages into what `virtengine-provider-core` talks about, and back. Reading is strict: whatever does not fit is a
//! [`WireError`] that names the field, never a panic and never a silent zero.

mod deployment;
mod group;
mod id;
mod market;
mod money;
mod provider;
mod settlement;

pub use deployment::deployment;
pub use group::{group_spec, group_spec_to_wire};
pub use id::{
    address, bid_id, bid_id_to_wire, deployment_id, deployment_id_to_wire, group_id, group_id_to_wire,
    lease_id, lease_id_to_wire, order_id, order_id_to_wire,
};
pub use market::{bid, bid_params, lease, order};
pub use money::{coin, coin_to_wire, coins, deposit, deposit_to_wire, price, price_to_wire};
pub use provider::{heartbeat, heartbeat_to_wire, provider, provider_to_wire};
pub use settlement::{escrow, usage};

use virtengine_provider_core::id::Height;

/// What is wrong with a wire message, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A sub-message that is always sent is absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field holds something that it must not.
    #[error("{field} holds {value}, expected {expected}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it holds, shortened.
        value: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// The bytes are no such protobuf message.
    #[error("{what} cannot be decoded: {why}")]
    Protobuf {
        /// Which message.
        what: String,
        /// The decoder's words.
        why: String,
    },
    /// The message says something that our vocabulary has no word for.
    #[error("{0} cannot be represented")]
    Unsupported(&'static str),
    /// A type URL that we do not know.
    #[error("unknown message type {0:?}")]
    UnknownType(String),
}

/// Longest excerpt of foreign text in an error.
const EXCERPT_CHARS: usize = 80;

impl WireError {
    pub(crate) fn field(field: &'static str, value: impl std::fmt::Debug, expected: &'static str) -> Self {
        let value: String = format!("{value:?}").chars().take(EXCERPT_CHARS).collect();
        Self::Field {
            field,
            value,
            expected,
        }
    }

    pub(crate) fn unknown_type(type_url: &str) -> Self {
        Self::UnknownType(type_url.chars().take(EXCERPT_CHARS).collect())
    }

    pub(crate) fn protobuf(what: impl Into<String>, why: &prost::DecodeError) -> Self {
        Self::Protobuf {
            what: what.into(),
            why: why.to_string(),
        }
    }
}

/// Decodes a message, naming it in the error.
///
/// # Errors
/// [`WireError::Protobuf`].
pub fn decode<M: prost::Message + Default + prost::Name>(bytes: &[u8]) -> Result<M, WireError> {
    M::decode(bytes).map_err(|error| WireError::protobuf(M::full_name(), &error))
}

fn height(field: &'static str, value: i64) -> Result<Height, WireError> {
    u64::try_from(value)
        .map(Height)
        .map_err(|_| WireError::field(field, value, "a block height"))
}

fn required<'a, T>(field: &'static str, value: Option<&'a T>) -> Result<&'a T, WireError> {
    value.ok_or(WireError::Missing(field))
}

/// Keeps what can be read.
pub(crate) fn readable<W, T>(
    what: &'static str,
    items: &[W],
    read: impl Fn(&W) -> Result<T, WireError>,
) -> Vec<T> {
    let keep = |item| match read(item) {
        Ok(item) => Some(item),
        Err(error) => {
            tracing::warn!(what, %error, "left out of a list: it cannot be read");
            None
        }
    };
    items.iter().filter_map(keep).collect()
}

pub(crate) fn hash(field: &'static str, bytes: &[u8]) -> Result<[u8; 32], WireError> {
    bytes
        .try_into()
        .map_err(|_| WireError::field(field, bytes.len(), "32 bytes"))
}
