//! Payments: what a lease earns per block out of its deployment's escrow account.

use crate::rules::accounts::{ESCROW_POOL, TAKE_POOL};
use crate::rules::escrow::{self, Account};
use crate::rules::{bank, market};
use crate::state::address;
use crate::state::amount::{Coins, DENOM, Dec, coin, dec_coin, dec_of, int_of};
use crate::state::context::Context;
use crate::state::failure::{Failure, escrow as errors};
use crate::state::keys;
use crate::wire::coin::DecCoin;
use crate::wire::{eid, et};

/// The take fee of every denomination but the chain's own, in percent.
const TAKE_PERCENT_OTHER: i128 = 20;

/// A payment.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    pub(crate) id: eid::Payment,
    pub(crate) owner: String,
    pub(crate) state: et::State,
    pub(crate) denom: String,
    pub(crate) rate: Dec,
    /// Earned and not yet paid out.
    pub(crate) balance: Dec,
    /// Owed and not covered by the account.
    pub(crate) unsettled: Dec,
    pub(crate) withdrawn: i128,
}

impl Payment {
    fn from_record(record: et::Payment) -> Result<Self, Failure> {
        let state = record.state.unwrap_or_default();
        let rate = state.rate.clone().unwrap_or_default();
        Ok(Self {
            id: record.id.unwrap_or_default(),
            owner: state.owner.clone(),
            state: state.state(),
            rate: dec_of(&rate.amount)?,
            denom: rate.denom,
            balance: dec_of(&state.balance.unwrap_or_default().amount)?,
            unsettled: dec_of(&state.unsettled.unwrap_or_default().amount)?,
            withdrawn: int_of(&state.withdrawn.unwrap_or_default().amount)?,
        })
    }

    fn record(&self) -> et::Payment {
        et::Payment {
            id: Some(self.id.clone()),
            state: Some(et::PaymentState {
                owner: self.owner.clone(),
                state: self.state.into(),
                rate: Some(dec_coin(&self.denom, self.rate)),
                balance: Some(dec_coin(&self.denom, self.balance)),
                unsettled: Some(dec_coin(&self.denom, self.unsettled)),
                withdrawn: Some(coin(&self.denom, self.withdrawn)),
            }),
        }
    }

    /// Charges `blocks` to `account`; an overdrawn payment is charged what it is owed instead. Answers whether the account was
    /// short.
    pub(crate) fn charge(&mut self, account: &mut Account, blocks: i64) -> Result<bool, Failure> {
        let mut due = self.rate.mul_whole(i128::from(blocks))?.trunc_dec();
        if self.state == et::State::Overdrawn {
            due = core::mem::take(&mut self.unsettled);
        }
        let paid = account.draw(&self.denom, due)?;
        self.balance = self.balance.add(paid)?;
        let short = paid < due;
        self.state = if short {
            et::State::Overdrawn
        } else {
            et::State::Open
        };
        if short {
            self.unsettled = self.unsettled.add(due.sub(paid)?)?;
        }
        Ok(short)
    }
}

pub(crate) fn load(ctx: &mut Context<'_>, id: &eid::Payment) -> Result<Payment, Failure> {
    record(ctx, id).and_then(Payment::from_record)
}

/// The stored record, for queries.
pub(crate) fn record(ctx: &mut Context<'_>, id: &eid::Payment) -> Result<et::Payment, Failure> {
    ctx.load(&keys::payment(id))?
        .ok_or_else(|| errors::PAYMENT_NOT_FOUND.fail())
}

pub(crate) fn of_account(ctx: &mut Context<'_>, id: &eid::Account) -> Result<Vec<Payment>, Failure> {
    ctx.list(&keys::payments(id))?
        .into_iter()
        .map(Payment::from_record)
        .collect()
}

/// Sends the whole coins of the balance to the provider, less the take fee (rounded down).
pub(crate) fn pay_out(ctx: &mut Context<'_>, payment: &mut Payment) -> Result<(), Failure> {
    let whole = payment.balance.trunc();
    if whole == 0 {
        return Ok(());
    }
    let percent = if payment.denom == DENOM {
        i128::from(ctx.rules.take_fee_percent)
    } else {
        TAKE_PERCENT_OTHER
    };
    let earned = Coins::one(&payment.denom, whole);
    let fee = earned.percent(percent)?;
    if !fee.is_empty() {
        bank::transfer(
            ctx,
            &address::of_module(ESCROW_POOL),
            &address::of_module(TAKE_POOL),
            &fee,
        )?;
    }
    bank::pay_out(ctx, ESCROW_POOL, &payment.owner, &earned.minus(&fee)?)?;
    payment.withdrawn = payment
        .withdrawn
        .checked_add(whole)
        .ok_or_else(|| Failure::panic("Int overflow"))?;
    payment.balance = payment.balance.sub(Dec::from_whole(whole)?)?;
    Ok(())
}

