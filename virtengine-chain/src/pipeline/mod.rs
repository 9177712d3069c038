//! Sends the transactions of one account: simulate → price → sign → (the caller makes it durable) → broadcast → outcome.
//!
//! ```text
//!  sign ──► broadcast ──► outcome: Landed
//!             │  │           │ └── Rejected   (in a block but failed, or can no longer land)
//!             │  └ Rejected  └──── Unknown    (ask again; send nothing in its place)
//!             └ no answer: as if sent, outcome tells
//! ```
//!
//! There must be one [`Pipeline`] per account: it owns the account's sequence. A transaction counts as refused only when it
//! certainly is in no mempool; in every doubt it stays `Unknown` until its hash is found or its timeout height has passed on
//! an endpoint that would know.

mod batch;
mod gas;
mod outcome;
mod sequence;

pub use batch::Batch;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use prost::Message as _;
use prost_types::Any;
use tokio::sync::Mutex;
use virtengine_provider_core::id::{Address, Height, IdError, TxHash};
use virtengine_provider_core::money::Decimal;
use virtengine_provider_core::ports::chain::{
    ChainError, ChainQuery as _, Head, Message, RejectKind, Rejection, SignedTx, TxOutcome, TxSender,
};
use virtengine_provider_core::ports::signer::{PublicKey, SignError, Signer};

use self::gas::Gas;
use self::sequence::Sequences;
use crate::account::{address_of, verifies};
use crate::client::{ChainClient, malformed};
use crate::config::TIMEOUT_BLOCKS_MAX;
use crate::message::{any, encode};
use crate::proto::cosmos::authz::v1beta1::MsgExec;
use crate::proto::cosmos::tx::v1beta1::{SimulateRequest, SimulateResponse};
use crate::rejection::{classify, classify_simulation, expected_sequence, required_gas_price};
use crate::rpc::{BroadcastAnswer, Rpc, excerpt};
use crate::tx::{TxParts, UnsignedTx};
use crate::wire;

/// Simulations of one transaction while the sequence is being found out.
const SEQUENCE_TRIES: usize = 3;
/// Fewest blocks in which a transaction may land: the next one is often full or already being made.
const TIMEOUT_BLOCKS_MIN: u64 = 2;
/// Blocks that a broadcast waits for room under the limit per block.
const ROOM_WAIT_BLOCKS: u32 = 10;

/// The one sender of an account's transactions.
#[derive(Debug)]
pub struct Pipeline {
    client: ChainClient,
    signer: Arc<dyn Signer>,
    public_key: PublicKey,
    signing_address: Address,
    acting_address: Address,
    /// Held while a transaction is simulated and signed.
    turn: Mutex<()>,
    /// Never held across an await, so that a slow signer delays nobody's outcome.
    state: std::sync::Mutex<State>,
    room: Mutex<Room>,
}

#[derive(Debug)]
struct State {
    account_number: Option<u64>,
    sequences: Sequences,
    gas: Gas,
}

/// Transactions sent since the head was at `height`.
#[derive(Debug, Default)]
struct Room {
    height: Height,
    sent: u32,
}

/// A refusal that we make ourselves, before anything is sent.
fn refuse(kind: RejectKind, log: String) -> ChainError {
    ChainError::Rejected(Rejection {
        kind,
        codespace: "client".to_owned(),
        code: 1,
        log,
    })
}

fn build(parts: TxParts) -> Result<UnsignedTx, ChainError> {
    parts
        .build()
        .map_err(|error| refuse(RejectKind::Invalid, error.to_string()))
}

impl Pipeline {
    /// A sender with the account of `signer`, or, with `chain.granter`, on behalf of that account.
    ///
    /// # Errors
    /// The configured address prefix is unusable.
    pub fn new(client: ChainClient, signer: Arc<dyn Signer>) -> Result<Self, IdError> {
        let public_key = signer.public_key();
        let signing_address = address_of(&public_key, &client.config().address_prefix)?;
        let acting_address = client.config().granter.clone();
        let gas = Gas::new(client.config());
        Ok(Self {
            acting_address: acting_address.unwrap_or_else(|| signing_address.clone()),
            client,
            signer,
            public_key,
            signing_address,
            turn: Mutex::new(()),
            state: std::sync::Mutex::new(State {
                account_number: None,
                sequences: Sequences::default(),
                gas,
            }),
            room: Mutex::new(Room::default()),
        })
    }

