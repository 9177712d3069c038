//! Checks a whole journal.

use std::path::Path;

use rusqlite::Connection;
use virtengine_provider_core::ports::journal::{JournalError, Position};

use super::{fault, read, schema};
use crate::seal::JournalId;

/// What a complete check found; that it exists means that nothing is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Identity of the journal, 32 hex digits.
    pub journal_id: String,
    /// Version of the schema.
    pub schema: u32,
    /// How many events there are; the newest has this position.
    pub events: u64,
    /// How many effects are pending.
    pub pending: u64,
    /// The chain cursor.
    pub cursor: Option<u64>,
    /// Position of the snapshot.
    pub snapshot: Option<Position>,
    /// Seal of the newest event, 64 hex digits. Two journals with the same seal have the same events.
    pub seal: String,
}

/// Checks what `connection` sees.
pub(super) fn verify(connection: &Connection, id: &JournalId, path: &Path) -> Result<Verified, JournalError> {
    let schema = schema::version(connection, path)?;
    // Rows before pages: a damaged row is then named, not only its page.
    let head = read::head_checked(connection, id, path)?;
    read::walk(connection, id, path, Position(0), &head, |_, _| ())?;
    read::outbox_checked(connection, id, path, &head)?;
    let snapshot = read::snapshot_checked(connection, id, path)?.map(|(position, _)| position);
    if snapshot.is_some_and(|position| position.0 > head.position) {
        return Err(fault::damaged(
            path,
            "the snapshot is of a position after the newest event",
        ));
    }
    check_pages(connection, path)?;
    Ok(Verified {
        journal_id: hex::encode(id),
        schema,
        events: head.position,
        pending: head.pending,
        cursor: head.cursor,
        snapshot,
        seal: hex::encode(head.seal),
    })
}

fn check_pages(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let finding: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| fault::error(path, &error))?;
    if finding == "ok" {
        return Ok(());
    }
    Err(fault::damaged(
        path,
        &format!("the database reports: {}", finding.trim()),
    ))
}

/// Opens `path` for reading and checks it.
pub(super) fn verify_file(path: &Path) -> Result<Verified, JournalError> {
    if !path.is_file() {
        return Err(JournalError::Failed(format!(
            "there is no journal at {}",
            path.display()
        )));
    }
    let connection = read::connect(path)?;
    if schema::version(&connection, path)? == 0 {
        return Err(JournalError::Failed(format!(
            "{} is an empty file",
            path.display()
        )));
    }
    let transaction = connection
        .unchecked_transaction()
        .map_err(|error| fault::error(path, &error))?;
    let id = schema::journal_id(&transaction, path)?;
    verify(&transaction, &id, path)
}
