//! What is not yet paid, per lease.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use virtengine_provider_core::fraud::{Flag, Verdict};
use virtengine_provider_core::id::{Height, LeaseId};
use virtengine_provider_core::ports::chain::{Message, UsageOnChain};

use crate::record::RecordKind;
use crate::signed::{SignedCharge, SignedRecord};

/// The books of one lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    lease: LeaseId,
    /// Records with something unpaid, by sequence.
    entries: BTreeMap<u64, Entry>,
    /// The highest sequence that was booked.
    booked: u64,
    /// Whether the final record was booked.
    complete: bool,
    /// The newest block with a transaction of ours for this lease.
    landed: Height,
    /// The newest withdrawal.
    withdrawn: Option<Height>,
}

/// One record's charges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The record's id.
    pub record_id: String,
    /// Why it waits for the operator; `None` when it may be sent.
    pub held: Option<Held>,
    /// What it costs, and how far that is.
    pub charges: Vec<(SignedCharge, ChargeState)>,
}

/// Why a record is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What the fraud rules found.
    pub flags: Vec<Flag>,
    /// Their score.
    pub score: u32,
}

/// How far a charge is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeState {
    /// Not on chain.
    Due,
    /// On chain, not yet paid.
    OnChain {
        /// The chain's id of it.
        usage_id: String,
    },
    /// Paid.
    Settled,
}

/// Something that happened to the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BooksCommand<'a> {
    /// A record was signed.
    Book {
        /// The record.
        signed: &'a SignedRecord,
        /// What the fraud rules said about it.
        verdict: &'a Verdict,
    },
    /// The operator looked at a held record and lets it go.
    Release {
        /// Which.
        sequence: u64,
    },
    /// The chain lists these records for the order.
    Observe {
        /// The list.
        usage: &'a [UsageOnChain],
    },
    /// A transaction of ours landed.
    Landed {
        /// Its messages.
        messages: &'a [Message],
        /// The ids that they were answered with, in order (`TxOutcome::Landed`).
        response_ids: &'a [String],
        /// The block.
        height: Height,
    },
}

/// What changed in the books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BooksEvent {
    /// A record was booked.
    Booked {
        /// Its number.
        sequence: u64,
        /// Its charges.
        entry: Entry,
        /// Whether it is the final one.
        complete: bool,
    },
    /// A held record may be sent.
    Released {
        /// Which.
        sequence: u64,
    },
    /// A charge moved on.
    Charge {
        /// Which record.
        sequence: u64,
        /// Which charge of it.
        index: usize,
        /// Where it is now.
        state: ChargeState,
    },
    /// A transaction for this lease landed.
    Landed {
        /// The block.
        height: Height,
        /// Whether it withdrew from the payment stream.
        withdrew: bool,
    },
}

/// Why a command is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BooksRejected {
    /// The record is of another lease.
    #[error("the record is not of lease {0}")]
    OtherLease(LeaseId),
    /// There is nothing to release.
    #[error("record {0} is not held")]
    NotHeld(u64),
    /// A record before it was never booked.
    #[error("record {found} cannot be booked: {expected} is next")]
    Gap {
        /// The number that is next.
        expected: u64,
        /// The number that was given.
        found: u64,
    },
}

impl Books {
    /// Empty books.
    #[must_use]
    pub const fn new(lease: LeaseId) -> Self {
        Self {
            lease,
            entries: BTreeMap::new(),
            booked: 0,
            complete: false,
            landed: Height(0),
            withdrawn: None,
        }
    }

    /// The lease.
    #[must_use]
    pub const fn lease(&self) -> &LeaseId {
        &self.lease
    }

