//! The machine: check, deliver, simulate, query.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use crate::ante::rate_limit::RateLimit;
use crate::ante::{self, Mode};
use crate::genesis::{Genesis, coins_of, gas_price_of};
use crate::machine::block::{Block, DeliveredTx, TxResult, block_hash, data_hash, empty_hash, tx_hash};
use crate::query::{self, Answer};
use crate::rules::{accounts, bank, settlement};
use crate::state::address;
use crate::state::context::Context;
use crate::state::event::Event;
use crate::state::failure::Failure;
use crate::state::gas::GasMeter;
use crate::state::keys;
use crate::state::store::{Overlay, Store, View, Writes, app_hash};
use crate::state::time::BlockTime;
use crate::tx::decode::{self, Tx};
use crate::tx::message::Msg;
use crate::wire::{abci, attr, pv4};

/// Gas that a message which succeeds costs on a node beyond what it costs in this store (indexes, hooks, invoices), so that totals
/// come near the measured ones (spec/chain-node.md 3).
const fn surcharge(message: &Msg) -> u64 {
    match message {
        Msg::SettleOrder(_) => 700_000,
        Msg::RecordUsage(_) => 52_000,
        Msg::ActivateEscrow(_) | Msg::AcknowledgeUsage(_) => 22_000,
        Msg::CloseDeployment(_) | Msg::CreateLease(_) => 20_000,
        Msg::CreateEscrow(_) | Msg::RefundEscrow(_) | Msg::CreateBid(_) => 16_000,
        Msg::CreateDeployment(_) | Msg::CloseLease(_) => 11_000,
        Msg::Heartbeat(_) => 10_000,
        Msg::CloseBid(_) | Msg::WithdrawLease(_) => 8_000,
        Msg::StartGroup(_) | Msg::PauseGroup(_) | Msg::CloseGroup(_) => 6_000,
        _ => 3_000,
    }
}

/// The chain.
#[derive(Debug)]
pub(crate) struct Machine {
    rules: Arc<crate::genesis::Rules>,
    chain: ante::Chain,
    store: Store,
    /// What the mempool's transactions would write.
    pending: Writes,
    rate: RateLimit,
    height: u64,
    time: BlockTime,
    app_hash: [u8; 32],
    last_hash: [u8; 32],
}

/// What a transaction did, or why it was refused, and the gas it took.
pub(crate) struct Executed {
    pub(crate) outcome: Result<Vec<prost_types::Any>, Failure>,
    pub(crate) gas_used: u64,
    pub(crate) events: Vec<Event>,
}

impl Machine {
    /// A chain with its genesis state, before the first block.
    pub(crate) fn new(genesis: &Genesis, time: BlockTime) -> Result<Self, Failure> {
        let mut machine = Self {
            rules: Arc::new(genesis.rules.clone()),
            chain: ante::Chain {
                id: genesis.chain_id.clone(),
                min_gas_price: gas_price_of(&genesis.min_gas_price)
                    .ok_or_else(|| Failure::Lost("min_gas_price is not a price".to_owned()))?,
            },
            store: Store::default(),
            pending: Writes::new(),
            rate: RateLimit::default(),
            height: 0,
            time,
            app_hash: empty_hash(),
            last_hash: [0; 32],
        };
        let mut ctx = machine.context(&machine.store, Writes::new(), GasMeter::unlimited(), 0, time);
        init(&mut ctx, genesis)?;
        let writes = ctx.store.into_writes();
        machine.store.commit(0, &writes);
        Ok(machine)
    }

    #[cfg(test)]
    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn chain_id(&self) -> &str {
        &self.chain.id
    }

    pub(crate) const fn height(&self) -> u64 {
        self.height
    }

    pub(crate) const fn time(&self) -> BlockTime {
        self.time
    }

    pub(crate) const fn app_hash(&self) -> [u8; 32] {
        self.app_hash
    }

    /// The least gas price as the node's configuration shows it.
    pub(crate) fn min_gas_price(&self) -> String {
        let (amount, denom) = &self.chain.min_gas_price;
        format!("{}{denom}", amount.json())
    }

