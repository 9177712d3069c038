//! Reading, on connections of their own: readers see a consistent moment and never hold up the writer.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params_from_iter};
use tokio::sync::Semaphore;
use virtengine_provider_core::ports::journal::{
    EventQuery, JournalError, Position, Recovered, StoredEffect, StoredEvent,
};
use virtengine_provider_core::time::Timestamp;

use super::fault;
use crate::seal::{self, Head, JournalId, Seal};

/// How many reads run at the same time; further ones wait.
const READERS_MAX: usize = 4;
/// Most kinds in one query.
const QUERY_KINDS_MAX: usize = 64;

/// Reading connections, opened when needed and kept.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    id: JournalId,
    idle: Mutex<Vec<Connection>>,
    slots: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, id: JournalId) -> Self {
        Self {
            path,
            id,
            idle: Mutex::new(Vec::new()),
            slots: Arc::new(Semaphore::new(READERS_MAX)),
        }
    }

    /// Runs `read` on a reading connection, inside one read transaction, off the async threads. A caller that goes away does
    /// not stop it.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let broke = |text: String| JournalError::Failed(format!("a read of the journal broke off: {text}"));
        let slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(|error| broke(error.to_string()))?;
        let readers = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let result = readers.with_connection(read);
            drop(slot);
            result
        });
        task.await.map_err(|error| broke(error.to_string()))?
    }

    fn with_connection<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let transaction = connection
            .unchecked_transaction()
            .map_err(|e| fault::error(&self.path, &e))?;
        let result = read(&transaction);
        drop(transaction);
        // A connection that saw an error is not kept.
        if result.is_ok() {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
        result
    }

    fn connect(&self) -> Result<Connection, JournalError> {
        let connection = connect(&self.path)?;
        if super::schema::journal_id(&connection, &self.path)? == self.id {
            return Ok(connection);
        }
        Err(fault::damaged(
            &self.path,
            "the file was exchanged while it was in use",
        ))
    }
}

/// A connection that cannot write.
pub(super) fn connect(path: &Path) -> Result<Connection, JournalError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.pragma_update(None, "query_only", "ON")?;
        Ok(connection)
    };
    connect().map_err(|error| fault::error(path, &error))
}

