//! What an endpoint answers instead of an answer.

use virtengine_provider_core::id::Height;
use virtengine_provider_core::ports::chain::ChainError;

/// Longest excerpt of an endpoint's words, in characters.
pub(crate) const WORDS_CHARS: usize = 1024;

/// The beginning of what an endpoint said: it goes into errors, logs and answers.
pub(crate) fn excerpt(words: &str) -> String {
    match words.char_indices().nth(WORDS_CHARS) {
        Some((end, _)) => format!("{}…", words.get(..end).unwrap_or_default()),
        None => words.to_owned(),
    }
}

/// JSON-RPC code of everything that a node does not name more precisely.
const INTERNAL_ERROR: i64 = -32_603;

/// Why a call to one endpoint failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// No answer, or none that can be read: another endpoint may do better.
    #[error("{0}")]
    Endpoint(String),
    /// The node's JSON-RPC error object.
    #[error("rpc error {code}: {message}: {data}")]
    Node {
        /// JSON-RPC code.
        code: i64,
        /// JSON-RPC message, e.g. `Internal error`.
        message: String,
        /// The node's words.
        data: String,
    },
}

impl RpcError {
    fn data(&self) -> &str {
        match self {
            Self::Endpoint(_) => "",
            Self::Node { data, .. } => data,
        }
    }

    /// The node has the transaction in its cache already: sent before (spec/chain-node.md 2.7).
    #[must_use]
    pub fn is_already_in_cache(&self) -> bool {
        self.data().contains("already exists in cache") || self.data().contains("already in mempool")
    }

    /// The mempool takes no more.
    #[must_use]
    pub fn is_mempool_full(&self) -> bool {
        self.data().contains("mempool is full")
    }

    /// There is no such transaction in the node's index.
    #[must_use]
    pub fn is_tx_not_found(&self) -> bool {
        self.data().starts_with("tx (") && self.data().ends_with("not found")
    }

    /// The node has not come to this height yet.
    #[must_use]
    pub fn is_above_head(&self) -> bool {
        self.data()
            .contains("must be less than or equal to the current blockchain height")
    }

    /// The node no longer has this height, or never kept its results.
    #[must_use]
    pub fn is_pruned(&self) -> bool {
        let data = self.data();
        self.lowest().is_some()
            || data.contains("could not find results for height")
            || data.contains("not persisting")
    }

    /// The lowest height that the node says it has.
    #[must_use]
    pub fn lowest(&self) -> Option<Height> {
        let (_, rest) = self.data().split_once("is not available, lowest height is ")?;
        rest.trim().parse().ok().map(Height)
    }

    /// Whether another endpoint may have what this one has not.
    pub(crate) fn is_worth_another_endpoint(&self) -> bool {
        match self {
            Self::Endpoint(_) => true,
            // "Internal error" is everything from "not here" to a broken disk: another node may do better.
            Self::Node { code, .. } => {
                *code == INTERNAL_ERROR
                    && !self.is_already_in_cache()
                    && !self.is_mempool_full()
                    && !self.is_tx_not_found()
            }
        }
    }
}

impl From<RpcError> for ChainError {
    fn from(error: RpcError) -> Self {
        match &error {
            // Method not found, invalid params: asking again gives the same.
            RpcError::Node { code, .. } if (-32_602..=-32_600).contains(code) => {
                Self::Malformed(error.to_string())
            }
            _ => Self::Unreachable(error.to_string()),
        }
    }
}
