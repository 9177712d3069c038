//! Transactions (spec/chain.md D.3): body and auth info are encoded once and sent as they are. What is signed is those same
//! bytes (mode DIRECT), or a JSON document that says the same (amino-JSON, for a Ledger).

use prost::Message as _;
use prost_types::Any;
use virtengine_provider_core::id::Address;
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::ports::signer::PublicKey;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::account::public_key_to_wire;
use crate::amino;
use crate::proto::cosmos::tx::signing::v1beta1::SignMode as WireMode;
use crate::proto::cosmos::tx::v1beta1::{
    AuthInfo, Fee, ModeInfo, SignDoc, SignerInfo, TxBody, TxRaw, mode_info,
};
use crate::wire::{self, WireError};

/// What is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignMode {
    /// The bytes that are sent.
    #[default]
    Direct,
    /// A JSON document, which a Ledger can show. Only for the messages that a provider sends (spec/chain-node.md 2.9a).
    AminoJson,
}

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
    /// What is signed.
    pub sign_mode: SignMode,
}

/// A transaction that waits for its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedTx {
    body_bytes: Vec<u8>,
    auth_info_bytes: Vec<u8>,
    /// The JSON document without account number and chain, in mode amino-JSON.
    document: Option<Value>,
}

impl TxParts {
    /// Fixes the bytes.
    ///
    /// # Errors
    /// Only in mode amino-JSON: a message that has no such form here.
    pub fn build(self) -> Result<UnsignedTx, WireError> {
        let document = match self.sign_mode {
            SignMode::Direct => None,
            SignMode::AminoJson => Some(self.document()?),
        };
        let body = TxBody {
            messages: self.messages,
            memo: self.memo,
            timeout_height: self.timeout_height,
            ..TxBody::default()
        };
        let mode = mode_info::Sum::Single(mode_info::Single {
            mode: i32::from(match self.sign_mode {
                SignMode::Direct => WireMode::Direct,
                SignMode::AminoJson => WireMode::LegacyAminoJson,
            }),
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
        Ok(UnsignedTx {
            body_bytes: body.encode_to_vec(),
            auth_info_bytes: auth_info.encode_to_vec(),
            document,
        })
    }

    fn document(&self) -> Result<Value, WireError> {
        let messages: Vec<Value> = self
            .messages
            .iter()
            .map(amino::message)
            .collect::<Result<_, _>>()?;
        let amount: Vec<Value> = self.fee.iter().map(amino::coin).collect();
        let mut fee = json!({ "amount": amount, "gas": self.gas_limit.to_string() });
        if let Some(granter) = &self.fee_granter {
            fee["granter"] = json!(granter);
        }
        let mut document = json!({
            "fee": fee,
            "memo": self.memo,
            "msgs": messages,
            "sequence": self.sequence.to_string(),
        });
        if self.timeout_height > 0 {
            document["timeout_height"] = json!(self.timeout_height.to_string());
        }
        // Whatever cannot be written is found here, so that signing cannot fail for it.
        amino::render(&document)?;
        Ok(document)
    }
}

impl UnsignedTx {
    /// The bytes to sign. The signer hashes them when its algorithm does.
    #[must_use]
    pub fn sign_bytes(&self, chain_id: &str, account_number: u64) -> Vec<u8> {
        if let Some(mut document) = self.document.clone() {
            document["chain_id"] = json!(chain_id);
            document["account_number"] = json!(account_number.to_string());
            // The rest was written once before; a chain id that cannot be is no chain's.
            return amino::render(&document).unwrap_or_default().into_bytes();
        }
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
