//! The tables, and how they grow from version to version.
//!
//! Each entry of [`MIGRATIONS`] brings the file from version n to n + 1 in one transaction: a crash leaves the old version or
//! the new one. An entry, once released, never changes.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use virtengine_provider_core::ports::journal::JournalError;

use super::{fault, options::Options};
use crate::seal::{self, Head, JournalId};

/// Marks the file as ours in its header ("VEJ1").
const APPLICATION_ID: i32 = 0x5645_4A31;

/// Version 1: tables. Version 2: indexes for reading by kind and subject; events and their order can no longer be changed by
/// hand.
const MIGRATIONS: [&str; 2] = [
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
     CREATE TABLE events (
         position INTEGER PRIMARY KEY,
         at INTEGER NOT NULL,
         kind TEXT NOT NULL,
         subject TEXT NOT NULL,
         payload BLOB NOT NULL,
         seal BLOB NOT NULL
     ) STRICT;
     CREATE TABLE outbox (
         place INTEGER PRIMARY KEY,
         id TEXT NOT NULL UNIQUE,
         kind TEXT NOT NULL,
         subject TEXT NOT NULL,
         not_before INTEGER NOT NULL,
         payload BLOB NOT NULL,
         seal BLOB NOT NULL
     ) STRICT;
     CREATE TABLE snapshot (position INTEGER PRIMARY KEY, state BLOB NOT NULL, seal BLOB NOT NULL) STRICT;
     CREATE TABLE head (
         only INTEGER PRIMARY KEY CHECK (only = 1),
         position INTEGER NOT NULL,
         seal BLOB NOT NULL,
         cursor INTEGER,
         pending INTEGER NOT NULL,
         proof BLOB NOT NULL
     ) STRICT;
     INSERT INTO meta (key, value) VALUES ('journal_id', randomblob(16));",
    "CREATE INDEX events_by_subject ON events (subject);
     CREATE INDEX events_by_kind ON events (kind);
     CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
         BEGIN SELECT RAISE (ABORT, 'the journal is append-only'); END;
     CREATE TRIGGER events_are_never_removed BEFORE DELETE ON events
         BEGIN SELECT RAISE (ABORT, 'the journal is append-only'); END;",
];

/// The version that this program writes.
pub(super) const VERSION: u32 = 2;
const _: () = assert!(MIGRATIONS.len() == 2 && VERSION == 2);

/// Opens the file for writing and sets what durability and bounds need.
pub(super) fn connect(path: &Path, options: &Options) -> Result<Connection, JournalError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(32);
        // The first read of the header: a file of something else fails here.
        let _: i64 = connection.pragma_query_value(None, "schema_version", |row| row.get(0))?;
        Ok(connection)
    };
    let connection = connect().map_err(|error| fault::error(path, &error))?;
    refuse_foreign(&connection, path)?;
    configure(&connection, path, options)?;
    Ok(connection)
}

/// The version of the file and whether it is one of ours; 0 for an empty file.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<u32, JournalError> {
    let read = || -> rusqlite::Result<(u32, i32, i64)> {
        Ok((
            connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
            connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
            connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?,
        ))
    };
    let (version, application, tables) = read().map_err(|error| fault::error(path, &error))?;
    if application != APPLICATION_ID && (version, application, tables) != (0, 0, 0) {
        return Err(JournalError::Failed(format!(
            "{} is a database of another program",
            path.display()
        )));
    }
    if version > VERSION {
        return Err(JournalError::Newer(format!(
            "{} has version {version}, this program knows up to {VERSION}; start the program that wrote it, or newer",
            path.display()
        )));
    }
    Ok(version)
}

fn refuse_foreign(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    version(connection, path).map(|_| ())
}

fn configure(connection: &Connection, path: &Path, options: &Options) -> Result<(), JournalError> {
    let configure = || -> rusqlite::Result<String> {
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        // FULL: the write-ahead log is synced before a commit returns.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        connection.pragma_update(None, "cell_size_check", "ON")?;
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        if let Some(bytes) = options.file_bytes_max {
            let page: u64 = connection
                .pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0))?
                .into();
            let pages = i64::try_from(bytes / page.max(1)).unwrap_or(i64::MAX);
            connection.pragma_update(None, "max_page_count", pages)?;
        }
        Ok(mode)
    };
    let mode = configure().map_err(|error| fault::error(path, &error))?;
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(JournalError::Failed(format!(
        "{}: its file system cannot share memory between connections (journal mode stays {mode}); use a local disk",
        path.display()
    )))
}

/// Brings the file to [`VERSION`] and returns its identity.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<JournalId, JournalError> {
    let current = version(connection, path)?;
    for (next, migration) in (1_u32..).zip(MIGRATIONS) {
        if next > current {
            migrate(connection, migration, next).map_err(|error| fault::error(path, &error))?;
        }
    }
    journal_id(connection, path)
}

fn migrate(connection: &mut Connection, migration: &str, version: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(migration)?;
    if version == 1 {
        let id: JournalId = transaction.query_row(JOURNAL_ID, [], |row| row.get(0))?;
        let head = Head::start(&id);
        let insert =
            "INSERT INTO head (only, position, seal, cursor, pending, proof) VALUES (1, 0, ?1, NULL, 0, ?2)";
        transaction.execute(insert, (head.seal, seal::head(&id, &head)))?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}

const JOURNAL_ID: &str = "SELECT value FROM meta WHERE key = 'journal_id'";

/// The identity of the journal.
pub(super) fn journal_id(connection: &Connection, path: &Path) -> Result<JournalId, JournalError> {
    connection
        .query_row(JOURNAL_ID, [], |row| row.get(0))
        .map_err(|error| fault::damaged(path, &format!("its identity cannot be read ({error})")))
}