/// The head row, its proof, and whether the newest event is the one it names.
pub(super) fn head_checked(
    connection: &Connection,
    id: &JournalId,
    path: &Path,
) -> Result<Head, JournalError> {
    let select = "SELECT position, seal, cursor, pending, proof FROM head WHERE only = 1";
    let row = connection.query_row(select, [], |row| {
        let head = Head {
            position: row.get(0)?,
            seal: row.get(1)?,
            cursor: row.get(2)?,
            pending: row.get(3)?,
        };
        Ok((head, row.get::<_, Seal>(4)?))
    });
    let (head, proof) = row.map_err(|e| unreadable(path, "the head of the journal", &e))?;
    if proof != seal::head(id, &head) {
        return Err(fault::damaged(
            path,
            "the head of the journal is not what was written",
        ));
    }
    let newest = "SELECT position, seal FROM events ORDER BY position DESC LIMIT 1";
    let newest: Option<(u64, Seal)> = connection
        .query_row(newest, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(|e| unreadable(path, "the newest event", &e))?;
    let expected = (head.position > 0).then_some((head.position, head.seal));
    if newest != expected {
        let found = newest.map_or(0, |(position, _)| position);
        let text = format!(
            "the newest event should be {}, but {found} is found or its seal differs",
            head.position
        );
        return Err(fault::damaged(path, &text));
    }
    Ok(head)
}

/// Everything that a start needs; what is read is checked against its seals.
pub(super) fn recover(
    connection: &Connection,
    id: &JournalId,
    path: &Path,
) -> Result<Recovered, JournalError> {
    let head = head_checked(connection, id, path)?;
    let snapshot = snapshot_checked(connection, id, path)?;
    let after = snapshot.as_ref().map_or(Position(0), |(position, _)| *position);
    let mut events = Vec::new();
    walk(connection, id, path, after, &head, |position, event| {
        events.push((position, event));
    })?;
    let outbox = outbox_checked(connection, id, path, &head)?;
    Ok(Recovered {
        snapshot,
        events,
        outbox,
        cursor: head.cursor,
    })
}

/// The snapshot, when there is one.
pub(super) fn snapshot_checked(
    connection: &Connection,
    id: &JournalId,
    path: &Path,
) -> Result<Option<(Position, Vec<u8>)>, JournalError> {
    let select = "SELECT position, state, seal FROM snapshot ORDER BY position DESC LIMIT 1";
    let row = connection.query_row(select, [], |row| {
        Ok((
            row.get::<_, u64>(0)?,
            row.get::<_, Vec<u8>>(1)?,
            row.get::<_, Seal>(2)?,
        ))
    });
    let Some((position, state, stored)) = row.optional().map_err(|e| unreadable(path, "the snapshot", &e))?
    else {
        return Ok(None);
    };
    if stored != seal::snapshot(id, position, &state) {
        return Err(fault::damaged(path, "the snapshot is not what was written"));
    }
    Ok(Some((Position(position), state)))
}

/// Reads the events after `after` up to the head, checking each seal and that no position is missing.
pub(super) fn walk(
    connection: &Connection,
    id: &JournalId,
    path: &Path,
    after: Position,
    head: &Head,
    mut see: impl FnMut(Position, StoredEvent),
) -> Result<(), JournalError> {
    let mut previous = seal_of(connection, id, path, after)?;
    let mut expected = after.0;
    let select =
        "SELECT position, at, kind, subject, payload, seal FROM events WHERE position > ?1 ORDER BY position";
    let failed = |expected: u64, e: &rusqlite::Error| unreadable(path, &format!("event {expected}"), e);
    let mut statement = connection.prepare(select).map_err(|e| failed(expected, &e))?;
    let mut rows = statement.query([after.0]).map_err(|e| failed(expected, &e))?;
    loop {
        expected = expected.saturating_add(1);
        let Some(row) = rows.next().map_err(|e| failed(expected, &e))? else {
            break;
        };
        let (position, event) = stored_event(row).map_err(|e| failed(expected, &e))?;
        let stored: Seal = row.get(5).map_err(|e| failed(expected, &e))?;
        if position.0 != expected {
            let text = format!("event {expected} is missing (the next one is {})", position.0);
            return Err(fault::damaged(path, &text));
        }
        let seal = seal::event(&previous, expected, &event);
        if seal != stored {
            return Err(fault::damaged(
                path,
                &format!("event {expected} is not what was written"),
            ));
        }
        previous = seal;
        see(position, event);
    }
    if expected.saturating_sub(1) == head.position && previous == head.seal {
        return Ok(());
    }
    Err(fault::damaged(
        path,
        &format!(
            "the events end at {}, not at {}",
            expected.saturating_sub(1),
            head.position
        ),
    ))
}

fn seal_of(
    connection: &Connection,
    id: &JournalId,
    path: &Path,
    position: Position,
) -> Result<Seal, JournalError> {
    if position.0 == 0 {
        return Ok(seal::genesis(id));
    }
    connection
        .query_row(
            "SELECT seal FROM events WHERE position = ?1",
            [position.0],
            |row| row.get(0),
        )
        .map_err(|e| unreadable(path, &format!("event {}", position.0), &e))
}

/// Pending effects in the order of their making, each checked, and none missing.
pub(super) fn outbox_checked(
    connection: &Connection,
    id: &JournalId,
    path: &Path,
    head: &Head,
) -> Result<Vec<StoredEffect>, JournalError> {
    let select = "SELECT id, kind, subject, not_before, payload, seal FROM outbox ORDER BY place";
    let failed = |e: &rusqlite::Error| unreadable(path, "the outbox", e);
    let mut statement = connection.prepare(select).map_err(|e| failed(&e))?;
    let rows = statement.query_map([], |row| {
        let effect = StoredEffect {
            id: row.get(0)?,
            kind: row.get(1)?,
            subject: row.get(2)?,
            not_before: Timestamp::from_millis(row.get(3)?),
            payload: row.get(4)?,
        };
        Ok((effect, row.get::<_, Seal>(5)?))
    });
    let mut effects = Vec::new();
    for row in rows.map_err(|e| failed(&e))? {
        let (effect, stored) = row.map_err(|e| failed(&e))?;
        if stored != seal::effect(id, &effect) {
            return Err(fault::damaged(
                path,
                &format!("the pending effect {:?} is not what was written", effect.id),
            ));
        }
        effects.push(effect);
    }
    if u64::try_from(effects.len()) == Ok(head.pending) {
        return Ok(effects);
    }
    let text = format!(
        "the outbox has {} pending effects, {} were written",
        effects.len(),
        head.pending
    );
    Err(fault::damaged(path, &text))
}

/// Events that match `query`, oldest first.
pub(super) fn events(
    connection: &Connection,
    query: &EventQuery,
    path: &Path,
) -> Result<Vec<(Position, StoredEvent)>, JournalError> {
    if query.kinds.len() > QUERY_KINDS_MAX {
        return Err(JournalError::Failed(format!(
            "a query names at most {QUERY_KINDS_MAX} kinds"
        )));
    }
    let (sql, values) = select(query);
    let failed = |e: &rusqlite::Error| unreadable(path, "the events", e);
    let mut statement = connection.prepare_cached(&sql).map_err(|e| failed(&e))?;
    let rows = statement
        .query_map(params_from_iter(values), stored_event)
        .map_err(|e| failed(&e))?;
    let mut found = rows
        .collect::<rusqlite::Result<Vec<_>>>()
        .map_err(|e| failed(&e))?;
    if query.newest {
        found.reverse();
    }
    Ok(found)
}

/// The statement for a query. Only the number of placeholders depends on it, never a text of the caller.
fn select(query: &EventQuery) -> (String, Vec<Value>) {
    let clip = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut sql = String::from("SELECT position, at, kind, subject, payload FROM events WHERE position > ?");
    let mut values = vec![Value::Integer(clip(query.after.0))];
    if let Some(subject) = &query.subject {
        sql.push_str(" AND subject = ?");
        values.push(Value::Text(subject.clone()));
    }
    if !query.kinds.is_empty() {
        let marks = vec!["?"; query.kinds.len()].join(", ");
        // Writing to a string cannot fail.
        let _ = write!(sql, " AND kind IN ({marks})");
        values.extend(query.kinds.iter().cloned().map(Value::Text));
    }
    sql.push_str(if query.newest {
        " ORDER BY position DESC LIMIT ?"
    } else {
        " ORDER BY position LIMIT ?"
    });
    values.push(Value::Integer(clip(
        u64::try_from(query.limit).unwrap_or(u64::MAX),
    )));
    (sql, values)
}

fn stored_event(row: &Row<'_>) -> rusqlite::Result<(Position, StoredEvent)> {
    let event = StoredEvent {
        at: Timestamp::from_millis(row.get(1)?),
        kind: row.get(2)?,
        subject: row.get(3)?,
        payload: row.get(4)?,
    };
    Ok((Position(row.get(0)?), event))
}

/// A row that cannot be read: damage, unless the operating system is at fault.
fn unreadable(path: &Path, what: &str, error: &rusqlite::Error) -> JournalError {
    match error.sqlite_error_code() {
        None | Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            fault::damaged(path, &format!("{what} cannot be read ({error})"))
        }
        Some(_) => fault::error(path, error),
    }
}
