//! Carries effects out, like `daemon::carry`: one of a subject at a time, each until it ends in a fact.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt as _;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::chain::{Message, RejectKind, SignedTx, TxOutcome};

use super::super::fixture::signed;
use super::World;
use super::chain::{Waiting, rejection};
use crate::provider::{Effect, EffectId, Fact, Operation, Planned};

/// Blocks that a transaction may wait.
const TIMEOUT: u64 = 10;

/// What is under way; a crash forgets it.
#[derive(Debug, Default)]
pub(in super::super) struct Hands {
    sent: BTreeSet<EffectId>,
    /// Answers of adapter calls, and when they come.
    answers: BTreeMap<EffectId, (u64, Fact)>,
    sequence: u64,
}

impl Hands {
    pub(super) fn forget(&mut self) {
        self.sent.clear();
        self.answers.clear();
    }
}

impl World {
    pub(super) fn carry_effects(&mut self) {
        let mut busy = BTreeSet::new();
        let answering: Vec<_> = self.hands.answers.keys().cloned().collect();
        for id in answering {
            let (when, fact) = self.hands.answers[&id].clone();
            if when <= self.step {
                self.hands.answers.remove(&id);
                if self.chance.hits(self.faults.twice) {
                    self.tell(fact.clone());
                }
                self.tell(fact);
            } else if let Fact::Answered { workload, .. } = &fact {
                busy.insert(format!("workload {workload}"));
            }
        }
        for planned in self.journal.outbox.clone() {
            // The first of its subject, and no other; what was dropped meanwhile is not begun.
            let wanted = self.journal.outbox.iter().any(|other| other.id == planned.id);
            if !wanted || !busy.insert(planned.subject()) || planned.not_before > self.now {
                continue;
            }
            self.carry_out(&planned);
            if self.chance.hits(self.faults.crash / 5) {
                return self.crash();
            }
        }
    }

    fn carry_out(&mut self, planned: &Planned) {
        let effect = planned.id.clone();
        match &planned.effect {
            Effect::SendTx { messages, .. } => self.send(&effect, messages),
            Effect::Infrastructure { workload, operation } => self.call(effect, workload, operation),
            Effect::ReadFinalCounters { workload } => {
                if self.chance.hits(self.faults.blind) {
                    return;
                }
                let counters = self.backend.usage(workload, self.now);
                self.tell(Fact::FinallyCounted {
                    effect,
                    workload: workload.clone(),
                    counters,
                });
            }
            Effect::SignRecord { workload, sequence } => self.sign(effect, workload, *sequence),
        }
    }

    fn sign(&mut self, effect: EffectId, workload: &WorkloadId, sequence: u64) {
        let messages = self
            .provider
            .to_sign(workload, sequence)
            .map_or_else(Vec::new, |wanted| wanted.messages);
        let mut signatures: Vec<Vec<u8>> = messages
            .iter()
            .map(|message| self.key.sign(message).now_or_never().unwrap().unwrap())
            .collect();
        if self.chance.hits(self.faults.call / 10)
            && let Some(first) = signatures.first_mut()
        {
            first[0] ^= 1;
        }
        self.tell(Fact::RecordSigned {
            effect,
            workload: workload.clone(),
            sequence,
            key: self.key.public_key(),
            signatures,
        });
    }

    fn call(&mut self, effect: EffectId, workload: &WorkloadId, operation: &Operation) {
        if self.hands.answers.contains_key(&effect) {
            return;
        }
        self.check_call(workload, operation);
        let result = self
            .backend
            .call(workload, operation, &self.faults, &mut self.chance, self.now);
        let fact = Fact::Answered {
            effect: effect.clone(),
            workload: workload.clone(),
            result,
        };
        let when = self.step + self.chance.below(5);
        self.hands.answers.insert(effect, (when, fact));
    }

    fn send(&mut self, effect: &EffectId, messages: &[Message]) {
        let tx = match self.provider.signed_tx(effect) {
            Some(tx) => tx,
            None => {
                let refused = if self.chance.hits(self.faults.refused) {
                    Err(rejection(match self.chance.below(3) {
                        0 => RejectKind::Busy,
                        1 => RejectKind::SequenceMismatch,
                        _ => RejectKind::NextBlock,
                    }))
                } else {
                    self.chain.simulate(messages)
                };
                if let Err(rejection) = refused {
                    return self.settled(effect, TxOutcome::Rejected(rejection));
                }
                self.hands.sequence += 1;
                let tx = signed(
                    effect.as_bytes(),
                    self.hands.sequence,
                    self.chain.height + TIMEOUT,
                );
                let (effect, tx) = (effect.clone(), tx);
                self.tell(Fact::TxSigned {
                    effect,
                    tx: tx.clone(),
                });
                tx
            }
        };
        if self.hands.sent.insert(effect.clone()) {
            self.broadcast(&tx, messages);
        }
        self.ask(effect, &tx);
    }

    /// The same bytes are the same transaction, however often they are sent.
    fn broadcast(&mut self, tx: &SignedTx, messages: &[Message]) {
        let known = self.chain.mempool.iter().any(|waiting| waiting.hash == tx.hash);
        if known || self.chain.results.contains_key(&tx.hash) || self.chance.hits(self.faults.tx_lost) {
            return;
        }
        let slow = self.chance.hits(self.faults.slow_tx);
        let wait = if slow { self.chance.below(TIMEOUT + 2) } else { 0 };
        self.chain.mempool.push(Waiting {
            hash: tx.hash,
            messages: messages.to_vec(),
            from: self.chain.height + 1 + wait,
            timeout: tx.timeout_height.0,
        });
    }

    fn ask(&mut self, effect: &EffectId, tx: &SignedTx) {
        if let Some(outcome) = self.chain.results.get(&tx.hash).cloned() {
            self.settled(effect, outcome);
        } else if self.chain.height > tx.timeout_height.0 {
            self.settled(effect, TxOutcome::Rejected(rejection(RejectKind::TimedOut)));
        } else {
            self.tell(Fact::TxSettled {
                effect: effect.clone(),
                outcome: TxOutcome::Unknown,
            });
        }
    }

    fn settled(&mut self, effect: &EffectId, outcome: TxOutcome) {
        let fact = Fact::TxSettled {
            effect: effect.clone(),
            outcome,
        };
        if self.chance.hits(self.faults.twice) {
            self.tell(fact.clone());
        }
        self.tell(fact);
    }
}
