//! The traits that shells implement. Each has the fewest methods that carry the work.

pub mod adapter;
pub mod chain;
pub mod clock;
pub mod journal;
pub mod signer;
