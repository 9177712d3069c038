//! Escrow accounts: deposits, lazy settlement, what happens when an account ends (spec/chain.md B.5, spec/chain-node.md 2.5, 2.9).
//!
//! ```text
//! open ──close──► closed        unused deposits go back, the hook closes the deployment
//!   └─funds short──► overdrawn  payments are paid what there is and become overdrawn too
//! ```
//! Nothing happens per block: an account settles the blocks since its last settlement when somebody touches it.

use crate::rules::accounts::ESCROW_POOL;
use crate::rules::bank;
use crate::rules::payment::Payment;
use crate::rules::{deployment, payment};
use crate::state::address;
use crate::state::amount::{Coins, Dec, dec_coin, dec_of};
use crate::state::context::Context;
use crate::state::failure::{Failure, escrow as errors};
use crate::state::keys;
use crate::wire::coin::Coin;
use crate::wire::{deposit, eid, et, ev1};

/// A deposit into an account.
#[derive(Debug, Clone)]
pub(crate) struct Depositor {
    pub(crate) owner: String,
    pub(crate) height: i64,
    pub(crate) denom: String,
    pub(crate) balance: Dec,
}

/// An escrow account.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) id: eid::Account,
    pub(crate) owner: String,
    pub(crate) state: et::State,
    pub(crate) settled_at: i64,
    /// Per denomination: what was paid out and what is left; the second is negative when overdrawn.
    pub(crate) transferred: Vec<(String, Dec)>,
    pub(crate) funds: Vec<(String, Dec)>,
    pub(crate) deposits: Vec<Depositor>,
}

impl Account {
    fn from_record(record: et::Account) -> Result<Self, Failure> {
        let state = record.state.unwrap_or_default();
        let pair = |denom: String, amount: &str| Ok((denom, dec_of(amount)?));
        Ok(Self {
            id: record.id.unwrap_or_default(),
            owner: state.owner.clone(),
            state: state.state(),
            settled_at: state.settled_at,
            transferred: state
                .transferred
                .into_iter()
                .map(|c| pair(c.denom, &c.amount))
                .collect::<Result<_, Failure>>()?,
            funds: state
                .funds
                .into_iter()
                .map(|c| pair(c.denom, &c.amount))
                .collect::<Result<_, Failure>>()?,
            deposits: state
                .deposits
                .into_iter()
                .map(|d| {
                    let balance = d.balance.unwrap_or_default();
                    Ok(Depositor {
                        owner: d.owner,
                        height: d.height,
                        balance: dec_of(&balance.amount)?,
                        denom: balance.denom,
                    })
                })
                .collect::<Result<_, Failure>>()?,
        })
    }

    fn record(&self) -> et::Account {
        et::Account {
            id: Some(self.id.clone()),
            state: Some(et::AccountState {
                owner: self.owner.clone(),
                state: self.state.into(),
                transferred: self.transferred.iter().map(|(d, a)| dec_coin(d, *a)).collect(),
                settled_at: self.settled_at,
                funds: self
                    .funds
                    .iter()
                    .map(|(denom, amount)| et::Balance {
                        denom: denom.clone(),
                        amount: amount.wire(),
                    })
                    .collect(),
                deposits: self
                    .deposits
                    .iter()
                    .map(|d| et::Depositor {
                        owner: d.owner.clone(),
                        height: d.height,
                        source: deposit::Source::Balance.into(),
                        balance: Some(dec_coin(&d.denom, d.balance)),
                        direct: false,
                    })
                    .collect(),
            }),
        }
    }

    pub(crate) fn has_denom(&self, denom: &str) -> bool {
        self.funds.iter().any(|(d, _)| d == denom)
    }

    fn first_funds(&self) -> Dec {
        self.funds.first().map_or(Dec::ZERO, |(_, a)| *a)
    }

    /// Takes up to `due` from the deposits in order and answers how much that was. What is missing makes the funds negative.
    pub(crate) fn draw(&mut self, denom: &str, due: Dec) -> Result<Dec, Failure> {
        let Some(at) = self.funds.iter().position(|(d, _)| d == denom) else {
            return Err(Failure::panic(format!("unknown denom {denom:?}")));
        };
        let (mut left, mut paid, mut used) = (due, Dec::ZERO, 0);
        for depositor in &mut self.deposits {
            let part = depositor.balance.min(left);
            depositor.balance = depositor.balance.sub(part)?;
            used += usize::from(depositor.balance.is_zero());
            left = left.sub(part)?;
            paid = paid.add(part)?;
            if left.is_zero() {
                break;
            }
        }
        self.deposits.drain(..used);
        for (_, amount) in self.transferred.iter_mut().filter(|(d, _)| d == denom) {
            *amount = amount.add(paid)?;
        }
        self.funds[at].1 = self.funds[at].1.sub(due)?;
        Ok(paid)
    }
}

