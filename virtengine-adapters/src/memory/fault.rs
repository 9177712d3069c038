//! Faults on demand: which call fails, how, and whether it took effect before the answer was lost.

use std::collections::{BTreeMap, VecDeque};

use virtengine_provider_core::ports::adapter::{AdapterError, ErrorKind, Retry};

use super::error::error;

/// One call of the adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `inventory`
    Inventory,
    /// `deploy`
    Deploy,
    /// `observe`
    Observe,
    /// `pause`
    Pause,
    /// `resume`
    Resume,
    /// `stop`
    Stop,
    /// `terminate`
    Terminate,
    /// `usage`
    Usage,
    /// `list`
    List,
    /// `logs`
    Logs,
}

impl Operation {
    /// Its name, as in [`AdapterError::operation`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Deploy => "deploy",
            Self::Observe => "observe",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Terminate => "terminate",
            Self::Usage => "usage",
            Self::List => "list",
            Self::Logs => "logs",
        }
    }
}

/// How a scripted call fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind to report.
    pub kind: ErrorKind,
    /// The advice to report.
    pub retry: Retry,
    /// The sentence to report.
    pub message: String,
    /// Whether the call takes effect although it reports a failure: a lost answer.
    pub takes_effect: bool,
}

impl Fault {
    /// The back end does not answer and nothing happened.
    #[must_use]
    pub fn unavailable() -> Self {
        Self {
            kind: ErrorKind::Unavailable,
            retry: Retry::Later,
            message: "scripted: the back end does not answer".to_owned(),
            takes_effect: false,
        }
    }

    /// The call worked but its answer was lost.
    #[must_use]
    pub fn lost_answer() -> Self {
        Self {
            kind: ErrorKind::Unavailable,
            retry: Retry::Unknown,
            message: "scripted: the answer was lost".to_owned(),
            takes_effect: true,
        }
    }

    /// Fails with `kind` and has no effect.
    #[must_use]
    pub fn of_kind(kind: ErrorKind) -> Self {
        let retry = match kind {
            ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Exhausted => Retry::Later,
            _ => Retry::Never,
        };
        Self {
            kind,
            retry,
            message: format!("scripted: {kind:?}"),
            takes_effect: false,
        }
    }

    pub(crate) fn into_error(self, operation: Operation) -> AdapterError {
        error(operation, self.kind, self.retry, self.message)
    }
}

/// The script: what fails next.
#[derive(Debug, Default)]
pub(crate) struct Script {
    calls: u64,
    by_operation: BTreeMap<Operation, u64>,
    at_call: BTreeMap<u64, Fault>,
    next: BTreeMap<Operation, VecDeque<Fault>>,
    always: BTreeMap<Operation, Fault>,
    blackout: Option<Fault>,
}

impl Script {
    /// Counts the call and says how it fails, if it does.
    pub(crate) fn on_call(&mut self, operation: Operation) -> Option<Fault> {
        self.calls += 1;
        *self.by_operation.entry(operation).or_default() += 1;
        if let Some(fault) = self.at_call.remove(&self.calls) {
            return Some(fault);
        }
        if let Some(fault) = self.next.get_mut(&operation).and_then(VecDeque::pop_front) {
            return Some(fault);
        }
        self.always.get(&operation).or(self.blackout.as_ref()).cloned()
    }

    pub(crate) fn fail_kth_call(&mut self, k: u64, fault: Fault) {
        self.at_call.insert(self.calls.saturating_add(k), fault);
    }

    pub(crate) fn fail_next(&mut self, operation: Operation, times: usize, fault: &Fault) {
        let queue = self.next.entry(operation).or_default();
        queue.extend(std::iter::repeat_n(fault.clone(), times));
    }

    pub(crate) fn fail_always(&mut self, operation: Operation, fault: Fault) {
        self.always.insert(operation, fault);
    }

    pub(crate) fn black_out(&mut self, fault: Fault) {
        self.blackout = Some(fault);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self {
            calls: self.calls,
            by_operation: std::mem::take(&mut self.by_operation),
            ..Self::default()
        };
    }

    pub(crate) fn calls_of(&self, operation: Operation) -> u64 {
        self.by_operation.get(&operation).copied().unwrap_or(0)
    }

    pub(crate) const fn calls(&self) -> u64 {
        self.calls
    }
}