    fn context<'a>(
        &self,
        base: &'a dyn View,
        writes: Writes,
        gas: GasMeter,
        height: u64,
        time: BlockTime,
    ) -> Context<'a> {
        Context {
            store: Overlay::new(base, writes),
            gas,
            events: Vec::new(),
            height: i64::try_from(height).unwrap_or(i64::MAX),
            time,
            rules: Arc::clone(&self.rules),
        }
    }

    /// Whether a transaction may wait in the mempool.
    pub(crate) fn check(&mut self, bytes: &[u8], mode: Mode) -> TxResult {
        let tx = match decode_and_check(bytes) {
            Ok(tx) => tx,
            Err(failure) => return refused(&failure, 0, 0),
        };
        let wanted = tx.fee().gas_limit;
        let mut rate = core::mem::take(&mut self.rate);
        let mut ctx = self.context(
            &self.store,
            self.pending.clone(),
            GasMeter::limited(wanted),
            self.height,
            self.time,
        );
        let passed = ctx.atomically(|ctx| ante::run(ctx, &tx, mode, &self.chain, &mut rate));
        let used = ctx.gas.used();
        let writes = ctx.store.into_writes();
        self.rate = rate;
        match passed {
            Ok(()) => {
                self.pending = writes;
                TxResult {
                    gas_wanted: wanted,
                    gas_used: used,
                    ..TxResult::default()
                }
            }
            Err(failure) => refused(&failure, wanted, used),
        }
    }

    /// What a transaction would do now, on top of what waits in the mempool.
    pub(crate) fn simulate(&self, bytes: &[u8]) -> Executed {
        let tx = match decode_and_check(bytes) {
            Ok(tx) => tx,
            Err(failure) => {
                return Executed {
                    outcome: Err(failure),
                    gas_used: 1174,
                    events: Vec::new(),
                };
            }
        };
        let mut ctx = self.context(
            &self.store,
            self.pending.clone(),
            GasMeter::unlimited(),
            self.height,
            self.time,
        );
        self.execute(&mut ctx, &tx, Mode::Simulate, &mut RateLimit::default())
    }

    /// Runs the checks, then the messages. A message that fails drops what the messages wrote; fee and sequence stay.
    fn execute(&self, ctx: &mut Context<'_>, tx: &Tx, mode: Mode, rate: &mut RateLimit) -> Executed {
        let done = |ctx: &mut Context<'_>, outcome| Executed {
            outcome,
            gas_used: ctx.gas.used(),
            events: core::mem::take(&mut ctx.events),
        };
        if let Err(failure) = ctx.atomically(|ctx| ante::run(ctx, tx, mode, &self.chain, rate)) {
            return done(ctx, Err(failure));
        }
        let outcome = ctx.atomically(|ctx| run_messages(ctx, tx));
        done(ctx, outcome)
    }

    /// Makes a block of `txs` at `time` and commits it.
    pub(crate) fn block(&mut self, time: BlockTime, txs: Vec<Bytes>) -> Block {
        let height = self.height.saturating_add(1);
        let mut rate = core::mem::take(&mut self.rate);
        let mut writes = Writes::new();
        let mut delivered = Vec::with_capacity(txs.len());
        for bytes in txs {
            let (result, after) = self.deliver(&bytes, writes, height, time, &mut rate);
            writes = after;
            delivered.push(DeliveredTx {
                hash: tx_hash(&bytes),
                bytes,
                result,
            });
        }
        let mut ctx = self.context(&self.store, writes, GasMeter::unlimited(), height, time);
        let _kept_or_dropped = ctx.atomically(settlement::end_block);
        let events = core::mem::take(&mut ctx.events);
        let writes = ctx.store.into_writes();
        self.rate = rate;
        self.commit(height, time, delivered, events, &writes)
    }

    fn commit(
        &mut self,
        height: u64,
        time: BlockTime,
        txs: Vec<DeliveredTx>,
        events: Vec<Event>,
        writes: &Writes,
    ) -> Block {
        let before = self.app_hash;
        self.store.commit(height, writes);
        self.app_hash = app_hash(&before, writes);
        let hashes: Vec<[u8; 32]> = txs.iter().map(|t| t.hash).collect();
        let data_hash = data_hash(&hashes);
        let hash = block_hash(
            &self.chain.id,
            height,
            time,
            [&self.last_hash, &data_hash, &before],
        );
        let block = Block {
            height,
            time,
            txs,
            events,
            last_hash: core::mem::replace(&mut self.last_hash, hash),
            hash,
            app_hash_before: before,
            app_hash: self.app_hash,
            data_hash,
        };
        self.height = height;
        self.time = time;
        self.pending = Writes::new();
        block
    }

    fn deliver(
        &self,
        bytes: &[u8],
        writes: Writes,
        height: u64,
        time: BlockTime,
        rate: &mut RateLimit,
    ) -> (TxResult, Writes) {
        let tx = match decode_and_check(bytes) {
            Ok(tx) => tx,
            Err(failure) => return (refused(&failure, 0, 0), writes),
        };
        let wanted = tx.fee().gas_limit;
        let mut ctx = self.context(&self.store, writes, GasMeter::limited(wanted), height, time);
        let executed = self.execute(&mut ctx, &tx, Mode::Deliver, rate);
        let writes = ctx.store.into_writes();
        let result = match executed.outcome {
            Ok(responses) => TxResult {
                data: tx_data(responses).encode_to_vec(),
                gas_wanted: wanted,
                gas_used: executed.gas_used,
                events: executed.events,
                ..TxResult::default()
            },
            Err(failure) => TxResult {
                events: executed.events,
                ..refused(&failure, wanted, executed.gas_used)
            },
        };
        (result, writes)
    }

    /// Answers a query at `height` (0: the newest).
    pub(crate) fn query(&self, path: &str, data: &[u8], height: u64) -> Answer {
        if height > self.height {
            return Answer::refused(
                0,
                &crate::state::failure::sdk::INVALID_HEIGHT
                    .wrap("cannot query with height in the future; please provide a valid height"),
            );
        }
        let at = if height == 0 { self.height } else { height };
        let Some(past) = self.store.at(at) else {
            return Answer::refused(
                0,
                &crate::state::failure::sdk::INVALID_REQUEST.wrap(format_args!(
                    "failed to load state at height {at}; version does not exist"
                )),
            );
        };
        let mut ctx = self.context(&past, Writes::new(), GasMeter::unlimited(), at, self.time);
        query::answer(self, &mut ctx, path, data)
    }
}

