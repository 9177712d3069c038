//! Public keys, sequences and signatures: secp256k1 (low-S only) and ed25519; sign modes DIRECT and amino-JSON.

use prost::Message as _;
use prost_types::Any;
use ripemd::Ripemd160;
use sha2::{Digest, Sha256};

use crate::ante::{Mode, amino};
use crate::rules::accounts;
use crate::state::address;
use crate::state::context::Context;
use crate::state::event::Event;
use crate::state::failure::{Failure, sdk};
use crate::tx::Tx;
use crate::wire::auth::BaseAccount;
use crate::wire::crypto;
use crate::wire::signing::SignMode;
use crate::wire::tx::{SignDoc, SignerInfo, mode_info};

const SECP256K1: &str = "/cosmos.crypto.secp256k1.PubKey";
const ED25519: &str = "/cosmos.crypto.ed25519.PubKey";
/// Gas of the first use of a key, beyond what this chain stores.
const NEW_KEY_GAS: u64 = 6_000;
/// Gas of each signature, beyond the verification: parameters and accounts.
const SIGNER_GAS: u64 = 9_000;

/// A public key of a known kind.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PublicKey {
    Secp256k1(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl PublicKey {
    fn of(any: &Any) -> Result<Self, Failure> {
        let bad = |e: prost::DecodeError| sdk::INVALID_PUB_KEY.wrap(e);
        match any.type_url.as_str() {
            SECP256K1 => Ok(Self::Secp256k1(
                crypto::secp256k1::PubKey::decode(any.value.as_slice())
                    .map_err(bad)?
                    .key,
            )),
            ED25519 => Ok(Self::Ed25519(
                crypto::ed25519::PubKey::decode(any.value.as_slice())
                    .map_err(bad)?
                    .key,
            )),
            other => Err(sdk::INVALID_PUB_KEY.wrap(format_args!("unrecognized public key type: {other}"))),
        }
    }

    /// The address that the key owns (spec/chain.md D.1).
    fn address(&self) -> Vec<u8> {
        match self {
            Self::Secp256k1(key) => Ripemd160::digest(Sha256::digest(key)).to_vec(),
            Self::Ed25519(key) => Sha256::digest(key)[..20].to_vec(),
        }
    }

    const fn gas(&self) -> (u64, &'static str) {
        match self {
            Self::Secp256k1(_) => (1000, "ante verify: secp256k1"),
            Self::Ed25519(_) => (590, "ante verify: ed25519"),
        }
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secp256k1(key) => secp256k1_verifies(key, message, signature),
            Self::Ed25519(key) => ed25519_verifies(key, message, signature),
        }
    }
}

fn secp256k1_verifies(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use k256::ecdsa::signature::Verifier as _;
    let Ok(key) = k256::ecdsa::VerifyingKey::from_sec1_bytes(key) else {
        return false;
    };
    let Ok(signature) = k256::ecdsa::Signature::from_slice(signature) else {
        return false;
    };
    signature.normalize_s() == signature && key.verify(message, &signature).is_ok()
}

fn ed25519_verifies(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use ed25519_dalek::Verifier as _;
    let Some(key) = key
        .try_into()
        .ok()
        .and_then(|k: [u8; 32]| ed25519_dalek::VerifyingKey::from_bytes(&k).ok())
    else {
        return false;
    };
    ed25519_dalek::Signature::from_slice(signature).is_ok_and(|s| key.verify(message, &s).is_ok())
}

fn info(tx: &Tx, index: usize) -> SignerInfo {
    tx.auth.signer_infos.get(index).cloned().unwrap_or_default()
}

fn account_of(ctx: &mut Context<'_>, signer: &[u8]) -> Result<BaseAccount, Failure> {
    accounts::load(ctx, signer)?.ok_or_else(|| {
        sdk::UNKNOWN_ADDRESS.wrap(format_args!("account {} does not exist", address::text(signer)))
    })
}

/// Stores the public keys that are new.
pub(crate) fn set_public_keys(ctx: &mut Context<'_>, tx: &Tx, mode: Mode) -> Result<(), Failure> {
    for (index, signer) in tx.signers.iter().enumerate() {
        let Some(any) = info(tx, index).public_key else {
            continue;
        };
        let key = PublicKey::of(&any)?;
        if mode != Mode::Simulate && key.address() != *signer {
            return Err(sdk::INVALID_PUB_KEY.wrap(format_args!(
                "pubKey does not match signer address {} with signer index: {index}",
                address::text(signer)
            )));
        }
        let mut account = account_of(ctx, signer)?;
        if account.pub_key.is_some() {
            continue;
        }
        ctx.gas.consume(NEW_KEY_GAS, "WriteFlat")?;
        account.pub_key = Some(any);
        accounts::save(ctx, signer, &account)?;
    }
    Ok(())
}

