//! Carries out the effects of the outbox. Each ends in a fact; until that fact is durable the effect stays, and a crash here
//! means that it is carried out again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{
    Adapter, AdapterError, AdapterResult, Counters, ErrorKind, Phase, Retry,
};
use virtengine_provider_core::ports::chain::{
    ChainError, Message, RejectKind, Rejection, SignedTx, TxOutcome, TxSender,
};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::ports::signer::Signer;

use super::desk::{DeskHandle, NotTaken, Stopping};
use super::outbox::Outbox;
use super::wiring::TxSenderDebug;
use crate::provider::{Effect, EffectId, Fact, Operation, Planned};

/// Effects under way at once. Transactions that wait for the chain take no place from adapter calls, and neither does from
/// signatures: whatever hangs, the others go on. Final counters are asked for up to an hour, while the same back end may
/// deploy and tear down well, so that they have places of their own.
const CALLS: usize = 32;
const FINAL_COUNTERS: usize = 32;
const TRANSACTIONS: usize = 64;
const SIGNATURES: usize = 16;
/// Longest that one adapter call may take; the life cycle has its own, longer deadlines.
const CALL_TIMEOUT: Duration = Duration::from_secs(180);
/// First and longest pause between two attempts to reach something.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long the final counters are asked for. After that the final record says that they are missing, and the tear-down goes
/// on: a back end that has lost them will not find them.
const FINAL_COUNTERS_WITHIN: Duration = Duration::from_secs(3600);
/// Between two sendings of a transaction that has not landed.
const RESEND: Duration = Duration::from_secs(2);
/// How long a transaction may wait for a block: see [`TxSender::sign`].
const TX_TIMEOUT: Duration = Duration::from_secs(60);

/// Everything that effects are carried out with.
#[derive(Debug)]
pub(super) struct Hands {
    /// The way to the desk.
    pub desk: DeskHandle,
    /// What is to be done.
    pub outbox: Arc<Outbox>,
    /// Runs workloads.
    pub adapter: Arc<dyn Adapter>,
    /// Sends transactions; `None` with `--dry-run`.
    pub sender: Option<Arc<dyn TxSenderDebug>>,
    /// Signs usage records.
    pub identity: Arc<dyn Signer>,
    /// Tells the time.
    pub clock: Arc<dyn ClockDebug>,
    /// Time between two questions about a transaction that is under way.
    pub tx_poll: Duration,
    /// Wakes whoever observes workloads, when the adapter has done something to one.
    pub look: Arc<Notify>,
    /// Held from the signature of a transaction until it is sent for the first time: the account's sequence must reach the chain
    /// in order.
    pub turn: Mutex<()>,
}

/// A [`Clock`] that can be shown.
pub trait ClockDebug: Clock + std::fmt::Debug {}
impl<T: Clock + std::fmt::Debug> ClockDebug for T {}

/// Why an effect was left where it is.
#[derive(Debug, thiserror::Error)]
enum Left {
    #[error(transparent)]
    Stopping(#[from] Stopping),
    #[error("the desk did not take the result: {0}")]
    NotTaken(#[from] NotTaken),
    #[error("dry run: it is not done")]
    DryRun,
}

/// Places for effects, by what they wait for.
#[derive(Debug)]
struct Room {
    calls: Semaphore,
    final_counters: Semaphore,
    transactions: Semaphore,
    signatures: Semaphore,
}

impl Room {
    const fn of(&self, effect: &Effect) -> &Semaphore {
        match effect {
            Effect::SendTx { .. } => &self.transactions,
            Effect::Infrastructure { .. } => &self.calls,
            Effect::ReadFinalCounters { .. } => &self.final_counters,
            Effect::SignRecord { .. } => &self.signatures,
        }
    }
}

/// Carries out effects until `stop`; those under way then are left to the next start.
pub(super) async fn run(hands: Arc<Hands>, stop: CancellationToken) {
    let room = Arc::new(Room {
        calls: Semaphore::new(CALLS),
        final_counters: Semaphore::new(FINAL_COUNTERS),
        transactions: Semaphore::new(TRANSACTIONS),
        signatures: Semaphore::new(SIGNATURES),
    });
    let tasks = TaskTracker::new();
    loop {
        let planned = tokio::select! {
            planned = hands.outbox.next(|| hands.clock.now()) => planned,
            () = stop.cancelled() => break,
        };
        let (hands, room, stop) = (Arc::clone(&hands), Arc::clone(&room), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = hands.begin(&planned, &room) => {}
                () = stop.cancelled() => {}
            }
        });
    }
    tasks.close();
    tasks.wait().await;
}