/// The account `id`.
pub(crate) fn load(ctx: &mut Context<'_>, id: &eid::Account) -> Result<Account, Failure> {
    ctx.load(&keys::account(id))?
        .map(Account::from_record)
        .transpose()?
        .ok_or_else(|| errors::ACCOUNT_NOT_FOUND.fail())
}

/// The stored record, for queries.
pub(crate) fn record(ctx: &mut Context<'_>, id: &eid::Account) -> Result<et::Account, Failure> {
    ctx.load(&keys::account(id))?
        .ok_or_else(|| errors::ACCOUNT_NOT_FOUND.fail())
}

pub(crate) fn store(ctx: &mut Context<'_>, account: &Account) -> Result<(), Failure> {
    ctx.save(keys::account(&account.id), &account.record())
}

/// The stateless check of a deposit.
pub(crate) fn check_deposit(deposit: &deposit::Deposit) -> Result<(), Failure> {
    if deposit.sources.is_empty() {
        return Err(errors::INVALID_DEPOSIT_SOURCE.wrap("empty deposit sources"));
    }
    let mut seen = std::collections::BTreeSet::new();
    for source in &deposit.sources {
        if !(1..=2).contains(source) || !seen.insert(source) {
            return Err(errors::INVALID_DEPOSIT_SOURCE.wrap(format_args!("source {source}")));
        }
    }
    Ok(())
}

/// Finds the coins of a deposit in the owner's balance. Deposit grants are not part of this chain.
pub(crate) fn find_deposit(
    ctx: &mut Context<'_>,
    owner: &str,
    deposit: &deposit::Deposit,
) -> Result<Vec<Depositor>, Failure> {
    let bytes = address::bytes(owner).ok_or_else(|| Failure::Lost("decoding bech32 failed".to_owned()))?;
    let Coin { denom, amount } = deposit.amount.clone().unwrap_or_default();
    let wanted = crate::state::amount::int_of(&amount)?;
    let from_balance = deposit.sources.contains(&deposit::Source::Balance.into());
    if from_balance && bank::balance(ctx, &bytes, &denom)? >= wanted {
        return Ok(vec![Depositor {
            owner: owner.to_owned(),
            height: ctx.height,
            balance: Dec::from_whole(wanted)?,
            denom,
        }]);
    }
    Err(errors::INVALID_DEPOSIT.wrap("insufficient balance"))
}

/// Opens an account with its first deposits.
pub(crate) fn open(
    ctx: &mut Context<'_>,
    id: eid::Account,
    owner: &str,
    deposits: Vec<Depositor>,
) -> Result<(), Failure> {
    if ctx.read(&keys::account(&id))?.is_some() {
        return Err(errors::ACCOUNT_EXISTS.fail());
    }
    let mut account = Account {
        id,
        owner: owner.to_owned(),
        state: et::State::Open,
        settled_at: ctx.height,
        transferred: Vec::new(),
        funds: Vec::new(),
        deposits: Vec::new(),
    };
    for depositor in &deposits {
        if !account.has_denom(&depositor.denom) {
            account.funds.push((depositor.denom.clone(), Dec::ZERO));
            account.transferred.push((depositor.denom.clone(), Dec::ZERO));
        }
    }
    add_deposits(ctx, &mut account, deposits)?;
    store(ctx, &account)
}

fn add_deposits(
    ctx: &mut Context<'_>,
    account: &mut Account,
    deposits: Vec<Depositor>,
) -> Result<(), Failure> {
    for depositor in deposits {
        let Some(funds) = account.funds.iter_mut().find(|(d, _)| *d == depositor.denom) else {
            return Err(errors::INVALID_DENOM.fail());
        };
        if funds.1.is_negative() {
            funds.1 = Dec::ZERO;
        }
        let from = address::bytes(&depositor.owner)
            .ok_or_else(|| Failure::Lost("decoding bech32 failed".to_owned()))?;
        let coins = Coins::one(&depositor.denom, depositor.balance.trunc());
        bank::transfer(ctx, &from, &address::of_module(ESCROW_POOL), &coins)?;
        funds.1 = funds.1.add(depositor.balance)?;
        account.deposits.push(depositor);
    }
    Ok(())
}

