//! Addresses: text (`ve1…`) and bytes.

use sha2::{Digest, Sha256};
use virtengine_provider_core::id::Address;

/// The prefix of account addresses (spec/chain.md B.1).
pub(crate) const PREFIX: &str = "ve";

/// The text form of `bytes`.
pub(crate) fn text(bytes: &[u8]) -> String {
    Address::from_bytes(PREFIX, bytes).map_or_else(|_| hex::encode(bytes), |a| a.to_string())
}

/// The bytes of an account address of this chain.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    let address: Address = text.parse().ok()?;
    let bytes = address.to_bytes();
    (address.prefix() == PREFIX && !bytes.is_empty() && bytes.len() <= 255).then_some(bytes)
}

/// The address of a module's account: the start of the hash of its name.
pub(crate) fn of_module(name: &str) -> Vec<u8> {
    Sha256::digest(name.as_bytes())[..20].to_vec()
}

/// Bytes as Go's JSON encoder shows them: each byte that is no UTF-8 becomes one U+FFFD (spec/chain-node.md 2.3).
pub(crate) fn as_json_text(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut rest = bytes;
    loop {
        match core::str::from_utf8(rest) {
            Ok(valid) => {
                out.push_str(valid);
                return out;
            }
            Err(error) => {
                let (valid, bad) = rest.split_at(error.valid_up_to());
                out.push_str(&String::from_utf8_lossy(valid));
                out.push('\u{fffd}');
                rest = &bad[1..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_accounts_have_the_addresses_of_the_recordings() {
        assert_eq!(
            text(&of_module("escrow")),
            "ve14pphss726thpwws3yc458hggufynm9x70ervuw"
        );
        assert_eq!(
            text(&of_module("fee_collector")),
            "ve17xpfvakm2amg962yls6f84z3kell8c5lvyc5y4"
        );
    }

    #[test]
    fn raw_bytes_become_one_replacement_each() {
        let bytes = hex::decode("8b6f9eb41224744fa053defebc5c842b4e64e601").unwrap();
        assert_eq!(
            as_json_text(&bytes),
            "\u{fffd}o\u{fffd}\u{fffd}\u{12}$tO\u{fffd}S\u{fffd}\u{fffd}\u{fffd}\\\u{fffd}+Nd\u{fffd}\u{1}"
        );
    }
}
