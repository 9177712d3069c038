//! Why a transaction or a query is refused, with the codes and texts that a client sees (spec/chain.md annex E, corrected by
//! spec/chain-node.md 2.1).

/// A registered error: codespace, number, text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) space: &'static str,
    pub(crate) number: u32,
    pub(crate) text: &'static str,
    /// Over a query this is gRPC NOT_FOUND, else UNKNOWN.
    pub(crate) not_found: bool,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A registered error, `log` is the whole text.
    Refused { code: Code, log: String },
    /// An error that lost its code on the way: the client sees `undefined`, 1.
    Lost(String),
    /// The rule panicked: the client sees `undefined`, 111222.
    Panic(String),
    /// More gas was used than the transaction allows.
    OutOfGas {
        location: &'static str,
        wanted: u64,
        used: u64,
    },
    /// A query was refused with a gRPC status that is no registered error.
    Invalid(String),
}

impl Code {
    /// The error as it is.
    pub(crate) fn fail(self) -> Failure {
        Failure::Refused {
            code: self,
            log: self.text.to_owned(),
        }
    }

    /// `detail: text`, the form of wrapped errors.
    pub(crate) fn wrap(self, detail: impl core::fmt::Display) -> Failure {
        Failure::Refused {
            code: self,
            log: format!("{detail}: {}", self.text),
        }
    }

    /// `text: detail` without the code, the form of errors wrapped the wrong way.
    pub(crate) fn lose(self, detail: impl core::fmt::Display) -> Failure {
        Failure::Lost(format!("{}: {detail}", self.text))
    }
}

impl Failure {
    pub(crate) fn panic(text: impl Into<String>) -> Self {
        Self::Panic(text.into())
    }

    /// Codespace and code as in a transaction result.
    pub(crate) const fn code(&self) -> (&'static str, u32) {
        match self {
            Self::Refused { code, .. } => (code.space, code.number),
            Self::Lost(_) => ("undefined", 1),
            Self::Panic(_) => ("undefined", 111_222),
            Self::OutOfGas { .. } => ("sdk", 11),
            Self::Invalid(_) => ("sdk", 18),
        }
    }

    /// The log line.
    pub(crate) fn log(&self) -> String {
        match self {
            Self::Refused { log, .. } | Self::Lost(log) | Self::Invalid(log) => log.clone(),
            Self::Panic(text) => format!("recovered: {text}\nstack:\n(this chain keeps no stack)\n"),
            Self::OutOfGas {
                location,
                wanted,
                used,
            } => format!(
                "out of gas in location: {location}; gasWanted: {wanted}, gasUsed: {used}: out of gas"
            ),
        }
    }

    /// The same failure with `prefix` before its text. Panics and gas exhaustion unwind past every wrapper, so they keep theirs.
    pub(crate) fn within(self, prefix: &str) -> Self {
        match self {
            Self::Refused { code, log } => Self::Refused {
                code,
                log: format!("{prefix}{log}"),
            },
            Self::Lost(log) => Self::Lost(format!("{prefix}{log}")),
            other => other,
        }
    }

    /// Whether a caller that ignores errors ignores this one too.
    pub(crate) const fn is_error_value(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Lost(_) | Self::Invalid(_))
    }
}

/// Drops an error value as Go's `_ = f()` does; panics and gas exhaustion pass through.
pub(crate) fn ignore(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.is_error_value() => Ok(()),
        other => other,
    }
}

macro_rules! codes {
    ($space:literal: $($name:ident = $number:literal $text:literal $(($kind:ident))?;)*) => {
        $(pub(crate) const $name: Code = Code {
            space: $space,
            number: $number,
            text: $text,
            not_found: codes!(@nf $($kind)?),
        };)*
    };
    (@nf) => { false };
    (@nf not_found) => { true };
}

/// Codespace `sdk`.
pub(crate) mod sdk {
    use super::Code;
    codes! { "sdk":
        TX_DECODE = 2 "tx parse error";
        INVALID_SEQUENCE = 3 "invalid sequence";
        UNAUTHORIZED = 4 "unauthorized";
        INSUFFICIENT_FUNDS = 5 "insufficient funds";
        UNKNOWN_REQUEST = 6 "unknown request";
        INVALID_ADDRESS = 7 "invalid address";
        INVALID_PUB_KEY = 8 "invalid pubkey";
        UNKNOWN_ADDRESS = 9 "unknown address";
        INVALID_COINS = 10 "invalid coins";
        MEMO_TOO_LARGE = 12 "memo too large";
        INSUFFICIENT_FEE = 13 "insufficient fee";
        TOO_MANY_SIGNATURES = 14 "maximum number of signatures exceeded";
        NO_SIGNATURES = 15 "no signatures supplied";
        INVALID_REQUEST = 18 "invalid request";
        INVALID_HEIGHT = 26 "invalid height";
        TX_TIMEOUT_HEIGHT = 30 "tx timeout height";
        WRONG_SEQUENCE = 32 "incorrect account sequence";
        CONFLICT = 36 "conflict";
        NOT_SUPPORTED = 37 "feature not supported";
        NOT_FOUND = 38 "not found";
        TX_TIMEOUT = 42 "tx timeout";
    }
}