/// What a settlement touched.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) payments: Vec<Payment>,
    pub(crate) overdrawn: bool,
}

/// Charges the blocks since the last settlement. When no block has passed no payment is touched: that is why a second withdrawal
/// in one block does not find its payment and a close in that block leaves the payment open.
pub(crate) fn settle(ctx: &mut Context<'_>, account: &mut Account) -> Result<Settled, Failure> {
    if account.state == et::State::Closed {
        return Err(errors::ACCOUNT_CLOSED.fail());
    }
    if account.first_funds().is_negative() {
        return Ok(Settled {
            overdrawn: true,
            ..Settled::default()
        });
    }
    let mut blocks = 0;
    if account.state != et::State::Overdrawn {
        blocks = ctx.height - account.settled_at;
        account.settled_at = ctx.height;
    }
    let mut payments = payment::of_account(ctx, &account.id)?;
    payments.retain(|p| p.state == et::State::Overdrawn || (p.state == et::State::Open && blocks != 0));
    let mut overdrawn = false;
    for payment in &mut payments {
        let short = payment.charge(account, blocks)?;
        overdrawn |= short;
    }
    if overdrawn {
        account.state = et::State::Overdrawn;
        for payment in &mut payments {
            payment.state = et::State::Overdrawn;
            payment::pay_out(ctx, payment)?;
        }
    }
    Ok(Settled { payments, overdrawn })
}

/// Stores an account. One that is no longer open gives its unused deposits back and runs the hook.
pub(crate) fn save(ctx: &mut Context<'_>, account: &mut Account) -> Result<(), Failure> {
    let ended = account.state != et::State::Open;
    if ended {
        for depositor in core::mem::take(&mut account.deposits) {
            if !depositor.balance.is_positive() {
                continue;
            }
            let whole = depositor.balance.trunc();
            bank::pay_out(
                ctx,
                ESCROW_POOL,
                &depositor.owner,
                &Coins::one(&depositor.denom, whole),
            )?;
            if let Some(funds) = account.funds.first_mut() {
                funds.1 = funds.1.sub(Dec::from_whole(whole)?)?;
            }
        }
    }
    store(ctx, account)?;
    if ended {
        deployment::on_account_ended(ctx, account)?;
    }
    Ok(())
}

/// Closes an account with all its payments.
pub(crate) fn close(ctx: &mut Context<'_>, id: &eid::Account) -> Result<(), Failure> {
    let mut account = load(ctx, id)?;
    let mut settled = settle(ctx, &mut account)?;
    if account.state == et::State::Open {
        account.state = et::State::Closed;
    }
    close_payments(ctx, &mut settled.payments)?;
    save(ctx, &mut account)?;
    payment::save_all(ctx, &settled.payments)
}

fn close_payments(ctx: &mut Context<'_>, payments: &mut [Payment]) -> Result<(), Failure> {
    for payment in payments {
        if payment.state == et::State::Open {
            payment.state = et::State::Closed;
        }
        payment::pay_out(ctx, payment)?;
    }
    Ok(())
}

/// `MsgAccountDeposit`. A deposit that covers what an overdrawn account owes closes the account.
pub(crate) fn deposit_more(
    ctx: &mut Context<'_>,
    msg: &ev1::MsgAccountDeposit,
) -> Result<ev1::MsgAccountDepositResponse, Failure> {
    let deposits = find_deposit(ctx, &msg.signer, &msg.deposit.clone().unwrap_or_default())?;
    let mut account = load(ctx, &msg.id.clone().unwrap_or_default())?;
    if account.state == et::State::Closed {
        return Err(errors::ACCOUNT_CLOSED.fail());
    }
    add_deposits(ctx, &mut account, deposits)?;
    let mut settled = Settled::default();
    if account.state == et::State::Overdrawn {
        settled = settle(ctx, &mut account)?;
        close_payments(ctx, &mut settled.payments)?;
        if !settled.overdrawn {
            account.state = et::State::Closed;
        }
    }
    save(ctx, &mut account)?;
    payment::save_all(ctx, &settled.payments)?;
    Ok(ev1::MsgAccountDepositResponse {})
}