impl Hands {
    /// Carries out an effect once there is room for it, and lets the next one of its subject begin.
    async fn begin(&self, planned: &Planned, room: &Room) {
        let Ok(place) = room.of(&planned.effect).acquire().await else {
            return;
        };
        let outcome = self.carry_out(planned).await;
        drop(place);
        match outcome {
            Ok(()) => {}
            // It stays where it is, and its subject stays busy: nothing of it is tried before the next start.
            Err(Left::DryRun) => {
                let (what, subject) = (planned.kind(), planned.subject());
                tracing::info!(id = planned.id, what, subject, "dry run: this is not done");
                return;
            }
            Err(left) => {
                tracing::warn!(effect = planned.id, %left, "an effect is left for later");
                tokio::time::sleep(PAUSE_FIRST).await;
            }
        }
        self.outbox.finished(&planned.subject());
    }

    async fn carry_out(&self, planned: &Planned) -> Result<(), Left> {
        match &planned.effect {
            Effect::SendTx { .. } | Effect::Infrastructure { .. } if self.sender.is_none() => {
                Err(Left::DryRun)
            }
            Effect::SendTx { messages, .. } => self.send(&planned.id, messages).await,
            Effect::Infrastructure { workload, operation } => {
                let result = self.ask_adapter(workload, operation).await;
                if let Err(error) = &result {
                    tracing::warn!(%workload, operation = operation.name(), %error, "the adapter could not do it");
                }
                self.look.notify_one();
                let (effect, workload) = (planned.id.clone(), workload.clone());
                Ok(self
                    .desk
                    .tell(Fact::Answered {
                        effect,
                        workload,
                        result,
                    })
                    .await?)
            }
            Effect::ReadFinalCounters { workload } => self.count_finally(&planned.id, workload).await,
            Effect::SignRecord { workload, sequence } => {
                self.sign_record(&planned.id, workload, *sequence).await
            }
        }
    }

    async fn ask_adapter(&self, workload: &WorkloadId, operation: &Operation) -> AdapterResult<()> {
        let call = async {
            match operation {
                Operation::Deploy { spec } => self.adapter.deploy(spec).await,
                Operation::Pause => self.adapter.pause(workload).await,
                Operation::Resume => self.adapter.resume(workload).await,
                Operation::Stop => self.adapter.stop(workload).await,
                Operation::Terminate => self.adapter.terminate(workload).await,
            }
        };
        let timed_out = |_| AdapterError {
            kind: ErrorKind::Unavailable,
            retry: Retry::Unknown,
            adapter: "daemon",
            operation: operation.name(),
            message: format!("no answer within {} s", CALL_TIMEOUT.as_secs()),
        };
        let answer = tokio::time::timeout(CALL_TIMEOUT, call)
            .await
            .map_err(timed_out)?;
        answer?;
        Ok(())
    }

    /// The last counters: asked until the back end answers, or says that the workload is gone. Nothing is torn down before.
    async fn count_finally(&self, effect: &EffectId, workload: &WorkloadId) -> Result<(), Left> {
        let asked = tokio::time::timeout(FINAL_COUNTERS_WITHIN, self.last_counters(workload)).await;
        let counters = asked.unwrap_or_else(|_| {
            tracing::error!(%workload, "the final counters could not be read; the final record says so");
            None
        });
        let (effect, workload) = (effect.clone(), workload.clone());
        Ok(self
            .desk
            .tell(Fact::FinallyCounted {
                effect,
                workload,
                counters,
            })
            .await?)
    }

