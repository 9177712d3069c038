//! The rules of the chain, one file per subject. Pure: each rule is given a [`Context`](crate::state::context::Context) and
//! answers with a response or a refusal. Sources: spec/chain.md B, corrected by spec/chain-node.md 2.

pub(crate) mod accounts;
pub(crate) mod authz;
pub(crate) mod bank;
pub(crate) mod deployment;
pub(crate) mod escrow;
pub(crate) mod feegrant;
pub(crate) mod group_limits;
pub(crate) mod market;
pub(crate) mod matching;
pub(crate) mod payment;
pub(crate) mod resources;
pub(crate) mod settlement;
pub(crate) mod stateless;
pub(crate) mod usage;

#[cfg(test)]
mod tests;