    /// The account of the key. Differs from [`TxSender::address`] when another account has granted.
    #[must_use]
    pub const fn signing_address(&self) -> &Address {
        &self.signing_address
    }

    /// What one gas costs at present.
    pub fn gas_price(&self) -> Decimal {
        self.state().gas.price()
    }

    /// Takes note of a transaction from before a restart that may be in a mempool: the next one is signed behind it.
    pub fn adopt(&self, tx: &SignedTx) {
        self.state()
            .sequences
            .sent(tx.sequence, tx.hash, tx.timeout_height);
    }

    /// The gas that the messages would use now, without sending anything (`--dry-run`).
    ///
    /// # Errors
    /// [`ChainError::Rejected`] when the chain would refuse them.
    pub async fn simulate(&self, messages: &[Message]) -> Result<u64, ChainError> {
        let messages = self.wire_messages(messages)?;
        let _turn = self.turn.lock().await;
        let head = self.client.head().await?;
        self.simulated_gas(messages, head.height).await
    }

    /// A panic elsewhere leaves at most an old sequence behind, which the next simulation corrects.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wire_messages(&self, messages: &[Message]) -> Result<Vec<Any>, ChainError> {
        if messages.is_empty() {
            return Err(refuse(
                RejectKind::Invalid,
                "a transaction needs a message".to_owned(),
            ));
        }
        let encoded = messages
            .iter()
            .map(|message| encode(message, &self.acting_address));
        let encoded: Vec<Any> = encoded
            .collect::<Result<_, _>>()
            .map_err(|error| refuse(RejectKind::Invalid, error.to_string()))?;
        if self.acting_address == self.signing_address {
            return Ok(encoded);
        }
        Ok(vec![any(&MsgExec {
            grantee: self.signing_address.to_string(),
            msgs: encoded,
        })])
    }

    fn parts(&self, messages: Vec<Any>, sequence: u64, timeout_height: Height) -> TxParts {
        TxParts {
            messages,
            timeout_height: timeout_height.0,
            memo: String::new(),
            public_key: self.public_key.clone(),
            sequence,
            gas_limit: 0,
            fee: Vec::new(),
            fee_granter: self.client.config().fee_granter.clone(),
            sign_mode: self.client.config().sign_mode,
        }
    }

    /// Learns the account's number, and its sequence unless we know better.
    async fn learn_account(&self) -> Result<u64, ChainError> {
        {
            let state = self.state();
            if let (Some(number), true) = (state.account_number, state.sequences.is_known()) {
                return Ok(number);
            }
        }
        let account = self
            .client
            .account(&self.signing_address)
            .await
            .map_err(|error| match error {
                ChainError::NotFound(_) => refuse(
                    RejectKind::InsufficientFunds,
                    format!("account {} has never received coins", self.signing_address),
                ),
                other => other,
            })?;
        let mut state = self.state();
        state.account_number = Some(account.number);
        state.sequences.committed(account.sequence);
        Ok(account.number)
    }

    async fn simulated_gas(&self, messages: Vec<Any>, head: Height) -> Result<u64, ChainError> {
        self.learn_account().await?;
        let mut sequence = {
            let mut state = self.state();
            state.sequences.expire(head);
            state.sequences.to_simulate()
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let parts = self.parts(messages.clone(), sequence, head.plus(TIMEOUT_BLOCKS_MAX));
            let tx = build(parts)?;
            match self.simulate_once(&tx).await {
                Err(ChainError::Rejected(rejection)) if rejection.kind == RejectKind::SequenceMismatch => {
                    let expected = expected_sequence(&rejection.log);
                    let (Some(expected), true) = (expected, tries < SEQUENCE_TRIES) else {
                        return Err(rejection.into());
                    };
                    self.state().sequences.node_expects(expected);
                    sequence = expected;
                }
                other => return other,
            }
        }
    }

    async fn simulate_once(&self, tx: &UnsignedTx) -> Result<u64, ChainError> {
        let request = SimulateRequest {
            tx: None,
            tx_bytes: tx.with_signature(Vec::new()),
        };
        let path = "/cosmos.tx.v1beta1.Service/Simulate";
        let answer = self
            .client
            .ask_at(path, &request.encode_to_vec(), Height(0))
            .await?;
        if answer.code != 0 {
            let simulated =
                answer.log.contains("code = Unknown desc") || answer.log.contains(" with gas used: '");
            return Err(if simulated {
                classify_simulation(&answer.log).into()
            } else {
                ChainError::Malformed(format!(
                    "{path}: {}/{}: {}",
                    answer.codespace,
                    answer.code,
                    excerpt(&answer.log)
                ))
            });
        }
        let response: SimulateResponse = wire::decode(&answer.value).map_err(|error| malformed(&error))?;
        let gas = response
            .gas_info
            .ok_or_else(|| malformed(&wire::WireError::Missing("gas_info")))?;
        Ok(gas.gas_used)
    }

    /// The height above which the transaction cannot land. `timeout` zero means the configured number of blocks.
    fn timeout_height(&self, head: Height, timeout: Duration) -> Height {
        let config = self.client.config();
        let blocks = if timeout.is_zero() {
            config.timeout_blocks
        } else {
            let block = self.client.block_time().as_millis().max(1);
            u64::try_from(timeout.as_millis().div_ceil(block)).unwrap_or(TIMEOUT_BLOCKS_MAX)
        };
        head.plus(blocks.clamp(TIMEOUT_BLOCKS_MIN, TIMEOUT_BLOCKS_MAX))
    }

    async fn signature(&self, bytes: &[u8]) -> Result<Vec<u8>, ChainError> {
        let signature = self.signer.sign(bytes).await?;
        // A key store that hashes twice or answers in another form would only be noticed as "unauthorized".
        if verifies(&self.public_key, bytes, &signature) {
            return Ok(signature);
        }
        let problem = format!("the signature does not verify with {:?}", self.public_key);
        Err(SignError::Failed(problem).into())
    }

    /// Waits until this block has room for another transaction of ours.
    async fn wait_for_room(&self) -> Result<(), ChainError> {
        let limit = self.client.config().txs_per_block;
        let block = self.client.block_time();
        let patience = block.saturating_mul(ROOM_WAIT_BLOCKS).max(Duration::from_secs(1));
        let deadline = tokio::time::Instant::now() + patience;
        let mut room = self.room.lock().await;
        loop {
            let head = self.client.head().await?;
            if head.height > room.height {
                *room = Room {
                    height: head.height,
                    sent: 0,
                };
            }
            if room.sent < limit {
                room.sent += 1;
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                let words = format!(
                    "{limit} transactions wait for the block after {} already",
                    room.height
                );
                return Err(refuse(RejectKind::RateLimited, words));
            }
            let pause = (block / 4).clamp(Duration::from_millis(20), Duration::from_secs(1));
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends to one endpoint after the other until one answers; tells whether one of the others may have it too.
    async fn push(&self, tx: &SignedTx) -> (Result<BroadcastAnswer, ChainError>, bool) {
        let in_doubt = AtomicBool::new(false);
        let doubt = &in_doubt;
        let call = |rpc: Rpc| async move {
            let answer = rpc.broadcast_tx_sync(&tx.tx_raw).await;
            match answer {
                Err(error) if error.is_already_in_cache() => Ok(BroadcastAnswer {
                    code: 0,
                    codespace: String::new(),
                    log: String::new(),
                }),
                Err(error) if error.is_mempool_full() => Ok(BroadcastAnswer {
                    code: 20,
                    codespace: "sdk".to_owned(),
                    log: error.to_string(),
                }),
                Err(error) => {
                    doubt.store(true, Ordering::Relaxed);
                    Err(error)
                }
                Ok(answer) => Ok(answer),
            }
        };
        let answer = self.client.pool().call(call).await.map_err(ChainError::from);
        (answer, in_doubt.load(Ordering::Relaxed))
    }

    fn was_refused(&self, tx: &SignedTx, rejection: Rejection, in_doubt: bool) -> Result<(), ChainError> {
        let mut state = self.state();
        if rejection.kind == RejectKind::FeeTooLow {
            let required = required_gas_price(&rejection.log, self.client.config().denom.as_str());
            state.gas.price_was_too_low(required);
        }
        let expected = expected_sequence(&rejection.log);
        if in_doubt || state.sequences.may_have_been_sent(tx.sequence, &tx.hash) {
            // It may be in a block or another mempool: a refusal proves nothing, the outcome will.
            state.sequences.sent(tx.sequence, tx.hash, tx.timeout_height);
            state.sequences.node_expects_after(tx, expected);
            return Ok(());
        }
        state.sequences.refused(tx.sequence, &tx.hash, expected);
        state.sequences.node_expects_after(tx, expected);
        Err(rejection.into())
    }
}

#[async_trait]
impl TxSender for Pipeline {
    fn address(&self) -> &Address {
        &self.acting_address
    }

    /// `timeout` is how long the transaction may take to land, converted with the measured block time and at least two
    /// blocks; zero means `chain.timeout_blocks`.
    async fn sign(&self, messages: &[Message], timeout: Duration) -> Result<SignedTx, ChainError> {
        let wire_messages = self.wire_messages(messages)?;
        let _turn = self.turn.lock().await;
        let account_number = self.learn_account().await?;
        let Head { height, chain_id, .. } = self.client.head().await?;
        let simulated = self.simulated_gas(wire_messages.clone(), height).await?;
        let (gas_limit, fee, sequence) = {
            let state = self.state();
            let limit = state.gas.limit(simulated);
            (limit, state.gas.fee(limit), state.sequences.to_sign())
        };
        let gas_max = self.client.config().gas_max;
        if gas_limit > gas_max {
            let words = format!("needs {gas_limit} gas, more than chain.gas_max {gas_max}");
            return Err(refuse(RejectKind::Invalid, words));
        }
        let fee = fee.map_err(|error| refuse(RejectKind::Invalid, error.to_string()))?;
        let timeout_height = self.timeout_height(height, timeout);
        let mut parts = self.parts(wire_messages, sequence, timeout_height);
        parts.gas_limit = gas_limit;
        if fee.amount > 0 {
            parts.fee.push(fee.clone());
        }
        let tx = build(parts)?;
        let signature = self.signature(&tx.sign_bytes(&chain_id, account_number)).await?;
        let tx_raw = tx.with_signature(signature);
        let hash = TxHash::of(&tx_raw);
        self.state().sequences.signed(sequence, hash, timeout_height);
        Ok(SignedTx {
            hash,
            sequence,
            timeout_height,
            fee,
            tx_raw,
        })
    }

    async fn broadcast(&self, tx: &SignedTx) -> Result<(), ChainError> {
        // One that may wait in a mempool has its place there already; and to refuse it here would say that it cannot land.
        let is_first = !self.state().sequences.may_have_been_sent(tx.sequence, &tx.hash);
        if is_first {
            self.wait_for_room().await?;
        }
        let (answer, in_doubt) = self.push(tx).await;
        match answer {
            Ok(answer) if answer.code == 0 || (answer.codespace == "sdk" && answer.code == 19) => {
                let mut state = self.state();
                state.gas.price_was_taken();
                state.sequences.sent(tx.sequence, tx.hash, tx.timeout_height);
                Ok(())
            }
            Ok(answer) => {
                let rejection = classify(&answer.codespace, answer.code, &answer.log);
                self.was_refused(tx, rejection, in_doubt)
            }
            Err(error) => {
                if in_doubt {
                    let mut state = self.state();
                    state.sequences.sent(tx.sequence, tx.hash, tx.timeout_height);
                }
                Err(error)
            }
        }
    }

    async fn outcome(&self, tx: &SignedTx) -> Result<TxOutcome, ChainError> {
        let found = self.find(tx).await?;
        let mut state = self.state();
        match &found {
            TxOutcome::Landed { .. } => {
                state.sequences.landed(tx.sequence, &tx.hash);
                state.gas.limit_was_enough();
            }
            TxOutcome::Rejected(rejection) if rejection.kind == RejectKind::TimedOut => {
                state.sequences.forget(tx.sequence, &tx.hash);
            }
            TxOutcome::Rejected(rejection) => {
                // A transaction that fails in its block has used its sequence (spec/chain-node.md 2.7).
                state.sequences.landed(tx.sequence, &tx.hash);
                if rejection.kind == RejectKind::OutOfGas {
                    state.gas.limit_was_too_low();
                }
            }
            TxOutcome::Unknown => {}
        }
        Ok(found)
    }
}
