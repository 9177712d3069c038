//! What one transaction writes.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use virtengine_provider_core::ports::journal::{Commit, Position, StoredEffect, StoredEvent};

use crate::seal::{self, Head, JournalId};

/// Writes `commits` in order, all or none. Returns the head after each; the last one is the new head.
pub(super) fn commits<'a>(
    connection: &mut Connection,
    id: &JournalId,
    head: &Head,
    commits: impl Iterator<Item = &'a Commit>,
) -> rusqlite::Result<(Head, Vec<Position>)> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut head = head.clone();
    let mut positions = Vec::with_capacity(commits.size_hint().0);
    for commit in commits {
        apply(&transaction, id, &mut head, commit)?;
        positions.push(Position(head.position));
    }
    write_head(&transaction, id, &head)?;
    transaction.commit()?;
    Ok((head, positions))
}

fn apply(
    transaction: &Transaction<'_>,
    id: &JournalId,
    head: &mut Head,
    commit: &Commit,
) -> rusqlite::Result<()> {
    for event in &commit.events {
        append(transaction, head, event)?;
    }
    for done in &commit.done {
        let removed = transaction
            .prepare_cached("DELETE FROM outbox WHERE id = ?1")?
            .execute([done])?;
        head.pending = head.pending.saturating_sub(u64::try_from(removed).unwrap_or(0));
    }
    for effect in &commit.effects {
        enqueue(transaction, id, head, effect)?;
    }
    head.cursor = commit.cursor.or(head.cursor);
    Ok(())
}

fn append(transaction: &Transaction<'_>, head: &mut Head, event: &StoredEvent) -> rusqlite::Result<()> {
    let position = head.position.saturating_add(1);
    let seal = seal::event(&head.seal, position, event);
    let insert =
        "INSERT INTO events (position, at, kind, subject, payload, seal) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    transaction.prepare_cached(insert)?.execute(params![
        position,
        event.at.as_millis(),
        event.kind,
        event.subject,
        event.payload,
        seal
    ])?;
    head.position = position;
    head.seal = seal;
    Ok(())
}

/// A pending effect of the same id keeps its place in the order.
fn enqueue(
    transaction: &Transaction<'_>,
    id: &JournalId,
    head: &mut Head,
    effect: &StoredEffect,
) -> rusqlite::Result<()> {
    let replace =
        "UPDATE outbox SET kind = ?2, subject = ?3, not_before = ?4, payload = ?5, seal = ?6 WHERE id = ?1";
    let insert =
        "INSERT INTO outbox (id, kind, subject, not_before, payload, seal) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let seal = seal::effect(id, effect);
    let not_before = effect.not_before.as_millis();
    let values = params![
        effect.id,
        effect.kind,
        effect.subject,
        not_before,
        effect.payload,
        seal
    ];
    if transaction.prepare_cached(replace)?.execute(values)? == 0 {
        transaction.prepare_cached(insert)?.execute(values)?;
        head.pending = head.pending.saturating_add(1);
    }
    Ok(())
}

fn write_head(transaction: &Transaction<'_>, id: &JournalId, head: &Head) -> rusqlite::Result<()> {
    let update =
        "UPDATE head SET position = ?1, seal = ?2, cursor = ?3, pending = ?4, proof = ?5 WHERE only = 1";
    let proof = seal::head(id, head);
    let values = params![head.position, head.seal, head.cursor, head.pending, proof];
    transaction.prepare_cached(update)?.execute(values)?;
    Ok(())
}

/// Keeps a snapshot, unless a newer one is there; older ones go.
pub(super) fn snapshot(
    connection: &mut Connection,
    id: &JournalId,
    position: Position,
    state: &[u8],
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let newest: Option<u64> = transaction
        .query_row("SELECT max(position) FROM snapshot", [], |row| row.get(0))
        .optional()?
        .flatten();
    if newest.is_none_or(|newest| newest <= position.0) {
        transaction.execute("DELETE FROM snapshot", [])?;
        let insert = "INSERT INTO snapshot (position, state, seal) VALUES (?1, ?2, ?3)";
        transaction.execute(
            insert,
            params![position.0, state, seal::snapshot(id, position.0, state)],
        )?;
    }
    transaction.commit()
}
