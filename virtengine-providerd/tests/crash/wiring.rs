//! Sees every call of the daemon to the world, and ends the process where it is to end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use virtengine_provider_core::id::{Address, WorkloadId};
use virtengine_provider_core::ports::adapter::{
    Adapter, AdapterResult, Capabilities, Counters, Inventory, LogLine, LogQuery, Observation,
};
use virtengine_provider_core::ports::chain::{ChainError, Message, SignedTx, TxOutcome, TxSender};
use virtengine_provider_core::ports::journal::{
    Commit, EventQuery, Journal, JournalError, Position, Recovered, StoredEffect, StoredEvent,
};
use virtengine_provider_core::ports::signer::{PublicKey, SignError, Signer};
use virtengine_provider_core::workload::WorkloadSpec;
use virtengine_providerd::daemon::{TxSenderDebug, Wiring};
use virtengine_providerd::provider::{Event, Planned};

use crate::points::{Points, Stage, TXS, kind};

/// How long a call of the back end has gone on when the process ends in the middle of it.
const IN_THE_MIDDLE: Duration = Duration::from_millis(5);

/// What is pending: the kinds of effects, by name.
type Pending = Arc<Mutex<BTreeMap<String, &'static str>>>;

/// The instruments.
#[derive(Debug)]
pub(crate) struct Instruments {
    pub(crate) points: Arc<Points>,
    pub(crate) adapter: Arc<dyn Adapter>,
    pending: Pending,
}

impl Instruments {
    pub(crate) fn new(points: Arc<Points>, adapter: Arc<dyn Adapter>) -> Self {
        Self {
            points,
            adapter,
            pending: Pending::default(),
        }
    }

    pub(crate) fn signer(&self, inner: Arc<dyn Signer>) -> Arc<dyn Signer> {
        let points = Arc::clone(&self.points);
        Arc::new(SeenSigner { inner, points })
    }
}

impl Wiring for Instruments {
    fn adapter(&self) -> Option<Arc<dyn Adapter>> {
        Some(Arc::new(SeenAdapter {
            inner: Arc::clone(&self.adapter),
            points: Arc::clone(&self.points),
            pending: Arc::clone(&self.pending),
        }))
    }

    fn journal(&self, inner: Arc<dyn Journal>) -> Arc<dyn Journal> {
        Arc::new(SeenJournal {
            inner,
            points: Arc::clone(&self.points),
            pending: Arc::clone(&self.pending),
        })
    }

    fn sender(&self, inner: Arc<dyn TxSenderDebug>) -> Arc<dyn TxSenderDebug> {
        Arc::new(SeenSender {
            inner,
            points: Arc::clone(&self.points),
            pending: Arc::clone(&self.pending),
        })
    }
}

struct SeenJournal {
    inner: Arc<dyn Journal>,
    points: Arc<Points>,
    pending: Pending,
}

impl fmt::Debug for SeenJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl SeenJournal {
    fn know<'a>(&self, effects: impl IntoIterator<Item = &'a StoredEffect>) -> Vec<&'static str> {
        let mut pending = self.pending.lock().unwrap();
        let mut kinds = Vec::new();
        for stored in effects {
            let planned = Planned::from_stored(stored).unwrap();
            let kind = kind(&planned.effect);
            pending.insert(planned.id, kind);
            kinds.push(kind);
        }
        kinds
    }

    /// The kinds of transactions whose signature a commit holds.
    fn signed(&self, commit: &Commit) -> Vec<&'static str> {
        let pending = self.pending.lock().unwrap();
        let of = |event: &StoredEvent| match serde_json::from_slice(&event.payload).unwrap() {
            Event::TxSigned { effect, .. } => pending.get(&effect).copied(),
            _ => None,
        };
        commit.events.iter().filter_map(of).collect()
    }
}

#[async_trait]
impl Journal for SeenJournal {
    async fn recover(&self) -> Result<Recovered, JournalError> {
        let recovered = self.inner.recover().await?;
        self.know(&recovered.outbox);
        Ok(recovered)
    }

    async fn commit(&self, commit: Commit) -> Result<Position, JournalError> {
        let planned = self.know(&commit.effects);
        self.points.reach(Stage::Decided, &planned);
        let signed = self.signed(&commit);
        let done = commit.done.clone();
        let position = self.inner.commit(commit).await?;
        self.points.reach(Stage::Journaled, &planned);
        self.points.reach(Stage::Signed, &signed);
        let finished: Vec<&str> = {
            let mut pending = self.pending.lock().unwrap();
            done.iter().filter_map(|id| pending.remove(id)).collect()
        };
        self.points.reach(Stage::Finished, &finished);
        self.points.tell_pending(self.pending.lock().unwrap().len());
        Ok(position)
    }

