//! Checking a chain of records with nothing but the provider's public key: what a tenant runs.

use std::collections::BTreeMap;

use virtengine_provider_core::fraud::{Flag, Limits};
use virtengine_provider_core::id::LeaseId;
use virtengine_provider_core::ports::signer::PublicKey;
use virtengine_provider_core::time::Timestamp;

use crate::charge::{ChargeKind, charges};
use crate::metrics::Metrics;
use crate::record::{Digest, RecordKind};
use crate::signed::{SignatureError, SignedRecord, check};
use crate::traffic::Traffic;

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Signed by a key that is not trusted.
    #[error("it is signed by {0:?}, which is not a key of the provider")]
    Key(PublicKey),
    /// The record was changed, or signed by nobody.
    #[error("{0}")]
    Signature(#[from] SignatureError),
    /// Its id is not that of its content.
    #[error("its id does not belong to its content")]
    Id,
    /// It is of another workload, lease, provider, chain or deployment than the record before.
    #[error("it is about something else than the record before")]
    Subject,
    /// Its rates, or what was allocated, are not those of the record before: they are agreed once, with the lease.
    #[error("its rates or its allocation are not those of the record before")]
    Terms,
    /// A record is missing, or there twice.
    #[error("its number is {found}, {expected} should follow")]
    Sequence {
        /// The number that should follow.
        expected: u64,
        /// The number that it has.
        found: u64,
    },
    /// It does not follow from the record before: one of them was exchanged.
    #[error("it is not linked to the record before")]
    Link,
    /// Time between two records that is in neither.
    #[error("it starts at {start}, after the end of the record before ({end})")]
    Gap {
        /// End of the record before.
        end: Timestamp,
        /// Start of this one.
        start: Timestamp,
    },
    /// Time that is in both records.
    #[error("it starts at {start}, before the end of the record before ({end})")]
    Overlap {
        /// End of the record before.
        end: Timestamp,
        /// Start of this one.
        start: Timestamp,
    },
    /// It ends before it starts.
    #[error("it ends before it starts")]
    Backwards,
    /// Something follows the final record.
    #[error("it follows the final record")]
    AfterFinal,
    /// What is charged does not follow from the usage and the agreed rates.
    #[error("its charges do not follow from its usage and rates")]
    Charges,
}

/// The first record that is not in order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {sequence} (number {index} of the list): {problem}")]
pub struct Broken {
    /// Its place in the list, from 0.
    pub index: usize,
    /// Its number.
    pub sequence: u64,
    /// What is wrong.
    pub problem: Problem,
}

/// What a sound chain of records says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// How many records.
    pub records: usize,
    /// Whether the list begins with the first record of the workload.
    pub from_the_start: bool,
    /// Whether the list ends with the final record.
    pub to_the_end: bool,
    /// Start of the first record.
    pub start: Timestamp,
    /// End of the last record.
    pub end: Timestamp,
    /// Σ of the usage.
    pub total: Metrics,
    /// Σ of the charges, in base units.
    pub charged: BTreeMap<ChargeKind, u128>,
    /// Records that the fraud rules flag, with their flags.
    pub flagged: Vec<(u64, Vec<Flag>)>,
    /// Records whose window was not fully measured.
    pub not_fully_measured: Vec<u64>,
}

/// Checks `records` (oldest first) against one public key. An empty list is sound.
///
/// # Errors
/// [`Broken`] names the first record that is not in order.
pub fn verify_chain(records: &[SignedRecord], key: &PublicKey) -> Result<Verified, Broken> {
    verify_chain_of_keys(records, core::slice::from_ref(key))
}

/// As [`verify_chain`], for records from before and after key rotations: every record must be signed by one of `keys`.
///
/// # Errors
/// [`Broken`].
pub fn verify_chain_of_keys(records: &[SignedRecord], keys: &[PublicKey]) -> Result<Verified, Broken> {
    let mut before: Option<&SignedRecord> = None;
    for (index, signed) in records.iter().enumerate() {
        let sound = check_alone(signed, keys).and_then(|()| match before {
            Some(before) => check_link(before, signed),
            None => check_first(signed),
        });
        let sequence = signed.record.sequence;
        sound.map_err(|problem| Broken {
            index,
            sequence,
            problem,
        })?;
        before = Some(signed);
    }
    Ok(summary(records))
}

