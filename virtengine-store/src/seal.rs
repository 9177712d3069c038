//! Seals: SHA-256 values by which a stored row proves that it is what was written.
//!
//! The seal of event n covers the seal of event n − 1, so a changed, missing, doubled or moved event breaks the chain at its
//! place. Every field is preceded by its length (8 bytes, big endian): no two different rows have the same bytes.

use sha2::{Digest, Sha256};
use virtengine_provider_core::ports::journal::{StoredEffect, StoredEvent};

/// A seal.
pub(crate) type Seal = [u8; 32];
/// Identity of a journal, random, made when it is created.
pub(crate) type JournalId = [u8; 16];

/// Where the journal stands: one row, written with every commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Position of the newest event; 0 when there is none.
    pub(crate) position: u64,
    /// Seal of the newest event; [`genesis`] when there is none.
    pub(crate) seal: Seal,
    /// The chain cursor.
    pub(crate) cursor: Option<u64>,
    /// How many effects are pending.
    pub(crate) pending: u64,
}

impl Head {
    /// The head of an empty journal.
    pub(crate) fn start(id: &JournalId) -> Self {
        Self {
            position: 0,
            seal: genesis(id),
            cursor: None,
            pending: 0,
        }
    }
}

struct Sealer(Sha256);

impl Sealer {
    fn new(domain: &[u8]) -> Self {
        Self(Sha256::new()).bytes(domain)
    }

    fn bytes(mut self, field: &[u8]) -> Self {
        let length = u64::try_from(field.len()).unwrap_or(u64::MAX);
        self.0.update(length.to_be_bytes());
        self.0.update(field);
        self
    }

    fn seal(self) -> Seal {
        self.0.finalize().into()
    }
}

/// The seal before the first event.
pub(crate) fn genesis(id: &JournalId) -> Seal {
    Sealer::new(b"virtengine.journal.genesis.v1").bytes(id).seal()
}

/// The seal of an event, given that of the event before it.
pub(crate) fn event(previous: &Seal, position: u64, event: &StoredEvent) -> Seal {
    Sealer::new(b"virtengine.journal.event.v1")
        .bytes(previous)
        .bytes(&position.to_be_bytes())
        .bytes(&event.at.as_millis().to_be_bytes())
        .bytes(event.kind.as_bytes())
        .bytes(event.subject.as_bytes())
        .bytes(&event.payload)
        .seal()
}

/// The seal of a pending effect.
pub(crate) fn effect(id: &JournalId, effect: &StoredEffect) -> Seal {
    Sealer::new(b"virtengine.journal.effect.v1")
        .bytes(id)
        .bytes(effect.id.as_bytes())
        .bytes(effect.kind.as_bytes())
        .bytes(effect.subject.as_bytes())
        .bytes(&effect.not_before.as_millis().to_be_bytes())
        .bytes(&effect.payload)
        .seal()
}

/// The seal of a snapshot.
pub(crate) fn snapshot(id: &JournalId, position: u64, state: &[u8]) -> Seal {
    Sealer::new(b"virtengine.journal.snapshot.v1")
        .bytes(id)
        .bytes(&position.to_be_bytes())
        .bytes(state)
        .seal()
}

/// The seal of the head row.
pub(crate) fn head(id: &JournalId, head: &Head) -> Seal {
    let cursor = head
        .cursor
        .map_or_else(Vec::new, |height| height.to_be_bytes().to_vec());
    Sealer::new(b"virtengine.journal.head.v1")
        .bytes(id)
        .bytes(&head.position.to_be_bytes())
        .bytes(&head.seal)
        .bytes(&cursor)
        .bytes(&head.pending.to_be_bytes())
        .seal()
}