fn decode_and_check(bytes: &[u8]) -> Result<Tx, Failure> {
    let tx = decode::decode(bytes)?;
    ante::check_messages(&tx)?;
    Ok(tx)
}

fn refused(failure: &Failure, wanted: u64, used: u64) -> TxResult {
    let (codespace, code) = failure.code();
    TxResult {
        code,
        codespace: codespace.to_owned(),
        log: failure.log(),
        gas_wanted: wanted,
        gas_used: used,
        ..TxResult::default()
    }
}

/// The `data` of a result: the responses of the messages.
pub(crate) const fn tx_data(msg_responses: Vec<prost_types::Any>) -> abci::TxMsgData {
    abci::TxMsgData {
        data: Vec::new(),
        msg_responses,
    }
}

fn run_messages(ctx: &mut Context<'_>, tx: &Tx) -> Result<Vec<prost_types::Any>, Failure> {
    let mut responses = Vec::new();
    let before = core::mem::take(&mut ctx.events);
    let mut all = before;
    for (index, message) in tx.messages.iter().enumerate() {
        let url = message.type_url();
        ctx.emit(Event::new(
            "message",
            [
                ("action", url.clone()),
                ("sender", message.signer()),
                ("module", Msg::module(&url)),
            ],
        ));
        let result = message.run(ctx).and_then(|response| {
            ctx.gas.consume(surcharge(message), "WritePerByte")?;
            Ok(response)
        });
        let made = core::mem::take(&mut ctx.events);
        match result {
            Ok(response) => responses.push(response),
            Err(failure) => {
                ctx.events = all;
                let prefix = format!("failed to execute message; message index: {index}: ");
                return Err(failure.within(&prefix));
            }
        }
        all.extend(
            made.into_iter()
                .map(|event| event.with("msg_index", &index.to_string())),
        );
    }
    ctx.events = all;
    Ok(responses)
}

/// Writes the genesis state.
fn init(ctx: &mut Context<'_>, genesis: &Genesis) -> Result<(), Failure> {
    let unusable = |what: &str| Failure::Lost(format!("genesis: {what} is not usable"));
    for account in &genesis.accounts {
        let bytes = address::bytes(&account.address).ok_or_else(|| unusable(&account.address))?;
        accounts::ensure(ctx, &bytes)?;
        let coins = coins_of(&account.amount).ok_or_else(|| unusable(&account.amount))?;
        for (denom, amount) in coins.iter() {
            bank::set(ctx, &bytes, denom, amount)?;
        }
    }
    for module in accounts::MODULES {
        accounts::ensure(ctx, &address::of_module(module))?;
    }
    for provider in &genesis.providers {
        let record = pv4::Provider {
            owner: provider.owner.clone(),
            host_uri: provider.host_uri.clone(),
            attributes: provider
                .attributes
                .iter()
                .map(|a| attr::Attribute {
                    key: a.key.clone(),
                    value: a.value.clone(),
                })
                .collect(),
            info: Some(pv4::Info {
                email: provider.info.email.clone(),
                website: provider.info.website.clone(),
            }),
        };
        ctx.save(
            keys::Key::table("provider").address(&provider.owner).bytes(),
            &record,
        )?;
    }
    for (owner, score) in &genesis.veid {
        ctx.write(keys::named("veid", owner), score.to_be_bytes().to_vec())?;
    }
    Ok(())
}