/// Codespace `market`.
pub(crate) mod market {
    use super::Code;
    codes! { "market":
        BID_OVER_ORDER = 4 "bid price above max order price";
        ATTRIBUTE_MISMATCH = 5 "attribute mismatch";
        UNKNOWN_BID = 6 "unknown bid";
        UNKNOWN_LEASE = 7 "unknown lease";
        UNKNOWN_LEASE_FOR_BID = 8 "unknown lease for bid";
        UNKNOWN_ORDER_FOR_BID = 9 "unknown order for bid";
        LEASE_NOT_ACTIVE = 10 "lease not active";
        BID_NOT_ACTIVE = 11 "bid not active";
        BID_NOT_OPEN = 12 "bid not open";
        ORDER_NOT_OPEN = 13 "bid: order not open";
        ORDER_NOT_FOUND = 15 "invalid order: order not found" (not_found);
        GROUP_NOT_FOUND = 16 "group not found";
        GROUP_NOT_OPEN = 17 "group not open";
        BID_NOT_FOUND = 18 "invalid bid: bid not found" (not_found);
        BID_ZERO_PRICE = 19 "invalid bid: zero price";
        LEASE_NOT_FOUND = 20 "invalid lease: lease not found" (not_found);
        BID_EXISTS = 21 "invalid bid: bid exists from provider";
        BID_INVALID_PRICE = 22 "bid price is invalid";
        ORDER_ACTIVE = 23 "order active";
        ORDER_CLOSED = 24 "order closed";
        INVALID_DEPOSIT = 28 "deposit invalid";
        UNKNOWN_PROVIDER = 30 "unknown provider";
        INVALID_BID = 31 "invalid bid";
        CAPABILITIES_MISMATCH = 32 "capabilities mismatch";
        INVALID_CLOSE_REASON = 33 "invalid lease closed reason";
    }
}

/// Codespace `deployment`.
pub(crate) mod deployment {
    use super::Code;
    codes! { "deployment":
        EXISTS = 3 "Deployment exists";
        NOT_FOUND = 4 "Deployment not found" (not_found);
        CLOSED = 5 "Deployment closed";
        INVALID_GROUPS = 7 "Invalid groups";
        INVALID_ID = 8 "Invalid: deployment id";
        EMPTY_HASH = 9 "Invalid: empty hash";
        INVALID_HASH = 10 "Invalid: deployment hash";
        GROUP_NOT_FOUND = 14 "Group not found";
        GROUP_CLOSED = 15 "Group already closed";
        GROUP_OPEN = 16 "Group open";
        GROUP_PAUSED = 17 "Group paused";
        INVALID_DEPOSIT = 20 "Deposit invalid";
    }
}

/// Codespaces `escrow` and `virtengine`.
pub(crate) mod escrow {
    use super::Code;
    codes! { "escrow":
        ACCOUNT_EXISTS = 1 "account exists";
        ACCOUNT_CLOSED = 2 "account closed";
        ACCOUNT_NOT_FOUND = 3 "account not found";
        ACCOUNT_OVERDRAWN = 4 "account overdrawn";
        INVALID_DENOM = 5 "invalid denomination";
        PAYMENT_EXISTS = 6 "payment exists";
        PAYMENT_CLOSED = 7 "payment closed";
        PAYMENT_NOT_FOUND = 8 "payment not found";
        PAYMENT_RATE_ZERO = 9 "payment rate zero";
        INVALID_ID = 12 "invalid ID";
        INVALID_DEPOSIT = 16 "invalid deposit";
    }
    codes! { "virtengine":
        INVALID_DEPOSIT_SOURCE = 4 "invalid deposit source";
    }
}

/// Codespace `settlement`: 1–7 from the stateless checks, 1500 and up from the rules.
pub(crate) mod settlement {
    use super::Code;
    codes! { "settlement":
        BASIC_ADDRESS = 1 "invalid address";
        BASIC_ESCROW = 2 "invalid escrow";
        BASIC_AMOUNT = 3 "invalid amount";
        BASIC_SETTLEMENT = 4 "invalid settlement";
        BASIC_USAGE = 5 "invalid usage record";
        BASIC_SIGNATURE = 6 "invalid signature";
        INVALID_ESCROW = 1500 "invalid escrow";
        ESCROW_NOT_FOUND = 1501 "escrow not found";
        ESCROW_EXISTS = 1502 "escrow already exists";
        INVALID_TRANSITION = 1503 "invalid state transition";
        INSUFFICIENT_FUNDS = 1504 "insufficient funds";
        UNAUTHORIZED = 1505 "unauthorized";
        INVALID_SETTLEMENT = 1506 "invalid settlement";
        SETTLEMENT_NOT_FOUND = 1507 "settlement not found";
        INVALID_USAGE = 1512 "invalid usage record";
        USAGE_NOT_FOUND = 1513 "usage record not found";
        ALREADY_SETTLED = 1515 "usage already settled";
        ESCROW_EXPIRED = 1518 "escrow has expired";
        ESCROW_NOT_ACTIVE = 1519 "escrow not active";
        PAYOUT_NOT_FOUND = 1531 "payout not found";
    }
}

/// The remaining codespaces.
pub(crate) mod other {
    use super::Code;
    codes! { "provider": PROVIDER_NOT_FOUND = 3 "invalid provider: address not found" (not_found); }
    codes! { "resources":
        INVALID_REQUEST = 1 "invalid resource request";
        STALE_HEARTBEAT = 7 "stale heartbeat";
    }
    codes! { "ratelimit":
        ACCOUNT_LIMITED = 1 "account rate limited: too many transactions in this block";
        BLOCK_LIMITED = 3 "block transaction rate limit exceeded";
    }
    codes! { "mfa": MFA_REQUIRED = 1214 "MFA verification required"; }
    codes! { "authz": NO_AUTHORIZATION = 2 "authorization not found"; AUTHORIZATION_EXPIRED = 6 "authorization expired"; }
    codes! { "feegrant": FEE_LIMIT_EXCEEDED = 2 "fee limit exceeded"; FEE_LIMIT_EXPIRED = 3 "fee allowance expired"; }
}
