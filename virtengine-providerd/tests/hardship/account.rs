//! Accounts, the time that they live in, and their transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use prost_types::Any;
use sha2::{Digest as _, Sha256};
use virtengine_chain::tx::{SignMode, TxParts};
use virtengine_chain::{ChainClient, Pipeline};
use virtengine_provider_core::id::{Height, TxHash};
use virtengine_provider_core::money::Coin;
use virtengine_provider_core::ports::chain::{Message, SignedTx, TxOutcome, TxSender as _};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::ports::signer::Signer as _;
use virtengine_provider_core::time::Timestamp;

use crate::key::AccountKey;
use crate::support::until;

impl AccountKey {
    /// The same for the same number.
    pub(crate) fn numbered(number: usize) -> Self {
        let secret = Sha256::digest(format!("tenant {number}"));
        Self(k256::ecdsa::SigningKey::from_slice(&secret).unwrap())
    }
}

/// The time of chain, daemon and tenants: runs `speed` times as fast as the host's, and can be moved on.
#[derive(Debug)]
pub(crate) struct StageClock {
    begun: Instant,
    from: Timestamp,
    speed: u32,
    skipped_ms: AtomicI64,
}

impl StageClock {
    /// From now on, `speed` times as fast as the host's.
    pub(crate) fn new(speed: u32) -> Self {
        Self {
            begun: Instant::now(),
            from: virtengine_providerd::cli::SystemClock.now(),
            speed,
            skipped_ms: AtomicI64::new(0),
        }
    }

    /// An hour goes by in a moment.
    pub(crate) fn skip(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap();
        self.skipped_ms.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for StageClock {
    fn now(&self) -> Timestamp {
        let skipped = u64::try_from(self.skipped_ms.load(Ordering::SeqCst)).unwrap();
        let gone = self.begun.elapsed() * self.speed;
        self.from.plus(gone + Duration::from_millis(skipped))
    }
}

/// Sends and waits until it has landed.
pub(crate) async fn land(account: &Pipeline, messages: &[Message]) {
    let tx = submit(account, messages).await;
    landed(account, &tx).await;
}

/// Sends; it waits for a block.
pub(crate) async fn submit(account: &Pipeline, messages: &[Message]) -> SignedTx {
    let tx = account.sign(messages, Duration::ZERO).await.unwrap();
    account.broadcast(&tx).await.unwrap();
    tx
}

/// Waits until it has landed; answers the block.
pub(crate) async fn landed(account: &Pipeline, tx: &SignedTx) -> Height {
    let outcome = until("a transaction to land", Duration::from_secs(30), || async {
        match account.outcome(tx).await.unwrap() {
            TxOutcome::Unknown => None,
            outcome => Some(outcome),
        }
    })
    .await;
    match outcome {
        TxOutcome::Landed { height, .. } => height,
        other => panic!("{other:?}"),
    }
}

/// Sends messages that our own types cannot say, in one transaction, and waits until it has landed.
pub(crate) async fn land_raw(client: &ChainClient, key: &AccountKey, messages: Vec<Any>) {
    let sender = key.address();
    let state = client.account(&sender).await.unwrap();
    let fee: Coin = "100000uve".parse().unwrap();
    let parts = TxParts {
        messages,
        timeout_height: 0,
        memo: String::new(),
        public_key: key.public_key(),
        sequence: state.sequence,
        gas_limit: 1_000_000,
        fee: vec![fee.clone()],
        fee_granter: None,
        sign_mode: SignMode::Direct,
    };
    let unsigned = parts.build().unwrap();
    let sign_bytes = unsigned.sign_bytes(&client.config().chain_id, state.number);
    let tx_raw = unsigned.with_signature(key.sign(&sign_bytes).await.unwrap());
    let tx = SignedTx {
        hash: TxHash::of(&tx_raw),
        sequence: state.sequence,
        timeout_height: Height(u64::MAX),
        fee,
        tx_raw,
    };
    let account = Pipeline::new(client.clone(), Arc::new(key.clone())).unwrap();
    account.broadcast(&tx).await.unwrap();
    landed(&account, &tx).await;
}
