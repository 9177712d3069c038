//! What stands between a daemon and its ports: a caller's own back end, or instruments that see every call.

use std::fmt;
use std::sync::Arc;

use virtengine_provider_core::ports::adapter::Adapter;
use virtengine_provider_core::ports::chain::TxSender;
use virtengine_provider_core::ports::journal::Journal;

/// A [`TxSender`] that can be shown.
pub trait TxSenderDebug: TxSender + fmt::Debug {}
impl<T: TxSender + fmt::Debug> TxSenderDebug for T {}

/// Takes each port that a daemon has made for itself, and gives the one that it is to use.
pub trait Wiring: fmt::Debug + Send + Sync {
    /// The back end in place of the configured one; `None` for the configured one.
    fn adapter(&self) -> Option<Arc<dyn Adapter>> {
        None
    }

    /// The journal to use.
    fn journal(&self, made: Arc<dyn Journal>) -> Arc<dyn Journal> {
        made
    }

    /// The sender of transactions to use.
    fn sender(&self, made: Arc<dyn TxSenderDebug>) -> Arc<dyn TxSenderDebug> {
        made
    }
}

/// Every port as the daemon makes it.
#[derive(Debug)]
pub(super) struct Straight;

impl Wiring for Straight {}

/// Only the back end is the caller's.
#[derive(Debug)]
pub(super) struct OwnAdapter(pub(super) Arc<dyn Adapter>);

impl Wiring for OwnAdapter {
    fn adapter(&self) -> Option<Arc<dyn Adapter>> {
        Some(Arc::clone(&self.0))
    }
}
