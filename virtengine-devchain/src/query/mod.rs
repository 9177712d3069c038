//! Answers to `abci_query`: every query that a provider or a tenant needs, in the forms and with the errors of the node
//! (spec/chain.md A.4, spec/chain-node.md 2.6).

mod cosmos;
mod deployment;
mod market;
mod page;
mod settlement;

use prost::Message;

use crate::machine::Machine;
use crate::state::context::Context;
use crate::state::failure::{Failure, sdk};

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    pub(crate) code: u32,
    pub(crate) codespace: String,
    pub(crate) log: String,
    pub(crate) value: Vec<u8>,
    pub(crate) height: i64,
}

impl Answer {
    /// A refusal with the code of `failure` itself.
    pub(crate) fn refused(height: i64, failure: &Failure) -> Self {
        let (codespace, code) = failure.code();
        Self {
            code,
            codespace: codespace.to_owned(),
            log: failure.log(),
            height,
            ..Self::default()
        }
    }
}

/// A handler's result: the bytes of the response.
type Reply = Result<Vec<u8>, Failure>;

/// Decodes the request, runs `handler`, encodes the response.
fn reply<Q: Message + Default, R: Message>(
    data: &[u8],
    handler: impl FnOnce(Q) -> Result<R, Failure>,
) -> Result<Vec<u8>, Failure> {
    let request = Q::decode(data).map_err(|e| Failure::Lost(e.to_string()))?;
    handler(request).map(|r| r.encode_to_vec())
}

/// Answers the query at `path`.
pub(crate) fn answer(machine: &Machine, ctx: &mut Context<'_>, path: &str, data: &[u8]) -> Answer {
    let found = market::answer(ctx, path, data)
        .or_else(|| deployment::answer(ctx, path, data))
        .or_else(|| settlement::answer(ctx, path, data))
        .or_else(|| cosmos::answer(machine, ctx, path, data));
    match found {
        None => Answer::refused(0, &sdk::UNKNOWN_REQUEST.wrap("unknown query path")),
        Some(Ok(value)) => Answer {
            value,
            height: ctx.height,
            ..Answer::default()
        },
        Some(Err(failure)) => refuse(ctx.height, &failure),
    }
}

/// How the SDK turns a handler's error into an answer: by its gRPC status.
fn refuse(height: i64, failure: &Failure) -> Answer {
    let wrapped = match failure {
        Failure::Refused { code, log } if code.not_found => crate::state::failure::Code {
            space: "sdk",
            number: 22,
            text: "key not found",
            not_found: true,
        }
        .wrap(log),
        Failure::Refused { log, .. } => sdk::UNKNOWN_REQUEST.wrap(log),
        other => sdk::INVALID_REQUEST.wrap(other.log()),
    };
    Answer::refused(height, &wrapped)
}

/// A gRPC NOT_FOUND that is no registered error.
fn not_found(text: impl core::fmt::Display) -> Failure {
    Failure::Refused {
        code: crate::state::failure::Code {
            space: "sdk",
            number: 22,
            text: "key not found",
            not_found: true,
        },
        log: format!("rpc error: code = NotFound desc = {text}"),
    }
}

/// A gRPC INVALID_ARGUMENT.
fn invalid(text: impl core::fmt::Display) -> Failure {
    Failure::Invalid(format!("rpc error: code = InvalidArgument desc = {text}"))
}
