//! What becomes of transactions.

use virtengine_bid::Command as BidCommand;
use virtengine_provider_core::id::BidId;
use virtengine_provider_core::ports::chain::{RejectKind, Rejection, SignedTx, TxOutcome};

use super::effect::{EffectId, Purpose};
use super::event::Event;
use super::follow::Steps;
use super::state::Transaction;

impl Steps<'_> {
    pub(super) fn tx_signed(&mut self, effect: EffectId, tx: SignedTx) {
        let Some(known) = self
            .provider
            .state
            .txs
            .get(&effect)
            .filter(|known| known.signed.is_none() && known.outcome.is_none())
        else {
            return;
        };
        let purpose = known.purpose.clone();
        self.happened(Event::TxSigned {
            effect,
            tx,
            at: self.now,
        });
        if let Purpose::Bid { order, sending } = purpose {
            let id = self.provider.bidder.id(&order);
            self.bid(BidCommand::BidSent { id, sending });
        }
    }

    /// The bid became a lease: a transaction that would close it, and that nobody has signed yet, is not sent any more. It would
    /// close the lease.
    pub(super) fn keep_lease(&mut self, bid: &BidId) {
        let closes = |tx: &Transaction| matches!(&tx.purpose, Purpose::CloseBid { bid: of } if of == bid);
        let txs = self.provider.state.txs.iter();
        let unsent = txs.filter(|(_, tx)| tx.outcome.is_none() && tx.signed.is_none() && closes(tx));
        for effect in unsent.map(|(effect, _)| effect.clone()).collect::<Vec<_>>() {
            self.decision.done.push(effect.clone());
            let outcome = TxOutcome::Rejected(Rejection {
                kind: RejectKind::StateChanged,
                codespace: "client".to_owned(),
                code: 1,
                log: "not sent: the bid became a lease".to_owned(),
            });
            self.happened(Event::TxSettled {
                effect,
                outcome,
                at: self.now,
            });
        }
    }

    pub(super) fn tx_settled(&mut self, effect: EffectId, outcome: TxOutcome) {
        if outcome == TxOutcome::Unknown {
            return;
        }
        self.decision.done.push(effect.clone());
        let Some(known) = self
            .provider
            .state
            .txs
            .get(&effect)
            .filter(|known| known.outcome.is_none())
            .cloned()
        else {
            return;
        };
        self.happened(Event::TxSettled {
            effect,
            outcome: outcome.clone(),
            at: self.now,
        });
        match outcome {
            TxOutcome::Landed {
                height, response_ids, ..
            } => match &known.purpose {
                Purpose::Bid { order, .. } => {
                    let id = self.provider.bidder.id(order);
                    self.bid(BidCommand::BidLanded { id, height });
                }
                Purpose::CloseBid { bid } => self.bid(BidCommand::BidClosed { id: bid.clone() }),
                // The lease is closed when the chain says so, by its block or by comparison.
                Purpose::CloseLease { .. } => {}
                Purpose::Activate { lease }
                | Purpose::RecordUsage { lease }
                | Purpose::Settle { lease }
                | Purpose::Withdraw { lease } => {
                    self.money_landed(lease, &known.messages, &response_ids, height);
                }
            },
            TxOutcome::Rejected(rejection) => self.tx_rejected(&known, rejection),
            TxOutcome::Unknown => {}
        }
    }

    fn tx_rejected(&mut self, known: &Transaction, rejection: Rejection) {
        tracing::warn!(purpose = known.purpose.name(), %rejection, "the chain refused a transaction");
        match &known.purpose {
            Purpose::Bid { order, sending } => {
                let (id, sending) = (self.provider.bidder.id(order), *sending);
                self.bid(BidCommand::BidRejected {
                    id,
                    sending,
                    rejection,
                });
            }
            Purpose::CloseBid { bid } => self.bid(BidCommand::CloseRejected {
                id: bid.clone(),
                rejection,
            }),
            Purpose::CloseLease { lease } => {
                let over = matches!(rejection.kind, RejectKind::StateChanged | RejectKind::AlreadyDone);
                let reason = self
                    .provider
                    .state
                    .leases
                    .get(lease)
                    .filter(|l| l.is_live())
                    .and_then(virtengine_provider_core::lease::Lease::reason);
                // A lease that we left must be closed: asked until the chain shows it closed.
                if let Some(reason) = reason.filter(|_| !over) {
                    let again = self.now.plus(self.provider.settings.retries.tx_pause);
                    self.plan_close(&lease.clone(), reason, again);
                }
            }
            // Planned again by the next round of settlement, if it is still wanted then.
            Purpose::Activate { .. }
            | Purpose::RecordUsage { .. }
            | Purpose::Settle { .. }
            | Purpose::Withdraw { .. } => {}
        }
    }
}