    /// Asks until there is an answer; `None` when there is nothing left to count.
    async fn last_counters(&self, workload: &WorkloadId) -> Option<Counters> {
        let mut pause = PAUSE_FIRST;
        loop {
            match tokio::time::timeout(CALL_TIMEOUT, self.adapter.usage(workload)).await {
                Ok(Ok(counters)) => return Some(counters),
                Ok(Err(error)) if error.kind == ErrorKind::NotFound && self.is_gone(workload).await => {
                    return None;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%workload, %error, "the final counters cannot be read; asked again");
                }
                Err(_) => tracing::warn!(%workload, "the final counters took too long; asked again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn is_gone(&self, workload: &WorkloadId) -> bool {
        let asked = tokio::time::timeout(CALL_TIMEOUT, self.adapter.observe(workload)).await;
        matches!(asked, Ok(Ok(observation)) if observation.phase == Phase::Gone)
    }

    async fn sign_record(&self, effect: &EffectId, workload: &WorkloadId, sequence: u64) -> Result<(), Left> {
        let wanted = {
            let workload = workload.clone();
            self.desk.ask(move |p| p.to_sign(&workload, sequence)).await?
        };
        let (key, mut signatures) = (self.identity.public_key(), Vec::new());
        // `None`: signed by an earlier attempt whose answer is durable; the desk only clears the effect.
        for message in wanted.into_iter().flat_map(|wanted| wanted.messages) {
            signatures.push(self.signature(&message).await);
        }
        let (effect, workload) = (effect.clone(), workload.clone());
        Ok(self
            .desk
            .tell(Fact::RecordSigned {
                effect,
                workload,
                sequence,
                key,
                signatures,
            })
            .await?)
    }

    /// Asks the identity key until it signs: an unsigned record is worth nothing, and a locked key comes back.
    async fn signature(&self, bytes: &[u8]) -> Vec<u8> {
        let mut pause = PAUSE_FIRST;
        loop {
            match self.identity.sign(bytes).await {
                Ok(signature) => return signature,
                Err(error) => tracing::error!(%error, "the identity key does not sign; usage waits"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Sends a transaction and waits until it has landed or cannot land any more.
    async fn send(&self, effect: &EffectId, messages: &[Message]) -> Result<(), Left> {
        let Some(sender) = &self.sender else {
            return Ok(());
        };
        let known = {
            let effect = effect.clone();
            self.desk.ask(move |p| p.signed_tx(&effect)).await?
        };
        let turn = self.turn.lock().await;
        let tx = match known {
            Some(tx) => tx,
            None => match self.sign(&**sender, messages).await {
                Ok(tx) => {
                    self.desk
                        .tell(Fact::TxSigned {
                            effect: effect.clone(),
                            tx: tx.clone(),
                        })
                        .await?;
                    // No longer wanted, if the desk did not take it.
                    let wanted = {
                        let effect = effect.clone();
                        self.desk.ask(move |p| p.signed_tx(&effect)).await?
                    };
                    if wanted.as_ref() != Some(&tx) {
                        return Ok(());
                    }
                    tx
                }
                Err(rejection) => return self.settled(effect, TxOutcome::Rejected(rejection)).await,
            },
        };
        let sent = sender.broadcast(&tx).await;
        drop(turn);
        let outcome = self.until_settled(&**sender, &tx, sent).await;
        self.settled(effect, outcome).await
    }

    async fn settled(&self, effect: &EffectId, outcome: TxOutcome) -> Result<(), Left> {
        Ok(self
            .desk
            .tell(Fact::TxSettled {
                effect: effect.clone(),
                outcome,
            })
            .await?)
    }

    /// Signs; asks again while nobody answers. A refusal of the simulation is an answer.
    async fn sign(&self, sender: &dyn TxSender, messages: &[Message]) -> Result<SignedTx, Rejection> {
        let mut pause = PAUSE_FIRST;
        loop {
            match sender.sign(messages, TX_TIMEOUT).await {
                Ok(tx) => return Ok(tx),
                Err(ChainError::Rejected(rejection)) => return Err(rejection),
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, "a transaction could not be signed yet");
                }
                Err(error) => return Err(unusable(&error)),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Asks until it has landed or cannot land any more. It is sent again and again meanwhile: the chain may have refused it only
    /// because one before it was not there yet, and a node that has it answers so.
    async fn until_settled(
        &self,
        sender: &dyn TxSender,
        tx: &SignedTx,
        mut sent: Result<(), ChainError>,
    ) -> TxOutcome {
        let mut resend_at = Instant::now() + RESEND;
        loop {
            let refused = match &sent {
                Ok(()) => None,
                Err(ChainError::Rejected(rejection)) if rejection.kind != RejectKind::SequenceMismatch => {
                    Some(rejection.clone())
                }
                Err(error) => {
                    tracing::debug!(tx = %tx.hash, %error, "a transaction is sent again");
                    None
                }
            };
            if refused.is_none() {
                tokio::time::sleep(self.tx_poll).await;
            }
            match (sender.outcome(tx).await, refused) {
                // Refused at the door, and no earlier sending of the same bytes got in.
                (Ok(TxOutcome::Unknown), Some(rejection)) => return TxOutcome::Rejected(rejection),
                (Ok(TxOutcome::Unknown), None) => {}
                (Ok(outcome), _) => return outcome,
                (Err(error), _) => {
                    tracing::warn!(tx = %tx.hash, %error, "the outcome is not known yet");
                    tokio::time::sleep(self.tx_poll).await;
                }
            }
            if sent.is_err() || Instant::now() >= resend_at {
                sent = sender.broadcast(tx).await;
                resend_at = Instant::now() + RESEND;
            }
        }
    }
}

/// A failure that is not repeated here, as the refusal that it amounts to: its machine decides what becomes of it.
fn unusable(error: &ChainError) -> Rejection {
    let kind = match error {
        ChainError::Sign(_) => RejectKind::Unauthorized,
        // A fault of an endpoint says nothing about what was asked: later.
        _ => RejectKind::Busy,
    };
    Rejection {
        kind,
        codespace: "client".to_owned(),
        code: 1,
        log: error.to_string(),
    }
}
