//! The chain as a machine: it is given transactions, times and questions and answers with results. No clock, no network, no disk.

pub(crate) mod block;
pub(crate) mod chain;
pub(crate) mod mempool;

pub(crate) use chain::Machine;
