//! Why the chain refused, sorted by what to do about it: the one place that knows the chain's codes and words
//! (spec/chain-node.md 2.1, 2.2; spec/chain.md Annex E).
//!
//! Errors that the chain wraps carelessly arrive as `undefined/1`, and a failed simulation has no code at all: then only the
//! text tells them apart. So a table of codes comes first and a table of words second.

use virtengine_provider_core::ports::chain::{RejectKind, Rejection};

use RejectKind::{
    AlreadyDone, Busy, FeeTooLow, InsufficientFunds, Invalid, NextBlock, NotEligible, OutOfGas, RateLimited,
    SequenceMismatch, StateChanged, TimedOut, Unauthorized,
};

/// Longest text kept of the chain's words, in bytes.
const LOG_BYTES_MAX: usize = 1024;
/// The chain's code for "a panic was caught".
const PANIC: u32 = 111_222;

/// What a refusal with a code means.
#[must_use]
pub fn classify(codespace: &str, code: u32, log: &str) -> Rejection {
    let kind = match codespace {
        // The code says nothing: it was lost on the way.
        "undefined" | "" => by_words(log),
        // Both numbers of a careless answer, in case it keeps its codespace.
        _ if code == PANIC => by_words(log),
        _ => by_code(codespace, code).unwrap_or_else(|| by_words(log)),
    };
    Rejection {
        kind,
        codespace: codespace.chars().take(64).collect(),
        code,
        log: trim(log),
    }
}

/// What a failed simulation means: it has text alone.
#[must_use]
pub fn classify_simulation(log: &str) -> Rejection {
    let log = simulation_words(log);
    Rejection {
        kind: by_words(log),
        codespace: "undefined".to_owned(),
        code: 1,
        log: trim(log),
    }
}

/// The chain's words in a failed simulation, without what the transport and the node put around them:
/// `rpc error: code = Unknown desc = … [file.go:1] with gas used: '2': unknown request`.
fn simulation_words(log: &str) -> &str {
    let log = log
        .strip_prefix("rpc error: code = Unknown desc = ")
        .unwrap_or(log);
    let log = log
        .rsplit_once(" with gas used: '")
        .map_or(log, |(words, _)| words);
    match log.rsplit_once(" [") {
        Some((words, place)) if place.contains(".go:") && place.ends_with(']') => words,
        _ => log,
    }
}

fn by_code(codespace: &str, code: u32) -> Option<RejectKind> {
    Some(match (codespace, code) {
        ("sdk", 4 | 8) => Unauthorized,
        ("sdk", 5 | 9) => InsufficientFunds,
        ("sdk", 11) => OutOfGas,
        ("sdk", 13) => FeeTooLow,
        ("sdk", 19) => AlreadyDone,
        ("sdk", 20) => Busy,
        ("sdk", 30) => TimedOut,
        ("sdk", 32) => SequenceMismatch,
        // Not found: a missing fee grant.
        ("sdk", 38) => Unauthorized,
        // "Conflict": said of a bid on an order of one's own, and of an id that makes no sense.
        ("sdk", 36) => return None,
        ("sdk", _) => Invalid,
        ("ratelimit", _) => RateLimited,
        ("authz" | "mfa" | "feegrant", _) => Unauthorized,
        ("market", 6..=18 | 20 | 23 | 24 | 26) => StateChanged,
        ("market", 27) => NextBlock,
        ("market", 21) => AlreadyDone,
        ("market", 2 | 4 | 5 | 28 | 30..=32) => NotEligible,
        ("market", _) => Invalid,
        ("deployment", 3 | 15 | 16 | 17) => AlreadyDone,
        ("deployment", 4 | 5 | 14 | 18) => StateChanged,
        ("deployment", _) => Invalid,
        ("escrow", 1 | 6) => AlreadyDone,
        ("escrow", 2 | 3 | 7 | 8) => StateChanged,
        ("escrow", 4) => InsufficientFunds,
        ("escrow", _) => Invalid,
        ("settlement", 1502 | 1508 | 1514 | 1515 | 1532 | 1533) => AlreadyDone,
        ("settlement", 1501 | 1503 | 1506 | 1507 | 1513 | 1517..=1520 | 1523 | 1529) => StateChanged,
        ("settlement", 1504) => InsufficientFunds,
        ("settlement", 1505) => Unauthorized,
        ("settlement", _) => Invalid,
        ("provider", 4) => AlreadyDone,
        ("provider", 11 | 12) => Unauthorized,
        ("provider" | "resources" | "cert" | "virtengine", _) => return by_code_elsewhere(codespace, code),
        _ => return None,
    })
}

fn by_code_elsewhere(codespace: &str, code: u32) -> Option<RejectKind> {
    match (codespace, code) {
        // A heartbeat with an old sequence: a newer one is on chain.
        ("resources", 7) | ("cert", 3 | 4) => Some(AlreadyDone),
        ("resources", 6) => Some(Unauthorized),
        _ => Some(Invalid),
    }
}

