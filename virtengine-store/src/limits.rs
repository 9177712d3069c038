//! What a commit may hold. Checked before anything is queued, so that one bad commit never spoils a batch of good ones.

use virtengine_provider_core::ports::journal::{Commit, JournalError};

/// Most events, effects and finished effects together in one commit. A decision has a handful, a reconcile pass a few hundred.
/// But one block can end every order that waits, 100,000 with an item each, and what has been decided must be writable in one
/// piece, or nothing is ever written again. The rest is room for bids (1,000 at most) and leases, with up to five items each.
pub const COMMIT_ITEMS_MAX: usize = 500_000;
/// Longest payload of one event or effect, in bytes. Manifests, the largest things journaled, end at 1 MiB.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest kind, in bytes.
pub const KIND_BYTES_MAX: usize = 64;
/// Longest subject or effect id, in bytes. A lease id has about 130.
pub const SUBJECT_BYTES_MAX: usize = 1024;
/// Longest snapshot, in bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Highest chain cursor: the database keeps signed 64-bit integers.
pub const CURSOR_MAX: u64 = i64::MAX.unsigned_abs();

fn refuse(what: &str, len: usize, max: usize) -> Result<(), JournalError> {
    if len <= max {
        return Ok(());
    }
    Err(JournalError::Failed(format!(
        "commit refused: {what} has {len}, at most {max} are allowed"
    )))
}

/// Refuses a commit that is outside the limits of this module.
pub(crate) fn check(commit: &Commit) -> Result<(), JournalError> {
    let items = commit.events.len() + commit.effects.len() + commit.done.len();
    refuse("the number of items", items, COMMIT_ITEMS_MAX)?;
    for event in &commit.events {
        refuse("the kind of an event (bytes)", event.kind.len(), KIND_BYTES_MAX)?;
        refuse(
            "the subject of an event (bytes)",
            event.subject.len(),
            SUBJECT_BYTES_MAX,
        )?;
        refuse(
            "the payload of an event (bytes)",
            event.payload.len(),
            PAYLOAD_BYTES_MAX,
        )?;
    }
    for effect in &commit.effects {
        refuse("the id of an effect (bytes)", effect.id.len(), SUBJECT_BYTES_MAX)?;
        refuse("the kind of an effect (bytes)", effect.kind.len(), KIND_BYTES_MAX)?;
        refuse(
            "the subject of an effect (bytes)",
            effect.subject.len(),
            SUBJECT_BYTES_MAX,
        )?;
        refuse(
            "the payload of an effect (bytes)",
            effect.payload.len(),
            PAYLOAD_BYTES_MAX,
        )?;
    }
    if commit.cursor.is_some_and(|height| height > CURSOR_MAX) {
        return Err(JournalError::Failed(format!(
            "commit refused: the cursor is above {CURSOR_MAX}"
        )));
    }
    Ok(())
}

/// Refuses a snapshot that is too large, or of a position that does not exist.
pub(crate) fn check_snapshot(position: u64, head: u64, state: &[u8]) -> Result<(), JournalError> {
    refuse("the snapshot (bytes)", state.len(), SNAPSHOT_BYTES_MAX)?;
    if position > head {
        return Err(JournalError::Failed(format!(
            "snapshot refused: it is of position {position}, the newest event is {head}"
        )));
    }
    Ok(())
}

/// About how many bytes of memory a waiting commit takes.
pub(crate) fn weight(commit: &Commit) -> usize {
    let events = commit
        .events
        .iter()
        .map(|e| e.payload.len() + e.kind.len() + e.subject.len() + 64);
    let effects = commit
        .effects
        .iter()
        .map(|e| e.payload.len() + e.id.len() + e.subject.len() + 96);
    let done = commit.done.iter().map(|id| id.len() + 32);
    events.chain(effects).chain(done).sum::<usize>() + 128
}
