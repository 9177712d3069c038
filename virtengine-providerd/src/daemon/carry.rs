//! Carries out the effects of the outbox. Each ends in a fact; until that fact is durable the effect stays, and a crash here
//! means that it is carried out again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{
    Adapter, AdapterError, AdapterResult, ErrorKind, Phase, Retry,
};
use virtengine_provider_core::ports::chain::{
    ChainError, Message, RejectKind, Rejection, SignedTx, TxOutcome, TxSender,
};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::ports::signer::Signer;

use super::desk::{DeskHandle, NotTaken, Stopping};
use super::outbox::Outbox;
use crate::provider::{Effect, EffectId, Fact, Operation, Planned};

/// Effects under way at once.
const CONCURRENT: usize = 64;
/// Longest that one adapter call may take; the life cycle has its own, longer deadlines.
const CALL_TIMEOUT: Duration = Duration::from_secs(180);
/// First and longest pause between two attempts to reach something.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
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
}

/// A [`TxSender`] that can be shown.
pub(super) trait TxSenderDebug: TxSender + std::fmt::Debug {}
impl<T: TxSender + std::fmt::Debug> TxSenderDebug for T {}
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
}

/// Carries out effects until `stop`; those under way then are left to the next start.
pub(super) async fn run(hands: Arc<Hands>, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONCURRENT));
    let tasks = TaskTracker::new();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            break;
        };
        let planned = tokio::select! {
            planned = hands.outbox.next(|| hands.clock.now()) => planned,
            () = stop.cancelled() => break,
        };
        let (hands, stop) = (Arc::clone(&hands), stop.clone());
        tasks.spawn(async move {
            let subject = planned.subject();
            tokio::select! {
                outcome = hands.carry_out(&planned) => if let Err(left) = outcome {
                    tracing::warn!(effect = planned.id, %left, "an effect is left for later");
                    tokio::time::sleep(PAUSE_FIRST).await;
                },
                () = stop.cancelled() => {}
            }
            hands.outbox.finished(&subject);
            drop(place);
        });
    }
    tasks.close();
    tasks.wait().await;
}

impl Hands {
    async fn carry_out(&self, planned: &Planned) -> Result<(), Left> {
        match &planned.effect {
            effect @ (Effect::SendTx { .. } | Effect::Infrastructure { .. }) if self.sender.is_none() => {
                tracing::info!(id = planned.id, ?effect, "dry run: this is not done");
                std::future::pending::<()>().await;
                Ok(())
            }
            Effect::SendTx { messages, .. } => self.send(&planned.id, messages).await,
            Effect::Infrastructure { workload, operation } => {
                let result = self.ask_adapter(workload, operation).await;
                if let Err(error) = &result {
                    tracing::warn!(%workload, operation = operation.name(), %error, "the adapter could not do it");
                }
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
        let mut pause = PAUSE_FIRST;
        let counters = loop {
            match self.adapter.usage(workload).await {
                Ok(counters) => break Some(counters),
                Err(error) if error.kind == ErrorKind::NotFound && self.is_gone(workload).await => {
                    break None;
                }
                Err(error) => {
                    tracing::warn!(%workload, %error, "the final counters cannot be read; asked again")
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        };
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

    async fn is_gone(&self, workload: &WorkloadId) -> bool {
        self.adapter
            .observe(workload)
            .await
            .is_ok_and(|observation| observation.phase == Phase::Gone)
    }

    async fn sign_record(&self, effect: &EffectId, workload: &WorkloadId, sequence: u64) -> Result<(), Left> {
        let wanted = {
            let workload = workload.clone();
            self.desk.ask(move |p| p.to_sign(&workload, sequence)).await?
        };
        let mut signatures = Vec::new();
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
                    tx
                }
                Err(rejection) => return self.settled(effect, TxOutcome::Rejected(rejection)).await,
            },
        };
        let outcome = self.until_settled(&**sender, &tx).await;
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

    async fn until_settled(&self, sender: &dyn TxSender, tx: &SignedTx) -> TxOutcome {
        let mut sent = false;
        loop {
            if !sent {
                match sender.broadcast(tx).await {
                    Ok(()) => sent = true,
                    // Refused at the door, but an earlier broadcast of the same bytes may have got in: only the outcome tells.
                    Err(ChainError::Rejected(rejection)) => match sender.outcome(tx).await {
                        Ok(TxOutcome::Unknown) | Err(_) if rejection.kind == RejectKind::SequenceMismatch => {
                        }
                        Ok(TxOutcome::Unknown) => return TxOutcome::Rejected(rejection),
                        Ok(outcome) => return outcome,
                        Err(error) => tracing::warn!(tx = %tx.hash, %error, "the outcome is not known yet"),
                    },
                    Err(error) => {
                        tracing::warn!(tx = %tx.hash, %error, "a transaction could not be sent yet")
                    }
                }
            }
            tokio::time::sleep(self.tx_poll).await;
            match sender.outcome(tx).await {
                Ok(TxOutcome::Unknown) => {}
                Ok(outcome) => return outcome,
                Err(error) => tracing::warn!(tx = %tx.hash, %error, "the outcome is not known yet"),
            }
        }
    }
}

/// A failure that no repetition mends, as the refusal that it amounts to.
fn unusable(error: &ChainError) -> Rejection {
    let kind = match error {
        ChainError::Sign(_) => RejectKind::Unauthorized,
        _ => RejectKind::Invalid,
    };
    Rejection {
        kind,
        codespace: "client".to_owned(),
        code: 1,
        log: error.to_string(),
    }
}