/// First match wins, so the more telling words come first.
const WORDS: &[(&str, RejectKind)] = &[
    // A second withdrawal in one block panics, and so does its simulation in the block of the last one.
    ("couldn't find payment", NextBlock),
    ("account sequence mismatch", SequenceMismatch),
    ("account rate limited", RateLimited),
    ("too many transactions in this block", RateLimited),
    ("insufficient fee", FeeTooLow),
    ("out of gas", OutOfGas),
    ("tx timeout height", TimedOut),
    ("mempool is full", Busy),
    ("tx already in mempool", AlreadyDone),
    ("already exists in cache", AlreadyDone),
    ("fee-grant not found", Unauthorized),
    ("does not exist: unknown address", InsufficientFunds),
    ("insufficient funds", InsufficientFunds),
    ("spendable balance", InsufficientFunds),
    ("overdrawn", InsufficientFunds),
    ("VEID ", Unauthorized),
    ("MFA required", Unauthorized),
    ("signature verification failed", Unauthorized),
    ("pubKey does not match signer", Unauthorized),
    ("failed to get grant", Unauthorized),
    ("authorization not found", Unauthorized),
    (": unauthorized", Unauthorized),
    ("bid exists", AlreadyDone),
    ("Deployment exists", AlreadyDone),
    ("escrow already exists", AlreadyDone),
    ("usage already settled", AlreadyDone),
    ("usage record already exists", AlreadyDone),
    ("stale heartbeat", AlreadyDone),
    ("certificate exists", AlreadyDone),
    ("Group open", AlreadyDone),
    ("Group paused", AlreadyDone),
    ("Group already closed", AlreadyDone),
    ("unknown lease for", StateChanged),
    ("unknown leas", StateChanged),
    ("lease not active", StateChanged),
    ("bid not open", StateChanged),
    ("bid not active", StateChanged),
    ("order not found", StateChanged),
    ("order not open", StateChanged),
    ("order active", StateChanged),
    ("order closed", StateChanged),
    ("group not open", StateChanged),
    ("Group not open", StateChanged),
    ("Deployment closed", StateChanged),
    ("Deployment not found", StateChanged),
    ("payment closed", StateChanged),
    ("payment not found", StateChanged),
    ("account closed", StateChanged),
    ("account not found", StateChanged),
    ("escrow not found", StateChanged),
    ("escrow not active", StateChanged),
    ("invalid state transition", StateChanged),
    ("no usage to settle", StateChanged),
    ("usage record not found", StateChanged),
    ("too many existing bids", NotEligible),
    ("bid price above max order price", NotEligible),
    ("attribute mismatch", NotEligible),
    ("capabilities mismatch", NotEligible),
    ("unknown provider", NotEligible),
    ("deposit invalid", NotEligible),
    ("self-bid", NotEligible),
];

fn by_words(log: &str) -> RejectKind {
    let found = WORDS.iter().find(|(words, _)| log.contains(words));
    found.map_or(Invalid, |(_, kind)| *kind)
}

/// The index of the message that failed, when the chain says so.
#[must_use]
pub fn failed_message(log: &str) -> Option<usize> {
    let (_, rest) = simulation_words(log).split_once("failed to execute message; message index: ")?;
    let digits = rest.split(':').next()?;
    digits.parse().ok()
}

/// The sequence that the chain expects, in a sequence mismatch.
#[must_use]
pub fn expected_sequence(log: &str) -> Option<u64> {
    let (_, rest) = log.split_once("account sequence mismatch, expected ")?;
    rest.split(',').next()?.parse().ok()
}

/// The least price of one gas in `denom`, in a refusal for its fee.
#[must_use]
pub fn required_gas_price(log: &str, denom: &str) -> Option<virtengine_provider_core::money::Decimal> {
    let (_, rest) = log.split_once("min gas prices ")?;
    let prices = rest.split_once(", got").map_or(rest, |(prices, _)| prices);
    let amount = prices
        .split(',')
        .find_map(|price| price.trim().strip_suffix(denom))?;
    amount.parse().ok()
}

/// At most 1 KiB, and without the stack trace that a caught panic drags along.
fn trim(log: &str) -> String {
    let log = log.split_once("\nstack:").map_or(log, |(words, _)| words);
    let mut end = log.len().min(LOG_BYTES_MAX);
    while !log.is_char_boundary(end) {
        end -= 1;
    }
    log.get(..end).unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_traces_and_long_words_are_cut() {
        let log = format!(
            "recovered: boom\nstack:\ngoroutine 1 [running]:\n{}",
            "x".repeat(9000)
        );
        assert_eq!(classify("undefined", PANIC, &log).log, "recovered: boom");
        let long = "é".repeat(2000);
        assert_eq!(classify("sdk", 2, &long).log.len(), LOG_BYTES_MAX);
    }

    #[test]
    fn a_simulation_says_the_same_as_the_block() {
        let log = "rpc error: code = Unknown desc = failed to execute message; message index: 2: bid not open \
                   [/build/baseapp.go:1051] with gas used: '51190': unknown request";
        let rejection = classify_simulation(log);
        assert_eq!(
            rejection.log,
            "failed to execute message; message index: 2: bid not open"
        );
        assert_eq!((rejection.kind, failed_message(log)), (StateChanged, Some(2)));
    }

    #[test]
    fn the_price_and_the_sequence_are_read_from_the_words() {
        let log = "insufficient fee: min gas prices 0.025000000000000000uve, got 0.000025000000000000uve";
        assert_eq!(required_gas_price(log, "uve"), "0.025".parse().ok());
        assert_eq!(required_gas_price(log, "uakt"), None);
        let log = "account sequence mismatch, expected 38, got 43: incorrect account sequence";
        assert_eq!(expected_sequence(log), Some(38));
    }
}
