//! The bidder through its public interface.

mod decisions;
mod fixture;
mod machine;
mod matching;
mod pricing;
