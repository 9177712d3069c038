//! What every transaction must pass before its messages run, in the node's order (spec/chain.md B.1, spec/chain-node.md 2.7):
//! stateless checks → rate limit → shape → gas price → timeout → memo → fee → public key → sequence and signature → identity and
//! second-factor gates → sequence.

mod amino;
pub(crate) mod fee;
pub(crate) mod gates;
pub(crate) mod rate_limit;
pub(crate) mod signature;

use crate::ante::rate_limit::RateLimit;
use crate::state::address;
use crate::state::amount::{Coins, Dec};
use crate::state::context::Context;
use crate::state::failure::{Failure, sdk};
use crate::tx::Tx;

/// Longest memo in bytes.
const MEMO_BYTES_MAX: usize = 256;
/// Most signatures of one transaction.
const SIGNATURES_MAX: usize = 7;
/// Price of each byte of a transaction.
const SIZE_BYTE_GAS: u64 = 10;

/// Why a transaction is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It came in and wants into the mempool.
    Check,
    /// It waits in the mempool and a block has passed.
    Recheck,
    /// It is in a block.
    Deliver,
    /// Somebody wants to know what it would do. Signatures are not verified.
    Simulate,
}

/// What of the chain the checks need besides the state.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) id: String,
    pub(crate) min_gas_price: (Dec, String),
}

/// Runs all checks. What they write (fee, public key, sequence) stays even when a message fails later.
pub(crate) fn run(
    ctx: &mut Context<'_>,
    tx: &Tx,
    mode: Mode,
    chain: &Chain,
    rate: &mut RateLimit,
) -> Result<(), Failure> {
    ctx.gas.consume(1000, "Has")?;
    ctx.gas.consume(174, "ReadPerByte")?;
    if mode != Mode::Simulate && ctx.height > 0 {
        rate.count(ctx.height, &tx.signers)?;
    }
    shape(tx)?;
    if matches!(mode, Mode::Check | Mode::Recheck) {
        fee::check_gas_price(tx, &chain.min_gas_price)?;
    }
    timeout(ctx, tx)?;
    let memo = tx.body.memo.len();
    if memo > MEMO_BYTES_MAX {
        return Err(sdk::MEMO_TOO_LARGE.wrap(format_args!(
            "maximum number of characters is {MEMO_BYTES_MAX} but received {memo} characters"
        )));
    }
    let size = u64::try_from(tx.size).unwrap_or(u64::MAX);
    ctx.gas.consume(SIZE_BYTE_GAS.saturating_mul(size), "txSize")?;
    fee::deduct(ctx, tx)?;
    signature::set_public_keys(ctx, tx, mode)?;
    if tx.raw.signatures.len() > SIGNATURES_MAX {
        return Err(sdk::TOO_MANY_SIGNATURES.wrap(format_args!(
            "signatures: {}, limit: {SIGNATURES_MAX}",
            tx.raw.signatures.len()
        )));
    }
    signature::verify(ctx, tx, mode, &chain.id)?;
    gates::check(ctx, tx)?;
    signature::increment_sequences(ctx, tx)
}

/// The stateless checks of the messages. They run before all others and cost nothing.
pub(crate) fn check_messages(tx: &Tx) -> Result<(), Failure> {
    if tx.messages.is_empty() {
        return Err(sdk::INVALID_REQUEST.wrap("must contain at least one message"));
    }
    tx.messages.iter().try_for_each(crate::tx::message::Msg::check)
}

/// The transaction's own form: fee and number of signatures.
fn shape(tx: &Tx) -> Result<(), Failure> {
    let fee = tx.fee();
    if fee.gas_limit > i64::MAX.unsigned_abs() {
        return Err(sdk::INVALID_REQUEST.wrap(format_args!(
            "invalid gas supplied; {} > {}",
            fee.gas_limit,
            i64::MAX
        )));
    }
    if !Coins::is_valid(&fee.amount)? {
        return Err(sdk::INSUFFICIENT_FEE.wrap("invalid fee provided"));
    }
    if !fee.payer.is_empty() && address::bytes(&fee.payer).is_none() {
        return Err(sdk::INVALID_ADDRESS.wrap("invalid fee payer address: decoding bech32 failed"));
    }
    if tx.raw.signatures.is_empty() {
        return Err(sdk::NO_SIGNATURES.fail());
    }
    let (expected, got) = (tx.signers.len(), tx.raw.signatures.len());
    if expected != got {
        return Err(sdk::UNAUTHORIZED.wrap(format_args!(
            "wrong number of signers; expected {expected}, got {got}"
        )));
    }
    Ok(())
}

fn timeout(ctx: &Context<'_>, tx: &Tx) -> Result<(), Failure> {
    let height = u64::try_from(ctx.height).unwrap_or(0);
    let limit = tx.body.timeout_height;
    if limit > 0 && height > limit {
        return Err(
            sdk::TX_TIMEOUT_HEIGHT.wrap(format_args!("block height: {height}, timeout height: {limit}"))
        );
    }
    if let Some(end) = tx.body.timeout_timestamp
        && ctx.time.seconds > end.seconds
    {
        return Err(sdk::TX_TIMEOUT.wrap(format_args!(
            "block time: {}, timeout: {}",
            ctx.time.seconds, end.seconds
        )));
    }
    Ok(())
}