fn check_alone(signed: &SignedRecord, keys: &[PublicKey]) -> Result<(), Problem> {
    let record = &signed.record;
    if !keys.contains(&signed.key) {
        return Err(Problem::Key(signed.key.clone()));
    }
    check(&signed.key, &record.signing_bytes(), &signed.signature)?;
    if record.id != record.expected_id() {
        return Err(Problem::Id);
    }
    if record.end < record.start {
        return Err(Problem::Backwards);
    }
    let subject = &record.subject;
    for signed_charge in &signed.charges {
        let message = signed_charge
            .charge
            .signing_bytes(&subject.chain_id, &subject.provider);
        check(&signed.key, &message, &signed_charge.signature)?;
    }
    // Without charges the lease is paid per block; with charges they must be the ones that follow.
    let given = signed.charges.iter().map(|signed| &signed.charge);
    let expected = charges(record).map_err(|_| Problem::Charges)?;
    if !signed.charges.is_empty() && !given.eq(expected.iter()) {
        return Err(Problem::Charges);
    }
    let deployment = subject.lease.as_ref().map(LeaseId::deployment);
    if record.deployment.as_ref() != deployment {
        return Err(Problem::Subject);
    }
    Ok(())
}

fn check_first(signed: &SignedRecord) -> Result<(), Problem> {
    let first = signed.record.sequence <= 1;
    if signed.record.sequence == 0 {
        return Err(Problem::Sequence {
            expected: 1,
            found: 0,
        });
    }
    if first != (signed.record.previous == Digest::NONE) {
        Err(Problem::Link)
    } else {
        Ok(())
    }
}

fn check_link(before: &SignedRecord, signed: &SignedRecord) -> Result<(), Problem> {
    let (before, record) = (&before.record, &signed.record);
    if before.subject != record.subject {
        return Err(Problem::Subject);
    }
    if (&before.pricing, before.allocated) != (&record.pricing, record.allocated) {
        return Err(Problem::Terms);
    }
    if before.kind == RecordKind::Final {
        return Err(Problem::AfterFinal);
    }
    let expected = before.sequence.saturating_add(1);
    if record.sequence != expected {
        return Err(Problem::Sequence {
            expected,
            found: record.sequence,
        });
    }
    let (end, start) = (before.end, record.start);
    if start > end {
        return Err(Problem::Gap { end, start });
    }
    if start < end {
        return Err(Problem::Overlap { end, start });
    }
    if record.previous != before.digest() {
        Err(Problem::Link)
    } else {
        Ok(())
    }
}

fn summary(records: &[SignedRecord]) -> Verified {
    let first = records.first().map(|signed| &signed.record);
    let last = records.last().map(|signed| &signed.record);
    let mut verified = Verified {
        records: records.len(),
        from_the_start: first.is_some_and(|record| record.sequence == 1),
        to_the_end: last.is_some_and(|record| record.kind == RecordKind::Final),
        start: first.map_or(Timestamp::EPOCH, |record| record.start),
        end: last.map_or(Timestamp::EPOCH, |record| record.end),
        total: Metrics::ZERO,
        charged: BTreeMap::new(),
        flagged: Vec::new(),
        not_fully_measured: Vec::new(),
    };
    let mut traffic = Traffic::default();
    for signed in records {
        let record = &signed.record;
        // Sums that leave their type stop: the figures of a sound provider never do.
        verified.total = verified
            .total
            .checked_add(&record.metrics)
            .unwrap_or(verified.total);
        for signed_charge in &signed.charges {
            let sum = verified.charged.entry(signed_charge.charge.kind).or_default();
            *sum = sum.saturating_add(signed_charge.charge.cost);
        }
        let verdict = Limits::default().check(&record.facts(traffic.normal(), record.created_at));
        if !verdict.flags.is_empty() {
            verified.flagged.push((record.sequence, verdict.flags));
        }
        if !record.is_fully_measured() {
            verified.not_fully_measured.push(record.sequence);
        }
        traffic.push(record);
    }
    verified
}
