//! At what price to bid. [`Strategy`] is open: others write their own.

use std::fmt;

use virtengine_provider_core::market::Order;
use virtengine_provider_core::money::Decimal;
use virtengine_provider_core::pricing::Quote;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

/// What a strategy may look at.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The order, matched already.
    pub order: &'a Order,
    /// What it takes from capacity, all units together.
    pub resources: &'a Resources,
    /// The most that the tenant pays, per block, in the base denomination.
    pub max: Decimal,
    /// What the operator's prices give.
    pub quote: &'a Quote,
    /// Bids of others on it that we have seen.
    pub rivals: u32,
    /// What is free.
    pub available: &'a Resources,
    /// What could be free at most.
    pub capacity: &'a Resources,
    /// Now.
    pub now: Timestamp,
}

/// No price can be given; the order is declined with these words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StrategyError(pub String);

/// Chooses a price.
///
/// It should be a function of the request alone: back-tests and `explain` call it again with recorded requests. (What was
/// bid is in the journal, so a strategy that breaks this spoils reports, never state.) It is called once per order that
/// matches, on the path of every decision: no waiting in it.
pub trait Strategy: fmt::Debug + Send + Sync {
    /// The price per block in the base denomination. Below [`Quote::floor`] it is raised to it; above
    /// [`Request::max`] the order is declined.
    ///
    /// # Errors
    /// When no price can be given.
    fn price(&self, request: &Request<'_>) -> Result<Decimal, StrategyError>;
}

/// The operator's prices and markup, as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CostPlus {
    /// Bid the tenant's maximum instead of declining, when the tenant pays less than our price but at least our cost before
    /// the markup and at least the floor.
    pub cap_to_max: bool,
}

impl Strategy for CostPlus {
    fn price(&self, request: &Request<'_>) -> Result<Decimal, StrategyError> {
        let quote = request.quote;
        let least = quote.cost.max(quote.floor);
        if self.cap_to_max && quote.price > request.max && request.max >= least {
            return Ok(request.max);
        }
        Ok(quote.price)
    }
}