    /// Records with something unpaid, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().map(|(sequence, entry)| (*sequence, entry))
    }

    /// Records that wait for the operator.
    pub fn held(&self) -> impl Iterator<Item = (u64, &Held)> {
        self.entries()
            .filter_map(|(sequence, entry)| entry.held.as_ref().map(|held| (sequence, held)))
    }

    /// What is not yet paid, in base units of the rates' denomination.
    #[must_use]
    pub fn unpaid(&self) -> u128 {
        let charges = self.entries.values().flat_map(|entry| &entry.charges);
        let open = charges.filter(|(_, state)| *state != ChargeState::Settled);
        open.fold(0, |sum, (signed, _)| sum.saturating_add(signed.charge.cost))
    }

    /// Whether the final record was booked and nothing is unpaid: the books can be forgotten.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.complete && self.entries.is_empty()
    }

    /// Whether the final record was booked.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// The newest block with a transaction of ours for this lease.
    #[must_use]
    pub const fn landed(&self) -> Height {
        self.landed
    }

    /// The block of the newest withdrawal.
    #[must_use]
    pub const fn withdrawn(&self) -> Option<Height> {
        self.withdrawn
    }

    /// What `command` changes. What was taken in already changes nothing.
    ///
    /// # Errors
    /// [`BooksRejected`].
    pub fn decide(&self, command: &BooksCommand<'_>) -> Result<Vec<BooksEvent>, BooksRejected> {
        match command {
            BooksCommand::Book { signed, verdict } => self.decide_book(signed, verdict),
            BooksCommand::Release { sequence } => match self.entries.get(sequence) {
                Some(entry) if entry.held.is_some() => Ok(vec![BooksEvent::Released { sequence: *sequence }]),
                _ => Err(BooksRejected::NotHeld(*sequence)),
            },
            BooksCommand::Observe { usage } => Ok(self.decide_observe(usage)),
            BooksCommand::Landed {
                messages,
                response_ids,
                height,
            } => Ok(self.decide_landed(messages, response_ids, *height)),
        }
    }

    fn decide_book(
        &self,
        signed: &SignedRecord,
        verdict: &Verdict,
    ) -> Result<Vec<BooksEvent>, BooksRejected> {
        let record = &signed.record;
        if record.subject.lease.as_ref() != Some(&self.lease) {
            return Err(BooksRejected::OtherLease(self.lease.clone()));
        }
        let expected = self.booked.saturating_add(1);
        if record.sequence < expected {
            return Ok(Vec::new());
        }
        if record.sequence > expected {
            return Err(BooksRejected::Gap {
                expected,
                found: record.sequence,
            });
        }
        let held = (!verdict.valid).then(|| Held {
            flags: verdict.flags.clone(),
            score: verdict.score,
        });
        let charges = signed
            .charges
            .iter()
            .cloned()
            .map(|charge| (charge, ChargeState::Due))
            .collect();
        Ok(vec![BooksEvent::Booked {
            sequence: record.sequence,
            entry: Entry {
                record_id: record.id.clone(),
                held,
                charges,
            },
            complete: record.kind == RecordKind::Final,
        }])
    }

    fn decide_observe(&self, usage: &[UsageOnChain]) -> Vec<BooksEvent> {
        let on_chain = |signed: &SignedCharge| {
            // Should one charge be on chain twice, the one that is paid counts, else the first.
            let mut same = usage.iter().filter(|usage| is_same(signed, usage));
            let first = same.next()?;
            let paid = first.settled || same.any(|usage| usage.settled);
            Some(if paid {
                ChargeState::Settled
            } else {
                ChargeState::OnChain {
                    usage_id: first.id.clone(),
                }
            })
        };
        self.changes(|signed, state| match (state, on_chain(signed)) {
            (ChargeState::Settled, _) | (_, None) => None,
            (_, Some(found)) => Some(found),
        })
    }

    fn decide_landed(&self, messages: &[Message], ids: &[String], height: Height) -> Vec<BooksEvent> {
        let lease_text = self.lease.to_string();
        let order_text = self.lease.order.to_string();
        let (mut events, mut withdrew, mut ours) = (Vec::new(), false, false);
        for (index, message) in messages.iter().enumerate() {
            match message {
                Message::WithdrawLease { id } if *id == self.lease => withdrew = true,
                Message::RecordUsage {
                    lease_id, signature, ..
                } if *lease_id == lease_text => {
                    ours = true;
                    let usage_id = ids.get(index).filter(|id| !id.is_empty());
                    events.extend(self.changes(|signed, state| {
                        let landed = *state == ChargeState::Due && signed.signature == *signature;
                        let usage_id = usage_id.filter(|_| landed)?.clone();
                        Some(ChargeState::OnChain { usage_id })
                    }));
                }
                Message::SettleOrder {
                    order_id,
                    usage_record_ids,
                    ..
                } if *order_id == order_text => {
                    ours = true;
                    events.extend(self.changes(|_, state| match state {
                        ChargeState::OnChain { usage_id } if usage_record_ids.contains(usage_id) => {
                            Some(ChargeState::Settled)
                        }
                        _ => None,
                    }));
                }
                Message::ActivateEscrow { lease_id, .. } => ours |= *lease_id == lease_text,
                _ => {}
            }
        }
        if (ours || withdrew) && (height > self.landed || (withdrew && self.withdrawn < Some(height))) {
            events.push(BooksEvent::Landed { height, withdrew });
        }
        events
    }

    fn changes(
        &self,
        change: impl Fn(&SignedCharge, &ChargeState) -> Option<ChargeState>,
    ) -> Vec<BooksEvent> {
        let mut events = Vec::new();
        for (sequence, entry) in &self.entries {
            for (index, (signed, state)) in entry.charges.iter().enumerate() {
                if let Some(next) = change(signed, state).filter(|next| next != state) {
                    events.push(BooksEvent::Charge {
                        sequence: *sequence,
                        index,
                        state: next,
                    });
                }
            }
        }
        events
    }

    /// Takes `event` in; one that was taken in already changes nothing.
    pub fn evolve(&mut self, event: &BooksEvent) {
        match event {
            BooksEvent::Booked {
                sequence,
                entry,
                complete,
            } => {
                if *sequence > self.booked {
                    self.booked = *sequence;
                    self.complete |= complete;
                    // Without charges there is nothing to pay; it was only booked to keep the count.
                    if !entry.charges.is_empty() {
                        self.entries.insert(*sequence, entry.clone());
                    }
                }
            }
            BooksEvent::Released { sequence } => {
                if let Some(entry) = self.entries.get_mut(sequence) {
                    entry.held = None;
                }
            }
            BooksEvent::Charge {
                sequence,
                index,
                state,
            } => self.charge_moved(*sequence, *index, state),
            BooksEvent::Landed { height, withdrew } => {
                self.landed = self.landed.max(*height);
                if *withdrew {
                    self.withdrawn = self.withdrawn.max(Some(*height));
                }
            }
        }
    }

    fn charge_moved(&mut self, sequence: u64, index: usize, state: &ChargeState) {
        let Some(entry) = self.entries.get_mut(&sequence) else {
            return;
        };
        if let Some((_, current)) = entry.charges.get_mut(index)
            && *current != ChargeState::Settled
        {
            *current = state.clone();
        }
        if entry
            .charges
            .iter()
            .all(|(_, state)| *state == ChargeState::Settled)
        {
            self.entries.remove(&sequence);
        }
    }
}

/// Whether a record on chain is this charge.
pub(super) fn is_same(signed: &SignedCharge, usage: &UsageOnChain) -> bool {
    let charge = &signed.charge;
    usage.usage_type == charge.kind.name()
        && usage.usage_units == charge.units
        && usage.period_start == charge.period_start
        && usage.period_end == charge.period_end
        && usage.signature == signed.signature
}
