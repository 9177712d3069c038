//! Transactions in mode DIRECT (spec/chain.md D.3): body and auth info are encoded once, and the same bytes are signed and sent.

use prost::Message as _;
use prost_types::Any;
use virtengine_provider_core::id::Address;
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::ports::signer::PublicKey;

use crate::account::public_key_to_wire;
use crate::proto::cosmos::tx::signing::v1beta1::SignMode;
use crate::proto::cosmos::tx::v1beta1::{
    AuthInfo, Fee, ModeInfo, SignDoc, SignerInfo, TxBody, TxRaw, mode_info,
};
use crate::wire::{self, WireError};

/// Everything that a transaction says, apart from the signature.
#[derive(Debug, Clone, PartialEq)]
pub struct TxParts {
    /// The messages, in order.
    pub messages: Vec<Any>,
    /// It cannot land above this height; 0 means that it never expires.
    pub timeout_height: u64,
    /// At most 256 bytes (spec/chain.md B.1).
    pub memo: String,
    /// The key of the only signer.
    pub public_key: PublicKey,
    /// The signer's account sequence.
    pub sequence: u64,
    /// The most gas that it may use.
    pub gas_limit: u64,
    /// The fee, which is taken whatever happens in the block.
    pub fee: Vec<Coin>,
    /// Who pays the fee instead of the signer, by a fee grant.
    pub fee_granter: Option<Address>,
}

/// A transaction that waits for its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedTx {
    body_bytes: Vec<u8>,
    auth_info_bytes: Vec<u8>,
}

impl TxParts {
    /// Fixes the bytes.
    #[must_use]
    pub fn build(self) -> UnsignedTx {
        let body = TxBody {
            messages: self.messages,
            memo: self.memo,
            timeout_height: self.timeout_height,
            ..TxBody::default()
        };
        let mode = mode_info::Sum::Single(mode_info::Single {
            mode: i32::from(SignMode::Direct),
        });
        let auth_info = AuthInfo {
            signer_infos: vec![SignerInfo {
                public_key: Some(public_key_to_wire(&self.public_key)),
                mode_info: Some(ModeInfo { sum: Some(mode) }),
                sequence: self.sequence,
            }],
            fee: Some(Fee {
                amount: self.fee.iter().map(wire::coin_to_wire).collect(),
                gas_limit: self.gas_limit,
                payer: String::new(),
                granter: self
                    .fee_granter
                    .map(|address| address.to_string())
                    .unwrap_or_default(),
            }),
            tip: None,
        };
        UnsignedTx {
            body_bytes: body.encode_to_vec(),
            auth_info_bytes: auth_info.encode_to_vec(),
        }
    }
}

impl UnsignedTx {
    /// The bytes to sign. The signer hashes them when its algorithm does.
    #[must_use]
    pub fn sign_bytes(&self, chain_id: &str, account_number: u64) -> Vec<u8> {
        SignDoc {
            body_bytes: self.body_bytes.clone(),
            auth_info_bytes: self.auth_info_bytes.clone(),
            chain_id: chain_id.to_owned(),
            account_number,
        }
        .encode_to_vec()
    }

    /// The `TxRaw` with its signature; an empty one is enough to simulate.
    #[must_use]
    pub fn with_signature(&self, signature: Vec<u8>) -> Vec<u8> {
        TxRaw {
            body_bytes: self.body_bytes.clone(),
            auth_info_bytes: self.auth_info_bytes.clone(),
            signatures: vec![signature],
        }
        .encode_to_vec()
    }
}

/// The messages in the bytes of a `TxRaw`.
///
/// # Errors
/// The bytes are no transaction.
pub fn messages_of(tx_raw: &[u8]) -> Result<Vec<Any>, WireError> {
    let raw: TxRaw = wire::decode(tx_raw)?;
    Ok(wire::decode::<TxBody>(&raw.body_bytes)?.messages)
}