/// Stores payments. One that is no longer open closes its lease.
pub(crate) fn save_all(ctx: &mut Context<'_>, payments: &[Payment]) -> Result<(), Failure> {
    for payment in payments {
        ctx.save(keys::payment(&payment.id), &payment.record())?;
        if payment.state != et::State::Open {
            market::on_payment_ended(ctx, payment)?;
        }
    }
    Ok(())
}

/// Opens a payment of `rate` per block to `owner`.
///
/// The coins that other payments of the account earned since its last settlement stay in the pool, owned by nobody.
pub(crate) fn open(
    ctx: &mut Context<'_>,
    id: eid::Payment,
    owner: &str,
    rate: &DecCoin,
) -> Result<(), Failure> {
    let mut account = escrow::load(ctx, &id.aid.clone().unwrap_or_default())?;
    let settled = escrow::settle(ctx, &mut account)?;
    if settled.overdrawn {
        return Err(errors::ACCOUNT_OVERDRAWN.fail());
    }
    if !account.has_denom(&rate.denom) {
        return Err(errors::INVALID_DENOM.fail());
    }
    let amount = dec_of(&rate.amount)?;
    if amount.is_zero() {
        return Err(errors::PAYMENT_RATE_ZERO.fail());
    }
    if ctx.read(&keys::payment(&id))?.is_some() {
        return Err(errors::PAYMENT_EXISTS.fail());
    }
    // The other payments of the account were charged above, but the chain forgets to store them: what another lease of the same
    // deployment had earned since the last settlement is lost to it. Reproduced on purpose.
    escrow::save(ctx, &mut account)?;
    let payment = Payment {
        id,
        owner: owner.to_owned(),
        state: et::State::Open,
        denom: rate.denom.clone(),
        rate: amount,
        balance: Dec::ZERO,
        unsettled: Dec::ZERO,
        withdrawn: 0,
    };
    ctx.save(keys::payment(&payment.id), &payment.record())
}

/// Pays out what a payment has earned.
pub(crate) fn withdraw(ctx: &mut Context<'_>, id: &eid::Payment) -> Result<(), Failure> {
    let mut account = escrow::load(ctx, &id.aid.clone().unwrap_or_default())?;
    if load(ctx, id)?.state != et::State::Open {
        return Err(errors::PAYMENT_CLOSED.fail());
    }
    let mut settled = escrow::settle(ctx, &mut account)?;
    if !settled.overdrawn {
        let Some(payment) = settled.payments.iter_mut().find(|p| p.id == *id) else {
            return Err(Failure::panic(format!("couldn't find payment {}", go_text(id))));
        };
        pay_out(ctx, payment)?;
    }
    escrow::save(ctx, &mut account)?;
    save_all(ctx, &settled.payments)
}

/// How Go's protobuf text form shows a payment id.
fn go_text(id: &eid::Payment) -> String {
    let aid = id.aid.clone().unwrap_or_default();
    format!(
        "aid:<scope:{} xid:{:?} > xid:{:?} ",
        keys::scope_name(aid.scope),
        aid.xid,
        id.xid
    )
}

/// Closes a payment. In the block of the account's last settlement it stays open (spec/chain-node.md 2.5).
pub(crate) fn close(ctx: &mut Context<'_>, id: &eid::Payment) -> Result<(), Failure> {
    let mut account = escrow::load(ctx, &id.aid.clone().unwrap_or_default())?;
    if load(ctx, id)?.state == et::State::Closed {
        return Err(errors::PAYMENT_CLOSED.fail());
    }
    let mut settled = escrow::settle(ctx, &mut account)?;
    if let Some(payment) = settled.payments.iter_mut().find(|p| p.id == *id) {
        if payment.state == et::State::Open {
            payment.state = et::State::Closed;
        }
        pay_out(ctx, payment)?;
    }
    escrow::save(ctx, &mut account)?;
    save_all(ctx, &settled.payments)
}
