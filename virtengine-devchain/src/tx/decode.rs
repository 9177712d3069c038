//! From the bytes of a `TxRaw` to a [`Tx`].

use prost::Message as _;

use crate::state::address;
use crate::state::amount::is_integer;
use crate::state::failure::{Failure, sdk};
use crate::tx::fields::{refuse_unknown, walk};
use crate::tx::message::Msg;
use crate::wire::tx::{AuthInfo, Fee, TxBody, TxRaw};

/// A decoded transaction.
#[derive(Debug, Clone)]
pub(crate) struct Tx {
    pub(crate) raw: TxRaw,
    pub(crate) body: TxBody,
    pub(crate) auth: AuthInfo,
    pub(crate) messages: Vec<Msg>,
    /// Who must sign, in order, without duplicates.
    pub(crate) signers: Vec<Vec<u8>>,
    /// Length of the bytes.
    pub(crate) size: usize,
}

impl Tx {
    pub(crate) fn fee(&self) -> Fee {
        self.auth.fee.clone().unwrap_or_default()
    }

    /// Who pays the fee unless a granter does: the named payer or the first signer.
    pub(crate) fn fee_payer(&self) -> Vec<u8> {
        address::bytes(&self.fee().payer)
            .or_else(|| self.signers.first().cloned())
            .unwrap_or_default()
    }
}

fn malformed(detail: impl core::fmt::Display) -> Failure {
    sdk::TX_DECODE.wrap(format_args!("{detail}: tx parse error"))
}

/// Decodes a transaction as the node does.
pub(crate) fn decode(bytes: &[u8]) -> Result<Tx, Failure> {
    refuse_unknown("cosmos.tx.v1beta1.TxRaw", bytes, false).map_err(malformed)?;
    in_order(bytes).map_err(malformed)?;
    let raw = TxRaw::decode(bytes).map_err(malformed)?;
    if let Some(failure) = provider_message(&raw.body_bytes) {
        return Err(failure);
    }
    refuse_unknown("cosmos.tx.v1beta1.TxBody", &raw.body_bytes, true).map_err(malformed)?;
    refuse_unknown("cosmos.tx.v1beta1.AuthInfo", &raw.auth_info_bytes, false).map_err(malformed)?;
    let body = TxBody::decode(raw.body_bytes.as_slice()).map_err(malformed)?;
    let auth = AuthInfo::decode(raw.auth_info_bytes.as_slice()).map_err(malformed)?;
    let messages = messages_of(&body.messages)?;
    let signers = signers_of(&messages, &auth)?;
    let fee = auth.fee.clone().unwrap_or_default();
    if fee.amount.iter().any(|c| !is_integer(&c.amount)) {
        return Err(malformed("fee amount is not an integer"));
    }
    Ok(Tx {
        raw,
        body,
        auth,
        messages,
        signers,
        size: bytes.len(),
    })
}

/// Decodes a list of messages, their amounts checked.
pub(crate) fn messages_of(list: &[prost_types::Any]) -> Result<Vec<Msg>, Failure> {
    let mut out = Vec::new();
    for any in list {
        let message = Msg::decode(any)
            .ok_or_else(|| malformed(format_args!("unable to resolve type URL {}", any.type_url)))?
            .map_err(malformed)?;
        if let Some(amount) = message.amounts().iter().find(|a| !is_integer(a)) {
            return Err(malformed(format_args!("amount {amount:?} is not an integer")));
        }
        if let Msg::Exec(exec) = &message {
            // The node decodes what is inside with the outside.
            messages_of(&exec.msgs)?;
        }
        out.push(message);
    }
    Ok(out)
}

fn signers_of(messages: &[Msg], auth: &AuthInfo) -> Result<Vec<Vec<u8>>, Failure> {
    let mut signers: Vec<Vec<u8>> = Vec::new();
    let mut add = |text: &str| {
        let bytes = address::bytes(text).ok_or_else(|| {
            Failure::Lost(format!(
                "decoding bech32 failed: {text:?} is not an address of this chain"
            ))
        })?;
        if !signers.contains(&bytes) {
            signers.push(bytes);
        }
        Ok(())
    };
    for message in messages {
        add(&message.signer())?;
    }
    if let Some(fee) = auth.fee.as_ref().filter(|f| !f.payer.is_empty()) {
        add(&fee.payer)?;
    }
    Ok(signers)
}

/// ADR-027: the three fields of `TxRaw` stand in order.
fn in_order(bytes: &[u8]) -> Result<(), String> {
    let mut last = 0;
    walk(bytes, |number, _, _| {
        if number < last || (number == last && number != 3) {
            return Err(format!("non-canonical TxRaw: field {number} after field {last}"));
        }
        last = number;
        Ok(())
    })
}

/// Provider messages cannot be decoded by the node: their descriptors are stubs (spec/chain.md F.1, spec/chain-node.md 2.1).
fn provider_message(body: &[u8]) -> Option<Failure> {
    let decoded = TxBody::decode(body).ok()?;
    let mut pending = decoded.messages;
    while let Some(any) = pending.pop() {
        if any.type_url.starts_with("/virtengine.provider.v1beta4.Msg") {
            return Some(Failure::Lost(format!(
                "no cosmos.msg.v1.signer option found for message {}; use DefineCustomGetSigners to specify a custom getter",
                &any.type_url[1..]
            )));
        }
        if any.type_url == "/cosmos.authz.v1beta1.MsgExec"
            && let Ok(exec) = crate::wire::authz::MsgExec::decode(any.value.as_slice())
        {
            pending.extend(exec.msgs);
        }
    }
    None
}

#[cfg(test)]
/// The signed bid of spec/chain.md D.8.
pub(crate) const BID_TX: &str = "0abf010abc010a272f76697274656e67696e652e6d61726b65742e763162657461352e4d73674372656174654269641290010a5e0a297665316176677968373779636e3939376a6134357135713873733879396d723432346a75386538366610c0843d180120012a29766531366e73326633767271757930767079766b673932647868796d6d72616e3566376370376d6471121a0a037576651213313030303030303030303030303030303030301a120a0d0a0375766512063530303030302a010112650a500a460a1f2f636f736d6f732e63727970746f2e736563703235366b312e5075624b657912230a21031e652a35832290964e9b0cdb70bde5153da7022be44be64cc1587f76dd86d86712040a020801180712110a0b0a0375766512043530303010c09a0c1a408960ac82e060de8b13216ad89a9529867da9cdeef0646617edcd5f15bd619de64767afa2aac82e685fd4a626bdb1368ffa28799e1f78cea4f3afd22ff8bf0ad6";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_the_specification_decodes() {
        let tx = decode(&hex::decode(BID_TX).unwrap()).unwrap();
        assert_eq!(tx.messages.len(), 1);
        assert_eq!(
            address::text(&tx.signers[0]),
            "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq"
        );
        assert_eq!(tx.fee().gas_limit, 200_000);
    }

    #[test]
    fn bad_bytes_are_a_parse_error() {
        let failure = decode(&[0]).unwrap_err();
        assert_eq!(failure.code(), ("sdk", 2));
        assert_eq!(
            failure.log(),
            "invalid length; proto: invalid field number: tx parse error: tx parse error"
        );
    }
}
