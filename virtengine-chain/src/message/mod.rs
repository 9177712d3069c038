//! Messages of transactions: what the provider says ↔ the `Any` that a transaction carries. Both directions exist for every
//! variant; reading is strict, so a message that our vocabulary cannot repeat is refused rather than shortened.

mod decode;
mod encode;

pub use decode::decode;
pub(crate) use encode::any;
pub use encode::encode;

use virtengine_provider_core::id::Address;

/// Why a message cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message names another signer than the account that would send it: the chain would refuse the whole transaction.
    #[error("the message must be signed by {signer}, not by {sender}")]
    WrongSender {
        /// Who the message says must sign.
        signer: Address,
        /// Who would send it.
        sender: Address,
    },
    /// A message of a newer vocabulary than this crate's.
    #[error("this version has no wire form of the message")]
    Unsupported,
}