    async fn snapshot(&self, position: Position, state: Vec<u8>) -> Result<(), JournalError> {
        self.inner.snapshot(position, state).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<(Position, StoredEvent)>, JournalError> {
        self.inner.events(query).await
    }
}

#[derive(Debug)]
struct SeenSender {
    inner: Arc<dyn TxSenderDebug>,
    points: Arc<Points>,
    pending: Pending,
}

impl SeenSender {
    /// What a transaction is for: by what it says, and by what is pending.
    fn kinds(&self, says: impl Fn(&str) -> bool) -> Vec<&'static str> {
        let pending = self.pending.lock().unwrap();
        let matching = TXS.iter().filter(|(_, message)| says(message));
        matching
            .map(|(kind, _)| *kind)
            .filter(|kind| pending.values().any(|other| other == kind))
            .collect()
    }

    fn kinds_of(&self, tx: &SignedTx) -> Vec<&'static str> {
        self.kinds(|message| {
            let needle = message.as_bytes();
            tx.tx_raw.windows(needle.len()).any(|window| window == needle)
        })
    }
}

/// The name of a message's type on the wire.
const fn wire_name(message: &Message) -> &'static str {
    match message {
        Message::CreateBid { .. } => "MsgCreateBid",
        Message::CloseBid { .. } => "MsgCloseBid",
        Message::WithdrawLease { .. } => "MsgWithdrawLease",
        Message::ActivateEscrow { .. } => "MsgActivateEscrow",
        Message::RecordUsage { .. } => "MsgRecordUsage",
        Message::SettleOrder { .. } => "MsgSettleOrder",
        _ => "",
    }
}

#[async_trait]
impl TxSender for SeenSender {
    fn address(&self) -> &Address {
        self.inner.address()
    }

    async fn sign(&self, messages: &[Message], timeout: Duration) -> Result<SignedTx, ChainError> {
        let signed = self.inner.sign(messages, timeout).await?;
        let names: Vec<&str> = messages.iter().map(wire_name).collect();
        self.points
            .reach(Stage::Signing, &self.kinds(|message| names.contains(&message)));
        Ok(signed)
    }

    async fn broadcast(&self, tx: &SignedTx) -> Result<(), ChainError> {
        let kinds = self.kinds_of(tx);
        self.inner.broadcast(tx).await?;
        kinds
            .iter()
            .for_each(|kind| self.points.reach(Stage::Sent, &[kind]));
        Ok(())
    }

    async fn outcome(&self, tx: &SignedTx) -> Result<TxOutcome, ChainError> {
        let outcome = self.inner.outcome(tx).await?;
        if outcome != TxOutcome::Unknown {
            self.points.reach(Stage::Settled, &self.kinds_of(tx));
        }
        Ok(outcome)
    }
}

#[derive(Debug)]
struct SeenSigner {
    inner: Arc<dyn Signer>,
    points: Arc<Points>,
}

#[async_trait]
impl Signer for SeenSigner {
    fn public_key(&self) -> PublicKey {
        self.inner.public_key()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.inner.sign(message).await?;
        self.points.reach(Stage::Sent, &["sign_record"]);
        Ok(signature)
    }
}

#[derive(Debug)]
struct SeenAdapter {
    inner: Arc<dyn Adapter>,
    points: Arc<Points>,
    pending: Pending,
}

impl SeenAdapter {
    async fn see<T>(&self, kind: &str, call: impl Future<Output = AdapterResult<T>>) -> AdapterResult<T> {
        if self.points.is_due(Stage::Calling, kind) {
            // Over already, or in the middle: either way the process ends.
            let _ = tokio::time::timeout(IN_THE_MIDDLE, call).await;
            self.points.reach(Stage::Calling, &[kind]);
            unreachable!("the process has ended");
        }
        let answer = call.await?;
        self.points.reach(Stage::Sent, &[kind]);
        Ok(answer)
    }
}

#[async_trait]
impl Adapter for SeenAdapter {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn inventory(&self) -> AdapterResult<Inventory> {
        self.inner.inventory().await
    }

    async fn deploy(&self, workload: &WorkloadSpec) -> AdapterResult<()> {
        self.see("deploy", self.inner.deploy(workload)).await
    }

    async fn observe(&self, id: &WorkloadId) -> AdapterResult<Observation> {
        self.inner.observe(id).await
    }

    async fn pause(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.see("pause", self.inner.pause(id)).await
    }

    async fn resume(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.see("resume", self.inner.resume(id)).await
    }

    async fn stop(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.see("stop", self.inner.stop(id)).await
    }

    async fn terminate(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.see("terminate", self.inner.terminate(id)).await
    }

    async fn usage(&self, id: &WorkloadId) -> AdapterResult<Counters> {
        let counters = self.inner.usage(id).await?;
        let is_last = {
            let pending = self.pending.lock().unwrap();
            pending.values().any(|kind| *kind == "read_final_counters")
        };
        if is_last {
            self.points.reach(Stage::Sent, &["read_final_counters"]);
        }
        Ok(counters)
    }

    async fn list(&self) -> AdapterResult<Vec<WorkloadId>> {
        self.inner.list().await
    }

    async fn logs(&self, id: &WorkloadId, query: &LogQuery) -> AdapterResult<Vec<LogLine>> {
        self.inner.logs(id, query).await
    }
}
