//! Faults on demand. Each endpoint has its own [`Faults`]; nothing here can be reached over the network.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The request is not carried out and the connection is closed without an answer.
    Drop,
    /// The request **is** carried out, but the connection is closed without an answer: a transaction is accepted and nobody hears.
    LoseAnswer,
    /// The request is read and never answered (half-open).
    Hang,
    /// The answer comes this much later.
    Delay(Duration),
    /// An HTTP status instead of an answer, e.g. 429 or 502.
    Status(u16),
    /// A JSON-RPC error instead of an answer.
    RpcError {
        /// The JSON-RPC code, e.g. -32603.
        code: i64,
        /// The `data` of the error.
        data: String,
    },
}

/// A fault and when it strikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: FaultKind,
    method: Option<String>,
    times: Option<u32>,
    per_mille: u32,
}

impl Fault {
    /// Strikes every request until cleared.
    #[must_use]
    pub const fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            method: None,
            times: None,
            per_mille: 1000,
        }
    }

    /// Strikes only requests of this RPC method (`abci_query` of one path: `abci_query:/the/path`).
    #[must_use]
    pub fn on(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Strikes this many times, then is gone.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Strikes this many of 1000 requests, by a seeded generator.
    #[must_use]
    pub const fn per_mille(mut self, per_mille: u32) -> Self {
        self.per_mille = per_mille;
        self
    }
}

/// What a height's lost results look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostResults {
    /// `block_results` answers, but without any transaction result.
    Empty,
    /// `block_results` answers the error of a node that has lost them.
    Error,
}

/// What happens to events on a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EventFault {
    /// Nothing.
    #[default]
    None,
    /// Each event comes twice.
    Duplicate,
    /// Every two events change places.
    Swap,
    /// No event comes, though the connection stays open.
    Silence,
}

#[derive(Debug)]
struct State {
    faults: Vec<Fault>,
    lost: Vec<(u64, LostResults)>,
    frozen_at: Option<u64>,
    events: EventFault,
    random: u64,
}

/// The faults of an endpoint. Clones share them.
#[derive(Debug, Clone)]
pub struct Faults {
    state: Arc<Mutex<State>>,
    down: watch::Sender<bool>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                faults: Vec::new(),
                lost: Vec::new(),
                frozen_at: None,
                events: EventFault::None,
                random: 0x9e37_79b9_7f4a_7c15,
            })),
            down: watch::Sender::new(false),
        }
    }
}

impl Faults {
    /// Adds a fault. Several may strike one request: the first that fits decides, in the order of adding.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Ends all faults; the endpoint is up.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.faults.clear();
        state.lost.clear();
        state.frozen_at = None;
        state.events = EventFault::None;
        drop(state);
        self.down.send_replace(false);
    }

    /// Takes the endpoint down or up. Down: open connections are cut and new ones are closed at once.
    pub fn down(&self, down: bool) {
        self.down.send_replace(down);
    }

    /// The endpoint goes on answering, but knows no block after `height` (stale); `None` ends that. Transactions still get through.
    pub fn freeze_at(&self, height: Option<u64>) {
        self.lock().frozen_at = height;
    }

    /// The results of the block at `height` are lost.
    pub fn lose_results(&self, height: u64, how: LostResults) {
        self.lock().lost.push((height, how));
    }

    /// Disturbs events on WebSockets.
    pub fn events(&self, fault: EventFault) {
        self.lock().events = fault;
    }

    /// Seeds the generator behind [`Fault::per_mille`].
    pub fn seed(&self, seed: u64) {
        self.lock().random = seed | 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that strikes a request of `method`; `detail` is the path of a query.
    pub(crate) fn strike(&self, method: &str, detail: &str) -> Option<FaultKind> {
        let mut state = self.lock();
        for at in 0..state.faults.len() {
            let fault = &state.faults[at];
            let fits = fault.method.as_deref().is_none_or(|wanted| {
                wanted == method
                    || wanted
                        .split_once(':')
                        .is_some_and(|(m, d)| m == method && d == detail)
            });
            let per_mille = u64::from(fault.per_mille);
            if !fits || (per_mille < 1000 && next(&mut state.random) % 1000 >= per_mille) {
                continue;
            }
            let kind = state.faults[at].kind.clone();
            if let Some(times) = &mut state.faults[at].times {
                *times = times.saturating_sub(1);
                if *times == 0 {
                    state.faults.remove(at);
                }
            }
            return Some(kind);
        }
        None
    }

    pub(crate) fn lost(&self, height: u64) -> Option<LostResults> {
        let state = self.lock();
        state
            .lost
            .iter()
            .rev()
            .find(|(h, _)| *h == height)
            .map(|(_, how)| *how)
    }

    pub(crate) fn frozen_at(&self) -> Option<u64> {
        self.lock().frozen_at
    }

    pub(crate) fn event_fault(&self) -> EventFault {
        self.lock().events
    }

    pub(crate) fn is_down(&self) -> watch::Receiver<bool> {
        self.down.subscribe()
    }
}

/// xorshift64.
const fn next(state: &mut u64) -> u64 {
    let mut x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_its_method_and_as_often_as_told() {
        let faults = Faults::default();
        faults.inject(Fault::new(FaultKind::Drop).on("tx").times(2));
        assert_eq!(faults.strike("status", ""), None);
        assert_eq!(faults.strike("tx", ""), Some(FaultKind::Drop));
        assert_eq!(faults.strike("tx", ""), Some(FaultKind::Drop));
        assert_eq!(faults.strike("tx", ""), None);
    }

    #[test]
    fn a_query_can_be_named_by_its_path() {
        let faults = Faults::default();
        faults.inject(Fault::new(FaultKind::Hang).on("abci_query:/a"));
        assert_eq!(faults.strike("abci_query", "/b"), None);
        assert_eq!(faults.strike("abci_query", "/a"), Some(FaultKind::Hang));
    }

    #[test]
    fn a_share_of_requests_is_struck_and_the_seed_repeats_it() {
        let run = || {
            let faults = Faults::default();
            faults.seed(7);
            faults.inject(Fault::new(FaultKind::Drop).per_mille(300));
            (0..1000)
                .map(|_| faults.strike("x", "").is_some())
                .collect::<Vec<_>>()
        };
        let struck = run().iter().filter(|s| **s).count();
        assert!((200..400).contains(&struck), "{struck}");
        assert_eq!(run(), run());
    }
}