fn emit_signature_events(ctx: &mut Context<'_>, tx: &Tx) {
    use base64::Engine as _;
    for (index, signer) in tx.signers.iter().enumerate() {
        let sequence = info(tx, index).sequence;
        ctx.emit(Event::new(
            "tx",
            [("acc_seq", format!("{}/{sequence}", address::text(signer)))],
        ));
    }
    for signature in &tx.raw.signatures {
        let text = base64::engine::general_purpose::STANDARD.encode(signature);
        ctx.emit(Event::new("tx", [("signature", text)]));
    }
}

/// Checks sequences and, unless simulating, signatures.
pub(crate) fn verify(ctx: &mut Context<'_>, tx: &Tx, mode: Mode, chain_id: &str) -> Result<(), Failure> {
    emit_signature_events(ctx, tx);
    if tx.body.unordered {
        return Err(sdk::NOT_SUPPORTED.wrap("unordered transactions are not enabled"));
    }
    if tx.auth.signer_infos.len() != tx.signers.len() {
        return Err(sdk::UNAUTHORIZED.wrap(format_args!(
            "invalid number of signer;  expected: {}, got {}",
            tx.signers.len(),
            tx.auth.signer_infos.len()
        )));
    }
    for (index, signer) in tx.signers.iter().enumerate() {
        ctx.gas.consume(SIGNER_GAS, "ReadFlat")?;
        verify_one(ctx, tx, mode, chain_id, index, signer)?;
    }
    Ok(())
}

fn verify_one(
    ctx: &mut Context<'_>,
    tx: &Tx,
    mode: Mode,
    chain_id: &str,
    index: usize,
    signer: &[u8],
) -> Result<(), Failure> {
    let account = account_of(ctx, signer)?;
    let info = info(tx, index);
    let key = account.pub_key.as_ref().map(PublicKey::of).transpose()?;
    let (gas, location) = key
        .as_ref()
        .map_or((1000, "ante verify: secp256k1"), PublicKey::gas);
    ctx.gas.consume(gas, location)?;
    if info.sequence != account.sequence {
        return Err(sdk::WRONG_SEQUENCE.wrap(format_args!(
            "account sequence mismatch, expected {}, got {}",
            account.sequence, info.sequence
        )));
    }
    if matches!(mode, Mode::Simulate | Mode::Recheck) {
        return Ok(());
    }
    let key = key.ok_or_else(|| sdk::INVALID_PUB_KEY.wrap("pubkey on account is not set"))?;
    let amino = match info.mode_info.and_then(|m| m.sum) {
        Some(mode_info::Sum::Single(single)) if single.mode() == SignMode::Direct => false,
        Some(mode_info::Sum::Single(single)) if single.mode() == SignMode::LegacyAminoJson => true,
        other => {
            return Err(sdk::NOT_SUPPORTED.wrap(format_args!(
                "this development chain verifies SIGN_MODE_DIRECT and SIGN_MODE_LEGACY_AMINO_JSON, got {}",
                mode_text(other)
            )));
        }
    };
    let documents = if amino {
        amino::documents(tx, chain_id, account.account_number, account.sequence)?
    } else {
        vec![direct(tx, chain_id, &account)]
    };
    let signature = tx.raw.signatures.get(index).cloned().unwrap_or_default();
    if documents
        .iter()
        .any(|document| key.verifies(document, &signature))
    {
        return Ok(());
    }
    let number = account.account_number;
    Err(sdk::UNAUTHORIZED.wrap(if amino {
        format!(
            "signature verification failed; please verify account number ({number}), sequence ({}) and chain-id ({chain_id})",
            account.sequence
        )
    } else {
        format!(
            "signature verification failed; please verify account number ({number}) and chain-id ({chain_id}): (unable to \
             verify single signer signature)"
        )
    }))
}

/// The document of `SIGN_MODE_DIRECT`.
fn direct(tx: &Tx, chain_id: &str, account: &BaseAccount) -> Vec<u8> {
    SignDoc {
        body_bytes: tx.raw.body_bytes.clone(),
        auth_info_bytes: tx.raw.auth_info_bytes.clone(),
        chain_id: chain_id.to_owned(),
        account_number: account.account_number,
    }
    .encode_to_vec()
}

fn mode_text(sum: Option<mode_info::Sum>) -> String {
    match sum {
        Some(mode_info::Sum::Single(single)) => single.mode().as_str_name().to_owned(),
        Some(mode_info::Sum::Multi(_)) => "a multi-signature".to_owned(),
        None => "no sign mode".to_owned(),
    }
}

/// Counts up the sequence of every signer.
pub(crate) fn increment_sequences(ctx: &mut Context<'_>, tx: &Tx) -> Result<(), Failure> {
    for signer in &tx.signers {
        let mut account = account_of(ctx, signer)?;
        account.sequence = account.sequence.saturating_add(1);
        accounts::save(ctx, signer, &account)?;
    }
    Ok(())
}
